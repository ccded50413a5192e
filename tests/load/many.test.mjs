// Many deployers, many functions, many versions. Small numbers in ./check, the large ones with --long.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { REF, makeService, startPostgres, startRuntime } from '../lib/service.mjs';

const LONG = Boolean(process.env.FA_LONG);
let postgres;
before(async () => { postgres = await startPostgres(); });
after(() => postgres?.remove());

async function withService(options, fn) {
  const service = makeService(postgres, { options }), runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  try {
    await service.start();
    await fn(service, runtime);
  } finally {
    await service.remove();
    await runtime.stop();
  }
}

/** Runs fn(item) for each, `width` at a time. */
async function each(items, width, fn) {
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, async () => { while (next < items.length) { const i = next++; await fn(items[i], i); } }));
}
const some = (list, n) => list.filter((_, i) => i % Math.ceil(list.length / n) === 0);
const good = (answer, service) => assert.deepEqual([answer.status, answer.headers['x-deploy-result']], [201, 'verified'], `${answer.text}\n${service.log.slice(-2_000)}`);
const failed = (service) => service.sql("SELECT count(*) FROM functions_admin.edge_function_deployments WHERE status NOT IN ('verified', 'bundled')");

const DEPLOYERS = LONG ? 64 : 16, FUNCTIONS = LONG ? 500 : 16, ROUNDS = LONG ? 4 : 2;
test(`${DEPLOYERS} deployers on ${FUNCTIONS} functions, ${ROUNDS} times each`, async () => {
  await withService({}, async (service, runtime) => {
    const slugs = Array.from({ length: FUNCTIONS }, (_, i) => `f${i}`), last = {};
    // In another order each time, so that functions are met by several deployers at once.
    const deploys = Array.from({ length: ROUNDS * FUNCTIONS }, (_, i) => ({ slug: slugs[(i * 7 + (i / FUNCTIONS | 0)) % FUNCTIONS], text: `// ${i}` }));
    await each(deploys, DEPLOYERS, async ({ slug, text }) => {
      const answer = await service.deploy(slug, text);
      good(answer, service);
      (last[slug] ??= []).push(answer.json.version);
    });
    for (const slug of slugs) assert.deepEqual(last[slug].sort((a, b) => a - b), Array.from({ length: ROUNDS }, (_, i) => i + 1), 'every deploy made a version of its own');
    assert.equal(failed(service), '0');
    await service.settled();
    await agree(service, runtime, some(slugs, 10));
    assert.equal(service.run('audit', ['verify']).status, 0);
  });
});

