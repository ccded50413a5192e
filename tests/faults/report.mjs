// What a run of tests/faults tried, how often, and how often the promise was held: each test file writes its rows beside the
// program that it tested, and table.mjs makes the table of README.md of them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BINARY } from '../lib/service.mjs';

export const REPORTS = path.join(path.dirname(BINARY), 'faults');

/**
 * Counts what a test file tries: `trying(fault, promised)` before each time, and the function that it gives once the promise
 * was found to be held; `of(fault, promised, fn)` does that for a whole test, whose function calls `times(n)` where it tries more
 * than once. The rows are written when the process ends, also where a signal ends a long run. Those of several runs of one file are
 * added up: `run` tells them apart.
 */
export function counting(by, run = '') {
  const rows = new Map();
  process.once('exit', () => {
    fs.mkdirSync(REPORTS, { recursive: true });
    fs.writeFileSync(path.join(REPORTS, `${by}${run}.json`), JSON.stringify([...rows.values()], null, 1));
  });
  return {
    trying(fault, promised) {
      const row = rows.get(fault) ?? { by, fault, promised, tried: 0, held: 0 };
      rows.set(fault, row);
      row.tried++;
      return () => { row.held++; };
    },
    of(fault, promised, fn) {
      return async () => {
        const row = rows.get(fault) ?? { by, fault, promised, tried: 0, held: 0 };
        let tries = 0, held = false;
        rows.set(fault, row);
        try {
          await fn((n = 1) => { assert.ok(Number.isInteger(n), `tried ${n} times`); tries += n; });
          held = true;
        } finally {
          row.tried += Math.max(tries, 1);
          if (held) row.held += Math.max(tries, 1);
        }
      };
    },
  };
}
