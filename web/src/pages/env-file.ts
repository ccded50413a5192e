/** The text of an .env file as names and values; of a name that stands twice the last one counts, as in a shell. */
export function parseEnv(text: string): { values: Record<string, string>; error?: string } {
  const values: Record<string, string> = {};
  const lines = text.replace(/\r\n/g, "\n").split("\n");
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at].trim();
    if (line === "" || line.startsWith("#")) continue;
    const match = /^(?:export\s+)?([^\s=#]+)\s*=\s*(.*)$/.exec(line);
    if (!match) return { values, error: `Line ${at + 1} is not NAME=value` };
    const [, name, rest] = match;
    const quote = /^["'`]/.exec(rest)?.[0];
    if (!quote) {
      values[name] = rest.replace(/\s+#.*$/, "").trim();
      continue;
    }
    // A quoted value may go over several lines.
    let whole = rest.slice(1);
    let next = at;
    const closing = quote === '"' ? /(?<!\\)"/ : new RegExp(quote);
    while (!closing.test(whole) && next + 1 < lines.length) whole += `\n${lines[++next]}`;
    const end = closing.exec(whole)?.index;
    if (end === undefined) return { values, error: `The quote of line ${at + 1} is not closed` };
    const inside = whole.slice(0, end);
    values[name] = quote === '"' ? inside.replace(/\\([nrt"\\])/g, (_, char: string) => ({ n: "\n", r: "\r", t: "\t" })[char] ?? char) : inside;
    at = next;
  }
  return { values };
}