const MANY = LONG ? 10_000 : 60, BULK = LONG ? 1_000 : 20;
test(`${MANY} functions in a project, ${BULK} of them activated by one call: shown at the start, listed, changed`, async () => {
  await withService({ request_timeout: '120s' }, async (service, runtime) => {
    const slugs = Array.from({ length: MANY }, (_, i) => `many-${i}`), bundles = [];
    await each(slugs.slice(0, BULK), 8, async (slug, i) => {
      const answer = await service.deploy(slug, `// ${slug}`, { query: '&bundleOnly=true' });
      assert.equal(answer.status, 201, answer.text);
      bundles[i] = answer.json;
    });
    const times = {}, timed = async (what, asked) => { const began = Date.now(), answer = await asked(); times[what] = Date.now() - began; return answer; };
    const put = await timed('bulk PUT', () => service.ask('PUT', service.functions(), { json: bundles }));
    assert.equal(put.status, 200, put.text.slice(0, 2_000));
    // The others are made in the database, of the first one: ten thousand uploads take their time, and are not what this is about.
    await service.stop();
    service.sql(`BEGIN; CREATE TEMP TABLE made AS SELECT gen_random_uuid() AS id, 'many-' || n AS slug FROM generate_series(${BULK}, ${MANY - 1}) n;
      INSERT INTO functions_admin.edge_functions (id, project_ref, slug, name, active_version, latest_version) SELECT id, '${REF}', slug, slug, 1, 1 FROM made;
      CREATE TEMP TABLE of_first AS SELECT v.* FROM functions_admin.edge_function_versions v JOIN functions_admin.edge_functions f ON f.id = v.function_id WHERE f.slug = 'many-0';
      INSERT INTO functions_admin.edge_function_versions (function_id, version, kind, name, entrypoint_path, verify_jwt, digest, size, file_count, source, created_by)
        SELECT made.id, 1, kind, made.slug, entrypoint_path, verify_jwt, digest, size, file_count, source, created_by FROM made, of_first;
      INSERT INTO functions_admin.edge_function_files (function_id, version, path, sha256, size)
        SELECT made.id, 1, x.path, x.sha256, x.size FROM made, functions_admin.edge_function_files x WHERE x.function_id = (SELECT function_id FROM of_first);
      UPDATE functions_admin.projects SET generation = generation + 1, revision = revision + 1; COMMIT;`);
    await timed('start that builds them all', () => service.start({ within: 1_200_000 }));
    assert.equal((await timed('list', () => service.ask('GET', service.functions()))).json.length, MANY);
    good(await timed('deploy', () => service.deploy('many-7', '// changed')), service);
    good(await timed('deploy of a new one', () => service.deploy('one-more', '// one more')), service);
    assert.equal((await timed('delete', () => service.ask('DELETE', service.functions('/many-1')))).status, 200);
    assert.equal((await timed('get', () => service.ask('GET', service.functions('/many-7')))).json.version, 2);
    const drift = await timed('drift', () => service.ask('GET', `/v1/projects/${REF}/drift`, { within: 600_000 }));
    assert.deepEqual([drift.status, drift.json.drift], [200, []], drift.text.slice(0, 2_000));
    assert.equal((await timed('manifest read', async () => service.manifest())).project, REF);
    const expected = [...slugs.filter((slug) => slug !== 'many-1'), 'one-more'];
    assert.equal(Object.keys(service.manifest().functions).length, expected.length);
    await agree(service, runtime, [...some(expected, 5), 'many-7', 'one-more']);
    await service.stop();
    await timed('start', () => service.start({ within: 120_000 }));
    fs.rmSync(path.join(service.functionsDir, '.releases/many-7'), { recursive: true });
    await service.stop();
    await timed('start with one release missing', () => service.start({ within: 120_000 }));
    await agree(service, runtime, ['many-7', 'one-more']);
    if (LONG) console.log(`${MANY} functions, milliseconds: ${JSON.stringify(times)}`);
  });
});

const VERSIONS = LONG ? 1_000 : 20;
test(`${VERSIONS} versions of one function`, async () => {
  await withService({ max_disk_releases: '3' }, async (service, runtime) => {
    assert.equal((await service.ask('PATCH', `/v1/projects/${REF}/settings`, { json: { retention: { versions: 10_000 } } })).status, 200);
    await each(Array.from({ length: VERSIONS }, (_, i) => i), 8, async (i) => good(await service.deploy('one', `// ${i}`), service));
    const seen = [];
    for (let cursor = '', first = true; first || cursor; first = false) {
      const page = await service.ask('GET', service.functions(`/one/versions?limit=${LONG ? 100 : 7}${cursor}`));
      assert.equal(page.status, 200, page.text);
      seen.push(...page.json.data.map((v) => v.version));
      cursor = page.json.next_cursor ? `&cursor=${page.json.next_cursor}` : '';
    }
    assert.deepEqual(seen, Array.from({ length: VERSIONS }, (_, i) => VERSIONS - i));
    await service.settled();
    assert.ok(fs.readdirSync(path.join(service.functionsDir, '.releases/one')).length <= 4, 'few lie on disk');
    assert.equal((await service.ask('POST', service.functions('/one/rollback'), { json: { version: 1 } })).status, 200);
    await agree(service, runtime, ['one']);
    good(await service.deploy('one', '// newest'), service);
    await agree(service, runtime, ['one']);
    assert.equal((await service.ask('PATCH', `/v1/projects/${REF}/settings`, { json: { retention: { versions: 5 } } })).status, 200);
    const pruned = service.run('prune');
    assert.equal(pruned.status, 0, pruned.stderr);
    const kept = Number(service.sql('SELECT count(*) FROM functions_admin.edge_function_versions'));
    assert.ok(kept >= 5 && kept <= 7, `${kept} versions are kept`);
    await agree(service, runtime, ['one']);
    good(await service.deploy('one', '// after that'), service);
  });
});
