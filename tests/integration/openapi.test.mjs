// src/api/openapi.json describes every route and nothing else, and every operation answers as it says.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { conforms, covered, document, operations } from '../lib/openapi.mjs';
import { multipart, makeService, REF, ROOT, run, startPostgres, startRuntime } from '../lib/service.mjs';

const ESZIP = fs.readFileSync(path.join(ROOT, 'tests/fixtures/eszip/hello.ezbr'));
let postgres, runtime, service;
before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres);
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url, oauth_issuer: 'https://supabase.example/auth/v1' });
  await service.start();
});
after(async () => {
  await service?.remove();
  await runtime?.stop();
  await postgres?.remove();
});

test('every row of the route table is described, with its scope, and nothing else is', () => {
  const rows = JSON.parse(run(['routes', '--json']).stdout).map((r) => `${r.method} ${r.path} (${r.scope})`).sort();
  const described = operations().map((o) => `${o.method} ${o.path} (${o.scope})`).sort();
  assert.deepEqual(rows.filter((r) => !described.includes(r)), [], 'routes in src/api/routes.c that src/api/openapi.json does not describe (with this x-required-scope)');
  assert.deepEqual(described.filter((r) => !rows.includes(r)), [], 'operations in src/api/openapi.json that src/api/routes.c does not have (with this scope)');
});

test('the description is sound: ids are unique, references lead somewhere, public operations ask for no credential', () => {
  const ids = operations().map((o) => o.operation.operationId);
  assert.equal(new Set(ids).size, ids.length);
  const text = JSON.stringify(document);
  for (const [, pointer] of text.matchAll(/"\$ref":"#([^"]+)"/g))
    assert.ok(pointer.slice(1).split('/').reduce((at, part) => at?.[part], document), `$ref #${pointer}`);
  for (const kind of Object.keys(document.components)) {
    if (kind === 'securitySchemes') continue;
    for (const name of Object.keys(document.components[kind])) assert.ok(text.includes(`"#/components/${kind}/${name}"`), `nothing uses components/${kind}/${name}`);
  }
  for (const o of operations()) {
    assert.equal(JSON.stringify(o.operation.security) === '[]', o.scope === 'public', `${o.method} ${o.path}: security`);
    for (const [, name] of o.path.matchAll(/\{(\w+)\}/g)) assert.ok(o.operation.parameters?.some((p) => p.$ref === `#/components/parameters/${name}`), `${o.method} ${o.path}: the parameter ${name}`);
    assert.ok(document.tags.some((t) => t.name === o.operation.tags[0]), `${o.operation.operationId}: its tag is not in tags`);
  }
});

test('the program serves this very file', async () => {
  const answer = await service.ask('GET', '/v1/openapi.json', { headers: { authorization: null } });
  assert.equal(answer.status, 200);
  assert.equal(answer.text, fs.readFileSync(path.join(ROOT, 'src/api/openapi.json'), 'utf8'));
});

// A check that never fails proves nothing.
test('the check itself refuses what is not described', () => {
  const headers = { 'content-type': 'application/json', 'x-request-id': 'x' };
  const wrong = (status, body, target = '/v1/projects') => assert.throws(() => conforms('GET', target, { status, headers, text: JSON.stringify(body) }));
  wrong(200, [{ id: 'x' }]);
  wrong(200, {});
  wrong(418, { message: 'm', code: 'c', request_id: 'x' });
  wrong(404, { message: 'm', code: 'c', request_id: 'x', surplus: 1 }, `/v1/projects/${REF}`);
  wrong(404, { message: 'm', code: 'c', request_id: 'another' }, `/v1/projects/${REF}`);
  conforms('GET', `/v1/projects/${REF}`, { status: 404, headers, text: '{"message":"m","code":"c","request_id":"x"}' });
});

