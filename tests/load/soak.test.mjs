// Everything at once, at saturation: no answer that nobody provoked, and memory, descriptors, threads, tables and indexes stay as they are.
// A few seconds in ./check, half an hour with --long (FA_SECONDS says how long).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { requestBytes } from '../lib/fastcgi.mjs';
import { ANON, REF, SERVICE_ROLE, makeService, multipart, startNginx, startPostgres, startRuntime } from '../lib/service.mjs';

const SECONDS = Number(process.env.FA_SECONDS ?? (process.env.FA_LONG ? 1_800 : 4));
const SLUGS = Array.from({ length: 20 }, (_, i) => `f${i}`), CONTENTS = 40, VERSIONS = 10;
// What grows with every change, and is meant to.
const HISTORY = ['audit_log', 'edge_function_deployments', 'releases', 'release_items', 'secrets', 'secret_revisions', 'idempotency_keys'];
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
let postgres, service, runtime, nginx, token;

before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres, { options: { workers: '8' } });
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  await service.start();
  nginx = await startNginx(service);
  const made = service.run('token', ['create', '--name', 'soak', '--scope', 'functions:read']);
  assert.equal(made.status, 0, made.stderr);
  token = made.stdout.trim();
  assert.equal((await service.ask('PATCH', `/v1/projects/${REF}/settings`, { json: { retention: { versions: VERSIONS, deleted_days: 0 } } })).status, 200);
  for (const slug of SLUGS) assert.equal((await service.deploy(slug, source(slug, 0))).status, 201);
});
after(async () => {
  await nginx?.stop();
  await service?.remove();
  await runtime?.stop();
  await postgres?.remove();
});

/** Contents come again, so that blobs, which are stored once, have an end. */
const source = (slug, n) => ({ 'index.ts': `// ${slug} ${n % CONTENTS}`, 'lib/text.ts': `// ${n % CONTENTS} `.repeat(200 + 50 * (n % CONTENTS)) });

