// kill -9 at every named point of the source (src/core/crash.h), one after another: after the next start the old version is
// served or the new one, never a mixture, and nothing is left over.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { makeService, REF, ROOT, startPostgres, startRuntime } from '../lib/service.mjs';

// The short run kills once for every point and action; the long one at each time that it comes by, and then at random:
// FA_CYCLES times, at most FA_SECONDS long. SEED=n repeats the same random cycles.
const LONG = Boolean(process.env.FA_LONG);
const CYCLES = LONG ? Number(process.env.FA_CYCLES ?? 5_000) : 0;
const SECONDS = Number(process.env.FA_SECONDS ?? 1e9);
const PASSAGES = LONG ? 4 : 1;
const SEED = Number(process.env.SEED ?? randomInt(2 ** 31));
const SLUGS = ['one', 'two'];
const files = (text) => ({ 'index.ts': text, 'lib/a.ts': 'a'.repeat(1000), 'lib/b.ts': text });
let number = 0;

const bulk = async (service) => {
  const items = [];
  for (const slug of SLUGS) items.push((await service.deploy(slug, files(`bulk ${number++}`), { query: '&bundleOnly=true' })).json);
  return service.ask('PUT', service.functions(), { json: items });
};

// What the client does. Each is run in a service with two functions of three versions; `program` runs a command instead.
const ACTIONS = {
  deploy: (service) => service.deploy('one', files(`deploy ${number++}`)),
  create: (service) => service.deploy('new', files(`create ${number++}`)),
  broken: (service) => service.deploy('one', files(`BOOT_FAILS ${number++}`)),
  bulk,
  rollback: (service) => service.ask('POST', service.functions('/one/rollback'), { json: {} }),
  remove: (service) => service.ask('DELETE', service.functions('/one')),
  secrets: (service) => service.ask('POST', `/v1/projects/${REF}/secrets`, { json: [{ name: 'NAME', value: `value ${number++}` }] }),
};

// Point: the actions that come by.
const COVERED = {
  'deploy.before_commit': ['deploy', 'create', 'bulk'], 'deploy.after_commit': ['deploy', 'create', 'bulk'],
  'prepare.staged': ['deploy', 'create', 'bulk', 'rollback'], 'rollout.failed': ['broken'],
  'activate.before_commit': ['deploy', 'bulk', 'rollback', 'remove'], 'activate.after_commit': ['deploy', 'create', 'bulk', 'rollback', 'remove'],
  'activate.confirmed': ['deploy', 'bulk', 'rollback', 'remove'],
  'bulk.before_commit': ['bulk'], 'bulk.after_commit': ['bulk'], 'change.after_commit': ['rollback'],
  'release.file_built': ['rebuild'],
  'apply.stub_switched': ['deploy', 'create', 'bulk', 'rollback'], 'apply.before_manifest': ['deploy', 'create', 'bulk', 'rollback', 'remove'],
  'apply.after_manifest': ['deploy', 'create', 'bulk', 'rollback', 'remove'],
  'put.written': ['deploy', 'create', 'bulk', 'rollback', 'remove', 'secrets'], 'put.renamed': ['deploy', 'create', 'bulk', 'rollback', 'remove', 'secrets'],
  'publish.synced': ['deploy', 'create', 'bulk'], 'publish.renamed': ['deploy', 'create', 'bulk'],
  'unlink.file_removed': ['remove'], 'unlink.moved': ['remove'], 'remove.renamed': ['remove'],
  'secrets.before_file': ['secrets'],
  'adopt.prepared': ['import'], 'adopt.exchanged': ['import'],
  'migrate.before_commit': ['migrate'], 'migrate.after_commit': ['migrate'],
  'prune.before_commit': ['prune'], 'prune.versions_removed': ['prune'], 'prune.blobs_removed': ['prune'],
};

function pointsOfTheSource() {
  const names = [];
  for (const file of fs.readdirSync(path.join(ROOT, 'src'), { recursive: true }))
    if (/\.c$/.test(file)) for (const [, name] of fs.readFileSync(path.join(ROOT, 'src', file), 'utf8').matchAll(/FA_CRASH_POINT\("([^"]+)"\)/g)) names.push(name);
  return names.sort();
}

/** mulberry32: the same numbers for the same seed, from 0 to below 1. */
function randomNumbers(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

let postgres, service, runtime;
before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres);
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  await service.start();
  for (let i = 0; i < 3; i++) for (const slug of SLUGS) assert.equal((await service.deploy(slug, files(`${slug} ${i}`))).status, 201);
  await service.stop();
});
after(async () => {
  await service?.remove();
  await runtime?.stop();
  postgres?.remove();
});

