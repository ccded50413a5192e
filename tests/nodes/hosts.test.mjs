// Two APIs and five agents on hosts of their own, over one PostgreSQL with a streaming replica. While functions are deployed, rolled back
// and removed, agents are killed, hosts are cut off, stopped and their disks filled, and PostgreSQL is restarted and fails over. At any
// time a node shows one generation of the history and no mix of two; what is answered with success is served by each node that lives;
// after healing all show what the database says; and the history is that of the answers.
//
//   SEED=n        repeats a run's choices (how things interleave is up to the machine)
//   FA_SECONDS=n  how long the long run goes on making trouble
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { randomNumbers } from '../faults/cycle.mjs';
import { makeService, startPostgres, startRuntime, until } from '../lib/service.mjs';
import { makeNetwork, unavailable, whenGone } from './network.mjs';

const LONG = Boolean(process.env.FA_LONG);
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000_000);
const SECONDS = Number(process.env.FA_SECONDS ?? 240);
const SWEEP_MS = 10_000, CLIENTS = 3;
const random = randomNumbers(SEED);
const below = (n, numbers = random) => Math.floor(numbers() * n), pick = (list, numbers) => list[below(list.length, numbers)];
const skip = unavailable();

let network, primary, standby, postgresHosts, database, apis, nodes, checks = { answers: 0, looks: 0 };
const broken = []; // what a look or an answer has found, in the midst of things

// ---- The hosts

