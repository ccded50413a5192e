// What a run of tests/faults tried, how often, and how often the promise was held: each test file writes its rows beside the
// program that it tested, and table.mjs makes the table of README.md of them.
import fs from 'node:fs';
import path from 'node:path';
import { BINARY } from '../lib/service.mjs';

export const REPORTS = path.join(path.dirname(BINARY), 'faults');

/**
 * Counts what a test file tries: `trying(fault, promised)` before each time, and the function that it gives once the promise
 * was found to be held. `write()` at the end of the file. Rows of several runs of one file are added up: `run` tells them apart.
 */
export function counting(by, run = '') {
  const rows = new Map();
  return {
    trying(fault, promised) {
      const row = rows.get(fault) ?? { by, fault, promised, tried: 0, held: 0 };
      rows.set(fault, row);
      row.tried++;
      return () => { row.held++; };
    },
    write() {
      fs.mkdirSync(REPORTS, { recursive: true });
      fs.writeFileSync(path.join(REPORTS, `${by}${run}.json`), JSON.stringify([...rows.values()], null, 1));
    },
  };
}
