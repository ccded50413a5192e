// The development gateway against the table of what real Kongs answered, and what is the gateway's own.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { DASHBOARD, KEYS, ask, startEcho, startNginx, until } from './helpers.mjs';

const { rows } = JSON.parse(fs.readFileSync(new URL('kong-answers.json', import.meta.url)));
const names = {
  '{service}': KEYS.SERVICE_ROLE_KEY, '{secret}': KEYS.SECRET_KEY, '{anon}': KEYS.ANON_KEY, '{publishable}': KEYS.PUBLISHABLE_KEY, '{deploy}': KEYS.DEPLOY_TOKEN,
  '{SERVICE}': KEYS.SERVICE_ROLE_KEY.toUpperCase(),
};
const fill = (text) => text.replace(/\{[a-zA-Z]+\}/g, (name) => names[name] ?? assert.fail(`unknown key ${name}`));
const basic = `Basic ${Buffer.from(`${DASHBOARD.user}:${DASHBOARD.password}`).toString('base64')}`;

const gateways = {};
const stops = [];

before(async () => {
  for (const mode of ['anonymous', 'strict', 'strict-bearer']) {
    const nginx = await startNginx({ KEY_AUTH: mode });
    gateways[mode] = { nginx, socket: `${nginx.dir}/gateway.sock` };
    const admin = await startEcho(`${nginx.dir}/admin.sock`, 'admin');
    const runtime = await startEcho(`${nginx.dir}/runtime.sock`, 'runtime');
    stops.push(() => admin.stop(), () => runtime.stop(), () => nginx.stop());
  }
});
after(async () => { for (const stop of stops) await stop(); });

describe("Kong's answers", () => {
  for (const row of rows) {
    if (row.differs) {
      test(`${row.id}: differs, and says why`, () => {
        assert.ok(row.kong && row.differs.length > 20 && !row.send);
      });
      continue;
    }
    test(`${row.id}: ${row.kong}`, async () => {
      const { send, expect } = row;
      const headers = { ...(send.basic ? { authorization: basic } : {}) };
      for (const [name, value] of Object.entries(send.headers ?? {})) headers[name] = fill(value);
      let body = send.bytes ? Buffer.alloc(send.bytes) : undefined;
      if (send.unfinished) body = (request) => { request.on('error', () => {}); request.flushHeaders(); };
      const response = await ask(gateways[row.mode].socket, { method: send.method, path: fill(send.path), headers, body });
      assert.equal(response.status, expect.status, response.text);
      if (expect.message) assert.deepEqual(response.json, { message: expect.message });
      if (expect.challenge) assert.match(response.headers['www-authenticate'], /^Key /);
      if (expect.upstream) assert.equal(response.json.upstream, expect.upstream);
      if (expect.target) assert.equal(response.json.target, fill(expect.target));
      if (expect.bytes) assert.equal(response.json.bytes, expect.bytes);
      for (const [name, value] of Object.entries(expect.seen ?? {})) {
        assert.equal(response.json.headers[name], value === null ? undefined : fill(value), name);
      }
    });
  }
});

describe('functions', () => {
  const gateway = () => gateways.anonymous.socket;

  test('need no key; Authorization, apikey and a preflight pass as they are', async () => {
    const plain = await ask(gateway(), { path: '/functions/v1/hello' });
    assert.equal(plain.json.upstream, 'runtime');
    assert.equal(plain.headers['access-control-allow-origin'], '*', "the function's own CORS headers");
    const keys = await ask(gateway(), { path: '/functions/v1/hello', headers: { authorization: 'Bearer user', apikey: KEYS.ANON_KEY } });
    assert.equal(keys.json.headers.authorization, 'Bearer user');
    assert.equal(keys.json.headers.apikey, KEYS.ANON_KEY);
    const preflight = await ask(gateway(), { method: 'OPTIONS', path: '/functions/v1/hello', headers: { origin: 'http://app.test', 'access-control-request-method': 'POST' } });
    assert.equal(preflight.json.method, 'OPTIONS');
    assert.equal(preflight.json.upstream, 'runtime');
  });

  test('are called with any method and body', async () => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const response = await ask(gateway(), { method, path: '/functions/v1/hello', headers: { 'content-length': 7 }, body: 'payload' });
      assert.equal(response.json.method, method);
      assert.equal(response.json.body, 'payload');
    }
  });

  test("the runtime's internal paths are closed, however they are written", async () => {
    for (const target of ['/functions/v1/_internal', '/functions/v1/_internal/boot', '/functions/v1//_internal/boot', '/functions/v1/%5Finternal/boot',
      '/functions/v1/%2F_internal/boot', '/functions/v1/hello/../_internal/boot', '/functions/v1/hello/%2e%2e/_internal/boot', '/functions/v1/./_internal/health',
      '/functions/v1/hello/%2e%2e%2f_internal/health']) {
      const response = await ask(gateway(), { method: 'POST', path: target });
      assert.equal(response.status, 404, target);
      assert.equal(response.json.code, 'not_found');
    }
  });

  test('a caller cannot speak as the program does', async () => {
    const response = await ask(gateway(), { path: '/functions/v1/hello', headers: { 'X-Functions-Admin-Token': 'guess', 'X-Functions-Admin-Boot': 'guess' } });
    assert.deepEqual(response.json.raw.filter((name) => /functions-admin/i.test(name)), []);
  });

  test('the bare /functions/v1 is nothing', async () => {
    assert.equal((await ask(gateway(), { path: '/functions/v1' })).status, 404);
  });
});

