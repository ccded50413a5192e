// Several hosts show one project: a serve with a folder, agents, and a serve that shows nothing itself. A deployment is answered
// when all that live serve it; one that cannot says its name; one that was away follows when it is back.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import { makeService, REF, startPostgres, startRuntime, until } from '../lib/service.mjs';

let postgres;
before(async () => { postgres = await startPostgres(); });
after(() => postgres?.remove());

/** A host: a folder, a runtime of its own, and the program over the database of `of`. */
async function host(command, of, options = {}) {
  const service = makeService(postgres, { command, options: { node_lease: '5s', node_timeout: '20s', ...options }, migrate: !of, ...(of && { database: of.database }) });
  const runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  const self = {
    service, runtime, name: options.node_name,
    async start() { await service.start(); return self; },
    /** What a function's call is answered with here. */
    call: async (slug) => { const answer = await runtime.call(slug); return answer.status === 200 ? answer.text() : answer.status; },
    async end() { await service.stop('SIGTERM'); await service.remove(); await runtime.stop(); },
  };
  return self;
}

const nodes = (of) => of.service.sql('SELECT name, kind, alive_until > now(), draining, generation, verified, coalesce(error_code, \'\') FROM functions_admin.nodes ORDER BY name')
  .split('\n').filter(Boolean).map((line) => line.split('|'));
const registered = (of, ...names) => until(`${names} live`, () => {
  const live = nodes(of).filter(([, , alive]) => alive === 't').map(([name]) => name);
  return names.every((name) => live.includes(name));
});

