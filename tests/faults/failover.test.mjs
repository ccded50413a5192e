// PostgreSQL goes over to its standby, is slow, and loses a connection at each message of a request: each answer is the right one, or
// 503 with Retry-After, and comes within the deadline; what was answered with success is kept; all heals without a restart.
import assert from 'node:assert/strict';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { counting } from './report.mjs';
import { makeService, startPostgres, startRuntime, temporaryFolder, until } from '../lib/service.mjs';

const IN_TIME = 'the right answer or 503, in time; the pool heals, every deployment ends, nothing disagrees';
const counts = counting('failover.test.mjs');
const TIMEOUT = 1_000, DEADLINE = 7 * TIMEOUT, SLUGS = ['one', 'two'];
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
let number = 0;

/** A service with a runtime; its database URL comes from `url(database)`. */
async function started(postgres, url) {
  const service = makeService(postgres), runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url, request_timeout: `${TIMEOUT}ms`, db_connect_timeout: '2', database_url: url(service.database) });
  await service.start();
  const deploy = (slug) => service.deploy(slug, `// ${slug} ${number++}`);
  for (const slug of SLUGS) assert.equal((await deploy(slug)).status, 201);
  return { service, runtime, deploy, list: () => service.ask('GET', service.functions()), async end() { await service.remove(); await runtime.stop(); } };
}

/** The answer, which has one of these statuses or is 503 as it ought to be. */
async function answered(asked, right) {
  const began = Date.now(), answer = await asked, took = Date.now() - began;
  assert.ok(took < DEADLINE, `answered after ${took} ms`);
  if (answer.status === 503) assert.ok(Number(answer.headers['retry-after']) > 0, `503 says when to come again: ${answer.text}`);
  else assert.ok(right.includes(answer.status), `${answer.status} ${answer.text}`);
  return answer;
}

async function healed({ service, runtime, deploy }) {
  await until('deploys work again', async () => (await answered(deploy('one'), [201])).status === 201);
  for (const slug of SLUGS) assert.equal((await answered(deploy(slug), [201])).status, 201);
  await service.settled();
  await agree(service, runtime, SLUGS);
}

test('failed over: the standby is promoted, nothing that was answered is lost', counts.of('primary killed under deploys, the standby promoted', '503 in time, then deploys go on; what was answered is kept', async (times) => {
  const primary = await startPostgres(), standby = await startPostgres({ standbyOf: primary });
  const both = (database) => `postgresql://postgres@/${database}?host=${[primary, standby].map((p) => encodeURIComponent(p.folder)).join(',')}&target_session_attrs=read-write`;
  const at = await started(primary, both);
  try {
    primary.sql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql('postgres', 'SELECT pg_reload_conf()');
    await until('the standby is synchronous', () => primary.sql('postgres', 'SELECT sync_state FROM pg_stat_replication') === 'sync');
    const kept = {}, seen = { 201: 0, 503: 0 };
    let over = false;
    const deploying = SLUGS.map(async (slug) => {
      while (!over) {
        const answer = await answered(at.deploy(slug), [201]);
        seen[answer.status]++;
        if (answer.status === 201) kept[slug] = answer.json.version;
      }
    });
    await until('deploys go on', () => seen[201] > 4);
    await primary.stop('SIGKILL');
    await until('their loss is seen', () => seen[503] > 2);
    for (const slug of SLUGS) assert.equal((await at.runtime.call(slug)).status, 200, 'what is deployed is served');
    standby.sql('postgres', 'SELECT pg_promote()');
    const before = seen[201];
    await until('deploys go on with the standby', () => seen[201] > before + 4);
    over = true;
    await Promise.all(deploying);
    at.service.sql = (text) => standby.sql(at.service.database, text);
    for (const slug of SLUGS) {
      const versions = at.service.sql(`SELECT max(version) FROM functions_admin.edge_functions f JOIN functions_admin.edge_function_versions v ON v.function_id = f.id WHERE slug = '${slug}'`);
      assert.ok(Number(versions) >= kept[slug], `${slug}: ${versions} of ${kept[slug]}`);
    }
    await healed(at);
    assert.equal(at.service.run('audit', ['verify']).status, 0);
  } finally {
    await at.end();
    await standby.remove();
    await primary.remove();
  }
}));