test(`${SECONDS} seconds of everything`, async () => {
  const seen = {}, end = Date.now() + SECONDS * 1_000;
  let counter = 0;
  const count = (what, answer, right) => {
    const name = `${what} ${answer.status}${answer.status >= 400 ? ` ${answer.json.code}` : ''}`;
    seen[name] = (seen[name] ?? 0) + 1;
    assert.ok(right.includes(answer.status), `${what}: ${answer.status} ${answer.text}\n${service.log.slice(-3_000)}`);
    if (service.log.length > 1_000_000) service.clearLog();
    return answer;
  };
  const any = (list) => list[counter++ % list.length];
  const bearer = (credential) => ({ headers: { authorization: `Bearer ${credential}` } });
  const read = {
    list: async () => count('list', await service.ask('GET', service.functions(), any([{}, bearer(token)])), [200]),
    get: async () => count('get', await service.ask('GET', service.functions(`/${any(SLUGS)}`)), [200, 404]),
    body: async () => count('body', await service.ask('GET', service.functions(`/${any(SLUGS)}/body`)), [200, 404]),
    versions: async () => count('versions', await service.ask('GET', service.functions(`/${any(SLUGS)}/versions`)), [200, 404]),
    nginx: async () => count('through nginx', await nginx.site('GET', `/functions-admin${service.functions()}`), [200]),
    deployments: async () => count('deployments', await service.ask('GET', `/v1/projects/${REF}/deployments?limit=20`), [200]),
    anonymous: async () => count('anonymous', await service.ask('GET', service.functions(), bearer(any([ANON, 'nonsense', 'sbp_0000000000000000000000000000000000000000']))), [401, 403]),
    nowhere: async () => count('nowhere', await service.ask('GET', service.functions('/nowhere')), [404]),
    audit: async () => count('audit', await service.ask('GET', `/v1/projects/${REF}/audit?limit=20`), [200]),
    metrics: async () => count('metrics', await service.ask('GET', '/metrics'), [200]),
  };
  const write = {
    deploy: async (slug) => count('deploy', await service.deploy(slug, source(slug, counter++)), [201]),
    again: async (slug) => { const headers = { 'idempotency-key': `"${slug}-${counter}"` }, what = source(slug, counter++); for (let i = 0; i < 2; i++) count('deploy twice', await service.deploy(slug, what, { headers }), [201]); },
    rollback: async (slug) => count('rollback', await service.ask('POST', service.functions(`/${slug}/rollback`), { json: {} }), [200, 409]),
    rename: async (slug) => count('rename', await service.ask('PATCH', service.functions(`/${slug}`), { json: { name: `Name ${counter++ % 7}` } }), [200]),
    bundle: async (slug) => { const made = count('bundle', await service.deploy(slug, source(slug, counter++), { query: '&bundleOnly=true' }), [201]); count('bulk', await service.ask('PUT', service.functions(), { json: [made.json] }), [200]); },
    invalid: async (slug) => count('invalid', await service.deploy(slug, { '../x.ts': 'x' }), [400, 422]),
    broken: async (slug) => count('does not boot', await service.deploy(slug, `BOOT_FAILS ${slug}`), [422]),
    async aborted(slug) {
      const form = multipart({ entrypoint_path: 'index.ts', name: slug }, source(slug, counter++));
      const bytes = requestBytes({ method: 'POST', path: service.functions(`/deploy?slug=${slug}`), headers: { authorization: `Bearer ${SERVICE_ROLE}`, 'content-type': form.type }, body: form.body });
      const socket = net.connect(service.socket);
      socket.on('error', () => {});
      await new Promise((resolve) => { socket.write(bytes.subarray(0, bytes.length / 2 | 0), resolve); });
      socket.destroy();
    },
    secrets: async () => count('secrets', await service.ask('POST', `/v1/projects/${REF}/secrets`, { json: [{ name: `S${counter % 5}`, value: `${counter++}` }] }), [201]),
    async events() {
      const events = fs.readFileSync(path.join(service.functionsDir, '.functions-admin/events-token'), 'utf8');
      count('events', await service.ask('POST', `/v1/projects/${REF}/events`, { ...bearer(events), json: { source: '55555555-5555-4555-8555-555555555555', batch: ++counter, events: [] } }), [201]);
    },
  };
  const reader = async () => { while (Date.now() < end) await any(Object.values(read))(); };
  // A writer has functions of its own, so that nobody else's change is in its way.
  const writer = (_, i, { length }) => {
    const own = SLUGS.filter((slug, n) => n % length === i);
    return (async () => {
      for (let n = 0; Date.now() < end; n++) {
        const slug = own[n % own.length];
        await Object.values(write)[n % Object.keys(write).length](slug);
        if (n % 23 === 22) { count('delete', await service.ask('DELETE', service.functions(`/${slug}`)), [200]); await write.deploy(slug); }
      }
    })();
  };
  const samples = [];
  const sample = () => {
    const status = fs.readFileSync(`/proc/${service.pid}/status`, 'utf8'), number = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)[1]);
    const sizes = service.sql(`SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relnamespace = 'functions_admin'::regnamespace AND relkind IN ('r', 'i', 'm')
      AND coalesce((SELECT c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid WHERE x.indexrelid = pg_class.oid), relname) <> ALL ('{${HISTORY}}')`);
    samples.push({ memory: number('VmRSS'), threads: number('Threads'), files: fs.readdirSync(`/proc/${service.pid}/fd`).length, ...Object.fromEntries(sizes.split('\n').map((row) => row.split('|')).map(([name, size]) => [name, Number(size)])) });
  };
  const watching = (async () => {
    for (let n = 0; Date.now() < end; n++) {
      await pause(Math.min(5_000, SECONDS * 100));
      sample();
      if (n % 4 === 3) { const pruned = service.run('prune', []); assert.equal(pruned.status, 0, pruned.stderr); }
    }
  })();
  await Promise.all([watching, ...Array.from({ length: 12 }, reader), ...Array.from({ length: 5 }).map(writer)]);

  await service.settled();
  await agree(service, runtime, SLUGS);
  assert.equal(service.run('audit', ['verify']).status, 0);
  assert.equal(service.sql("SELECT count(*) FROM functions_admin.edge_function_deployments WHERE finished_at IS NULL AND status IN ('pending', 'staged', 'booted')"), '0');
  const third = samples.length / 3 | 0, report = {};
  for (const name of Object.keys(samples.at(-1))) {
    const middle = samples.slice(third, 2 * third).map((s) => s[name] ?? 0), last = samples.slice(2 * third).map((s) => s[name] ?? 0);
    report[name] = [samples[0][name], median(middle), median(last), Math.max(...last)];
    // The first third is for warming up. In a short run there is nothing else.
    const room = { memory: 4_096, threads: 4, files: 12 }[name] ?? 256 * 1_024;
    if (SECONDS >= 600) assert.ok(median(last) <= median(middle) * 1.1 + room, `${name} grows: ${report[name]} (first, median of the second and of the last third, highest)`);
  }
  if (process.env.FA_LONG) console.log(JSON.stringify(seen), Object.entries(report).map(([name, values]) => `\n${name}: ${values.join(', ')}`).join(''));
});
