// kill -9 of an agent at every named point (src/core/crash.h) that it comes by while it stages and shows what is deployed elsewhere:
// what it shows meanwhile is old or new, never a mixture; started again it follows; the deployment ends as its answer says.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { agree } from '../lib/agree.mjs';
import { makeService, REF, startPostgres, startRuntime, until } from '../lib/service.mjs';
import { pointsOfTheProgram } from './cycle.mjs';
import { counting } from './report.mjs';

// The short run kills once at each point, in one action; the long one in each action, at each of the first times that it comes by.
const LONG = Boolean(process.env.FA_LONG), SLUGS = ['one', 'two'], ALL = [...SLUGS, 'new'];
const PROMISED = 'the node shows old or new, never a mixture; it follows; the deployment ends as its answer says';
const counts = counting('agents.test.mjs'), tried = new Set();
let postgres, client, api, east, number = 0;

const fresh = (what) => `${what} ${number++}`;
const files = (text) => ({ 'index.ts': text, 'lib/a.ts': 'a'.repeat(1000) });
const deploy = (slug, text, query) => api.service.deploy(slug, files(text), { query });
const remove = () => api.service.ask('DELETE', api.service.functions('/new'));
const done = (answer, ...statuses) => { assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`); return answer; };
const call = async (host, slug) => { const answer = await host.runtime.call(slug); return answer.status === 200 ? answer.text() : null; };
/** What a host's functions answer with. */
const shown = async (host) => Object.fromEntries(await Promise.all(ALL.map(async (slug) => [slug, await call(host, slug)])));

/** What a client does: `changes` is what functions answer with afterwards, `send` gives the answer. */
const ACTIONS = {
  deploy: () => { const one = fresh('deploy'); return { changes: { one }, send: () => deploy('one', one) }; },
  'first deploy': async () => {
    if (await call(api, 'new')) done(await remove(), 200);
    const text = fresh('first');
    return { changes: { new: text }, send: () => deploy('new', text) };
  },
  'bulk PUT': async () => {
    const changes = {}, items = [];
    for (const slug of SLUGS) items.push(done(await deploy(slug, changes[slug] = fresh('bulk'), '&bundleOnly=true'), 201).json);
    return { changes, send: () => api.service.ask('PUT', api.service.functions(), { json: items }) };
  },
  delete: async () => {
    if (!await call(api, 'new')) done(await deploy('new', fresh('first')), 201);
    return { changes: { new: null }, send: remove };
  },
  secrets: () => ({ changes: {}, send: () => api.service.ask('POST', `/v1/projects/${REF}/secrets`, { json: [{ name: 'NAME', value: fresh('value') }] }) }),
  // The agent is started without its releases, and killed meanwhile.
  start: () => ({ changes: {} }),
};
const DEPLOYS = ['deploy', 'first deploy', 'bulk PUT'], SHOWS = [...DEPLOYS, 'delete'], EVERY = Object.keys(ACTIONS);

/** Point: the actions in which an agent comes by. */
const COVERED = {
  'statement.done': EVERY, 'group.sent': EVERY,
  'node.held': DEPLOYS, 'node.staged': DEPLOYS, 'node.staging_reported': DEPLOYS, 'node.followed': EVERY, 'node.reported': EVERY,
  'staging.file_written': [...DEPLOYS, 'start'], 'publish.synced': [...DEPLOYS, 'start'], 'publish.renamed': [...DEPLOYS, 'start'],
  'prepare.staged': DEPLOYS, 'prepare.booted': DEPLOYS, 'release.file_built': [...DEPLOYS, 'start'],
  'stub.made': ['first deploy'], 'stub.linked': DEPLOYS, 'apply.stub_switched': DEPLOYS, 'apply.before_manifest': SHOWS, 'apply.after_manifest': SHOWS,
  'put.written': [...SHOWS, 'secrets'], 'put.renamed': [...SHOWS, 'secrets'], 'unlink.file_removed': ['delete'], 'unlink.moved': ['delete'],
  'secrets.before_file': ['secrets'], 'secrets.delivered': ['secrets', 'start'], 'manifest.kept': ['start'], 'reconcile.applied': ['start'],
};

async function host(command, of) {
  const service = makeService(postgres, { command, migrate: !of, options: { node_name: command, node_lease: '5s', node_timeout: '20s' }, ...(of && { database: of.service.database }) });
  const runtime = await startRuntime(service.functionsDir), armed = path.join(service.folder, 'crash');
  service.writeConfig({ runtime_url: runtime.url });
  return {
    service, runtime,
    arm: (point, count) => fs.writeFileSync(armed, `${point}:${count}`),
    /** Whether it is killed: the program takes the file away before that. */
    async disarm() {
      try { fs.unlinkSync(armed); return false; } catch (error) { assert.equal(error.code, 'ENOENT'); }
      assert.equal(await service.ended(), 'SIGKILL');
      return true;
    },
    start: () => service.start({ env: { FA_CRASH_FILE: armed }, within: 120_000 }),
    get killed() { return service.child.signalCode === 'SIGKILL'; },
    async end() { await service.stop('SIGKILL'); await service.remove(); await runtime.stop(); },
  };
}

before(async () => {
  postgres = await startPostgres();
  api = await host('serve');
  await api.start();
  east = await host('agent', api);
  await east.start();
  client = new pg.Client({ connectionString: postgres.url(api.service.database, 'supabase_admin'), types: { getTypeParser: () => (value) => value } });
  await client.connect();
  await until('the agent is a node', () => saysSo(''));
  for (const slug of SLUGS) done(await deploy(slug, fresh(slug)), 201);
});
after(async () => {
  await client?.end();
  await east?.end();
  await api?.end();
  await postgres?.remove();
});

/** One value, as text. */
const ask = async (text) => Object.values((await client.query(text)).rows[0] ?? {}).join();
/** When the agent was started that is a node, by the database. */
const life = () => ask(`SELECT started_at FROM functions_admin.nodes WHERE kind = 'agent'`);
/** Whether the agent, another one than `than` where that is given, says that it shows what the database says. */
const saysSo = async (than) => await ask(`SELECT n.generation = p.generation AND n.error_code IS NULL AND n.started_at::text <> '${than}' FROM functions_admin.nodes n
  JOIN functions_admin.projects p ON p.ref = n.project_ref WHERE n.kind = 'agent' AND n.alive_until > now()`) === 't';

/** It is as the agent says, and nothing is left over of what it was killed in. */
async function follows(than) {
  await until('the agent follows', () => saysSo(than));
  assert.deepEqual(await shown(east), await shown(api));
  const sql = async (text) => (await client.query({ text, rowMode: 'array' })).rows.map((row) => row.join('|')).join('\n');
  for (const each of [api, east]) await agree(Object.create(each.service, { ask: { value: api.service.ask }, sql: { value: sql } }), each.runtime, ALL);
  await until('staging is empty', () => east.service.staging().length === 0);
  const releases = path.join(east.service.functionsDir, '.releases');
  for (const slug of fs.readdirSync(releases))
    for (const release of fs.readdirSync(path.join(releases, slug)))
      for (const file of ['index.ts', 'boot.ts', 'source/index.ts', 'source/lib/a.ts']) assert.ok(fs.statSync(path.join(releases, slug, release, file), { throwIfNoEntry: false })?.size > 0, `${slug}/${release} is whole: ${file}`);
  const secrets = fs.readFileSync(path.join(east.service.functionsDir, '.functions-admin/secrets.json'), 'utf8');
  assert.equal(JSON.parse(secrets).revision, Number(await ask(`SELECT secrets_revision FROM functions_admin.projects WHERE ref = '${REF}'`)));
}

/** Whether the agent came by the point and was killed. */
async function cycle(point, action, count) {
  east.service.clearLog();
  const { changes, send } = await ACTIONS[action](), old = await shown(api), first = await life();
  if (!send) {
    await east.service.stop();
    fs.rmSync(path.join(east.service.functionsDir, '.releases'), { recursive: true });
  }
  east.arm(point, count);
  let answer, asking;
  if (send) {
    asking = send();
    answer = await Promise.race([asking, east.service.ended().then(() => undefined)]);
  } else await east.start().catch((error) => assert.match(error.message, /SIGKILL/));
  // What it does after the answer, or after its start, is a part of it.
  await until('it follows, or is killed', async () => east.killed || (asking ? answer && await saysSo('') : await saysSo(first)));
  // This one is right behind what was waited for.
  if (point === 'node.reported' && count === 1) await until('it is killed', () => east.killed);
  const killed = await east.disarm();
  if (killed && send) {
    const meanwhile = await shown(east), is = (texts) => Object.keys(changes).every((slug) => meanwhile[slug] === texts[slug]);
    assert.deepEqual({ ...meanwhile, ...changes }, { ...old, ...changes }, 'nothing else changes');
    assert.ok(is(old) || is(changes), `a mixture: ${JSON.stringify({ old, changes, meanwhile })}`);
  }
  if (killed) await east.start();
  if (asking) {
    answer = await asking;
    const told = await shown(api);
    assert.deepEqual(told, answer.status < 300 ? { ...old, ...changes } : old, `${answer.status} ${answer.text}`);
    assert.equal(await ask(`SELECT count(*) FROM functions_admin.edge_function_deployments WHERE status IN ('pending', 'staged', 'booted')`), '0', 'every deployment has ended');
    assert.equal(await ask('SELECT count(*) FROM functions_admin.rollouts WHERE finished_at IS NULL'), '0');
  }
  await follows(killed || !send ? first : '');
  return killed;
}

for (const [point, actions] of Object.entries(COVERED)) {
  test(`an agent is killed at ${point}`, async () => {
    for (const action of LONG ? actions : [actions[number % actions.length]]) {
      const last = LONG ? 5 : 1;
      let count = 1;
      for (; count <= last; count++) {
        const fault = `kill -9 of an agent: ${action}`;
        let held;
        try {
          if (!await cycle(point, action, count)) break;
          held = counts.trying(fault, PROMISED);
        } catch (error) {
          counts.trying(fault, PROMISED);
          throw new Error(`${point}, ${action}, passage ${count}: ${error.message}\n${east.service.log.slice(-3000)}${postgres.lost()}`, { cause: error });
        }
        held();
        tried.add(point);
      }
      assert.ok(count > 1, `in ${action} an agent comes by ${point}`);
    }
  });
}

test('every point that agents alone have was tried', () => {
  for (const point of pointsOfTheProgram()) if (point.startsWith('node.')) assert.ok(tried.has(point), point);
});
