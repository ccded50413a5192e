// PostgreSQL fails in every way that it has, under requests: each answer is the right one, or 503 with Retry-After, and comes
// within the deadline; functions that are deployed go on being served; all heals without a restart.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { makeService, startPostgres, startRuntime, until } from '../lib/service.mjs';

const SLUGS = ['one', 'two', 'three'];
const TIMEOUT = 1_500;
// A request may meet the deadline more than once, and this machine may be busy with something else.
const DEADLINE = 5 * TIMEOUT;
const PASSWORD = 'the-service-s-own-password';
let postgres, service, runtime, number = 0;

before(async () => {
  postgres = await startPostgres();
  // The service has to prove who it is, the test has not.
  fs.writeFileSync(path.join(postgres.folder, 'data/pg_hba.conf'), 'local all postgres scram-sha-256\nlocal all all trust\n');
  postgres.sql('postgres', `ALTER ROLE postgres PASSWORD '${PASSWORD}'`);
  postgres.sql('postgres', 'SELECT pg_reload_conf()');
  service = makeService(postgres, { migrate: false });
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url, request_timeout: `${TIMEOUT}ms`, db_connect_timeout: '2', database_url: postgres.url(service.database, `postgres:${PASSWORD}`) });
  assert.equal(service.run('migrate').status, 0);
  await service.start();
  for (const slug of SLUGS) assert.equal((await service.deploy(slug, 'first')).status, 201);
});
after(async () => {
  await service?.remove();
  await runtime?.stop();
  await postgres?.remove();
});

const list = () => service.ask('GET', service.functions());
const deploy = (slug) => service.deploy(slug, `${slug} ${number++}`);

/** The answer's status, which must be one of these, or 503 as it ought to be. */
async function answered(asked, right) {
  const began = Date.now(), answer = await asked, took = Date.now() - began;
  assert.ok(took < DEADLINE, `answered after ${took} ms`);
  if (answer.status === 503) {
    assert.ok(Number(answer.headers['retry-after']) > 0, `503 says when to come again: ${JSON.stringify(answer.headers)}`);
    assert.match(answer.json.code, /^database_/, answer.text);
  } else assert.ok(right.includes(answer.status), `${answer.status} ${answer.text}\n${service.log.slice(-3000)}`);
  return answer.status;
}

const served = async () => { for (const slug of SLUGS) assert.equal((await runtime.call(slug)).status, 200, `${slug} is served`); };

/** Asks for everything at once until `done`; how many answers of each kind there were. */
async function traffic(done) {
  const seen = { read: {}, write: {} };
  let over = false;
  const count = (kind, status) => { seen[kind][status] = (seen[kind][status] ?? 0) + 1; };
  const asking = [
    ...SLUGS.map(async (slug) => { while (!over) count('write', await answered(deploy(slug), [201])); }),
    (async () => { while (!over) { count('read', await answered(list(), [200])); await served(); } })(),
  ];
  try { await Promise.race([done(seen), ...asking]); } finally { over = true; }
  await Promise.all(asking);
  return seen;
}

/** Writes are right again, and nothing disagrees: what a lost commit left behind is found by the sweep. */
async function healed(what) {
  await until(`deploys work again after: ${what}`, async () => (await answered(deploy('one'), [201])) === 201);
  for (const slug of SLUGS) assert.equal(await answered(deploy(slug), [201]), 201, what);
  await agree(service, runtime, SLUGS);
  assert.equal(await answered(service.ask('GET', '/readyz'), [200]), 200);
}

const terminate = () => postgres.sql('postgres', `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'functions-admin'`);
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

test('killed, and started again', async () => {
  await traffic(async (seen) => {
    await until('reads and writes are answered', () => seen.read[200] && seen.write[201]);
    await postgres.stop('SIGKILL');
    await until('somebody is told to come again', () => seen.write[503] || seen.read[503]);
    // Its children have to notice that they are orphans first.
    await until('PostgreSQL starts', () => postgres.start().then(() => true, () => false));
  });
  await healed('kill -9');
});

test('its connections terminated, again and again, during deploys', async () => {
  let terminated = 0;
  const seen = await traffic(async (sofar) => {
    // Those that lie idle are replaced without anybody seeing it: it takes one in the middle of something.
    for (let i = 0; i < 20 || (!sofar.write[503] && i < 400); i++) {
      terminated += Number(terminate());
      await pause(i % 7 * 3);
    }
  });
  assert.ok(terminated > 0);
  assert.ok(seen.write[503] > 0, JSON.stringify(seen));
  await healed('pg_terminate_backend');
});

test('no connection is left for us', async () => {
  postgres.sql('postgres', 'ALTER ROLE postgres CONNECTION LIMIT 1');
  terminate();
  const seen = await traffic(async (sofar) => { for (let i = 0; i < 7 || (!sofar.write[503] && !sofar.read[503] && i < 100); i++) await pause(100); });
  assert.ok((seen.write[503] ?? 0) + (seen.read[503] ?? 0) > 0, JSON.stringify(seen));
  postgres.sql('postgres', 'ALTER ROLE postgres CONNECTION LIMIT -1');
  await healed('the connection limit');
});

test('read-only, as a standby is: reads go on, writes answer 503, and connections made meanwhile do not stay read-only', async () => {
  postgres.sql('postgres', `ALTER DATABASE ${service.database} SET default_transaction_read_only = on`);
  terminate();
  assert.equal(await answered(list(), [200]), 200);
  const before = service.stub('one');
  for (let i = 0; i < 3; i++) assert.equal(await answered(deploy('one'), []), 503);
  assert.equal(service.stub('one'), before);
  assert.equal(await answered(list(), [200]), 200);
  await served();
  postgres.sql('postgres', `ALTER DATABASE ${service.database} RESET default_transaction_read_only`);
  await healed('read-only');
});

test('the password changed, and back', async () => {
  postgres.sql('postgres', `ALTER ROLE postgres PASSWORD 'another'`);
  assert.equal(await answered(list(), [200]), 200, 'connections that are open go on');
  terminate();
  for (let i = 0; i < 3; i++) assert.equal(await answered(i % 2 ? list() : deploy('two'), []), 503);
  await served();
  assert.equal(await answered(service.ask('GET', '/healthz'), [200]), 200);
  postgres.sql('postgres', `ALTER ROLE postgres PASSWORD '${PASSWORD}'`);
  await healed('the password');
  assert.ok(!service.log.includes(PASSWORD), 'it is not in the log');
});

test('frozen: it takes what we send, and does not answer', async () => {
  const processes = () => spawnSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).stdout.split('\n').map((line) => line.trim()).filter((line) => /postgres: postgres t_/.test(line) && line.includes(service.database)).map((line) => Number.parseInt(line, 10));
  await Promise.all(SLUGS.map(deploy));
  const frozen = processes();
  assert.ok(frozen.length > 0);
  try {
    for (const pid of frozen) process.kill(pid, 'SIGSTOP');
    const seen = await Promise.all([answered(list(), [200]), ...SLUGS.map((slug) => answered(deploy(slug), [201]))]);
    assert.ok(seen.includes(503), `${seen}`);
    await served();
    // The server still takes connections, so new ones take the places of those that are lost.
    await healed('frozen connections');
  } finally { for (const pid of frozen) try { process.kill(pid, 'SIGCONT'); } catch { /* it has ended */ } }
});
