// A reporter of node:test: one line of JSON for each test, of which table.mjs makes a row where its file does not count itself.
import path from 'node:path';

export default async function* (events) {
  for await (const { type, data } of events)
    if ((type === 'test:pass' || type === 'test:fail') && data.nesting === 0 && data.skip === undefined && data.file && path.resolve(data.name) !== data.file)
      yield `${JSON.stringify({ by: path.basename(data.file), fault: data.name, promised: 'as its name says', tried: 1, held: type === 'test:pass' ? 1 : 0 })}\n`;
}