describe('a serve and two agents', () => {
  let hosts, api, east, west;
  beforeEach(async () => {
    api = await (await host('serve', null, { node_name: 'api' })).start();
    east = await (await host('agent', api.service, { node_name: 'east' })).start();
    west = await (await host('agent', api.service, { node_name: 'west' })).start();
    hosts = [api, east, west];
    await registered(api, 'api', 'east', 'west');
  });
  afterEach(async () => { for (const each of [west, east, api]) await each?.end(); });

  test('a deployment is answered when all of them serve it; the record names them', async () => {
    for (const text of ['first', 'second', 'third']) {
      const answer = await api.service.deploy('hello', text);
      assert.equal(answer.status, 201, answer.text);
      for (const each of hosts) assert.equal(await each.call('hello'), text, each.name);
    }
    const [status] = api.service.sql('SELECT string_agg(DISTINCT status, \',\') FROM functions_admin.edge_function_deployments').split('\n');
    assert.equal(status, 'verified');
    assert.deepEqual(api.service.sql(`SELECT rn.node_name, rn.staged_at IS NOT NULL, rn.active_at IS NOT NULL, rn.verified FROM functions_admin.rollout_nodes rn
      JOIN functions_admin.edge_function_deployments d USING (rollout_id) WHERE d.version = 3 AND rn.node_name <> 'api' ORDER BY 1`).split('\n'), ['east|t|t|t', 'west|t|t|t']);
    assert.equal(api.service.sql('SELECT count(*) FROM functions_admin.rollouts WHERE finished_at IS NULL'), '0');
    const gone = await api.service.ask('DELETE', api.service.functions('/hello'));
    assert.equal(gone.status, 200);
    for (const each of hosts) assert.equal(await each.call('hello'), 404, each.name);
  });

  test('alone, a serve says within a moment what it shows', async () => {
    for (const each of [east, west]) await each.service.stop();
    api.service.sql("DELETE FROM functions_admin.nodes WHERE kind = 'agent'");
    assert.equal((await api.service.deploy('hello', 'alone')).status, 201);
    const [mine] = JSON.parse(api.service.run('status', ['--json']).stdout);
    await until('it says so', () => JSON.parse(api.service.run('status', ['--json']).stdout)[0].nodes[0].generation === mine.generation, 4_000);
    assert.equal(api.service.run('status').status, 0);
    for (const each of [east, west]) await each.start();
  });

  test('a version that does not boot on one node is active on none, and the error names the node', async () => {
    assert.equal((await api.service.deploy('hello', 'before')).status, 201);
    east.runtime.bootsNothing = true;
    const answer = await api.service.deploy('hello', 'after');
    assert.deepEqual([answer.status, answer.json.code], [422, 'boot_failed'], answer.text);
    assert.match(answer.json.message, /^Node east: .*this runtime boots nothing/);
    for (const each of hosts) assert.equal(await each.call('hello'), 'before', each.name);
    assert.deepEqual(api.service.sql(`SELECT rn.node_name, rn.staged_at IS NOT NULL, rn.error_code FROM functions_admin.rollout_nodes rn
      JOIN functions_admin.edge_function_deployments d USING (rollout_id) WHERE d.version = 2 AND d.status = 'failed' AND rn.error_code IS NOT NULL`), 'east|f|boot_failed');
    east.runtime.bootsNothing = false;
    assert.equal((await api.service.deploy('hello', 'after')).status, 201);
    for (const each of hosts) assert.equal(await each.call('hello'), 'after', each.name);
  });

  test('killed, a node is waited for until its lease is over; back, it follows at once', async () => {
    assert.equal((await api.service.deploy('hello', 'before')).status, 201);
    await east.service.stop('SIGKILL');
    const answer = await api.service.deploy('hello', 'after');
    assert.equal(answer.status, 201, answer.text);
    assert.equal(nodes(api).find(([name]) => name === 'east')[2], 'f', 'it was answered only when the lease was over');
    assert.equal(await west.call('hello'), 'after');
    assert.equal(await east.call('hello'), 'before', 'nobody has told its folder');
    await east.start();
    await until('east follows', async () => (await east.call('hello')) === 'after');
    await registered(api, 'east');
    assert.equal((await api.service.deploy('hello', 'last')).status, 201);
    for (const each of hosts) assert.equal(await each.call('hello'), 'last', each.name);
  });

  test('stopped for longer than its lease, a node lives again only when it shows what is active', async () => {
    assert.equal((await api.service.deploy('hello', 'before')).status, 201);
    api.service.sql(`CREATE FUNCTION public.back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.alive_until > clock_timestamp() AND OLD.alive_until < clock_timestamp() AND NEW.generation < (SELECT generation FROM functions_admin.projects WHERE ref = NEW.project_ref)
      THEN RAISE EXCEPTION 'back, and behind'; END IF; RETURN NEW; END $$;
      CREATE TRIGGER back BEFORE UPDATE ON functions_admin.nodes FOR EACH ROW EXECUTE FUNCTION public.back()`);
    east.service.child.kill('SIGSTOP');
    const answer = await api.service.deploy('hello', 'after');
    assert.equal(answer.status, 201, answer.text);
    east.service.child.kill('SIGCONT');
    await registered(api, 'east');
    assert.equal(await east.call('hello'), 'after');
    assert.doesNotMatch(east.service.log, /back, and behind/);
  });

  test('what is changed on the disk of an agent is put back', async () => {
    assert.equal((await api.service.deploy('hello', 'as deployed')).status, 201);
    const entry = Object.values(east.service.manifest().functions.hello.versions)[0];
    const file = path.join(east.service.functionsDir, entry.path, 'source/index.ts');
    fs.chmodSync(file, 0o644);
    fs.writeFileSync(file, 'as changed!');
    assert.equal(api.service.run('node', ['check', 'east']).status, 0);
    await until('it is put back', () => { try { return fs.readFileSync(file, 'utf8') === 'as deployed'; } catch { return false; } });
    fs.rmSync(path.join(east.service.functionsDir, '.releases'), { recursive: true });
    await east.service.stop();
    await east.start();
    await until('it is built anew', async () => (await east.call('hello')) === 'as deployed');
    fs.rmSync(path.join(east.service.functionsDir, '.functions-admin/manifest.json'));
    await until('a sweep puts the manifest back', async () => (await east.call('hello')) === 'as deployed');
  });

  test('drained, a node is not waited for, and follows all the same; it is listed, checked and removed by API and command', async () => {
    const list = async () => (await api.service.ask('GET', `/v1/projects/${REF}/nodes`)).json.data;
    const order = (method, id, rest = '') => api.service.ask(method, `/v1/projects/${REF}/nodes/${id}${rest}`);
    assert.deepEqual((await list()).map((n) => [n.name, n.kind, n.alive, n.draining, n.behind]), [['api', 'serve', true, false, 0], ['east', 'agent', true, false, 0], ['west', 'agent', true, false, 0]]);
    assert.deepEqual((await api.service.ask('GET', '/v1/nodes')).json.data.map((n) => n.name), ['api', 'east', 'west']);
    const east_id = (await list())[1].id;
    assert.equal((await order('POST', east_id, '/drain')).status, 200);
    east.runtime.bootsNothing = true;
    const answer = await api.service.deploy('hello', 'without east');
    assert.equal(answer.status, 201, answer.text);
    await until('east follows', async () => (await east.call('hello')) === 'without east');
    const [deployment] = (await api.service.ask('GET', `/v1/projects/${REF}/deployments`)).json.data;
    const { nodes: states } = (await api.service.ask('GET', `/v1/projects/${REF}/deployments/${deployment.id}`)).json;
    assert.deepEqual(states.filter((n) => n.name === 'west').map((n) => [typeof n.staged_at, typeof n.active_at, n.verified]), [['string', 'string', true]]);
    east.runtime.bootsNothing = false;

    const node = (...args) => api.service.run('node', args);
    assert.match(node().stdout, /^ {2}east +agent +draining /m);
    assert.deepEqual([node('resume', 'east').status, nodes(api).find(([name]) => name === 'east')[3]], [0, 'f']);
    assert.deepEqual([api.service.run('status').status, node('drain', 'nobody').status, node('paint', 'east').status], [0, 5, 2]);
    const alive = await order('DELETE', east_id);
    assert.deepEqual([alive.status, alive.json.code], [409, 'node_alive']);
    assert.equal((await order('POST', east_id, '/check')).status, 200);
    assert.equal((await order('POST', '00000000-0000-4000-8000-000000000000', '/drain')).status, 404);
    await west.service.stop();
    assert.equal(api.service.run('status').status, 1, 'one is away');
    assert.equal(node('remove', 'west').status, 0);
    assert.deepEqual((await list()).map((n) => n.name), ['api', 'east']);
    assert.deepEqual(JSON.parse(api.service.run('status', ['--json']).stdout)[0].nodes.map((n) => [n.name, n.state]), [['api', 'live'], ['east', 'live']]);
    const metrics = (await api.service.ask('GET', '/metrics')).text;
    assert.match(metrics, /^functions_admin_nodes\{state="live"\} 2$/m);
    assert.match(metrics, new RegExp(`^functions_admin_node_behind_generations\\{node="${east_id}"\\} 0$`, 'm'));
    assert.equal(api.service.sql(`SELECT string_agg(action, ',' ORDER BY seq) FROM functions_admin.audit_log WHERE action LIKE 'node.%' AND outcome = 'done'`), 'node.drain,node.resume,node.check,node.remove');
  });

  test('secrets are on every node when they are said to be', async () => {
    const answer = await api.service.ask('POST', `/v1/projects/${REF}/secrets`, { json: [{ name: 'COLOUR', value: 'blue' }] });
    assert.equal(answer.status, 201, answer.text);
    for (const each of hosts) {
      const file = JSON.parse(fs.readFileSync(path.join(each.service.functionsDir, '.functions-admin/secrets.json'), 'utf8'));
      assert.equal(file.revision, 1, each.name);
      assert.match(JSON.stringify(file), /blue/);
    }
  });
});

