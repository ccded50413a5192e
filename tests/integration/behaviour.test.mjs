// What the functions API does, beyond shapes: names, settings, bundles, versions, deleting, and what stays as it is.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { makeService, multipart, REF, ROOT, startNginx, startPostgres, startRuntime } from '../lib/service.mjs';

const EZBR = fs.readFileSync(path.join(ROOT, 'tests/fixtures/eszip/hello.ezbr'));
let postgres, runtime, service, nginx;
before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres);
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  await service.start();
  nginx = await startNginx(service, { runtime: runtime.url.slice(7) });
});
after(async () => {
  await nginx?.stop();
  await service?.remove();
  await runtime?.stop();
  await postgres?.remove();
});

const get = async (slug) => (await service.ask('GET', service.functions(`/${slug}`))).json;
const put = (items) => service.ask('PUT', service.functions(), { json: items });
const called = async (slug) => { const a = await runtime.call(slug); return [a.status, await a.text(), a.headers.get('x-edge-function')]; };
const eszip = (method, target, query, body = EZBR) => service.ask(method, `${service.functions(target)}?${new URLSearchParams({ entrypoint_path: 'file:///src/index.ts', ...query })}`, { body, headers: { 'content-type': 'application/vnd.denoland.eszip' } });

test('a deploy answers with what it made, and what it made is served', async () => {
  const made = await service.deploy('one', 'first', { metadata: { name: 'One', verify_jwt: false } });
  assert.equal(made.status, 201);
  assert.equal(made.headers['x-deploy-result'], 'verified');
  const f = made.json;
  assert.deepEqual([f.slug, f.name, f.version, f.status, f.verify_jwt, f.import_map], ['one', 'One', 1, 'ACTIVE', false, false]);
  assert.equal(f.entrypoint_path, `file:///tmp/user_fn_${REF}_${f.id}_1/source/index.ts`);
  assert.ok(!made.text.includes('null'));
  assert.ok(Math.abs(Date.now() - f.updated_at) < 60_000);
  assert.deepEqual(await called('one'), [200, 'first', 'one; version=1']);
  const again = await service.deploy('one', 'second', { metadata: { name: undefined } });
  assert.deepEqual([again.json.id, again.json.version, again.json.name, again.json.verify_jwt, again.json.created_at], [f.id, 2, 'One', false, f.created_at], 'name and verify_jwt stay');
  assert.deepEqual(await get('one'), again.json);
  assert.deepEqual(await called('one'), [200, 'second', 'one; version=2']);
});

test('the same deploy again changes nothing, and says so', async () => {
  const before = service.manifest(), function1 = await get('one');
  const same = await service.deploy('one', 'second', { metadata: { name: undefined } });
  assert.deepEqual([same.status, same.headers['x-deploy-result'], same.json.version], [201, 'unchanged', 2]);
  assert.deepEqual(same.json, function1);
  assert.deepEqual(service.manifest(), before);
  assert.equal((await service.deploy('one', 'second', { metadata: { name: undefined, verify_jwt: true } })).json.version, 3, 'verify_jwt is part of a version');
});

test('an existing slug cannot be created again, and the words are those that the CLI looks for', async () => {
  for (const answer of [await service.ask('POST', service.functions(), { json: { slug: 'one', name: 'one', body: 'x' } }), await eszip('POST', '', { slug: 'one', name: 'one' })]) {
    assert.equal(answer.status, 409);
    assert.match(answer.text, /Duplicated function slug/);
  }
  assert.equal((await get('one')).version, 3);
});

test('PATCH changes the name alone, verify_jwt as a new version, the body as a new version', async () => {
  const generation = service.manifest().generation;
  const named = await service.ask('PATCH', service.functions('/one'), { json: { name: 'Uno, dos — tres' } });
  assert.deepEqual([named.json.name, named.json.version], ['Uno, dos — tres', 3]);
  assert.equal(service.manifest().generation, generation);
  const open = await service.ask('PATCH', service.functions('/one'), { json: { verify_jwt: false } });
  assert.deepEqual([open.json.verify_jwt, open.json.version, open.json.name], [false, 4, 'Uno, dos — tres']);
  assert.equal(service.manifest().functions.one.versions[0].verify_jwt, false);
  const body = await service.ask('PATCH', service.functions('/one'), { json: { body: 'third' } });
  assert.deepEqual([body.json.verify_jwt, body.json.version, body.json.name], [false, 5, 'Uno, dos — tres']);
  assert.deepEqual(await called('one'), [200, 'third', 'one; version=5']);
  assert.deepEqual((await service.ask('PATCH', service.functions('/one'), { json: {} })).json, await get('one'), 'nothing asked, nothing changed');
  const both = await service.ask('PATCH', service.functions('/one'), { json: { name: 'Both', verify_jwt: true } });
  assert.deepEqual([both.json.name, both.json.verify_jwt, (await get('one')).name], ['Both', true, 'Both']);
});