describe("Studio's path", () => {
  const gateway = () => gateways.anonymous.socket;

  test('refuses a wrong login', async () => {
    const wrong = `Basic ${Buffer.from(`${DASHBOARD.user}:wrong`).toString('base64')}`;
    assert.equal((await ask(gateway(), { path: '/api/v1/projects/default/functions', headers: { authorization: wrong } })).status, 401);
    assert.equal((await ask(gateway(), { path: '/api/v1/projects/default/functions', headers: { authorization: `Bearer ${KEYS.SERVICE_ROLE_KEY}` } })).status, 401);
  });

  test('is for reading: a write, which a page elsewhere could forge, is refused with the login too', async () => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const response = await ask(gateway(), { method, path: '/api/v1/projects/default/functions/hello', headers: { authorization: basic } });
      assert.equal(response.status, 405, method);
      assert.equal(response.json.code, 'method_not_allowed');
    }
  });

  test('catches no other name', async () => {
    assert.equal((await ask(gateway(), { path: '/api/v1/projects/default/functionsXYZ', headers: { authorization: basic } })).status, 404);
    assert.equal((await ask(gateway(), { path: '/api/v1/projects/other/functions', headers: { authorization: basic } })).status, 404);
  });
});

test('where users of the MCP endpoint sign in is open to all, in every mode, and nothing beside it', async () => {
  for (const [mode, { socket }] of Object.entries(gateways)) {
    for (const path of ['/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/functions-admin/mcp']) {
      for (const headers of [{}, { apikey: KEYS.ANON_KEY }, { authorization: 'Bearer nonsense' }]) {
        const response = await ask(socket, { path, headers });
        assert.deepEqual([response.status, response.json.upstream, response.json.target], [200, 'admin', path], `${mode} ${path}`);
      }
    }
    for (const path of ['/.well-known/oauth-protected-resource/', '/.well-known/oauth-protected-resource/functions/v1/other', '/.well-known/oauth-authorization-server'])
      assert.equal((await ask(socket, { path })).status, 404, path);
  }
});

describe("the web UI's path", () => {
  const gateway = () => gateways.anonymous.socket;

  test("sends neither the dashboard's login nor a key of the gateway upstream", async () => {
    for (const target of ['/functions-admin/ui', '/functions-admin/ui/', '/functions-admin/ui/assets/app.js?x=1', '/functions-admin/ui//a/../b']) {
      const response = await ask(gateway(), { path: target, headers: { authorization: basic, apikey: KEYS.SERVICE_ROLE_KEY } });
      assert.equal(response.status, 200, target);
      assert.ok(response.json.target.startsWith('/functions-admin/ui/'), response.json.target);
      assert.equal(response.json.headers.authorization, undefined);
      assert.equal(response.json.headers.apikey, undefined);
    }
  });

  test('wants the login, reads only, and leaves the API beside it without one', async () => {
    assert.equal((await ask(gateway(), { path: '/functions-admin/ui/' })).status, 401);
    assert.equal((await ask(gateway(), { path: '/functions-admin/ui/', headers: { apikey: KEYS.SERVICE_ROLE_KEY } })).status, 401);
    assert.equal((await ask(gateway(), { method: 'POST', path: '/functions-admin/ui/', headers: { authorization: basic } })).status, 405);
    assert.equal((await ask(gateway(), { path: '/functions-admin/uix' })).json.upstream, 'admin');
    assert.equal((await ask(gateway(), { method: 'POST', path: '/functions-admin/mcp' })).json.target, '/functions-admin/mcp');
  });
});