test('every operation succeeds as described', async () => {
  const ok = async (status, ...args) => {
    const answer = await service.ask(...args);
    assert.equal(answer.status, status, `${args[0]} ${args[1]}: ${answer.text}`);
    return answer;
  };
  const form = multipart({ entrypoint_path: 'index.ts', import_map_path: 'deno.json', static_patterns: ['*.html'], verify_jwt: false, name: 'Hello', message: 'first' },
    { 'index.ts': 'export default 1', 'deno.json': '{"imports":{}}', 'page.html': '<p>' });
  for (const target of ['/healthz', '/readyz', '/metrics', '/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/mcp', '/v1/projects', '/v1/projects/default', `/v1/projects/${REF}`, `/v1/projects/${REF}/api-keys`, `/v1/projects/${REF}/api-keys?reveal=true`])
    await ok(200, 'GET', target);
  await ok(201, 'POST', service.functions('/deploy?slug=hello'), { body: form.body, headers: { 'content-type': form.type, 'x-deploy-message': 'note' } });
  const bundled = multipart({ entrypoint_path: 'index.ts' }, { 'index.ts': 'export default 2' });
  const stored = await ok(201, 'POST', service.functions('/deploy?slug=later&bundleOnly=true'), { body: bundled.body, headers: { 'content-type': bundled.type } });
  await ok(200, 'PUT', service.functions(), { json: [stored.json] });
  await ok(201, 'POST', service.functions(), { json: { slug: 'single', name: 'single', body: 'export default 3', verify_jwt: true } });
  await ok(201, 'POST', service.functions('?slug=bundle&name=bundle&entrypoint_path=file:///src/index.ts&verify_jwt=true'), { body: ESZIP, headers: { 'content-type': 'application/vnd.denoland.eszip' } });
  await ok(200, 'PATCH', service.functions('/single'), { json: { name: 'Another name' } });
  await ok(200, 'PATCH', service.functions('/single'), { json: { body: 'export default 4' } });
  assert.equal((await ok(200, 'GET', service.functions())).json.length, 4);
  assert.ok((await ok(200, 'GET', service.functions('?include=activity'))).json.every((f) => f.activity.updated_by === 'service_role'));
  for (const slug of ['hello', 'bundle']) {
    await ok(200, 'GET', service.functions(`/${slug}`));
    await ok(200, 'GET', service.functions(`/${slug}/body`));
    await ok(200, 'GET', `/v1/functions/${slug}`);
  }
  await ok(200, 'PATCH', service.functions('/hello/settings'), { json: { limits: { memory_mb: 200 }, platform: [], message: 'less' } });
  await ok(200, 'GET', service.functions('/hello/settings'));
  await ok(200, 'PATCH', `/v1/projects/${REF}/function-defaults`, { json: { imports: { npm: false } } });
  await ok(200, 'GET', `/v1/projects/${REF}/function-defaults`);
  const templates = (await ok(200, 'GET', '/v1/templates')).json.data;
  assert.equal(templates.length, 12);
  for (const template of templates) {
    const made = await ok(201, 'POST', service.functions(), { json: { slug: `from-${template.id}`, template: template.id } });
    assert.equal(made.json.verify_jwt, template.verify_jwt);
    assert.ok((await ok(200, 'GET', service.functions(`/from-${template.id}/body`))).text.includes(template.source));
    assert.equal((await ok(200, 'GET', service.functions(`/from-${template.id}/versions/1`))).json.source, 'template');
    await ok(200, 'DELETE', service.functions(`/from-${template.id}`));
  }
  assert.equal((await ok(201, 'POST', service.functions(), { json: { slug: 'open', template: 'hello', verify_jwt: false } })).json.verify_jwt, false);
  assert.equal((await ok(422, 'POST', service.functions(), { json: { slug: 'none', template: 'absent' } })).json.code, 'template_not_found');
  await ok(422, 'POST', service.functions(), { json: { slug: 'both', template: 'hello', body: 'x' } });
  await ok(422, 'POST', service.functions(), { json: { slug: 'neither' } });
  await ok(200, 'DELETE', service.functions('/open'));
  const events = fs.readFileSync(path.join(service.functionsDir, '.functions-admin/events-token'), 'utf8');
  const event = { at: Date.now(), slug: 'hello', version: 1 };
  await ok(201, 'POST', `/v1/projects/${REF}/events`, { headers: { authorization: `Bearer ${events}` }, json: { source: '00000000-0000-4000-8000-000000000000', batch: 1, dropped: 2, events: [{ ...event, kind: 'log', message: 'said' }, { ...event, kind: 'call', status: 200, ms: 5 }, { ...event, kind: 'boot', ms: 7 }] } });
  assert.equal((await ok(200, 'GET', service.functions('/hello/logs'))).json.data.length, 2);
  await ok(200, 'GET', service.functions('/hello/logs'), { headers: { accept: 'text/event-stream' } });
  assert.equal((await ok(200, 'GET', service.functions('/hello/stats'))).json.versions[0].calls, 1);
  const analytics = `/v1/projects/${REF}/analytics/endpoints`;
  for (const name of ['logs', 'logs.all']) assert.equal((await ok(200, 'GET', `${analytics}/${name}?sql=select%20from%20function_logs`)).json.result.length, 3);
  const { id } = (await ok(200, 'GET', service.functions('/hello'))).json;
  assert.equal((await ok(200, 'GET', `${analytics}/functions.combined-stats?interval=1hr&function_id=${id}`)).json.result[0].requests_count, 1);
  for (const target of [`/v1/projects/${REF}/secrets`, service.functions('/hello/secrets')]) {
    await ok(201, 'POST', target, { json: [{ name: 'A', value: 'a' }, { name: 'B', value: '' }] });
    await ok(200, 'GET', target);
    await ok(200, 'DELETE', target, { json: ['A', 'NOT_SET'] });
  }
  await ok(201, 'POST', `/v1/projects/${REF}/secrets/rollback`, { json: { revision: 1 } });
  await ok(200, 'GET', `/v1/projects/${REF}/secrets/revisions`);
  await ok(200, 'GET', '/v1/functions');
  await ok(200, 'POST', '/v1/functions', { json: { name: 'flat', files: [{ name: 'index.ts', content: 'export default 5' }] } });
  const again = multipart({ entrypoint_path: 'index.ts' }, { 'index.ts': 'export default 6' });
  await ok(201, 'POST', service.functions('/deploy?slug=hello'), { body: again.body, headers: { 'content-type': again.type } });
  for (const rest of ['/versions', '/versions?limit=1', '/versions/1', '/versions/1/body', '/diff?from=1&to=2', '/traffic', '/deployments'])
    await ok(200, 'GET', service.functions(`/hello${rest}`));
  await ok(200, 'POST', service.functions('/hello/rollback'), { json: { message: 'back' } });
  await ok(200, 'PUT', service.functions('/hello/traffic'), { json: { traffic: [{ version: 1, percent: 90 }, { version: 2, percent: 10 }], sticky: { by: 'header', name: 'x-user' } } });
  const deployments = await ok(200, 'GET', `/v1/projects/${REF}/deployments?limit=2`);
  await ok(200, 'GET', `/v1/projects/${REF}/deployments/${deployments.json.data[0].id}`);
  const releases = await ok(200, 'GET', `/v1/projects/${REF}/releases?limit=2`);
  await ok(200, 'GET', `/v1/projects/${REF}/releases/${releases.json.data[0].id}`);
  await ok(200, 'POST', `/v1/projects/${REF}/releases/${releases.json.data[0].id}/rollback`);
  await ok(200, 'PATCH', `/v1/projects/${REF}/settings`, { json: { retention: { versions: 50 }, smoke_test: null } });
  await ok(200, 'GET', `/v1/projects/${REF}/settings`);
  await ok(200, 'GET', '/v1/nodes');
  const [node] = (await ok(200, 'GET', `/v1/projects/${REF}/nodes`)).json.data;
  for (const order of ['drain', 'resume', 'check']) await ok(200, 'POST', `/v1/projects/${REF}/nodes/${node.id}/${order}`);
  service.sql(`INSERT INTO functions_admin.nodes SELECT gen_random_uuid(), project_ref, 'gone', kind, program, false, false, started_at, now(), generation, shown_at, verified, secrets_revision FROM functions_admin.nodes`);
  const gone = (await ok(200, 'GET', `/v1/projects/${REF}/nodes`)).json.data.find((n) => n.name === 'gone');
  await ok(200, 'DELETE', `/v1/projects/${REF}/nodes/${gone.id}`);
  assert.equal((await ok(200, 'GET', `/v1/projects/${REF}/doctor`)).json.healthy, true);
  await ok(200, 'GET', service.functions('/hello/files?version=1'));
  await ok(200, 'POST', service.functions('/hello/validate'), { body: again.body, headers: { 'content-type': again.type } });
  await ok(200, 'POST', '/mcp', { json: { jsonrpc: '2.0', id: 1, method: 'ping' } });
  await ok(202, 'POST', '/mcp', { json: { jsonrpc: '2.0', method: 'notifications/initialized' } });
  fs.mkdirSync(path.join(service.functionsDir, 'by-hand'));
  fs.writeFileSync(path.join(service.functionsDir, 'by-hand/index.ts'), 'export default 7');
  await ok(200, 'POST', service.functions('/import'), { json: { dry_run: true } });
  assert.equal((await ok(200, 'POST', service.functions('/import'), { json: { name: 'by-hand' } })).json.imported, 1);
  const edit = (text) => {
    const releases = path.join(service.functionsDir, '.releases/by-hand');
    fs.writeFileSync(path.join(releases, fs.readdirSync(releases)[0], 'source/by-hand/index.ts'), text);
  };
  edit('export default 8');
  assert.equal((await ok(200, 'GET', `/v1/projects/${REF}/drift`)).json.drift.length, 1);
  await ok(200, 'POST', service.functions('/by-hand/drift/revert'));
  edit('export default 9');
  await ok(200, 'POST', service.functions('/by-hand/drift/accept'), { json: { message: 'kept' } });
  await ok(200, 'DELETE', service.functions('/by-hand'));
  await ok(200, 'DELETE', service.functions('/hello'));
  await ok(200, 'POST', service.functions('/hello/restore'), { json: {} });
  const staging = fs.mkdtempSync(path.join(service.functionsDir, '..', 'staging-'));
  const created = JSON.parse(run(['project', 'create', '--config', service.config, '--name', 'staging', '--functions-dir', staging, '--json']).stdout);
  await service.stop();
  service.clearLog();
  await service.start();
  await ok(200, 'POST', service.functions('/hello/promote'), { json: { to: created.ref } });
  await ok(200, 'DELETE', '/v1/functions/flat');
  const now = await ok(200, 'GET', service.functions('/single'));
  await ok(304, 'GET', service.functions('/single'), { headers: { 'if-none-match': now.headers.etag } });
  await ok(412, 'PATCH', service.functions('/single'), { json: { name: 'Late' }, headers: { 'if-match': '"1.1"' } });
  await ok(200, 'DELETE', service.functions('/single'));
  const token = await ok(201, 'POST', '/v1/access-tokens', { json: { name: 'ci', scopes: ['functions:read'], project: 'default', slugs: ['ci-*'], networks: ['192.0.2.0/24'], expires_at: new Date(Date.now() + 60_000).toISOString() } });
  await ok(200, 'GET', '/v1/access-tokens');
  assert.ok((await ok(200, 'GET', `/v1/projects/${REF}/audit?limit=500`)).json.data.length > 3);
  assert.equal((await ok(200, 'GET', `/v1/projects/${REF}/audit/verify`)).json.ok, true);
  const session = await ok(200, 'GET', '/v1/session', { headers: { authorization: `Bearer ${token.json.token}` } });
  assert.deepEqual(session.json.scopes, ['functions:read']);
  assert.deepEqual([session.json.project, session.json.slugs], [REF, ['ci-*']]);
  assert.deepEqual(session.json.routes, JSON.parse(run(['routes', '--json']).stdout).map(({ method, path, scope }) => ({ method, path, ...(scope !== 'public' && scope !== 'any' && { scope }) })), 'the routes of the program, each with the scope that it needs');
  await ok(200, 'POST', `/v1/access-tokens/${token.json.id}/rotate`);
  await ok(200, 'DELETE', `/v1/access-tokens/${token.json.id}`);
  const missing = operations().filter((o) => ![...covered()].some((c) => c.startsWith(`${o.method} ${o.path} 2`)));
  assert.deepEqual(missing.map((o) => `${o.method} ${o.path}`), [], 'operations of which no test of tests/integration/openapi.test.mjs has seen a success. HINT: add one above.');
});