test('a bundle is stored but not served until the bulk update names it', async () => {
  const bundled = await service.deploy('later', 'waiting', { query: '&bundleOnly=true' });
  assert.deepEqual([bundled.status, bundled.headers['x-deploy-result'], bundled.json.version], [201, 'bundled', 1]);
  assert.equal((await service.ask('GET', service.functions('/later'))).status, 404);
  assert.equal((await service.ask('GET', service.functions('/later/body'))).status, 404);
  assert.ok(!(await service.ask('GET', service.functions())).json.some((f) => f.slug === 'later'));
  assert.equal((await called('later'))[0], 404);
  const active = await put([bundled.json]);
  assert.equal(active.status, 200);
  assert.deepEqual(active.json.functions.map((f) => [f.slug, f.version]), [['later', 1]]);
  assert.deepEqual(await called('later'), [200, 'waiting', 'later; version=1']);
  await service.deploy('later', 'not yet', { query: '&bundleOnly=true' });
  assert.equal((await get('later')).version, 1, 'the active one, not the latest');
  assert.deepEqual(await called('later'), [200, 'waiting', 'later; version=1']);
});

test('the bulk update is one change of all: one version that does not boot, and none becomes active', async () => {
  const items = [];
  for (const [slug, source] of [['a-one', 'fine'], ['b-two', 'BOOT_FAILS'], ['c-three', 'fine']]) items.push((await service.deploy(slug, source, { query: '&bundleOnly=true' })).json);
  const before = service.manifest();
  const failed = await put(items);
  assert.equal(failed.status, 422);
  assert.equal(failed.json.code, 'boot_failed');
  assert.match(failed.json.message, /b-two.*BOOT_FAILS was found/);
  assert.deepEqual(service.manifest(), before);
  for (const slug of ['a-one', 'b-two', 'c-three']) {
    assert.equal((await service.ask('GET', service.functions(`/${slug}`))).status, 404);
    assert.equal(service.stub(slug), null);
  }
  assert.equal(service.sql(`SELECT count(*) FROM functions_admin.edge_function_deployments WHERE status NOT IN ('verified', 'bundled', 'failed')`), '0');
  assert.equal((await put([items[0], items[2]])).status, 200);
  assert.equal(service.manifest().generation, before.generation + 1, 'one generation for both');
  assert.deepEqual((await put([])).json, { functions: [] });
});

test('functions of a bulk update boot side by side, and the answer names every one that fails', async () => {
  const items = [];
  for (const slug of ['side-a', 'side-b', 'side-c']) items.push((await service.deploy(slug, slug === 'side-c' ? 'fine' : `BOOT_FAILS ${slug}`, { query: '&bundleOnly=true' })).json);
  // Both are asked for before either is answered.
  const [a, c] = ['side-a', 'side-c'].map((slug) => runtime.hold(slug));
  const answer = put(items);
  await Promise.all([a.reached, c.reached]);
  a.release();
  c.release();
  const failed = await answer;
  assert.deepEqual([failed.status, failed.json.code], [422, 'boot_failed']);
  assert.match(failed.json.message, /^side-a: .*BOOT_FAILS.*; side-b: .*BOOT_FAILS/);
  for (const slug of ['side-a', 'side-b', 'side-c']) assert.equal((await service.ask('DELETE', service.functions(`/${slug}`))).status, 200);
});

test('a bundle whose activation never came can be deleted, and no longer keeps a deleted function from coming back', async () => {
  await service.deploy('returns', 'first');
  assert.equal((await service.ask('DELETE', service.functions('/returns'))).status, 200);
  await service.deploy('returns', 'never put', { query: '&bundleOnly=true' });
  const taken = await service.ask('POST', service.functions('/returns/restore'), { json: {} });
  assert.deepEqual([taken.status, taken.json.code], [409, 'slug_taken']);
  assert.match(taken.json.hint, /Delete the present one first/);
  assert.equal((await service.ask('DELETE', service.functions('/returns'))).status, 200);
  assert.equal((await service.ask('DELETE', service.functions('/returns'))).status, 404);
  assert.equal((await service.ask('POST', service.functions('/returns/restore'), { json: { version: 1 } })).status, 200);
  assert.deepEqual(await called('returns'), [200, 'first', 'returns; version=1']);
  assert.equal((await service.ask('DELETE', service.functions('/returns'))).status, 200);
});

