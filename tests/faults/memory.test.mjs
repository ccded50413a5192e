// Each allocation of a request fails in turn (memory.c): a clear answer or the right one, nothing stored by halves, and the
// program serves on.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { REF, startPostgres, until } from '../lib/service.mjs';
import { ACTIONS, makeWorld, randomNumbers } from './cycle.mjs';
import { buildPreload } from './preload.mjs';
import { counting } from './report.mjs';

// The long run lets every allocation fail, the short one some of them, the same for the same SEED.
const LONG = Boolean(process.env.FA_LONG), SOME = 10;
const SEED = Number(process.env.SEED ?? randomInt(2 ** 31));
const next = randomNumbers(SEED), counts = counting('memory.test.mjs');

let postgres, world, memory;

before(async () => {
  console.log(`SEED=${SEED} repeats this run`);
  postgres = await startPostgres();
  const file = path.join(postgres.folder, 'memory');
  fs.writeFileSync(file, Buffer.alloc(16));
  fs.chmodSync(file, 0o666);
  memory = {
    env: { LD_PRELOAD: buildPreload('memory', postgres.folder), FA_MEMORY_FILE: file },
    fail(nth) { const numbers = Buffer.alloc(16); numbers.writeBigInt64LE(BigInt(nth)); const fd = fs.openSync(file, 'r+'); fs.writeSync(fd, numbers); fs.closeSync(fd); },
    /** What is left of the count, and how many have failed. */
    read() { const numbers = fs.readFileSync(file); return { left: Number(numbers.readBigInt64LE(0)), failed: Number(numbers.readBigInt64LE(8)) }; },
  };
  world = await makeWorld(postgres, { env: memory.env });
});
after(async () => {
  await world?.remove();
  await postgres?.remove();
});

const REQUESTS = {
  list: { run: (at) => at.service.ask('GET', at.service.functions()) },
  'bad form data': { run: (at) => at.service.ask('POST', at.service.functions('/deploy?slug=one'), { body: '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx', headers: { 'content-type': 'multipart/form-data; boundary=b' } }), status: 400 },
  deploy: ACTIONS.deploy, 'first deploy': ACTIONS.create, 'bulk PUT': { changes: ACTIONS.bulk.changes, prepare: ACTIONS.bulk.upload, run: ACTIONS.bulk.put }, rollback: ACTIONS.rollback, secrets: ACTIONS.secrets, delete: ACTIONS.remove,
  'deploy with an Idempotency-Key': ACTIONS.repeat, download: { run: (at) => at.service.ask('GET', at.service.functions('/two/body')) },
};

for (const [name, spec] of Object.entries(REQUESTS)) {
  test(`each allocation fails: ${name}`, { timeout: 1_800_000 }, async () => {
    const at = world, statuses = {};
    // How many there are, once all that is kept for good is there.
    let all = 0;
    for (let i = 0; i < 3; i++) {
      const context = await spec.prepare?.(at);
      memory.fail(1_000_000);
      const answer = await spec.run(at, context);
      all = 1_000_000 - memory.read().left;
      memory.fail(0);
      assert.ok(spec.status ? answer.status === spec.status : answer.status < 300, `${answer.text}\n${at.service.log.slice(-1500)}`);
    }
    const turns = LONG ? Array.from({ length: all }, (_, i) => i + 1) : Array.from({ length: Math.min(SOME, all) }, () => 1 + Math.floor(next() * all));
    for (const nth of turns) {
      const held = counts.trying(`an allocation fails: ${name}`, 'a clear answer; nothing by halves; the program serves on');
      if (!(await at.picture()).one) assert.equal((await ACTIONS.restore.run(at)).status, 200);
      const context = await spec.prepare?.(at), before = await at.picture();
      at.service.clearLog();
      memory.fail(nth);
      const answer = await spec.run(at, context).catch((error) => error);
      memory.fail(0);
      const alive = await at.service.ask('GET', '/healthz').then(() => true, () => false);
      if (!alive) await at.service.ended();
      const what = () => `allocation ${nth} of ${all}: ${answer.status ?? answer.message} ${answer.text ?? ''}\n${at.service.log.slice(-3000)}`;
      // libfcgi ends the process where it cannot have memory for a request's variables and records; that is as kill -9.
      if (!alive) {
        assert.match(at.service.log, /fcgiapp\.c:\d+: Malloc: Assertion/, `the program is alive: ${what()}`);
        await at.start();
      }
      const outcome = alive ? answer.status ?? answer.message : 'ended by libfcgi';
      statuses[outcome] = (statuses[outcome] ?? 0) + 1;
      // To remove a directory takes memory as well; what it was lacking for goes at the next start.
      if (!await until('the staging area is empty', () => at.service.staging().length === 0, 1_000).catch(() => false)) {
        assert.match(at.service.log, /cannot be removed|out of memory|out_of_memory/, what());
        await at.service.stop();
        await at.start();
        assert.deepEqual(at.service.staging(), []);
      }
      const now = await at.picture(), differs = Object.keys({ ...before, ...now }).filter((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key])).sort();
      if (differs.length > 0) assert.deepEqual(differs, [...spec.changes ?? []].sort(), `all of it, or nothing: ${what()}`);
      if (answer.status < 300 && spec.changes) assert.deepEqual(differs, [...spec.changes].sort(), `what was answered for is there: ${what()}`);
      // Of a call to the runtime libcurl does not always say that memory was what it lacked.
      if (answer.status >= 300) assert.ok(answer.status >= 500 ? answer.json.code : answer.status === spec.status || answer.json.code === 'smoke_test_failed', `a clear answer: ${what()}`);
      // A connection that there is no memory for is closed; nginx says 502.
      if (alive && !answer.status) assert.ok(['ECONNRESET', 'EPIPE'].includes(answer.code) && differs.length === 0, `an answer, or nothing done: ${what()}`);
      held();
    }
    console.log(`${name}: ${all} allocations, ${JSON.stringify(statuses)}`);
    // Of a deployment whose end could not be recorded the sweep knows after a minute, the next start at once.
    await at.service.stop();
    await at.start();
    await at.invariants();
  });
}