test('every operation that needs a credential refuses as described: none, a bad one, one without the scope', async () => {
  const token = (await service.ask('POST', '/v1/access-tokens', { json: { name: 'nothing', scopes: ['audit:read'] } })).json.token;
  for (const o of operations()) {
    const target = o.path.replace('{ref}', REF).replace('{slug}', 'hello').replace(/\{\w+\}/, '1');
    if (o.scope === 'public') continue;
    assert.equal((await service.ask(o.method, target, { headers: { authorization: null } })).status, 401, `${o.method} ${target}`);
    assert.equal((await service.ask(o.method, target, { headers: { authorization: 'Bearer nonsense' } })).status, 401);
    if (o.scope !== 'any') assert.equal((await service.ask(o.method, target, { headers: { authorization: `Bearer ${token}` } })).status, o.scope === 'audit:read' ? 200 : 403, `${o.method} ${target}`);
    // The service_role key lacks one scope, the runtime's own.
    if (o.path.includes('{ref}')) assert.equal((await service.ask(o.method, target.replace(REF, 'zzzzzzzzzzzzzzzzzzzz'))).status, o.scope === 'events:write' ? 403 : 404);
    if (o.path.includes('{slug}') && o.method === 'GET') assert.ok([404, 400].includes((await service.ask(o.method, target.replace('hello', 'nobody'))).status), `${o.method} ${target} of nobody`);
  }
});