/** The program on a host of its own. `disk` is the size of a file system that its folder has to itself. */
async function startHost(name, command, { options = {}, of, disk } = {}) {
  const host = network.host();
  const service = makeService(primary, { command, wrapper: host.enter, migrate: !of, ...(of && { database: of.database }) });
  if (disk) {
    whenGone(`umount -l ${service.functionsDir}; rm -rf ${service.folder}`);
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', `mode=755,size=${disk}`, 'tmpfs', service.functionsDir]).status, 0);
  }
  const socket = path.join(service.folder, 'runtime.sock');
  const runtime = await startRuntime(service.functionsDir, { socket });
  const words = [...host.enter, process.execPath, path.join(import.meta.dirname, 'forward.mjs'), socket];
  const forward = spawn(words[0], words.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
  const [port] = await once(forward.stdout, 'data');
  service.writeConfig({
    node_name: name, node_lease: '5s', node_timeout: '20s', request_timeout: '10s', db_connect_timeout: '2', runtime_url: `http://127.0.0.1:${String(port).trim()}`,
    database_url: `postgresql://postgres@${postgresHosts.map((each) => each.address).join(',')}/${service.database}?target_session_attrs=read-write`, ...options,
  });
  await service.start();
  const self = {
    name, service, host, disk, faults: 0, seen: new Map(), shown: { generation: 0 },
    /** What its folder shows now; kept, for it to be compared with the history. */
    look() {
      let text;
      try { text = fs.readFileSync(path.join(service.functionsDir, '.functions-admin/manifest.json'), 'utf8'); } catch { return 0; }
      if (text === self.text) return self.shown.generation;
      checks.looks++;
      const manifest = JSON.parse(text);
      const shows = Object.entries(manifest.functions).map(([slug, f]) => [slug, ...f.versions.map((v) => v.path)].join(' ')).sort().join('\n');
      if (manifest.generation < self.shown.generation) broken.push(`${name} went back from generation ${self.shown.generation} to ${manifest.generation}`);
      const before = self.seen.get(manifest.generation);
      if (before !== undefined && before !== shows) broken.push(`${name} shows generation ${manifest.generation} in two ways:\n${before}\nand\n${shows}`);
      self.seen.set(manifest.generation, shows);
      self.text = text;
      self.shown = manifest;
      return manifest.generation;
    },
    call: (slug) => new Promise((resolve, reject) => {
      http.get({ socketPath: socket, path: `/${slug}`, agent: false }, (res) => { let body = ''; res.on('data', (chunk) => { body += chunk; }).on('end', () => resolve(res.statusCode === 200 ? body : res.statusCode)); }).on('error', reject);
    }),
    async end() {
      host.plug();
      service.child.kill('SIGCONT');
      await service.stop('SIGTERM');
      await runtime.stop();
      forward.stdin.end();
      if (disk) spawnSync('umount', ['-l', service.functionsDir]);
      await service.remove();
    },
  };
  return self;
}

/** A replica of `of`, of which nothing is lost that `of` has confirmed. */
async function replicate(of, at) {
  const replica = await startPostgres({ standbyOf: of, at });
  of.sql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '*'");
  of.sql('postgres', 'SELECT pg_reload_conf()');
  await until('the replica is synchronous', () => of.sql('postgres', 'SELECT sync_state FROM pg_stat_replication') === 'sync');
  return replica;
}

let connection;
/** Rows, from the PostgreSQL that is the primary now; asks again until there is one. */
const query = (text, values) => until('the database answers', async () => {
  try {
    if (!connection) {
      const fresh = new pg.Client({ host: primary.folder, user: 'supabase_admin', database, port: 5432 });
      fresh.on('error', () => { if (connection === fresh) connection = undefined; });
      await fresh.connect();
      connection = fresh;
    }
    return (await connection.query(text, values)).rows;
  } catch (error) {
    if (error.code && !/^(57P|08|25006|ECONN|ENOENT|EPIPE)/.test(error.code)) throw error;
    connection = undefined;
    return undefined;
  }
}, 60_000);

before(async () => {
  if (skip) return;
  network = makeNetwork();
  postgresHosts = [network.host(), network.host()];
  primary = await startPostgres({ at: postgresHosts[0] });
  standby = await replicate(primary, postgresHosts[1]);
  const first = await startHost('api-a', 'serve');
  database = first.service.database;
  const of = first.service;
  const rest = await Promise.all([startHost('api-b', 'serve', { of, options: { deploy_here: 'off' } }),
    ...['n1', 'n2', 'n3', 'n4', 'n5'].map((name) => startHost(name, 'agent', { of, ...(name === 'n5' && { disk: '8m' }) }))]);
  apis = [first, rest[0]];
  nodes = [first, ...rest.slice(1)];
  await until('all nodes live', async () => (await living()).length === nodes.length);
});
after(async () => {
  for (const each of [...(nodes ?? []), apis?.[1]]) await each?.end();
  connection?.end().catch(() => {});
  await standby?.remove();
  await primary?.remove();
  network?.remove();
});

const living = async () => (await query('SELECT name FROM functions_admin.nodes WHERE alive_until > clock_timestamp() AND NOT draining')).map((row) => row.name);

// ---- The load

const count = { done: 0, failed: 0 };
const tags = new Map(); // message -> operation

async function ask(op) {
  const { service } = op.api, headers = { 'x-deploy-message': op.tag };
  const send = (method, rest, more) => service.ask(method, service.functions(rest), { headers, ...more });
  switch (op.kind) {
    case 'deploy': return service.deploy(op.slugs[0], op.text, { headers });
    case 'rollback': return send('POST', `/${op.slugs[0]}/rollback`, { json: {} });
    case 'remove': return send('DELETE', `/${op.slugs[0]}`);
    default: {
      const bundles = [];
      for (const slug of op.slugs) {
        const answer = await service.deploy(slug, `${op.text} ${slug}`, { query: '&bundleOnly=true' });
        if (answer.status !== 201) return answer;
        bundles.push(answer.json);
      }
      return send('PUT', '', { json: bundles });
    }
  }
}

/** At an answer that something is deployed, each node that lives serves it. */
async function checkServed(op) {
  const faults = nodes.map((node) => node.faults), before = nodes.map((node) => node.look());
  const [row] = await query(`SELECT (SELECT generation::int FROM functions_admin.releases WHERE message = $1) generation,
    (SELECT json_agg(name) FROM functions_admin.nodes WHERE alive_until > clock_timestamp() AND NOT draining) living`, [op.tag]);
  nodes.forEach((node, i) => {
    const behind = (generation, when) => broken.push(`${op.kind} ${op.tag} was answered ${op.answer.status}, generation ${row.generation}; ${node.name} shows ${generation} ${when}`);
    if (row.generation === null) broken.push(`${op.kind} ${op.tag} was answered ${op.answer.status}, and is not in the history`);
    if (row.living?.includes(node.name) && node.look() < row.generation) behind(node.look(), 'and lives');
    else if (op.faults[i] === faults[i] && node.well && before[i] < row.generation) behind(before[i], 'and was never disturbed');
  });
  checks.answers++;
}

async function client(name, numbers, isOver) {
  const slugs = [`${name}-x`, `${name}-y`];
  for (let n = 1; !isOver(); n++) {
    const kind = n <= 2 ? 'deploy' : pick(['deploy', 'deploy', 'deploy', 'bulk', 'bulk', 'rollback', 'rollback', 'remove'], numbers);
    const tag = `${name}-${n}-${load.rounds}`;
    const op = { kind, tag, name, api: pick(apis, numbers), slugs: kind === 'bulk' ? slugs : [n <= 2 ? slugs[n - 1] : pick(slugs, numbers)], text: `// ${tag}`, faults: nodes.map((node) => node.faults) };
    tags.set(tag, op);
    // While a program is waited for here, a connection may be given up there before it was written to.
    op.answer = await ask(op).catch((error) => ({ status: ['EPIPE', 'ECONNRESET'].includes(error.code) ? 503 : 0, text: String(error) }));
    if ([200, 201].includes(op.answer.status)) {
      await checkServed(op);
      count.done++;
    } else if (![404, 409].includes(op.answer.status)) {
      count.failed++;
      if (![503, 507].includes(op.answer.status)) broken.push(`${kind} ${tag} at ${op.api.name}: ${op.answer.status} ${op.answer.text}`);
    }
  }
}
const load = { rounds: 0 };

// ---- The history

const HISTORY = `SELECT r.number::int, r.generation::int, r.source, r.message, (SELECT json_agg(json_build_object('id', i.function_id, 'slug', f.slug,
  'before', coalesce(i.version_before, 0), 'after', coalesce(i.version_after, 0))) FROM functions_admin.release_items i JOIN functions_admin.edge_functions f ON f.id = i.function_id
  WHERE i.release_id = r.id) items FROM functions_admin.releases r ORDER BY r.number`;

/** Replays it, with every answer held against it; what each generation is, as a manifest shows it. */
async function replay() {
  const [releases, versions] = [await query(HISTORY), await query("SELECT function_id::text id, version, encode(digest, 'hex') digest FROM functions_admin.edge_function_versions")];
  const names = new Map(versions.map((v) => [`${v.id} ${v.version}`, `${v.version}-${v.digest.slice(0, 12)}`]));
  const active = new Map(), histories = new Map(), of = new Map(), generations = [{ generation: 0, shows: '' }];
  for (const release of releases) {
    const op = tags.get(release.message);
    const history = (id) => histories.get(id) ?? histories.set(id, []).get(id);
    assert.equal(op !== undefined, release.source !== 'revert', `release ${release.number} (${release.source}: ${release.message}) was asked for`);
    if (op) {
      assert.ok(!of.has(op), `${op.tag} was carried out once`);
      of.set(op, release);
      assert.deepEqual(release.items.map((item) => item.slug).sort(), [...op.slugs].sort(), op.tag);
      const [item] = release.items;
      if (op.kind === 'deploy' && op.answer.status === 201) assert.equal(item.after, op.answer.json.version, `${op.tag}: ${op.answer.text}`);
      if (op.kind === 'remove') assert.equal(item.after, 0, op.tag);
      if (op.kind === 'rollback') assert.equal(item.after, history(item.id).findLast((past) => past.after === item.before && past.before !== past.after)?.before, `${op.tag} goes back to what was before`);
    }
    for (const item of release.items) {
      const past = history(item.id), last = past.at(-1);
      assert.equal(item.before, active.get(item.slug)?.id === item.id ? active.get(item.slug).version : 0, `release ${release.number}: ${item.slug} before`);
      if (release.source === 'revert') {
        assert.equal(item.after, last.before, `release ${release.number} takes back what was before`);
        of.get(last.op).takenBack = true;
      }
      past.push({ ...item, op });
      if (item.after) active.set(item.slug, { id: item.id, version: item.after });
      else active.delete(item.slug);
    }
    const shows = [...active].map(([slug, { id, version }]) => `${slug} .releases/${slug}/${names.get(`${id} ${version}`)}`).sort().join('\n');
    generations.push({ generation: release.generation, shows });
  }
  for (const op of tags.values()) {
    const { status } = op.answer, release = of.get(op);
    if ([200, 201].includes(status)) assert.ok(release && !release.takenBack, `${op.tag} was answered ${status}, and is ${release ? 'taken back' : 'not there'}`);
    // Where nobody knows how it ended, or could take it back, 503 says so.
    else if (status !== 503) assert.ok(!release || release.takenBack || apis.some(({ service }) => service.log.includes('cannot be taken back now')), `${op.tag} was answered ${status}, and is there`);
  }
  return generations;
}

async function checkAll() {
  const generations = await replay(), last = generations.at(-1);
  for (const node of nodes) {
    for (const [generation, shows] of node.seen)
      assert.equal(shows, generations.findLast((each) => each.generation <= generation).shows, `${node.name} at generation ${generation}`);
    assert.equal(node.seen.get(node.look()), last.shows, `${node.name} at last`);
  }
  assert.equal((await query(`SELECT string_agg(slug || ' .releases/' || slug || '/' || active_version || '-' || left(encode(v.digest, 'hex'), 12), E'\\n' ORDER BY slug COLLATE "C") shows
    FROM functions_admin.edge_functions f JOIN functions_admin.edge_function_versions v ON v.function_id = f.id AND v.version = f.active_version WHERE deleted_at IS NULL`))[0].shows ?? '', last.shows);
  for (const line of last.shows.split('\n').filter(Boolean)) {
    const [slug] = line.split(' ');
    const texts = await Promise.all(nodes.map((node) => node.call(slug)));
    assert.equal(new Set(texts).size, 1, `${slug}: ${texts}`);
    assert.match(texts[0], /^\/\/ /);
  }
  assert.deepEqual(broken, []);
}

// ---- The trouble

const disturb = (node, well) => { node.faults++; node.well = well; };
const FAULTS = {
  async kill(node) {
    await node.service.stop('SIGKILL');
    return () => node.service.start();
  },
  unplug(node) {
    node.host.unplug();
    return () => node.host.plug();
  },
  stop(node) {
    node.service.child.kill('SIGSTOP');
    return () => node.service.child.kill('SIGCONT');
  },
  fill(node) {
    const file = path.join(node.service.functionsDir, 'full'), fd = fs.openSync(file, 'w');
    try { for (;;) fs.writeSync(fd, Buffer.alloc(4096)); } catch (error) { assert.equal(error.code, 'ENOSPC'); } finally { fs.closeSync(fd); }
    return () => fs.rmSync(file);
  },
};

async function trouble(kind, node) {
  disturb(node, false);
  const heal = await FAULTS[kind](node);
  return async () => { await heal(); disturb(node, false); };
}

/** Away for longer than a lease, which is not long, it takes each node for dead until that is back. */
const unsure = () => nodes.forEach((node) => disturb(node, false));
async function restart() {
  unsure();
  await primary.stop('SIGINT');
  await primary.start();
}
/** The host of the old primary gets the next replica. */
async function failOver() {
  const old = primary, at = postgresHosts[0];
  unsure();
  await old.stop('SIGKILL');
  standby.sql('postgres', 'SELECT pg_promote()');
  [primary, standby] = [standby, undefined];
  postgresHosts.reverse();
  return async () => { await old.remove(); if (LONG) standby = await replicate(primary, at); };
}

const more = (what, n = 3) => { const from = count[what]; return until(`${n} more operations have ${what}`, () => count[what] >= from + n, 90_000); };

/** All show what the database says, in time. */
async function converged() {
  const healed = Date.now();
  await until('all nodes show what the database says', async () => {
    const rows = await query('SELECT n.name, n.alive_until > clock_timestamp() AND n.generation = p.generation AND n.verified AND n.failed_generation IS NULL ok, p.generation::int FROM functions_admin.nodes n JOIN functions_admin.projects p ON p.ref = n.project_ref');
    return rows.length === nodes.length && rows.every((row) => row.ok && nodes.find((node) => node.name === row.name).look() === row.generation);
  }, 2 * SWEEP_MS);
  for (const node of nodes) node.well = true;
  return Date.now() - healed;
}

/** One time of load and trouble, and what must be true after it. */
async function round(t, happen) {
  let over = false;
  load.rounds++;
  const looking = setInterval(() => nodes.forEach((node) => node.look()), 25);
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, i) => client(`c${i}`, randomNumbers(SEED + 1000 * load.rounds + i), () => over)));
  const heals = [];
  try {
    await happen(async (kind, node) => { const heal = await trouble(kind, node); heals.push(heal); return async () => { heals.splice(heals.indexOf(heal), 1); await heal(); }; });
  } finally {
    over = true;
    for (const heal of heals) await heal();
    await clients;
    clearInterval(looking);
  }
  const took = await converged();
  t.diagnostic(`SEED=${SEED} round ${load.rounds}: converged ${took} ms after the last answer; so far ${count.done} done, ${count.failed} failed, ${checks.answers} answers and ${checks.looks} manifests looked at`);
  await checkAll();
}

