// kill -9 at every named point of the source (src/core/crash.h), one after another: after the next start the old version is
// served or the new one, never a mixture, and nothing is left over.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startPgbouncer } from '../lib/pgbouncer.mjs';
import { makeService, ROOT, startPostgres } from '../lib/service.mjs';
import { ACTIONS, COVERED, killedImport, OFTEN, pointsOfTheProgram, randomNumbers, worlds } from './cycle.mjs';
import { counting } from './report.mjs';

// The short run kills once at every point, in some of the actions that come by; the long one in each action at each time that
// it comes by, and then at random: FA_CYCLES times, until FA_SECONDS after its start. SEED=n repeats the same run.
const LONG = Boolean(process.env.FA_LONG);
const CYCLES = LONG ? Number(process.env.FA_CYCLES ?? 5_000) : 0;
const END = Date.now() + Number(process.env.FA_SECONDS ?? 1e9) * 1000;
const SEED = Number(process.env.SEED ?? randomInt(2 ** 31));
const next = randomNumbers(SEED);

let postgres, world;
const counts = counting('crash-points.test.mjs', LONG ? `-${SEED}` : '');
const tried = {};

/** `try_` gives false where the point was not come by, which is no try; counted by what was going on. */
async function killing(point, action, promised, try_) {
  let reached;
  try { reached = await try_(); } catch (error) { counts.trying(`kill -9: ${action}`, promised); throw error; }
  if (reached === false) return false;
  counts.trying(`kill -9: ${action}`, promised)();
  tried[point] = (tried[point] ?? 0) + 1;
  return true;
}
const PROMISED = 'all of it or nothing; database, manifest, folder and answer agree; nothing is left over';
const cycle = (point, action, count, where = world) => killing(point, ACTIONS[action].label ?? action, PROMISED, () => where.cycle(point, action, count));

before(async () => {
  console.log(`SEED=${SEED} repeats this run`);
  postgres = await startPostgres();
  world = worlds(postgres);
});
after(async () => {
  await world?.remove();
  await postgres?.remove();
});

/** All in the long run, else two of them. */
const some = (actions) => LONG ? actions : actions.map((action) => [next(), action]).sort().slice(0, 2).map(([, action]) => action);

for (const [point, actions] of Object.entries(COVERED)) {
  test(`killed at ${point}`, async () => {
    for (const action of some(actions)) {
      // Of what every action passes many times, any of the first four.
      const first = OFTEN.has(point) && !LONG ? 1 + Math.floor(next() * 4) : 1, last = LONG ? 40 : first;
      let count = first;
      while (count <= last && await cycle(point, action, count)) count++;
      if (count === first && first > 1 && await cycle(point, action, 1)) count++;
      assert.ok(count > first, `${action} comes by ${point}`);
    }
  });
}

test('a migration killed at each of its points: the next run goes on from there', async () => {
  const known = fs.readdirSync(path.join(ROOT, 'sql/migrations')).filter((name) => /^\d{4}_.*\.sql$/.test(name)).length;
  const migrate = (fresh, point, count, applied) => killing(point, 'migration', 'each migration is in force wholly or not at all; the next run goes on from there', () => {
    const file = path.join(fresh.folder, 'crash');
    fs.writeFileSync(file, `${point}:${count}`);
    const done = fresh.run('migrate', [], { env: { FA_CRASH_FILE: file } });
    assert.equal(done.signal, 'SIGKILL', `${point}, ${count}: ${done.stderr}`);
    assert.equal(Number(fresh.sql('SELECT count(*) FROM functions_admin.schema_migrations')), applied);
  });
  for (const point of ['migrate.before_commit', 'migrate.after_commit']) {
    const fresh = makeService(postgres, { migrate: false });
    try {
      if (point === 'migrate.before_commit') await migrate(fresh, 'migrate.bootstrapped', 1, 0);
      for (let count = 1; count <= known; count++) {
        // One whole migration further each time: those that were committed are not run again.
        if (point === 'migrate.after_commit') await migrate(fresh, point, 1, count);
        else await migrate(fresh, point, count > 1 ? 2 : 1, count - 1);
      }
      await migrate(fresh, 'migrate.granted', 1, known);
      assert.equal(fresh.run('migrate').status, 0);
      assert.equal(Number(fresh.sql('SELECT count(*) FROM functions_admin.schema_migrations')), known);
    } finally { await fresh.remove(); }
  }
});

test('an import killed at each of its points loses nothing of the directory that it replaces', async () => {
  for (const point of ['adopt.stub_built', 'adopt.prepared', 'adopt.exchanged'])
    await killing(point, 'import', 'nothing of the directory that is replaced is lost; the import can be run again', () => killedImport(postgres, point));
});

test('cycles at random points', { skip: CYCLES === 0 && 'long: ./check --long' }, async () => {
  const pairs = Object.entries(COVERED).flatMap(([point, actions]) => actions.map((action) => [point, action]));
  // Behind a pooler that hands on sessions: those of a killed program are the next one's, which costs half of what new ones do.
  const pooler = await startPgbouncer(postgres, { mode: 'session', size: 40 }), pooled = worlds(postgres, { pooler });
  // How often an action comes by, as far as that is known.
  const most = new Map();
  let done = 0, idle = 0;
  try {
    while (done < CYCLES && Date.now() < END) {
      const [point, action] = pairs[Math.floor(next() * pairs.length)];
      const key = `${point} ${action}`, count = 1 + Math.floor(next() * (most.get(key) ?? (OFTEN.has(point) ? 20 : 3)));
      if (await cycle(point, action, count, pooled)) done++;
      else {
        idle++;
        most.set(key, Math.max(1, count - 1));
      }
    }
  } finally {
    await pooled.remove();
    await pooler.stop();
    console.log(`SEED=${SEED}: ${done} killed and started again, ${idle} not come by: ${JSON.stringify(tried)}`);
  }
});

test('every point that is compiled in was tried, and each has a name of its own', () => {
  const points = pointsOfTheProgram();
  assert.ok(points.length > 0, 'the program was built with --enable-crash-points');
  assert.equal(new Set(points).size, points.length, 'no name stands twice');
  // Those of a node that follows others are tried in agents.test.mjs.
  assert.deepEqual(Object.keys(tried).sort(), points.filter((point) => !point.startsWith('node.')));
});
