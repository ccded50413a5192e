// A program that is killed at a named point of its source (src/core/crash.h) and started again, and what must be true then.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import pg from 'pg';
import { agree } from '../lib/agree.mjs';
import { BINARY, makeService, multipart, REF, ROOT, startRuntime, until } from '../lib/service.mjs';
import { powerOf } from './power.mjs';

// A bundle with no checksums in it, so that its text can be another one each time.
const BUNDLE = fs.readFileSync(path.join(ROOT, 'tests/fixtures/eszip/v2.2-none.eszip'), 'latin1');
const SLUGS = ['one', 'two'], OTHER = 'zyxwvutsrqponmlkjihg';
const TOKEN = { name: 'ci', scopes: ['functions:read'] };
let number = 0;
const fresh = (what) => `${what} ${number++}`;
const files = (text) => ({ 'index.ts': text, 'lib/a.ts': 'a'.repeat(1000), 'lib/b.ts': text });
const project = (rest) => `/v1/projects/${REF}${rest}`;
const done = (answer, ...statuses) => { assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`); return answer; };
const deploy = async (at, slug, text, how) => done(await at.service.deploy(slug, files(text), how), 201);
const versionOf = async (at) => Number(await at.sql(`SELECT active_version FROM functions_admin.edge_functions WHERE slug = 'one' AND deleted_at IS NULL AND project_ref = '${REF}'`));

/**
 * What a client does. `run` sends it, with what `prepare` gave, and is given by `changes` what changes, all of it or
 * nothing; `may` where it may also be taken back. `command` is run in a process of its own, and killed there; `start` is
 * done while the program is down, which then is killed while it starts. `after` follows the next start.
 */
export const ACTIONS = {
  deploy: { changes: ['one'], run: (at) => at.service.deploy('one', files(fresh('deploy'))) },
  create: {
    label: 'first deploy',
    changes: ['new'],
    async prepare(at) { if ((await at.picture()).new) done(await at.service.ask('DELETE', at.service.functions('/new')), 200); },
    run: (at) => at.service.deploy('new', files(fresh('create'))),
  },
  bundle: { label: 'deploy of a bundle', changes: ['bundle'], run: (at) => at.bundle('PATCH', '/bundle') },
  later: {
    label: 'deploy with respond-async',
    changes: ['one'],
    async run(at) {
      const answer = done(await at.service.deploy('one', files(fresh('later')), { headers: { prefer: 'respond-async' } }), 202);
      await until('the deploy has ended', async () => (await at.service.ask('GET', project(`/deployments/${answer.json.id}`))).json.status === 'verified');
      return answer;
    },
  },
  broken: { label: 'deploy that does not boot', changes: [], refused: true, run: (at) => at.service.deploy('one', files(fresh('BOOT_FAILS'))) },
  // Activated, found wanting, taken back.
  smoke: {
    label: 'deploy that fails its smoke test',
    changes: ['one'], may: true, refused: true,
    run: (at) => at.service.deploy('one', files(fresh('SMOKE_FAILS'))),
    // Killed in between it may be active. What comes later shall not go back to it.
    async after(at) { for (let i = 0; i < 2; i++) await deploy(at, 'one', fresh('works')); },
  },
  bulk: {
    label: 'bulk PUT',
    changes: SLUGS,
    async upload(at) {
      const items = [];
      for (const slug of SLUGS) items.push(done(await at.service.deploy(slug, files(fresh('bulk')), { query: '&bundleOnly=true' }), 201).json);
      return items;
    },
    put: (at, json) => at.service.ask('PUT', at.service.functions(), { json }),
    async run(at) { return this.put(at, await this.upload(at)); },
  },
  rollback: {
    changes: ['one'],
    async prepare(at) { for (let i = 0; i < 2; i++) await deploy(at, 'one', fresh('before')); },
    run: (at) => at.service.ask('POST', at.service.functions('/one/rollback'), { json: {} }),
  },
  remove: {
    label: 'delete',
    changes: ['one'],
    async prepare(at) { for (let i = 0; i < 2; i++) await deploy(at, 'one', fresh('before')); },
    run: (at) => at.service.ask('DELETE', at.service.functions('/one')),
  },
  restore: {
    changes: ['one'],
    async prepare(at) { await deploy(at, 'one', fresh('deleted')); done(await at.service.ask('DELETE', at.service.functions('/one')), 200); },
    run: (at) => at.service.ask('POST', at.service.functions('/one/restore'), { json: {} }),
  },
  undo: {
    label: 'rollback of a release',
    changes: SLUGS,
    async prepare(at) {
      done(await ACTIONS.bulk.run(at), 200);
      return Number(await at.sql(`SELECT max(number) FROM functions_admin.releases WHERE project_ref = '${REF}'`));
    },
    run: (at, release) => at.service.ask('POST', project(`/releases/${release}/rollback`), { json: {} }),
  },
  traffic: {
    changes: ['one'],
    async prepare(at) {
      await deploy(at, 'one', fresh('stable'));
      const stable = await versionOf(at);
      await deploy(at, 'one', fresh('canary'));
      return [{ version: stable, percent: 90 }, { version: await versionOf(at), percent: 10 }];
    },
    run: (at, json) => at.service.ask('PUT', at.service.functions('/one/traffic'), { json }),
  },
  configure: { label: "a function's settings", changes: ['one'], run: (at) => at.service.ask('PATCH', at.service.functions('/one/settings'), { json: { limits: { wall_ms: 1000 + number++ % 100_000 } } }) },
  rename: { changes: ['one'], run: (at) => at.service.ask('PATCH', at.service.functions('/one'), { json: { name: fresh('name') } }) },
  promote: {
    label: 'promotion',
    changes: ['one'],
    async prepare(at) {
      const form = multipart({ entrypoint_path: 'index.ts', name: 'one' }, files(fresh('promoted')));
      done(await at.service.ask('POST', `/v1/projects/${OTHER}/functions/deploy?slug=one`, { body: form.body, headers: { 'content-type': form.type, ...at.operator } }), 201);
    },
    run: (at) => at.service.ask('POST', `/v1/projects/${OTHER}/functions/one/promote`, { json: { to: REF }, headers: at.operator }),
  },
  // Sent again with its key after the restart: activated once, however far the first try came.
  repeat: {
    label: 'deploy with an Idempotency-Key',
    changes: ['one'],
    async prepare(at) { return { text: fresh('repeat'), key: fresh('key').replace(' ', '-'), activated: await at.activated() }; },
    run: (at, { text, key }) => at.service.deploy('one', files(text), { headers: { 'idempotency-key': key } }),
    async after(at, context) {
      assert.equal((await this.run(at, context)).status, 201);
      assert.equal(await at.activated(), context.activated + 1, 'what was done is not done again');
      assert.equal(await (await at.runtime.call('one')).text(), context.text);
    },
  },
  secrets: { changes: ['secrets'], run: (at) => at.service.ask('POST', project('/secrets'), { json: [{ name: 'NAME', value: `value ${number++}` }] }) },
  rotate: {
    label: 'secret rotate-key',
    changes: [],
    async prepare(at) {
      const key = () => (number++).toString(16).padStart(64, '0'), { secrets_key: before } = at.service.options;
      for (let i = 0; i < 2; i++) done(await at.service.ask('POST', project('/secrets'), { json: [{ name: `ROTATED_${i}`, value: `value ${number++}` }] }), 201);
      at.service.writeConfig({ secrets_key: key(), secrets_previous_keys: before });
    },
    command: ['secret', ['rotate-key']],
    // Run again it goes on, and then the earlier key is not needed.
    after(at) {
      const again = at.service.run('secret', ['rotate-key']);
      assert.equal(again.status, 0, again.stderr);
      at.service.writeConfig({ secrets_previous_keys: null });
    },
  },
  settings: { label: "a project's settings", changes: ['settings'], run: (at) => at.service.ask('PATCH', project('/settings'), { json: { auto_rollback: { min_calls: 1 + number++ % 1_000_000 } } }) },
  defaults: { label: 'function defaults', changes: ['defaults'], run: (at) => at.service.ask('PATCH', project('/function-defaults'), { json: { limits: { wall_ms: 1000 + number++ % 100_000 } } }) },
  makeToken: { label: 'access token made', changes: ['tokens'], run: (at) => at.service.ask('POST', '/v1/access-tokens', { json: TOKEN }) },
  rotateToken: {
    label: 'access token rotated',
    changes: ['tokens'],
    prepare: async (at) => done(await at.service.ask('POST', '/v1/access-tokens', { json: TOKEN }), 201).json.id,
    run: (at, id) => at.service.ask('POST', `/v1/access-tokens/${id}/rotate`),
  },
  revokeToken: {
    label: 'access token revoked',
    changes: ['tokens'],
    prepare: async (at) => done(await at.service.ask('POST', '/v1/access-tokens', { json: TOKEN }), 201).json.id,
    run: (at, id) => at.service.ask('DELETE', `/v1/access-tokens/${id}`),
  },
  // Somebody has edited a release; it is put back. After the restart it is, or the same can be asked again.
  revert: {
    label: 'drift revert',
    changes: [],
    async prepare(at) {
      await deploy(at, 'one', fresh('edited'));
      fs.appendFileSync(path.join(at.service.functionsDir, at.service.manifest().functions.one.versions[0].path, 'source/index.ts'), '// edited');
    },
    run: (at) => at.service.ask('POST', at.service.functions('/one/drift/revert'), { json: {} }),
    async after(at) { done(await this.run(at), 200, 409); },
  },
  prune: {
    changes: ['settings'], may: true,
    async prepare(at) {
      for (let i = 0; i < 3; i++) await deploy(at, 'one', fresh('old'));
      done(await at.service.ask('PATCH', project('/settings'), { json: { retention: { versions: 1, days: 0, deleted_days: 0 } } }), 200);
      await at.sql(`UPDATE functions_admin.blobs SET created_at = now() - interval '2 hours'`);
    },
    command: ['prune', []],
  },
  // The releases are lost, and built from the database while the program starts.
  rebuild: { label: 'start without the releases', changes: [], start(at) { for (const slug of ['one', 'bundle']) fs.rmSync(path.join(at.service.functionsDir, '.releases', slug), { recursive: true }); } },
  // A deploy in the database that the folder knows nothing of, and one in the folder that the database knows nothing of.
  recover: {
    label: 'start with a stub lost and strange releases',
    changes: [],
    // While calls are split, every release stays.
    prepare: (at) => deploy(at, 'one', fresh('unsplit')),
    async start(at) {
      const dir = at.service.functionsDir, one = at.service.manifest().functions.one.versions[0].path;
      fs.rmSync(path.join(dir, 'one'), { recursive: true });
      fs.cpSync(path.join(dir, one), path.join(dir, '.releases/gone/1-0123456789ab'), { recursive: true });
      fs.cpSync(path.join(dir, one), path.join(dir, '.releases/one/9999-0123456789ab'), { recursive: true });
    },
  },
};

const EVERY = Object.keys(ACTIONS);
const DEPLOYS = ['deploy', 'create', 'bundle', 'later', 'bulk', 'repeat'], ACTIVATES = ['deploy', 'bundle', 'bulk', 'rollback', 'remove', 'restore', 'undo', 'traffic', 'configure', 'promote', 'smoke'];

/** Point: the actions that come by. Those of an import and of a migration have tests of their own. */
export const COVERED = {
  'statement.done': EVERY, 'group.sent': EVERY, 'commit.before': EVERY, 'commit.after': EVERY,
  'staging.file_written': ['deploy', 'bundle', 'rebuild'], 'deploy.staged': ['deploy', 'bundle', 'create', 'bulk'], 'deploy.before_commit': DEPLOYS, 'deploy.after_commit': DEPLOYS,
  'publish.synced': ['deploy', 'bundle', 'create', 'bulk', 'rebuild'], 'publish.renamed': ['deploy', 'bundle', 'create', 'bulk', 'rebuild'], 'publish.exchanged': ['revert'],
  'deploy.published': DEPLOYS, 'prepare.staged': ['deploy', 'bundle', 'create', 'bulk', 'rollback'], 'prepare.booted': ['deploy', 'bundle', 'bulk', 'rollback', 'broken'],
  'rollout.failed': ['broken', 'smoke'], 'rollout.failure_recorded': ['broken', 'smoke'],
  'activate.before_commit': ACTIVATES, 'activate.after_commit': ACTIVATES, 'activate.confirmed': ['deploy', 'bundle', 'bulk', 'rollback', 'remove', 'promote', 'traffic'],
  'take_back.begun': ['smoke'], 'take_back.committed': ['smoke'], 'take_back.shown': ['smoke'], 'take_back.recorded': ['smoke'],
  'verified.recorded': ['deploy', 'bundle', 'bulk', 'rollback', 'later'],
  'bulk.before_commit': ['bulk'], 'bulk.after_commit': ['bulk'], 'change.picked': ['rollback', 'traffic'], 'change.after_commit': ['configure', 'restore'],
  'promote.after_commit': ['promote'], 'undo.after_commit': ['undo'],
  'repeat.begun': ['repeat'], 'repeat.handled': ['repeat'], 'repeat.kept': ['repeat'],
  'project.after_commit': ['settings'], 'defaults.after_commit': ['defaults'], 'rename.after_commit': ['rename'],
  'token.made': ['makeToken'], 'token.rotated': ['rotateToken'], 'token.revoked': ['revokeToken'],
  'release.file_built': ['rebuild', 'revert'],
  'stub.made': ['create', 'recover'], 'stub.linked': ['deploy', 'bundle', 'rollback'],
  'apply.stub_switched': ['deploy', 'bundle', 'create', 'bulk', 'rollback'], 'apply.before_manifest': ['deploy', 'bundle', 'create', 'bulk', 'rollback', 'remove', 'defaults'],
  'apply.after_manifest': ['deploy', 'bundle', 'create', 'bulk', 'rollback', 'remove', 'defaults'],
  'put.written': ['deploy', 'bundle', 'create', 'bulk', 'rollback', 'remove', 'secrets'], 'put.renamed': ['deploy', 'bundle', 'create', 'bulk', 'rollback', 'remove', 'secrets'],
  'unlink.file_removed': ['remove'], 'unlink.moved': ['remove'], 'remove.renamed': ['remove', 'recover'],
  'batch.synced': ['rebuild'], 'manifest.kept': ['rebuild', 'recover'], 'reconcile.applied': ['rebuild', 'recover'],
  'secrets.after_commit': ['secrets'], 'secrets.before_file': ['secrets'], 'secrets.delivered': ['secrets', 'rebuild'], 'rotate.after_commit': ['rotate'],
  'prune.functions_removed': ['prune'], 'prune.before_commit': ['prune'], 'prune.versions_removed': ['prune'], 'prune.blobs_removed': ['prune'], 'prune.releases_removed': ['prune'],
};
/** Points that every action passes, most of them many times. */
export const OFTEN = new Set(['statement.done', 'group.sent', 'commit.before', 'commit.after']);

/** The points that the program which is tested has in it, sorted. */
export function pointsOfTheProgram() {
  return [...fs.readFileSync(BINARY, 'latin1').matchAll(/crash point: ([a-z_.]+)\0/g)].map(([, name]) => name).sort();
}

/** mulberry32: the same numbers for the same seed, from 0 to below 1. */
export function randomNumbers(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Everything by itself that an action changes wholly or not at all.
const PICTURE = `SELECT json_build_object(
  'functions', (SELECT coalesce(json_object_agg(f.slug, json_build_array(f.active_version, f.name, f.updated_at, (SELECT json_agg(json_build_array(t.version, t.percent) ORDER BY t.version) FROM functions_admin.function_traffic t WHERE t.function_id = f.id))), '{}') FROM functions_admin.edge_functions f WHERE f.project_ref = '${REF}' AND f.active_version IS NOT NULL AND f.deleted_at IS NULL),
  'settings', settings - 'function_defaults', 'defaults', settings -> 'function_defaults', 'secrets', secrets_revision,
  'tokens', (SELECT json_agg(json_build_array(id, encode(token_hash, 'hex'), revoked_at) ORDER BY id) FROM functions_admin.access_tokens))
  FROM functions_admin.projects WHERE ref = '${REF}'`;

/**
 * A service with two functions of three versions, one that is a bundle, and a second project. With `shim` (power.mjs) each kill is a loss of power,
 * of the database's machine as well; `random` tells what it leaves of the folder. `env` goes to the program, which reaches PostgreSQL
 * through `pooler` (pgbouncer.mjs) where there is one.
 */
export async function makeWorld(postgres, { shim, random, env = {}, pooler } = {}) {
  const service = makeService(postgres, { options: { secrets_key: '0'.repeat(64) } }), runtime = await startRuntime(service.functionsDir);
  const armed = path.join(service.folder, 'crash'), elsewhere = path.join(service.folder, 'other');
  const raw = { getTypeParser: () => (value) => value };
  const power = shim && powerOf(service.functionsDir, shim, service.folder);
  let client, proved, hadManifest = false;

  service.writeConfig({ runtime_url: runtime.url, ...pooler && { database_url: pooler.url(service.database) } });
  fs.mkdirSync(elsewhere);
  assert.equal(service.run('project', ['create', '--ref', OTHER, '--name', 'other', '--functions-dir', elsewhere]).status, 0);
  const { token } = JSON.parse(service.run('token', ['create', '--json', '--name', 'operator', '--scope', 'functions:write', '--scope', 'functions:read']).stdout);

  const at = {
    service, runtime, operator: { authorization: `Bearer ${token}` },
    async connect() {
      client = new pg.Client({ connectionString: postgres.url(service.database, 'supabase_admin'), types: raw });
      // The server is killed under it where power is cut.
      client.on('error', () => {});
      await client.connect();
    },
    disconnect: () => client.end().catch(() => {}),
    /** The rows as psql -At shows them. */
    sql: async (text) => (await client.query({ text, rowMode: 'array' })).rows.map((row) => row.map((value) => value ?? '').join('|')).join('\n'),
    async picture() {
      const { functions, ...rest } = JSON.parse(await at.sql(PICTURE));
      return { ...functions, ...rest };
    },
    /** How often a deploy has become active. */
    activated: async () => Number(await at.sql('SELECT count(*) FROM functions_admin.edge_function_deployments WHERE active_at IS NOT NULL')),
    /** A function whose code is one file that the client has made, not its sources. */
    bundle(method, target) {
      const bytes = Buffer.from(BUNDLE.replace('world', String(number++).padStart(5, '0')), 'latin1');
      return service.ask(method, `${service.functions(target)}?${new URLSearchParams({ entrypoint_path: 'file:///src/index.ts', slug: 'bundle', name: 'bundle' })}`,
        { body: Buffer.concat([Buffer.from('EZBR'), brotliCompressSync(bytes)]), headers: { 'content-type': 'application/vnd.denoland.eszip' } });
    },
    /** Deployments that have failed for something else than a process that was killed. */
    refused: () => at.sql(`SELECT count(*) FROM functions_admin.edge_function_deployments WHERE status = 'failed' AND error_code IS DISTINCT FROM 'abandoned'`),
    arm: (point, count) => fs.writeFileSync(armed, `${point}:${count}`),
    disarm: () => fs.rmSync(armed, { force: true }),
    start() {
      power?.begin();
      hadManifest = fs.existsSync(path.join(service.functionsDir, '.functions-admin/manifest.kept.json'));
      return service.start({ env: { FA_CRASH_FILE: armed, ...env, ...power?.env }, within: 120_000 });
    },
    async remove() {
      try {
        await at.disconnect();
        await service.stop('SIGKILL');
        power?.end();
        await service.remove();
      } finally { await runtime.stop(); }
    },
  };

  /** As runtime/main does. */
  function readManifest() {
    const read = (name) => JSON.parse(fs.readFileSync(path.join(service.functionsDir, '.functions-admin', name), 'utf8'));
    try { return read('manifest.json'); } catch { return read('manifest.kept.json'); }
  }

  /** The program was killed. What PostgreSQL has not written, a transaction that was begun lazily for example, is lost too. */
  async function loseEverything() {
    await at.disconnect();
    await postgres.stop('SIGQUIT');
    const kept = power.cut(random);
    if (hadManifest) assert.equal(readManifest().format, 1, 'a main service that starts first finds a whole manifest');
    await postgres.start();
    await at.connect();
    return kept;
  }

  at.invariants = async () => {
    const slugs = [...SLUGS, 'new', 'bundle'];
    await agree(Object.create(service, { sql: { value: at.sql } }), runtime, slugs);
    // What the start itself takes out of the folder goes beside it; what it has not swept stays.
    await service.settled();
    assert.equal(await at.sql(`SELECT count(*) FROM functions_admin.edge_function_deployments WHERE status IN ('pending', 'staged', 'booted')`), '0', 'what was unfinished has failed');
    for (const slug of slugs) if (service.stub(slug) === null) assert.ok(!fs.existsSync(path.join(service.functionsDir, slug)), `no part of ${slug}'s stub is left`);
    const releases = path.join(service.functionsDir, '.releases');
    const known = new Set((await at.sql(`SELECT f.slug || '/' || v.version || '-' || left(encode(v.digest, 'hex'), 12) FROM functions_admin.edge_functions f
      JOIN functions_admin.edge_function_versions v ON v.function_id = f.id WHERE f.deleted_at IS NULL AND f.project_ref = '${REF}'`)).split('\n'));
    for (const slug of fs.readdirSync(releases))
      for (const release of fs.readdirSync(path.join(releases, slug))) {
        // Of a function whose calls are split all releases stay until they no longer are.
        assert.ok(known.has(`${slug}/${release}`) || service.manifest().functions[slug]?.versions.length > 1, `${slug}/${release} is of a version that the database has`);
        for (const file of slug === 'bundle' ? ['index.ts', 'bundle.eszip'] : ['index.ts', 'boot.ts', 'deno.json', 'source/index.ts', 'source/lib/a.ts', 'source/lib/b.ts']) assert.ok(fs.statSync(path.join(releases, slug, release, file), { throwIfNoEntry: false })?.size > 0, `${slug}/${release} is whole: ${file}`);
      }
    const secrets = JSON.parse(fs.readFileSync(path.join(service.functionsDir, '.functions-admin/secrets.json'), 'utf8'));
    assert.equal(secrets.revision, Number(await at.sql(`SELECT secrets_revision FROM functions_admin.projects WHERE ref = '${REF}'`)), 'the revision of the secrets that are delivered');
    // The project's chain by the API, which spares a process; where the installation's has grown, both by the command.
    const head = await at.sql(`SELECT seq, hash FROM functions_admin.audit_heads WHERE chain = ''`);
    if (head === proved) {
      const { json: chain, text } = done(await service.ask('GET', project('/audit/verify')), 200);
      assert.ok(chain.ok && chain.from === 1 && chain.entries === Number(await at.sql(`SELECT count(*) FROM functions_admin.audit_log WHERE project_ref = '${REF}'`)), text);
    } else {
      const chain = service.run('audit', ['verify', '--json']);
      assert.equal(chain.status, 0, chain.stdout + chain.stderr);
      proved = head;
    }
  };

  /**
   * One cycle: killed when it comes by the point for the `count`th time, started again, looked at. False: it did not come by.
   * Power is also lost right after the answer, where it did not.
   */
  at.cycle = async (point, action, count) => {
    const spec = ACTIONS[action];
    let reached = false, answer = null, kept = '';
    service.clearLog();
    try {
      // An action before may have removed it.
      if (!(await at.picture()).one) await deploy(at, 'one', fresh('again'));
      const context = await spec.prepare?.(at), before = await at.picture(), refused = await at.refused();
      if (spec.command) {
        // The command is to come by, not the program that serves.
        const own = `${armed}-command`;
        fs.writeFileSync(own, `${point}:${count}`);
        const command = service.run(...spec.command, { env: { FA_CRASH_FILE: own } });
        fs.rmSync(own, { force: true });
        reached = command.signal === 'SIGKILL';
        assert.ok(reached || command.status === 0, command.stderr);
        await service.stop('SIGKILL');
      } else if (spec.start) {
        await service.stop();
        await spec.start(at);
        at.arm(point, count);
        await at.start().catch((error) => assert.match(error.message, /SIGKILL/));
      } else {
        at.arm(point, count);
        answer = await spec.run(at, context).catch(() => null);
      }
      if (!spec.command) {
        service.child.kill(power ? 'SIGKILL' : 'SIGTERM');
        reached = await service.ended() === 'SIGKILL';
        at.disarm();
      }
      if (!reached && spec.run) assert.ok(answer && (spec.refused ? answer.status === 400 || answer.status === 422 : answer.status < 300), `${answer?.status} ${answer?.text}`);
      if (power) kept = await loseEverything();
      await at.start();
      const now = await at.picture(), differs = Object.keys({ ...before, ...now }).filter((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key])).sort();
      if (differs.length > 0) assert.deepEqual(differs, [...spec.changes].sort(), 'all of it, or nothing');
      if (answer && answer.status < 300) assert.deepEqual(differs, [...spec.changes].sort(), 'what was answered for is there');
      if (answer && answer.status >= 400) assert.deepEqual(differs.filter((key) => now[key]?.[0] !== before[key]?.[0]), [], 'what was refused is not there');
      if (!spec.refused) assert.ok(Number(await at.refused()) <= Number(refused), 'a deployment that a killed process left has failed with the code abandoned');
      await spec.after?.(at, context);
      await at.invariants();
    } catch (error) {
      throw new Error(`${point}, ${action}, passage ${count}${kept && `, kept ${kept}`}: ${error.message}\n${service.log.slice(-4000)}${postgres.lost()}`, { cause: error });
    }
    return reached;
  };

  await at.connect();
  await at.start();
  done(await service.ask('PATCH', project('/settings'), { json: { smoke_test: { path: '/{slug}' } } }), 200);
  for (let i = 0; i < 3; i++) for (const slug of SLUGS) await deploy(at, slug, `${slug} ${i}`);
  done(await at.bundle('POST', ''), 201);
  done(await ACTIONS.secrets.run(at), 201);
  return at;
}