test('a version that does not boot never replaces one that serves', async () => {
  const before = service.manifest();
  const failed = await service.deploy('later', 'BOOT_FAILS');
  assert.deepEqual([failed.status, failed.json.code], [422, 'boot_failed']);
  assert.deepEqual(service.manifest(), before);
  assert.deepEqual(await called('later'), [200, 'waiting', 'later; version=1']);
  assert.equal((await service.ask('POST', '/v1/functions', { json: { name: 'never', files: [{ name: 'index.ts', content: 'BOOT_FAILS' }] } })).status, 422);
  assert.equal((await service.ask('GET', service.functions('/never'))).status, 404);
  assert.equal(service.stub('never'), null);
});

test('include=activity tells with each function who changed it, how its calls are split, and its newest error', async () => {
  const listed = async (query = '?include=activity', headers) => (await service.ask('GET', service.functions(query), { headers })).json.find((f) => f.slug === 'lively');
  for (const text of ['lively 1', 'lively 2']) assert.equal((await service.deploy('lively', text)).status, 201);
  assert.deepEqual((await listed()).activity, { updated_by: 'service_role' });
  assert.equal((await listed('')).activity, undefined, 'the clients of Cloud get what they know');
  assert.equal((await listed('?include=')).activity, undefined);
  const { token } = (await service.ask('POST', '/v1/access-tokens', { json: { name: 'ci', scopes: ['functions:read', 'functions:write'], slugs: ['lively'] } })).json;
  const ci = { authorization: `Bearer ${token}` };
  const traffic = [{ version: 2, percent: 90 }, { version: 1, percent: 10 }];
  assert.equal((await service.ask('PUT', service.functions('/lively/traffic'), { json: traffic, headers: ci })).status, 200);
  assert.equal((await service.deploy('lively', 'BOOT_FAILS')).status, 422);
  const [failed] = (await service.ask('GET', service.functions('/lively/deployments?limit=1'))).json.data;
  const after = (await listed()).activity;
  assert.deepEqual([after.traffic, after.last_error], [traffic, { at: failed.created_at, source: 'deployment', message: failed.error_message }]);
  const events = fs.readFileSync(path.join(service.functionsDir, '.functions-admin/events-token'), 'utf8');
  const event = { at: Date.now() + 1000, slug: 'lively', version: 2, kind: 'exception', level: 'error', message: 'x'.repeat(5000) };
  assert.equal((await service.ask('POST', `/v1/projects/${REF}/events`, { headers: { authorization: `Bearer ${events}` }, json: { source: '00000000-0000-4000-8000-000000000001', batch: 1, events: [event] } })).status, 201);
  assert.deepEqual((await listed()).activity.last_error, { at: new Date(event.at).toISOString(), source: 'exception', message: 'x'.repeat(300) });
  service.sql(`UPDATE functions_admin.edge_function_deployments SET created_at = created_at - interval '2 days' WHERE status = 'failed'`);
  service.sql(`DELETE FROM functions_admin.function_events`);
  assert.equal((await listed()).activity.last_error, undefined, 'what is older than a day is no news');
  const all = (await service.ask('GET', service.functions('?include=activity'), { headers: ci })).json;
  assert.deepEqual(all.map((f) => f.slug), ['lively'], 'a token for some functions sees these');
  const answer = await service.ask('GET', service.functions('?include=activity'));
  assert.equal((await service.ask('GET', service.functions('?include=activity'), { headers: { 'if-none-match': answer.headers.etag } })).status, 304);
  assert.equal((await service.ask('GET', service.functions('?include=secrets'))).status, 400);
});

test('deleted is gone at once, its releases too, and a deploy begins anew', async () => {
  await service.deploy('gone', 'old');
  const old = await get('gone');
  const deleted = await service.ask('DELETE', service.functions('/gone'));
  assert.deepEqual([deleted.status, deleted.text], [200, '']);
  assert.equal((await service.ask('GET', service.functions('/gone'))).status, 404);
  assert.equal((await service.ask('DELETE', service.functions('/gone'))).status, 404);
  assert.equal((await called('gone'))[0], 404);
  assert.equal(service.stub('gone'), null);
  assert.ok(!fs.existsSync(path.join(service.functionsDir, '.releases/gone')));
  const fresh = await service.ask('POST', service.functions(), { json: { slug: 'gone', name: 'gone', body: 'new' } });
  assert.equal(fresh.status, 201);
  assert.notEqual(fresh.json.id, old.id);
  assert.equal(fresh.json.version, 1);
  assert.deepEqual(await called('gone'), [200, 'new', 'gone; version=1']);
});

