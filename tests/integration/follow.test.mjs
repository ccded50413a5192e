// Server-sent events: how a deploy goes on while it runs, and deployments and logs followed by whoever waits for the next one.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { begin } from '../lib/fastcgi.mjs';
import { makeService, multipart, REF, SERVICE_ROLE, startNginx, startPostgres, startRuntime, until } from '../lib/service.mjs';

const SSE = { accept: 'text/event-stream' };
let postgres, runtime, service;
before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres);
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url, workers: '8' });
  await service.start();
});
after(async () => {
  await service?.remove();
  await runtime?.stop();
  await postgres?.remove();
});

/** The events of an answer: {event, id, data}. */
const events = (text) => text.split('\n\n').filter((block) => /^data: /m.test(block)).map((block) => ({
  event: /^event: (.*)$/m.exec(block)?.[1], id: /^id: (.*)$/m.exec(block)?.[1], data: JSON.parse(/^data: (.*)$/m.exec(block)[1]),
}));
const told = async (slug, source, { headers, ...more } = {}) => {
  const answer = await service.deploy(slug, source, { headers: { ...SSE, ...headers }, ...more });
  return { ...answer, events: answer.headers['content-type'] === 'text/event-stream' ? events(answer.text) : undefined };
};
const deployments = (headers = {}, query = '') => service.ask('GET', `/v1/projects/${REF}/deployments${query}`, { headers: { ...SSE, ...headers } });

test('a deploy tells each stage, and at the end what it made', async () => {
  const done = await told('told', 'one');
  assert.equal(done.status, 200);
  assert.deepEqual(done.events.map((e) => [e.event, e.data.stage ?? e.data.result]), [['progress', 'staged'], ['progress', 'stored'], ['progress', 'booted'], ['progress', 'active'], ['progress', 'verified'], ['done', 'verified']]);
  assert.deepEqual(done.events.at(-1).data.function, (await service.ask('GET', service.functions('/told'))).json);
  const same = await told('told', 'one');
  assert.deepEqual(same.events.map((e) => [e.event, e.data.result]), [['done', 'unchanged']]);
  const bundled = await told('told', 'two', { query: '&bundleOnly=true' });
  assert.deepEqual(bundled.events.map((e) => e.data.stage ?? e.data.result), ['staged', 'stored', 'bundled']);
});

test('each stage is told while the next one is awaited, and who leaves does not end the deploy', async () => {
  const hold = runtime.hold('slow'), form = multipart({ entrypoint_path: 'index.ts' }, { 'index.ts': 'slow' });
  const under = begin(service.socket, { method: 'POST', path: service.functions('/deploy?slug=slow'), body: form.body, headers: { ...SSE, authorization: `Bearer ${SERVICE_ROLE}`, 'content-type': form.type } });
  let text = '';
  under.socket.on('data', (bytes) => { text += bytes.toString('latin1'); });
  await hold.reached;
  await until('what was stored is told while it boots', () => text.includes('{"stage":"stored"}'));
  assert.ok(!text.includes('booted'));
  under.response.catch(() => {});
  under.socket.destroy();
  hold.release();
  await until('it is deployed all the same', async () => (await service.ask('GET', service.functions('/slow'))).status === 200);
});

test('what fails says so as every error does; what is refused before it begins is no stream', async () => {
  const failed = await told('told', 'BOOT_FAILS');
  assert.deepEqual(failed.events.map((e) => e.event), ['progress', 'progress', 'failed']);
  const why = failed.events.at(-1).data;
  assert.deepEqual([why.status, why.code, why.request_id], [422, 'boot_failed', failed.headers['x-request-id']]);
  assert.match(why.message, /BOOT_FAILS was found/);
  const missing = await told('told', { 'index.ts': 'import "./nowhere.ts"' });
  assert.deepEqual(missing.events.map((e) => [e.event, e.data.status]), [['failed', 422]]);
  assert.equal((await told('told', 'x', { metadata: { verify_jwt: 'perhaps' } })).status, 422);
  assert.equal((await told('told', 'x', { headers: { 'if-match': '"1.1"' } })).events.at(-1).data.status, 412);
  const keyed = await told('told', 'three', { headers: { 'idempotency-key': 'one-answer' } });
  assert.deepEqual([keyed.status, keyed.events], [201, undefined]);
});