// A cycle leaves the program running for the next one; of a cycle that failed nobody knows how.
let clean = false;
beforeEach(async () => {
  if (!clean) await service?.stop('SIGKILL');
});

async function invariants(what) {
  try {
    const slugs = [...SLUGS, 'new'];
    await agree(service, runtime, slugs);
    assert.deepEqual(service.staging(), [], 'no temporary file outlives a start');
    assert.equal(service.sql(`SELECT count(*) FROM functions_admin.edge_function_deployments WHERE status IN ('pending', 'staged', 'booted')`), '0', 'what was unfinished has failed');
    for (const slug of slugs) if (service.stub(slug) === null) assert.ok(!fs.existsSync(path.join(service.functionsDir, slug)), `no part of ${slug}'s stub is left`);
    const releases = path.join(service.functionsDir, '.releases');
    const known = new Set(service.sql(`SELECT f.slug || '/' || v.version || '-' || left(encode(v.digest, 'hex'), 12) FROM functions_admin.edge_functions f
      JOIN functions_admin.edge_function_versions v ON v.function_id = f.id WHERE f.deleted_at IS NULL`).split('\n'));
    for (const slug of fs.readdirSync(releases))
      for (const release of fs.readdirSync(path.join(releases, slug))) {
        assert.ok(known.has(`${slug}/${release}`), `${slug}/${release} is of a version that the database has`);
        for (const file of ['index.ts', 'source/index.ts', 'source/lib/a.ts', 'source/lib/b.ts']) assert.ok(fs.existsSync(path.join(releases, slug, release, file)), `${slug}/${release} is whole: ${file}`);
      }
    const chain = service.run('audit', ['verify', '--json']);
    assert.equal(chain.status, 0, chain.stdout + chain.stderr);
  } catch (error) {
    error.message = `${what}: ${error.message}\n${service.log.slice(-4000)}`;
    throw error;
  }
}

const tries = {};

/** What the action needs to have something to do, in a program that is not killed; stays running. */
async function prepared(action) {
  if (action === 'rollback' || action === 'remove' || action === 'rebuild') for (let i = 0; i < 2; i++) assert.equal((await service.deploy('one', files(`before ${number++}`))).status, 201);
  if (action === 'create' && service.manifest().functions.new) assert.equal((await service.ask('DELETE', service.functions('/new'))).status, 200);
  if (action === 'prune') {
    for (let i = 0; i < 3; i++) assert.equal((await service.deploy('one', files(`old ${number++}`))).status, 201);
    const done = await service.ask('PATCH', `/v1/projects/${REF}/settings`, { json: { retention: { versions: 1, days: 0, deleted_days: 0 } } });
    assert.equal(done.status, 200, done.text);
    service.sql(`UPDATE functions_admin.blobs SET created_at = now() - interval '2 hours'`);
  }
}

/** One cycle: killed when it comes by the point for the `count`th time, started again, looked at. False: it did not come by. */
async function cycle(point, action, count) {
  const what = `${point}, ${action}, passage ${count}`, env = { FA_CRASH_AT: `${point}:${count}` };
  let reached;
  service.clearLog();
  if (!clean) await service.start();
  clean = false;
  await prepared(action);
  if (action === 'prune') {
    reached = service.run('prune', [], { env }).signal === 'SIGKILL';
    await service.stop();
  } else {
    await service.stop();
    if (action === 'rebuild') fs.rmSync(path.join(service.functionsDir, '.releases/one'), { recursive: true });
    // It may die while it starts, which goes over the same points.
    const started = await service.start({ env }).then(() => true, (error) => { assert.match(error.message, /SIGKILL/, what); return false; });
    const answer = started && action !== 'rebuild' ? await ACTIONS[action](service).catch(() => null) : null;
    service.child.kill('SIGTERM');
    reached = await service.ended() === 'SIGKILL';
    if (!reached && action !== 'rebuild') assert.ok(answer && (action === 'broken' ? answer.status === 422 || answer.status === 400 : answer.status < 300), `${what}: ${answer?.status} ${answer?.text}`);
  }
  await service.start();
  await invariants(what);
  clean = true;
  if (reached) tries[point] = (tries[point] ?? 0) + 1;
  return reached;
}

