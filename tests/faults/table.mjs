// Writes the table of README.md, between its marks, from what the tests have reported:
//   FA_BINARY=build-faults/functions-admin node tests/faults/table.mjs
import fs from 'node:fs';
import path from 'node:path';
import { REPORTS } from './report.mjs';

const README = path.join(import.meta.dirname, 'README.md'), START = '<!-- the table, by table.mjs -->\n', END = '<!-- its end -->\n';
const sums = new Map();
for (const file of fs.readdirSync(REPORTS).filter((name) => name.endsWith('.json')).sort())
  for (const row of JSON.parse(fs.readFileSync(path.join(REPORTS, file), 'utf8'))) {
    const key = `${row.by} ${row.fault}`, sum = sums.get(key);
    if (sum) { sum.tried += row.tried; sum.held += row.held; } else sums.set(key, { ...row });
  }
const cell = (text) => String(text).replaceAll('|', '\\|');
const rows = [...sums.values()].map((r) => `| ${cell(r.fault)} | ${cell(r.promised)} | ${r.tried} | ${r.held === r.tried ? 'held' : `broken ${r.tried - r.held} times`} | \`${r.by}\` |\n`);
const text = fs.readFileSync(README, 'utf8'), from = text.indexOf(START) + START.length, to = text.indexOf(END);
if (from < START.length || to < from) throw new Error(`${README} has no marks for the table`);
fs.writeFileSync(README, `${text.slice(0, from)}\n| Fault | Promised | Tried | Result | Test |\n|---|---|---|---|---|\n${rows.join('')}\n${text.slice(to)}`);
console.log(`${rows.length} rows, ${[...sums.values()].reduce((sum, r) => sum + r.tried, 0)} tries`);