test('eszip bundles come back as they were uploaded, and are told apart by their digest', async () => {
  const sum = createHash('sha256').update(EZBR).digest('hex');
  const made = await eszip('POST', '', { slug: 'bundle', name: 'Bundle', verify_jwt: 'false', ezbr_sha256: sum });
  assert.equal(made.status, 201);
  assert.deepEqual([made.json.ezbr_sha256, made.json.verify_jwt, made.json.entrypoint_path, made.json.version], [sum, false, 'file:///src/index.ts', 1]);
  const body = await service.ask('GET', service.functions('/bundle/body'));
  assert.ok(body.body.equals(EZBR));
  assert.equal(body.headers['content-type'], 'application/vnd.denoland.eszip');
  assert.equal((await eszip('PATCH', '/bundle', {})).headers['x-deploy-result'], 'unchanged');
  const updated = await eszip('PATCH', '/bundle', { verify_jwt: 'true', slug: 'bundle', name: 'Bundle' });
  assert.deepEqual([updated.status, updated.json.version, updated.json.verify_jwt], [200, 2, true]);
  assert.equal((await service.deploy('bundle', 'source now')).json.ezbr_sha256, undefined, 'from bundle to source');
});

test('the body of a source function is its files, byte for byte', async () => {
  const files = { 'supabase/functions/tree/index.ts': 'export {}', 'supabase/functions/_shared/ümlaut "x".bin': Buffer.from([0, 1, 2, 0xff, 0xfe, 13, 10, 45, 45]), 'supabase/functions/tree/deno.json': '{}', 'empty.txt': '' };
  const quoted = Object.entries(files).map(([name, content]) => [name.replaceAll('"', '%22'), content]);
  const form = multipart({ entrypoint_path: 'supabase/functions/tree/index.ts', import_map_path: 'supabase/functions/tree/deno.json' }, quoted);
  const made = await service.ask('POST', service.functions('/deploy?slug=tree'), { body: form.body, headers: { 'content-type': form.type } });
  assert.equal(made.status, 201, made.text);
  const answer = await service.ask('GET', service.functions('/tree/body'), { headers: { accept: 'multipart/form-data' } });
  const boundary = `--${/boundary=(.*)/.exec(answer.headers['content-type'])[1]}`;
  const parts = answer.body.toString('latin1').split(boundary).slice(1, -1).map((part) => {
    const [head, ...content] = part.split('\r\n\r\n');
    return { name: /name="([^"]*)"/.exec(head)[1], filename: Buffer.from(/filename="(.*)"/.exec(head)?.[1] ?? '', 'latin1').toString(), content: Buffer.from(content.join('\r\n\r\n').slice(0, -2), 'latin1') };
  });
  assert.deepEqual(parts.map((p) => p.name), ['metadata', 'file', 'file', 'file', 'file']);
  const metadata = JSON.parse(parts[0].content);
  assert.equal(metadata.deno2_entrypoint_path, 'source/supabase/functions/tree/index.ts');
  assert.equal(metadata.module_count, 4);
  const got = Object.fromEntries(parts.slice(1).map((p) => [p.filename.replace('source/', '').replaceAll('\\"', '"').replaceAll('%22', '"'), p.content.toString('hex')]));
  assert.deepEqual(got, Object.fromEntries(Object.entries(files).map(([n, c]) => [n, Buffer.from(c).toString('hex')])));
});

test('HEAD is GET without the body, everywhere', async () => {
  for (const target of ['/healthz', '/readyz', '/v1/openapi.json', '/v1/projects', service.functions(), service.functions('/one'), service.functions('/one/body'), '/v1/functions', '/v1/functions/one', service.functions('/nobody')]) {
    const [head, full] = [await service.ask('HEAD', target), await service.ask('GET', target)];
    assert.equal(head.status, full.status, target);
    assert.equal(head.text, '');
    assert.equal(head.headers['content-length'], full.headers['content-length'], `${target}: Content-Length`);
  }
});