test('deployments: the newest at once, then held until something happens', async () => {
  const first = await deployments({}, '?limit=2');
  assert.match(first.text, /^retry: 1000\n/);
  const [{ event, id, data }] = events(first.text);
  assert.deepEqual([event, data.data.length, data.data[0].slug], ['deployments', 2, 'told']);
  assert.deepEqual(data.data, (await service.ask('GET', `/v1/projects/${REF}/deployments?limit=2`)).json.data);
  const hold = runtime.hold('told'), waiting = deployments({ 'last-event-id': id }, '?limit=2');
  const deploying = service.deploy('told', 'four');
  await hold.reached;
  const [begun] = events((await waiting).text);
  assert.deepEqual([begun.data.data[0].status, begun.data.data[1].id], ['pending', data.data[0].id]);
  const next = deployments({ 'last-event-id': begun.id }, '?limit=2');
  hold.release();
  assert.equal((await deploying).status, 201);
  let last = events((await next).text)[0];
  // "active" may have been seen before "verified".
  while (last.data.data[0].status !== 'verified') [last] = events((await deployments({ 'last-event-id': last.id }, '?limit=2')).text);
  assert.equal(last.data.data[0].id, begun.data.data[0].id);
  const other = await service.ask('GET', service.functions('/slow/deployments'), { headers: SSE });
  assert.deepEqual(events(other.text)[0].data.data.map((d) => d.slug), ['slow']);
  assert.equal((await service.ask('GET', service.functions('/nobody/deployments'), { headers: SSE })).status, 404);
  const { token } = (await service.ask('POST', '/v1/access-tokens', { json: { name: 'some', scopes: ['functions:read'], slugs: ['slow'] } })).json;
  assert.deepEqual(events((await deployments({ authorization: `Bearer ${token}` })).text)[0].data.data.map((d) => d.slug), ['slow']);
});

test('nodes: told whenever one looks different, and not for a lease that is renewed', async () => {
  const nodes = (headers = {}) => service.ask('GET', `/v1/projects/${REF}/nodes`, { headers: { ...SSE, ...headers } });
  const untimed = ({ generation, data }) => ({ generation, data: data.map(({ seen_at, behind_ms, error: { at, ...error } = {}, ...node }) => ({ ...node, error })) });
  await until('the server has said what it shows', async () => { const [node] = (await service.ask('GET', `/v1/projects/${REF}/nodes`)).json.data; return node?.verified && node.behind === 0; });
  let [last] = events((await nodes()).text);
  assert.equal(last.event, 'nodes');
  assert.deepEqual(untimed(last.data), untimed((await service.ask('GET', `/v1/projects/${REF}/nodes`)).json));

  const east = "name = 'east'";
  const seen = async (change, looks) => {
    const waiting = nodes({ 'last-event-id': last.id });
    await change();
    for (let answer = await waiting; ; answer = await nodes({ 'last-event-id': last.id })) {
      [last] = events(answer.text);
      assert.ok(last, `${looks}: there was nothing to tell`);
      if (looks(last.data.data.find(({ name }) => name === 'east'), last.data)) return;
    }
  };
  const sql = (text) => () => service.sql(text);
  await seen(sql(`INSERT INTO functions_admin.nodes (id, project_ref, name, kind, program, draining, started_at, alive_until, generation, shown_at, verified, secrets_revision, failed_generation, error_code, error_message, error_at)
    SELECT '00000000-0000-4000-8000-00000000000e', ref, 'east', 'agent', '1.0', false, now(), now() + interval '1 hour', generation - 1, now(), false, 0, generation, 'disk_full', 'no space', now() FROM functions_admin.projects WHERE ref = '${REF}'`), (node) => node?.behind === 1 && node.error.code === 'disk_full');

  // What a program says again and again.
  service.sql(`UPDATE functions_admin.nodes SET alive_until = now() + interval '2 hours', error_at = now() + interval '1 second' WHERE ${east}`);
  const [again] = events((await nodes()).text);
  assert.equal(again.id, last.id, 'a lease that is renewed is no change');
  assert.notEqual(again.data.data[0].seen_at, last.data.data[0].seen_at);

  await seen(sql(`UPDATE functions_admin.nodes SET failed_generation = 0, error_code = NULL, error_message = NULL, error_at = NULL, generation = generation + 1, verified = true WHERE ${east}`), (node) => node.behind === 0 && !node.error);
  await seen(() => service.ask('POST', `/v1/projects/${REF}/nodes/00000000-0000-4000-8000-00000000000e/drain`), (node) => node.draining);
  await seen(sql(`UPDATE functions_admin.nodes SET alive_until = clock_timestamp() + interval '1 second' WHERE ${east}`), (node) => !node.alive);
  const { generation } = last.data;
  await seen(() => service.deploy('told', 'for the nodes'), (node, list) => list.generation > generation && node.behind > 0);
  await seen(sql(`DELETE FROM functions_admin.nodes WHERE ${east}`), (node) => node === undefined);
});