describe("the web UI's session", () => {
  const gateway = () => gateways.anonymous.socket;
  const target = '/functions-admin/dashboard/v1/projects/default/functions/a%2Fb?x=1';

  test('with the login and the header, the gateway fills in its own credential, for any method', async () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const response = await ask(gateway(), { method, path: target, headers: { authorization: basic, 'x-functions-admin-dashboard': '1', 'sec-fetch-site': 'same-origin', apikey: 'spoof', 'x-consumer-groups': 'spoof' } });
      assert.equal(response.status, 200, method);
      assert.equal(response.json.target, '/functions-admin/v1/projects/default/functions/a%2Fb?x=1');
      const { headers } = response.json;
      assert.equal(headers.authorization, `Bearer ${KEYS.SERVICE_ROLE_KEY}`);
      assert.deepEqual([headers.apikey, headers['x-consumer-groups']], [undefined, undefined]);
      assert.deepEqual([headers['x-functions-admin-dashboard'], headers['sec-fetch-site']], ['1', 'same-origin'], 'which the site looks at');
    }
  });

  test('without the header, which a page elsewhere cannot send, there is nothing, login or not', async () => {
    assert.equal((await ask(gateway(), { path: target, headers: { authorization: basic } })).status, 404);
    assert.equal((await ask(gateway(), { path: target })).status, 404);
    const preflight = await ask(gateway(), { method: 'OPTIONS', path: target, headers: { origin: 'https://elsewhere.test', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-functions-admin-dashboard' } });
    assert.equal(preflight.headers['access-control-allow-origin'], undefined);
    assert.notEqual(preflight.status, 200);
  });

  test('without the login, or with a wrong one, it is 401', async () => {
    const marked = { 'x-functions-admin-dashboard': '1' };
    assert.equal((await ask(gateway(), { path: target, headers: marked })).status, 401);
    assert.equal((await ask(gateway(), { path: target, headers: { ...marked, authorization: `Bearer ${KEYS.SERVICE_ROLE_KEY}` } })).status, 401);
  });

  test('leads to the API alone', async () => {
    const headers = { authorization: basic, 'x-functions-admin-dashboard': '1' };
    for (const other of ['metrics', 'mcp', 'v1/../metrics', 'v1//x', 'v1/%2e%2e/metrics', '']) {
      assert.equal((await ask(gateway(), { path: `/functions-admin/dashboard/${other}`, headers })).status, 404, other);
    }
  });
});

describe('everything else', () => {
  test('is a short JSON 404', async () => {
    for (const target of ['/', '/rest/v1/', '/metrics', '/v1/projects', '/project/default']) {
      const response = await ask(gateways.anonymous.socket, { path: target });
      assert.equal(response.status, 404, target);
      assert.equal(response.json.code, 'not_found');
      assert.equal(response.headers['x-request-id'], response.json.request_id);
      assert.equal(response.headers.server, 'nginx');
    }
  });

  test("a caller's request id goes through", async () => {
    const response = await ask(gateways.anonymous.socket, { path: '/functions-admin/v1/projects', headers: { 'x-request-id': 'from-the-client-1' } });
    assert.equal(response.json.headers['x-request-id'], 'from-the-client-1');
  });

  test('a program that is down is a JSON 502, and the log holds no key', async () => {
    const nginx = await startNginx();
    try {
      const response = await ask(`${nginx.dir}/gateway.sock`, { path: `/functions-admin/v1/projects?apikey=${KEYS.SERVICE_ROLE_KEY}` });
      assert.equal(response.status, 502);
      assert.equal(response.json.code, 'bad_gateway');
      const log = await until('it is logged', () => { const text = fs.readFileSync(`${nginx.dir}/gateway.access.log`, 'utf8'); return text.includes('502') && text; });
      assert.equal((log + nginx.log()).includes(KEYS.SERVICE_ROLE_KEY), false, 'neither the access log nor the error log');
    } finally { await nginx.stop(); }
  });

  for (const mode of ['strict', 'strict-bearer']) test(`keys that are not set admit nobody (${mode})`, async () => {
    const nginx = await startNginx({ KEY_AUTH: mode, SERVICE_ROLE_KEY: '', SECRET_KEY: '', ANON_KEY: '', PUBLISHABLE_KEY: '', DEPLOY_TOKEN: '' });
    const admin = await startEcho(`${nginx.dir}/admin.sock`, 'admin');
    try {
      for (const headers of [{}, { apikey: '' }, { apikey: ' ' }, { authorization: 'Bearer ' }, { authorization: 'Bearer' }]) {
        assert.equal((await ask(`${nginx.dir}/gateway.sock`, { path: '/functions-admin/v1/projects', headers })).status, 401);
      }
      assert.equal((await ask(`${nginx.dir}/gateway.sock`, { path: '/functions-admin/v1/projects?apikey=' })).status, 401);
    } finally { await admin.stop(); await nginx.stop(); }
  });
});