test('every crash point of the source is covered, and each has a name of its own', () => {
  const points = pointsOfTheSource();
  assert.equal(new Set(points).size, points.length, 'no name stands twice');
  assert.deepEqual(points, Object.keys(COVERED).sort());
});

for (const [point, actions] of Object.entries(COVERED)) {
  const here = actions.filter((action) => action !== 'import' && action !== 'migrate');
  if (here.length > 0) {
    test(`killed at ${point}: ${here.join(', ')}`, async () => {
      for (const action of here) {
        let count = 1;
        // The times that it comes by; a few are enough where it does so for every file.
        while (count <= PASSAGES && await cycle(point, action, count)) count++;
        assert.ok(count > 1, `${action} comes by ${point}`);
      }
    });
  }
}

test('a migration killed before or after its commit: the next run goes on from there', async () => {
  for (const point of ['migrate.before_commit', 'migrate.after_commit']) {
    const fresh = makeService(postgres, { migrate: false });
    try {
      const known = fs.readdirSync(path.join(ROOT, 'sql/migrations')).filter((name) => /^\d{4}_.*\.sql$/.test(name)).length;
      for (let count = 1; count <= known; count++) {
        // One whole migration further each time: those that were committed are not run again.
        const done = fresh.run('migrate', [], { env: { FA_CRASH_AT: `${point}:${point === 'migrate.before_commit' && count > 1 ? 2 : 1}` } });
        assert.equal(done.signal, 'SIGKILL', `${point}, ${count}: ${done.stderr}`);
        const applied = Number(fresh.sql('SELECT count(*) FROM functions_admin.schema_migrations'));
        assert.equal(applied, point === 'migrate.before_commit' ? count - 1 : count);
      }
      assert.equal(fresh.run('migrate').status, 0);
      assert.equal(Number(fresh.sql('SELECT count(*) FROM functions_admin.schema_migrations')), known);
    } finally { await fresh.remove(); }
  }
});

test('an import killed around its exchange loses nothing of the directory that it replaces', async () => {
  for (const point of ['adopt.prepared', 'adopt.exchanged']) {
    const other = makeService(postgres);
    try {
      const hand = path.join(other.functionsDir, 'hand'), adopted = path.join(other.functionsDir, '.functions-admin/adopted');
      fs.mkdirSync(hand);
      fs.writeFileSync(path.join(hand, 'index.ts'), 'Deno.serve(() => new Response("by hand"));\n');
      fs.writeFileSync(path.join(hand, '.env.local'), 'LEFT=out\n');
      const env = { FA_CRASH_AT: `${point}:1` };
      await other.start({ env });
      other.run('import', [], { env });
      other.child.kill('SIGTERM');
      await other.ended();
      await other.start();
      assert.deepEqual(other.staging(), []);
      const kept = () => [hand, ...fs.readdirSync(adopted).map((name) => path.join(adopted, name))].filter((folder) => fs.existsSync(path.join(folder, '.env.local')));
      assert.equal(kept().length, 1, `${point}: what the import left out is still there`);
      assert.equal(kept()[0] === hand, point === 'adopt.prepared', `${point} was come by`);
      assert.equal(fs.readdirSync(adopted).length, point === 'adopt.prepared' ? 0 : 1, 'no stub is left among the adopted');
      if (point === 'adopt.prepared') {
        const again = other.run('import');
        assert.equal(again.status, 0, again.stdout + again.stderr);
      }
      assert.equal(kept().length, 1);
      assert.match(other.stub('hand'), /\.releases\/hand\//);
    } finally { await other.remove(); }
  }
});

test('cycles at random points', { skip: CYCLES === 0 && 'long: ./check --long' }, async () => {
  const pairs = Object.entries(COVERED).flatMap(([point, actions]) => actions.map((action) => [point, action])).filter(([, action]) => action !== 'import' && action !== 'migrate');
  const next = randomNumbers(SEED), end = Date.now() + SECONDS * 1000;
  const drawn = () => { const [point, action] = pairs[Math.floor(next() * pairs.length)]; return [point, action, 1 + Math.floor(next() * 4)]; };
  let done = 0, idle = 0;
  console.log(`SEED=${SEED} repeats this run`);
  try {
    while (done < CYCLES && Date.now() < end) await cycle(...drawn()) ? done++ : idle++;
  } finally { console.log(`SEED=${SEED}: ${done} killed and started again, ${idle} not come by: ${JSON.stringify(tries)}`); }
});