test('logs are held too; a quarter of the workers waits at most, and who finds no place is answered at once', async () => {
  const logs = (last) => service.ask('GET', service.functions('/slow/logs'), { headers: { ...SSE, 'last-event-id': String(last) } });
  let batch = 0;
  const say = async (message) => {
    const credential = fs.readFileSync(path.join(service.functionsDir, '.functions-admin/events-token'), 'utf8');
    const answer = await service.ask('POST', `/v1/projects/${REF}/events`, { headers: { authorization: `Bearer ${credential}` }, json: { source: '00000000-0000-4000-8000-000000000002', batch: ++batch, events: [{ at: Date.now(), slug: 'slow', version: 1, kind: 'log', message }] } });
    assert.equal(answer.status, 201);
  };
  await say('first');
  const last = Number(events((await logs(0)).text).at(-1).id);
  const three = [logs(last), logs(last), logs(last)];
  const refused = await Promise.race(three);
  assert.match(refused.text, /^retry: 10000\nid: \d+\n\n$/, 'eight workers, two places');
  assert.equal((await service.ask('GET', service.functions('/slow'))).status, 200, 'the other workers answer');
  await say('second');
  const answers = (await Promise.all(three)).filter((answer) => answer !== refused);
  for (const answer of answers) assert.deepEqual([/^retry: 1000\n/.test(answer.text), events(answer.text).map((e) => e.data.message)], [true, ['second']]);
});

test('a deploy by MCP with an Idempotency-Key gives one answer, which is kept, and no stream', async () => {
  const send = () => service.ask('POST', '/mcp', {
    headers: { accept: 'application/json, text/event-stream', 'idempotency-key': 'by-mcp' },
    json: { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'deploy_edge_function', arguments: { name: 'by-mcp', files: [{ name: 'index.ts', content: '// by mcp' }] }, _meta: { progressToken: 1 } } },
  });
  const first = await send(), again = await send();
  assert.equal(first.json.result.structuredContent?.slug ?? first.json.result.structuredContent?.function?.slug, 'by-mcp', first.text);
  assert.deepEqual([again.headers['idempotent-replayed'], again.text], ['true', first.text]);
  assert.equal((await service.ask('GET', service.functions('/by-mcp'))).json.version, 1);
});

test('what another process does is seen, and nobody who waits keeps the program from stopping', async () => {
  const [{ id }] = events((await deployments()).text);
  const waiting = deployments({ 'last-event-id': id });
  service.sql(`UPDATE functions_admin.edge_function_deployments SET error_message = 'by another process' WHERE id = (SELECT id FROM functions_admin.edge_function_deployments ORDER BY created_at DESC LIMIT 1)`);
  const [seen] = events((await waiting).text);
  assert.equal(seen.data.data[0].error_message, 'by another process');
  const three = Array.from({ length: 3 }, () => deployments({ 'last-event-id': seen.id })), begun = Date.now();
  // The one that finds no place tells that the two others wait.
  await Promise.race(three);
  assert.equal(await service.stop(), 0);
  for (const answer of await Promise.all(three)) assert.match(answer.text, new RegExp(`^retry: \\d+\\nid: ${seen.id}\\n\\n$`));
  assert.ok(Date.now() - begun < 15_000, 'long before the 20 seconds');
});

/** How many are held. */
const followers = async () => Number(/^functions_admin_followers (\d+)$/m.exec((await service.ask('GET', '/metrics')).text)[1]);
/** Leaves with all of them, which are held, and sees their places free again long before their time is over. */
async function leave(many, most, destroy) {
  await until('all are held', async () => await followers() === many);
  const [{ id }] = events((await deployments()).text);
  if (many === most) assert.match((await deployments({ 'last-event-id': id })).text, /^retry: 10000\n/, 'no place is left');
  destroy();
  await until('their places are free', async () => await followers() === 0, 10_000);
}

test('who leaves is not held: the places of 64 followers are free at once', async () => {
  await service.stop();
  service.writeConfig({ workers: '256' });
  await service.start();
  const [{ id }] = events((await deployments()).text);
  const many = Array.from({ length: 64 }, () => begin(service.socket, { path: `/v1/projects/${REF}/deployments`, headers: { ...SSE, authorization: `Bearer ${SERVICE_ROLE}`, 'last-event-id': id } }));
  for (const { response } of many) response.catch(() => {});
  await leave(64, 64, () => { for (const { socket } of many) socket.destroy(); });
  // And through nginx.
  const nginx = await startNginx(service);
  try {
    const few = Array.from({ length: 8 }, () => http.get({ socketPath: `${nginx.dir}/site.sock`, path: `/v1/projects/${REF}/deployments`, headers: { host: 'supabase.example', ...SSE, authorization: `Bearer ${SERVICE_ROLE}`, 'last-event-id': id }, agent: false }));
    for (const request of few) request.on('error', () => {});
    await leave(8, 64, () => { for (const request of few) request.destroy(); });
  } finally { await nginx.stop(); }
});