describe('a serve that shows nothing itself', () => {
  let api, east;
  before(async () => { api = await (await host('serve', null, { node_name: 'api', deploy_here: 'off', node_timeout: '2s' })).start(); });
  after(async () => { await east?.end(); await api?.end(); });

  test('without a node nothing can be deployed; with one it is served there, and nowhere else', async () => {
    const alone = await api.service.deploy('hello', 'too early');
    assert.deepEqual([alone.status, alone.json.code], [503, 'no_node'], alone.text);
    assert.equal(nodes(api).length, 0);
    east = await (await host('agent', api.service, { node_name: 'east' })).start();
    await registered(api, 'east');
    const answer = await api.service.deploy('hello', 'now');
    assert.equal(answer.status, 201, answer.text);
    assert.equal(await east.call('hello'), 'now');
    assert.equal(api.service.stub('hello'), null);
    assert.deepEqual(fs.existsSync(path.join(api.service.functionsDir, '.functions-admin/manifest.json')), false);
    await api.service.settled();
    assert.equal(api.service.sql(`SELECT status FROM functions_admin.edge_function_deployments ORDER BY created_at DESC LIMIT 1`), 'verified');
    const broken = await api.service.deploy('hello', 'BOOT_FAILS');
    assert.deepEqual([broken.status, broken.json.code], [422, 'boot_failed'], broken.text);
    assert.equal(await east.call('hello'), 'now');
  });

  test('the runtime of a node is out of reach: nothing is deployed, nothing changes; policy none leaves it to the nodes', async () => {
    await east.service.stop('SIGKILL');
    const answer = await api.service.deploy('hello', 'unheard');
    assert.equal(answer.status, 503, answer.text);
    assert.ok(['node_timeout', 'no_node'].includes(answer.json.code), answer.text);
    assert.equal(await east.call('hello'), 'now');
    const wrong = await api.service.ask('PATCH', `/v1/projects/${REF}/settings`, { json: { activation_policy: 'most' } });
    assert.deepEqual([wrong.status, wrong.json.message], [422, 'activation_policy must be "all", "quorum" or "none"']);
    const set = await api.service.ask('PATCH', `/v1/projects/${REF}/settings`, { json: { activation_policy: 'none' } });
    assert.equal(set.status, 200, set.text);
    const later = await api.service.deploy('hello', 'later');
    assert.equal(later.status, 201, later.text);
    assert.equal(await east.call('hello'), 'now');
    await east.service.start();
    await until('east follows', async () => (await east.call('hello')) === 'later');
  });
});

