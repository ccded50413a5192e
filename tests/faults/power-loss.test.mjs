// Power is lost at every named point of the source, and right after an answer: what was not synced of the folder is gone or cut
// off (power.mjs), and so is what PostgreSQL had not written. What must be true after the next start is what must be true after
// kill -9.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { makeService, startPostgres, startRuntime, temporaryFolder, until } from '../lib/service.mjs';
import { ACTIONS, COVERED, killedImport, OFTEN, randomNumbers, worlds } from './cycle.mjs';
import { powerOf } from './power.mjs';
import { buildPreload } from './preload.mjs';
import { counting } from './report.mjs';

// The short run loses power once at every point, and after the answer to every action; the long one in each action that comes
// by a point, and then at random: FA_CYCLES times, until FA_SECONDS after its start. SEED=n repeats the same run.
const LONG = Boolean(process.env.FA_LONG);
const CYCLES = LONG ? Number(process.env.FA_CYCLES ?? 1_000) : 0;
const END = Date.now() + Number(process.env.FA_SECONDS ?? 1e9) * 1000;
const SEED = Number(process.env.SEED ?? randomInt(2 ** 31));
const next = randomNumbers(SEED);
const counts = counting('power-loss.test.mjs', LONG ? `-${SEED}` : '');

let postgres, shim, world;

before(async () => {
  console.log(`SEED=${SEED} repeats this run`);
  postgres = await startPostgres();
  shim = buildPreload('power', postgres.folder);
  // What was committed lazily waits for the disk until something else does.
  postgres.sql('postgres', `ALTER SYSTEM SET wal_writer_delay = '10s'`);
  postgres.sql('postgres', `ALTER SYSTEM SET wal_writer_flush_after = '2GB'`);
  await postgres.stop();
  await postgres.start();
  world = worlds(postgres, { shim, random: next });
});
after(async () => {
  await world?.remove();
  await postgres?.remove();
});

async function lost(point, action, count) {
  const fault = `power lost: ${ACTIONS[action].label ?? action}`, promised = 'as after kill -9; what was answered for is there';
  let reached;
  try { reached = await world.cycle(point, action, count); } catch (error) { counts.trying(fault, promised); throw error; }
  counts.trying(fault, promised)();
  return reached;
}
const pick = (list) => list[Math.floor(next() * list.length)];

test("the model: a directory's inode that another folder uses again", () => {
  const folder = temporaryFolder(), root = path.join(folder, 'root'), removed = path.join(root, 'removed');
  fs.mkdirSync(removed, { recursive: true });
  const power = powerOf(root, shim, folder), inode = (name) => fs.statSync(name).ino;
  power.begin();
  fs.writeFileSync(path.join(folder, 'power.log'), [['remove', inode(root), 'removed'], ['mkdir', 1, 'other', inode(removed)], ['create', inode(removed), 'file', 2], ['fsync', inode(removed), 0, 0]].map((words) => `${words.join('\t')}\n`).join(''));
  fs.rmdirSync(removed);
  // The removal is lost.
  assert.equal(power.cut(() => 0), 'nothing: 0 of 1 changes of directories');
  assert.deepEqual(fs.readdirSync(root, { recursive: true }), ['removed']);
});

for (const [point, actions] of Object.entries(COVERED)) {
  test(`power is lost at ${point}`, async () => {
    for (const action of LONG ? actions : [pick(actions)]) {
      if (OFTEN.has(point)) await lost(point, action, 1 + Math.floor(next() * (LONG ? 12 : 4)));
      else assert.ok(await lost(point, action, 1), `${action} comes by ${point}`);
    }
  });
}

test('power is lost right after the answer', async () => {
  for (const action of Object.keys(ACTIONS)) if (ACTIONS[action].run) await lost('none', action, 1);
});

test('power is lost in the life of the first process of a folder: its own directory is there, and what it left unfinished fails at once', async () => {
  const service = makeService(postgres), power = powerOf(service.functionsDir, shim, service.folder), runtime = await startRuntime(service.functionsDir);
  const held = counts.trying('power lost: the first start', 'the next process knows which one was before it');
  try {
    service.writeConfig({ runtime_url: runtime.url });
    power.begin();
    await service.start({ env: power.env });
    const boot = runtime.hold('one');
    assert.equal((await service.deploy('one', '// one', { headers: { prefer: 'respond-async' } })).status, 202);
    await boot.reached;
    service.child.kill('SIGKILL');
    await service.ended();
    boot.release();
    // Nothing is kept but what was synced.
    power.cut(() => 0);
    await service.start();
    assert.equal(service.sql('SELECT status, error_code FROM functions_admin.edge_function_deployments'), 'failed|abandoned');
    held();
  } finally {
    await service.stop('SIGKILL');
    power.end();
    await service.remove();
    await runtime.stop();
  }
});

test('power is lost during an import', async () => {
  for (const point of ['adopt.stub_built', 'adopt.prepared', 'adopt.exchanged']) {
    const held = counts.trying('power lost: import', 'nothing of the directory that is replaced is lost; the import can be run again');
    await killedImport(postgres, point, { shim, random: next });
    held();
  }
});

test('a server that somebody else ends fails one cycle, whose message says how it ended', async () => {
  assert.ok(await world.cycle('token.made', 'makeToken', 1));
  process.kill(postgres.pid, 'SIGKILL');
  await until('PostgreSQL is gone', () => !postgres.running);
  await assert.rejects(world.cycle('token.made', 'makeToken', 1), /PostgreSQL \(\d+, .*\) has ended: SIGKILL. The end of its log:\n.*database system is ready/s);
  assert.ok(await world.cycle('token.made', 'makeToken', 1));
});

test('power is lost at random points', { skip: CYCLES === 0 && 'long: ./check --long' }, async () => {
  const pairs = Object.entries(COVERED).flatMap(([point, actions]) => actions.map((action) => [point, action]));
  let done = 0;
  try {
    for (; done < CYCLES && Date.now() < END; done++) {
      const [point, action] = pick(pairs);
      await lost(point, action, 1 + Math.floor(next() * (OFTEN.has(point) ? 20 : 3)));
    }
  } finally { console.log(`SEED=${SEED}: power was lost ${done} times`); }
});