/**
 * Cycles in one world after another: `cycle(point, action, count)` as above. Thousands of versions in one project would make each
 * cycle slower than the one before, and what a failed one leaves is no ground for the next: a world is made anew for either, with
 * PostgreSQL started again where it was lost. `how` is makeWorld's.
 */
export function worlds(postgres, how) {
  let world, cycles = 0;
  const remove = async () => { const old = world; world = undefined; await old?.remove(); };
  return {
    remove,
    async cycle(point, action, count) {
      if (++cycles % 250 === 0) await remove();
      if (!world) {
        // Its children have to notice that they are orphans first.
        if (!postgres.running) await until('PostgreSQL starts again', () => postgres.start().then(() => true, () => false));
        world = await makeWorld(postgres, how);
      }
      try { return await world.cycle(point, action, count); } catch (error) {
        // What its end finds is a consequence.
        await remove().catch(() => {});
        throw error;
      }
    },
  };
}

/** An import that is killed at the point, started again, and gone on with: nothing of the directory is lost. */
export async function killedImport(postgres, point, { shim, random } = {}) {
  const service = makeService(postgres), armed = path.join(service.folder, 'crash'), power = shim && powerOf(service.functionsDir, shim, service.folder);
  try {
    const hand = path.join(service.functionsDir, 'hand'), adopted = path.join(service.functionsDir, '.functions-admin/adopted');
    fs.mkdirSync(hand);
    fs.writeFileSync(path.join(hand, 'index.ts'), 'Deno.serve(() => new Response("by hand"));\n');
    fs.writeFileSync(path.join(hand, '.env.local'), 'LEFT=out\n');
    power?.begin();
    await service.start({ env: { FA_CRASH_FILE: armed, ...power?.env } });
    fs.writeFileSync(armed, `${point}:1`);
    service.run('import');
    assert.equal(await service.ended(), 'SIGKILL', `${point} was come by`);
    fs.rmSync(armed, { force: true });
    power?.cut(random);
    await service.start();
    await service.settled();
    const inAdopted = () => fs.existsSync(adopted) ? fs.readdirSync(adopted) : [];
    const kept = () => [hand, ...inAdopted().map((name) => path.join(adopted, name))].filter((folder) => fs.existsSync(path.join(folder, '.env.local')));
    assert.equal(kept().length, 1, `${point}: what the import left out is still there`);
    assert.equal(fs.readFileSync(path.join(kept()[0], '.env.local'), 'utf8'), 'LEFT=out\n');
    assert.equal(inAdopted().length, kept()[0] === hand ? 0 : 1, 'no stub is left among the adopted');
    if (kept()[0] === hand) {
      const again = service.run('import');
      assert.equal(again.status, 0, again.stdout + again.stderr);
    }
    assert.equal(kept().length, 1);
    assert.match(service.stub('hand'), /\.releases\/hand\//);
  } finally {
    if (power) { await service.stop('SIGKILL'); power.end(); }
    await service.remove();
  }
}
