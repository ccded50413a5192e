// Writes the table of README.md, between its marks, from what the tests have reported:
//   FA_BINARY=build-faults/functions-admin node tests/faults/table.mjs
import fs from 'node:fs';
import path from 'node:path';
import { REPORTS } from './report.mjs';

const README = path.join(import.meta.dirname, 'README.md'), START = '<!-- the table, by table.mjs -->\n', END = '<!-- its end -->\n';
const read = (end, rows) => fs.readdirSync(REPORTS).filter((name) => name.endsWith(end)).sort().flatMap((name) => rows(fs.readFileSync(path.join(REPORTS, name), 'utf8')));
const counted = read('.json', JSON.parse), counting = new Set(counted.map((row) => row.by));
// Of reporter.mjs: what does not count by itself counts as tried once.
const others = read('.lines', (text) => text.split('\n').filter(Boolean).map((line) => JSON.parse(line))).filter((row) => !counting.has(row.by));
const sums = new Map();
for (const row of [...counted, ...others]) {
  if (!Number.isInteger(row.tried) || !Number.isInteger(row.held)) throw new Error(`${REPORTS} holds what no test counted: ${JSON.stringify(row)}`);
  const key = `${row.by} ${row.fault}`, sum = sums.get(key);
  if (sum) { sum.tried += row.tried; sum.held += row.held; } else sums.set(key, { ...row });
}
const cell = (text) => String(text).replaceAll('|', '\\|');
const rows = [...sums.values()].sort((a, b) => a.by < b.by ? -1 : a.by > b.by ? 1 : 0).map((r) => `| ${cell(r.fault)} | ${cell(r.promised)} | ${r.tried} | ${r.held === r.tried ? 'held' : `broken ${r.tried - r.held} times`} | \`${r.by}\` |\n`);
const text = fs.readFileSync(README, 'utf8'), from = text.indexOf(START) + START.length, to = text.indexOf(END);
if (from < START.length || to < from) throw new Error(`${README} has no marks for the table`);
fs.writeFileSync(README, `${text.slice(0, from)}\n| Fault | Promised | Tried | Result | Test |\n|---|---|---|---|---|\n${rows.join('')}\n${text.slice(to)}`);
console.log(`${rows.length} rows, ${[...sums.values()].reduce((sum, r) => sum + r.tried, 0)} tries`);