describe('between us and PostgreSQL', () => {
  // Stands where PostgreSQL's socket would be. What goes by is delayed, or cut off at one of our messages.
  const folder = temporaryFolder(), delays = { there: 0, back: 0 };
  let postgres, proxy, at, cut = null, passed = 0;
  const sockets = new Set();

  before(async () => {
    postgres = await startPostgres();
    proxy = net.createServer((client) => {
      const server = net.connect(path.join(postgres.folder, '.s.PGSQL.5432'));
      let lost = false;
      const both = [client, server];
      for (const socket of both) {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => { sockets.delete(socket); for (const other of both) other.destroy(); });
      }
      client.on('data', async (chunk) => {
        if (delays.there > 0) await pause(delays.there);
        passed++;
        const here = cut !== null && cut.at === passed;
        if (here) { cut.done = new Promise((resolve) => { client.once('close', resolve); }); lost = true; if (cut.mode === 'before the server has it') return client.destroy(); }
        server.write(chunk);
        return undefined;
      });
      server.on('data', async (chunk) => {
        if (delays.back > 0) await pause(delays.back);
        if (lost) client.destroy();
        else client.write(chunk);
      });
    });
    await new Promise((resolve) => { proxy.listen(path.join(folder, '.s.PGSQL.5432'), resolve); });
    at = await started(postgres, (database) => `postgresql://postgres@/${database}?host=${encodeURIComponent(folder)}`);
  });
  after(async () => {
    await at?.end();
    for (const socket of sockets) socket.destroy();
    proxy?.close();
    await postgres?.remove();
  });

  test('slow, within the deadline: everything works', counts.of('PostgreSQL slow, within the deadline', 'everything works', async (times) => {
    delays.back = 40;
    assert.equal((await answered(at.list(), [200])).status, 200);
    assert.equal((await answered(at.deploy('one'), [201])).status, 201);
    delays.back = 0;
    await healed(at);
  }));

  test('slower than the deadline, either way: 503 in time, functions are served, and all heals', counts.of('PostgreSQL slower than the deadline', IN_TIME, async (times) => {
    for (const way of ['there', 'back']) {
      delays[way] = 3 * TIMEOUT;
      const answers = await Promise.all([at.list(), at.list(), at.deploy('one'), at.deploy('two')].map((asked) => answered(asked, [])));
      for (const { status } of answers) assert.equal(status, 503);
      for (const slug of SLUGS) assert.equal((await at.runtime.call(slug)).status, 200);
      assert.equal((await answered(at.service.ask('GET', '/healthz'), [200])).status, 200);
      delays[way] = 0;
      await healed(at);
    }
  }));

  const bundle = async (slug) => (await at.service.deploy(slug, `// ${slug} ${number++}`, { query: '&bundleOnly=true' })).json;
  /** Each gives what is to be asked, with all that comes before it done. */
  const ACTIONS = {
    deploy: [() => () => at.deploy('one'), [201]],
    'bulk PUT': [async () => { const both = await Promise.all(SLUGS.map(bundle)); return () => at.service.ask('PUT', at.service.functions(), { json: both }); }, [200]],
    rename: [() => () => at.service.ask('PATCH', at.service.functions('/one'), { json: { name: `Number ${number++}` } }), [200]],
    rollback: [() => () => at.service.ask('POST', at.service.functions('/one/rollback'), { json: {} }), [200]],
    secrets: [() => () => at.service.ask('POST', `/v1/projects/${at.service.options.project_ref}/secrets`, { json: [{ name: 'S', value: `${number++}` }] }), [201]],
    list: [() => at.list, [200]],
  };
  for (const [name, [prepared, right]] of Object.entries(ACTIONS))
    test(`the connection is lost at each message of: ${name}`, { skip: !['deploy', 'list'].includes(name) && !process.env.FA_LONG && './check --long loses those of every action' }, counts.of(`connection lost at each message of: ${name}`, IN_TIME, async (times) => {
      const modes = ['before the server has it', 'before we have the answer'];
      let lost = 0, failed = 0;
      // In the short run one after the other, in the long one each at every message.
      for (let i = 0; i < (process.env.FA_LONG ? modes.length : 1); i++) {
        for (let n = 1; ; n++) {
          const mode = modes[process.env.FA_LONG ? i : n % modes.length];
          const act = await prepared();
          // What comes by beside the action, of the sweep and of the heartbeat, counts too, and is cut off just as well.
          cut = { at: passed + n, mode };
          const answer = await answered(act(), right), { done } = cut;
          cut = null;
          if (!done) break;
          // One that belongs to something else may go only when that is answered.
          await done;
          lost++;
          times();
          if (answer.status === 503) failed++;
          // After a connect that failed the pool waits for a moment.
          await until('the pool has a connection', async () => (await answered(at.list(), [200])).status === 200, 2_000);
          if (process.env.FA_LONG && n % 5 === 0) await healed(at);
        }
        await healed(at);
      }
      assert.ok(lost > 0 && (name === 'list' || failed > 0), `${lost} lost, ${failed} failed`);
      // Where not even the failure could be told to the database, the sweep does it a minute later.
      const open = "finished_at IS NULL AND status IN ('pending', 'staged', 'booted')";
      at.service.sql(`UPDATE functions_admin.edge_function_deployments SET created_at = created_at - interval '1 minute' WHERE ${open}`);
      await until('every deployment has ended', () => at.service.sql(`SELECT count(*) FROM functions_admin.edge_function_deployments WHERE ${open}`) === '0');
    }));
});