test('paths: percent-escapes, a slash at the end, the prefix of the gateway, the alias default', async () => {
  const one = await get('one');
  for (const target of [`/v1/projects/${REF}/functions/%6fne`, `/v1/projects/%61${REF.slice(1)}/functions/one`, `/v1/projects/${REF}/functions/one/`, `/functions-admin/v1/projects/${REF}/functions/one`, '/v1/projects/default/functions/one'])
    assert.deepEqual((await service.ask('GET', target)).json, one, target);
  assert.equal((await service.ask('GET', `/v1/projects/${REF}/functions%2Fone`)).status, 404);
  assert.equal((await service.ask('GET', `/v1/projects/${REF}/functions/one%2Fbody`)).status, 422);
  assert.equal((await service.ask('GET', '/v1/projects/default')).json.ref, REF);
  assert.deepEqual((await nginx.gateway('GET', '/functions-admin/v1/projects/default/functions/one')).json, one);
});

test('the flat API: plain paths, times for people, files, and its own words', async () => {
  const made = await service.ask('POST', '/v1/functions/', { json: { name: 'flat', files: [{ name: 'index.ts', content: 'flat one' }, { name: 'lib/more.ts', content: 'more — é' }, { name: 'map.json', content: '{}' }], import_map_path: 'map.json', verify_jwt: false } });
  assert.equal(made.status, 200, made.text);
  const f = made.json;
  assert.deepEqual([f.slug, f.entrypoint_path, f.import_map, f.import_map_path, f.verify_jwt, f.version, 'files' in f], ['flat', 'index.ts', true, 'map.json', false, 1, false]);
  assert.equal(new Date(f.created_at).toISOString(), f.created_at);
  const one = await service.ask('GET', '/v1/functions/flat');
  assert.deepEqual(one.json.files, [{ name: 'index.ts', content: 'flat one' }, { name: 'lib/more.ts', content: 'more — é' }, { name: 'map.json', content: '{}' }]);
  const list = (await service.ask('GET', '/v1/functions')).json;
  assert.equal(list[0].slug, 'flat', 'newest first');
  assert.deepEqual(list[0], one.json);
  assert.equal((await service.ask('POST', '/v1/functions', { json: { name: 'flat', files: [{ name: 'index.ts', content: 'flat two' }] } })).json.verify_jwt, true, 'this API has a default of its own');
  const missing = await service.ask('GET', '/v1/functions/nobody');
  assert.deepEqual([missing.status, missing.json.error], [404, 'Function not found']);
  assert.deepEqual((await service.ask('DELETE', '/v1/functions/flat')).json, { message: 'Function deleted successfully' });
  assert.ok(!(await service.ask('GET', service.functions())).json.some((x) => x.slug === 'flat'));
  const through = await nginx.gateway('GET', '/functions/v1/supabase-function-manager/functions');
  assert.equal(through.status, 200);
  assert.ok(Array.isArray(through.json));
});

test('versions, files, blobs and the audit log cannot be changed, also not by SQL', () => {
  for (const [text, says] of [
    [`UPDATE functions_admin.edge_function_versions SET message = 'x'`, /immutable/],
    [`UPDATE functions_admin.edge_function_files SET path = 'x'`, /immutable/],
    [`UPDATE functions_admin.blob_chunks SET data = ''`, /immutable/],
    [`UPDATE functions_admin.audit_log SET actor = 'x'`, /append-only/],
    [`DELETE FROM functions_admin.audit_log`, /append-only/],
    [`TRUNCATE functions_admin.audit_log`, /append-only/],
  ]) for (const user of ['postgres', 'supabase_admin']) assert.throws(() => service.sql(text, user), says, text);
});

test('a blob is stored once, however often it is deployed', async () => {
  const count = () => Number(service.sql('SELECT count(*) FROM functions_admin.blobs'));
  const before = count(), big = 'x'.repeat(3_000_000);
  await service.deploy('shared-a', { 'index.ts': 'a', 'big.txt': big, 'copy.txt': big });
  await service.deploy('shared-b', { 'index.ts': 'b', 'big.txt': big });
  assert.equal(count(), before + 3);
  const form = await service.ask('GET', service.functions('/shared-b/body'));
  assert.ok(form.text.includes(big));
});