describe('an agent fetches each content once', () => {
  let api, east;
  const cached = () => fs.readdirSync(path.join(east.service.functionsDir, '.functions-admin/cache')).sort();
  const big = (letter) => letter.repeat(40_000);
  before(async () => {
    api = await (await host('serve', null, { node_name: 'api', deploy_here: 'off' })).start();
    east = await (await host('agent', api.service, { node_name: 'east', cache_bytes: '100k' })).start();
    await registered(api, 'east');
  });
  after(async () => { await east?.end(); await api?.end(); });
  const deploy = async (files) => assert.equal((await api.service.deploy('kept', files)).status, 201);
  const source = (file) => {
    const entry = east.service.manifest().functions.kept.versions[0];
    return fs.readFileSync(path.join(east.service.functionsDir, entry.path, 'source', file), 'utf8');
  };

  test('a content of an earlier version comes from its disk, and what was changed there is fetched anew', async () => {
    await deploy({ 'index.ts': 'one', 'shared.ts': big('a') });
    assert.equal(cached().length, 2);
    // Nobody gets it from the database any more: the chunks are gone.
    const sha = api.service.sql(`SELECT encode(sha256, 'hex') FROM functions_admin.blobs WHERE size = 40000`);
    api.service.sql(`SET session_replication_role = replica; UPDATE functions_admin.blob_chunks SET data = '\\x00' WHERE encode(sha256, 'hex') = '${sha}'`, 'supabase_admin');
    await deploy({ 'index.ts': 'two', 'shared.ts': big('a') });
    assert.equal(source('shared.ts'), big('a'));
    api.service.sql(`SET session_replication_role = replica; UPDATE functions_admin.blob_chunks SET data = convert_to(repeat('a', 40000), 'UTF8') WHERE encode(sha256, 'hex') = '${sha}'`, 'supabase_admin');
    fs.writeFileSync(path.join(east.service.functionsDir, '.functions-admin/cache', sha), big('x'));
    await deploy({ 'index.ts': 'three', 'shared.ts': big('a') });
    assert.equal(source('shared.ts'), big('a'));
    assert.equal(fs.readFileSync(path.join(east.service.functionsDir, '.functions-admin/cache', sha), 'utf8'), big('a'), 'it was replaced');
  });

  test('it stays below its bound: what was not used for longest goes', async () => {
    for (const letter of 'bcdef') await deploy({ 'index.ts': letter, 'shared.ts': big(letter) });
    const sizes = cached().map((name) => fs.statSync(path.join(east.service.functionsDir, '.functions-admin/cache', name)).size);
    assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= 100 * 1024, `${sizes}`);
    assert.equal(source('shared.ts'), big('f'));
  });

  test('a replica that is away is no hindrance', async () => {
    await east.service.stop();
    east.service.writeConfig({ replica_url: 'postgresql://nobody@127.0.0.1:1/nowhere' });
    await east.service.start();
    await registered(api, 'east');
    await deploy({ 'index.ts': 'without', 'shared.ts': big('g') });
    assert.equal(source('index.ts'), 'without');
  });

  test('from a replica: what it has is read there', async () => {
    // The same server, as another role, whose statements can be told apart.
    postgres.sql(api.service.database, 'CREATE ROLE reader LOGIN; GRANT functions_admin_service TO reader', 'supabase_admin');
    await east.service.stop();
    east.service.writeConfig({ replica_url: postgres.url(api.service.database, 'reader'), log_level: 'debug' });
    await east.service.start();
    await registered(api, 'east');
    east.service.clearLog();
    await deploy({ 'index.ts': 'from the replica', 'shared.ts': big('h') });
    assert.equal(source('shared.ts'), big('h'));
    assert.doesNotMatch(east.service.log, /is read from the database/);
    assert.equal(postgres.sql(api.service.database, `SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND query LIKE '%blob_chunks%'`), '1');
  });
});