test(`killed, cut off, stopped, full, and PostgreSQL fails over (SEED=${SEED})`, { skip, timeout: 180_000 }, async (t) => {
  const [, n1, n2, n3, , n5] = nodes;
  await converged();
  await round(t, async (make) => {
    await more('done');
    const emptied = await make('fill', n5);
    await more('failed', 1);
    await emptied();
    for (const [kind, node] of [['kill', n1], ['unplug', n2], ['stop', n3]]) await make(kind, node);
    await more('done');
    await restart();
    await more('done');
    const cleared = await failOver();
    await more('done');
    await cleared();
  });
});

test(`trouble of all kinds, for ${SECONDS} s (SEED=${SEED})`, { skip: skip || (!LONG && './check --long makes it'), timeout: SECONDS * 1000 + 600_000 }, async (t) => {
  const end = Date.now() + SECONDS * 1000;
  let cleared;
  while (Date.now() < end) {
    await round(t, async (make) => {
      const heals = [];
      for (let i = 0; i < 6; i++) {
        const calm = nodes.filter((node) => !heals.some((each) => each.node === node)), node = pick(calm);
        // An API that is cut off answers 503; stopped or killed it would answer nothing.
        const kind = node === apis[0] ? 'unplug' : pick(node.disk ? ['kill', 'unplug', 'stop', 'fill'] : ['kill', 'unplug', 'stop']);
        // A node that is back lives only when it shows what it must; where its disk is full then, nobody waits for it.
        await until(`${node.name} lives`, async () => (await living()).includes(node.name), 2 * SWEEP_MS);
        heals.push({ node, kind, heal: await make(kind, node) });
        await more(kind === 'fill' || node === apis[0] ? 'failed' : 'done', 1 + below(3));
        while (heals.some((each) => each.kind === 'fill' || each.node === apis[0]) || (heals.length > 0 && random() < 0.5)) await heals.shift().heal();
        if (random() < 0.3) await restart();
        if (random() < 0.2) { cleared = await failOver(); await more('done', 1); await cleared(); }
      }
    });
  }
});