test('who deployed, with which message, is on record', async () => {
  const made = await service.deploy('noted', 'x', { headers: { 'x-deploy-message': 'because of #12' }, metadata: { name: 'Noted' } });
  const row = service.sql(`SELECT message, created_by, source FROM functions_admin.edge_function_versions WHERE function_id = '${made.json.id}'`);
  assert.equal(row, 'because of #12|service_role|deploy');
  const audit = service.sql(`SELECT actor, address, request_id, outcome, after FROM functions_admin.audit_log WHERE action = 'function.deploy' AND target = 'noted'`);
  assert.equal(audit, `service_role|192.0.2.7|${made.headers['x-request-id']}|done|1`);
});

test('what is not ours in the folder is never touched', async () => {
  const mine = path.join(service.functionsDir, 'by-hand');
  fs.mkdirSync(mine);
  fs.writeFileSync(path.join(mine, 'index.ts'), 'mine');
  fs.mkdirSync(path.join(service.functionsDir, 'main'));
  const refused = await service.deploy('by-hand', 'yours');
  assert.deepEqual([refused.status, refused.json.code], [409, 'not_managed']);
  assert.match(refused.json.hint, /another slug/);
  assert.equal(fs.readFileSync(path.join(mine, 'index.ts'), 'utf8'), 'mine');
  assert.equal((await service.ask('GET', service.functions('/by-hand'))).status, 404);
  await service.stop();
  await service.start();
  assert.equal(fs.readFileSync(path.join(mine, 'index.ts'), 'utf8'), 'mine');
  assert.ok(fs.existsSync(path.join(service.functionsDir, 'main')));
});

test('what a loss of power has left of a stub is known as ours and made whole at the start; an edited one is not touched', async () => {
  const index = (slug) => path.join(service.functionsDir, slug, 'index.ts');
  const parts = { 'torn-empty': () => '', 'torn-zeros': (whole) => '\0'.repeat(whole.length), 'torn-head': (whole) => whole.slice(0, 40), 'torn-name': (whole) => whole.slice(0, -20), 'torn-tail': (whole) => `${whole.slice(0, -5)}\0\0\0\0\0` };
  const others = { 'edited-more': (whole) => `${whole}// mine\n`, 'edited-other': (whole) => whole.replace('export', 'import') };
  const whole = {};
  for (const slug of [...Object.keys(parts), ...Object.keys(others)]) {
    assert.equal((await service.deploy(slug, `I am ${slug}`)).status, 201);
    whole[slug] = fs.readFileSync(index(slug), 'utf8');
  }
  await service.stop();
  for (const [slug, part] of Object.entries({ ...parts, ...others })) fs.writeFileSync(index(slug), part(whole[slug]));
  fs.writeFileSync(path.join(service.functionsDir, 'torn-head', 'deno.json'), '');
  // Without the link into our releases an empty file is anybody's.
  fs.mkdirSync(path.join(service.functionsDir, 'torn-not'));
  fs.writeFileSync(index('torn-not'), '');
  await service.start();
  for (const slug of Object.keys(parts)) {
    assert.equal(fs.readFileSync(index(slug), 'utf8'), whole[slug], slug);
    assert.notEqual(fs.readFileSync(path.join(service.functionsDir, slug, 'deno.json'), 'utf8'), '', slug);
    assert.equal((await service.ask('DELETE', service.functions(`/${slug}`))).status, 200);
    assert.ok(!fs.existsSync(path.join(service.functionsDir, slug)), slug);
  }
  for (const slug of Object.keys(others)) assert.equal(fs.readFileSync(index(slug), 'utf8'), others[slug](whole[slug]), slug);
  assert.deepEqual([(await service.deploy('torn-not', 'x')).json.code, fs.readFileSync(index('torn-not'), 'utf8')], ['not_managed', '']);
});

test('a lost volume is built anew from the database, many releases side by side, before the service is ready', async () => {
  const slugs = Array.from({ length: 20 }, (_, i) => `lost-${i}`);
  await Promise.all(slugs.map((slug) => service.deploy(slug, `I am ${slug}`)));
  const release = (slug) => service.manifest().functions[slug].versions[0].path;
  const before = slugs.map(release);
  await service.stop();
  fs.rmSync(path.join(service.functionsDir, '.releases'), { recursive: true });
  for (const slug of slugs) fs.rmSync(path.join(service.functionsDir, slug), { recursive: true });
  await service.start();
  assert.deepEqual(slugs.map(release), before);
  for (const slug of slugs) {
    assert.equal(fs.readFileSync(path.join(service.functionsDir, release(slug), 'source/index.ts'), 'utf8'), `I am ${slug}`);
    assert.match(service.stub(slug), /Written by functions-admin/);
  }
  assert.deepEqual(service.staging(), []);
});
