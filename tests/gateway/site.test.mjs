// nginx's production configuration before a tiny FastCGI responder: limits, errors in the API's shape, headers, closed paths.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { ask, askRaw, runRender, startFastCgi, startNginx, until, values } from './helpers.mjs';

const MIB = 1024 * 1024;
const WEB = {
  'index.html': 'page', 'index.html.gz': 'page as gz', 'index.html.br': 'page as br', 'secret.txt': 'no',
  'assets/app-1a2b.js': 'script', 'assets/app-1a2b.js.gz': 'script as gz', 'assets/app-1a2b.js.br': 'script as br',
  'assets/app-1a2b.css': 'style', 'assets/app-1a2b.css.gz': 'style as gz', 'assets/app-1a2b.css.br': 'style as br',
  'assets/i-1a2b.svg': 'icon', 'assets/i-1a2b.svg.gz': 'icon as gz', 'assets/i-1a2b.svg.br': 'icon as br', 'assets/f-1a2b.woff2': 'font',
};
let nginx;
let program;
let site;
let ops;
let seen;

async function answer(request) {
  seen = request;
  const { params, body } = request;
  const json = JSON.stringify({
    uri: params.REQUEST_URI, query: params.QUERY_STRING, id: params.REQUEST_ID, headerId: params.HTTP_X_REQUEST_ID, apikey: params.HTTP_APIKEY,
    client: params.REMOTE_ADDR, proxy: params.HTTP_PROXY, bytes: body.length, length: params.CONTENT_LENGTH, type: params.CONTENT_TYPE,
    authorization: params.HTTP_AUTHORIZATION,
  });
  const status = params.QUERY_STRING.startsWith('status=') ? params.QUERY_STRING.slice(7) : '200 OK';
  return `Status: ${status}\r\nContent-Type: application/json\r\nX-Request-Id: ${params.REQUEST_ID}\r\nX-Frame-Options: SAMEORIGIN\r\n`
    + `X-Powered-By: something/1.2\r\n\r\n${json}`;
}

// Every answer, nginx's own or the program's.
function assertSafeHeaders(response) {
  assert.equal(response.headers.server, 'nginx', 'no version in Server');
  assert.doesNotMatch(response.text, /nginx\/\d/);
  assert.equal(response.headers['x-content-type-options'], 'nosniff');
  assert.equal(response.headers['x-frame-options'], 'DENY');
  assert.equal(response.headers['referrer-policy'], 'no-referrer');
  assert.equal(response.headers['content-security-policy'], "default-src 'none'; frame-ancestors 'none'");
  assert.equal(response.headers['x-powered-by'], undefined);
}

function assertError(response, status, code) {
  assert.equal(response.status, status, response.text);
  assert.match(response.headers['content-type'], /^application\/json/);
  assert.equal(response.json?.code, code);
  assert.equal(typeof response.json.message, 'string');
  assert.match(response.json.request_id, /^[0-9a-f]{32}$/);
  assert.equal(response.headers['x-request-id'], response.json.request_id);
  assertSafeHeaders(response);
}

before(async () => {
  nginx = await startNginx({}, WEB);
  site = `${nginx.dir}/site.sock`;
  ops = `${nginx.dir}/ops.sock`;
  program = await startFastCgi(`${nginx.dir}/fcgi.sock`, answer);
});
after(async () => {
  await program?.stop();
  await nginx?.stop();
});

describe('what reaches the program', () => {
  test('the raw request target, undecoded and with its base path', async () => {
    const response = await ask(site, { path: '/functions-admin/v1/projects/x%2Fy/functions?slug=a%20b&x=1' });
    assert.equal(response.status, 200, response.text);
    assert.equal(response.json.uri, '/functions-admin/v1/projects/x%2Fy/functions?slug=a%20b&x=1');
    assert.equal(response.json.query, 'slug=a%20b&x=1');
    assertSafeHeaders(response);
  });

  test('/v1/, /mcp and the bare base path too', async () => {
    for (const target of ['/v1/projects', '/mcp', '/functions-admin', '/healthz', '/readyz', '/functions-admin/healthz', '/functions-admin/readyz',
      '/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/functions-admin/mcp']) {
      const response = await ask(site, { path: target });
      assert.equal(response.json?.uri, target, response.text);
    }
  });

  test('the access token, and the key from header or query as a header', async () => {
    const token = `Bearer sbp_${'a'.repeat(40)}`;
    assert.equal((await ask(site, { path: '/v1/projects', headers: { authorization: token } })).json.authorization, token);
    assert.equal((await ask(site, { path: '/v1/projects', headers: { apikey: 'one' } })).json.apikey, 'one');
    assert.equal((await ask(site, { path: '/v1/projects?apikey=two' })).json.apikey, 'two');
    assert.equal((await ask(site, { path: '/v1/projects?apikey=two', headers: { apikey: 'one' } })).json.apikey, 'one');
    assert.equal((await ask(site, { path: '/v1/projects' })).json.apikey, undefined);
  });

  test('a Proxy header does not become HTTP_PROXY', async () => {
    assert.equal((await ask(site, { path: '/v1/projects', headers: { proxy: 'http://evil.test' } })).json.proxy, undefined);
  });

  test("the client's address, which only the gateway may state", async () => {
    const response = await ask(site, { path: '/v1/projects', headers: { 'x-forwarded-for': '203.0.113.9, 198.51.100.7' } });
    assert.equal(response.json.client, '198.51.100.7', 'the last address is the one the gateway saw');
  });

  test('a whole chunked upload with its length, after nginx has all of it', async () => {
    let sent = 0;
    const response = await ask(site, {
      method: 'POST', path: '/v1/projects', headers: { 'content-type': 'application/octet-stream' },
      body(request) {
        request.write('first ');
        setTimeout(() => { sent = Date.now(); request.end('second'); }, 150);
      },
    });
    assert.equal(response.json.bytes, 12);
    assert.equal(response.json.length, '12');
    assert.ok(seen.arrived >= sent, 'the program was not connected to before the body was complete');
  });

  test('headers of 20 KiB pass', async () => {
    const response = await ask(site, { path: '/v1/projects', headers: { authorization: `Bearer ${'x'.repeat(20000)}` } });
    assert.equal(response.json.authorization.length, 20007);
  });
});

describe('the request id', () => {
  test("a well-formed one of the caller's is kept", async () => {
    const response = await ask(site, { path: '/v1/projects', headers: { 'x-request-id': 'ci-run-42.step_7' } });
    assert.equal(response.json.id, 'ci-run-42.step_7');
    assert.equal(response.json.headerId, 'ci-run-42.step_7');
    assert.equal(response.headers['x-request-id'], 'ci-run-42.step_7');
  });

  test('anything else is replaced', async () => {
    for (const id of ['short', 'a'.repeat(65), 'has space in it', '"},{"message":"x', '../../../etc']) {
      const response = await ask(site, { path: '/v1/projects', headers: { 'x-request-id': id } });
      assert.match(response.json.id, /^[0-9a-f]{32}$/, id);
      assert.equal(response.json.headerId, response.json.id);
    }
  });

  test("nginx's own errors carry the caller's id as well", async () => {
    const response = await ask(site, { path: '/nowhere', headers: { 'x-request-id': 'ci-run-42.step_7' } });
    assert.equal(response.status, 404);
    assert.equal(response.json.request_id, 'ci-run-42.step_7');
  });
});

describe('errors that nginx answers', () => {
  test('slightly more than 64 MiB is for the program to refuse, more than 65 MiB is refused by nginx', async () => {
    const over = await ask(site, { method: 'POST', path: '/v1/projects', body: Buffer.alloc(64 * MIB + 4096) });
    assert.equal(over.status, 200);
    assert.equal(over.json.bytes, 64 * MIB + 4096, 'the program saw it');

    seen = undefined;
    const refused = await ask(site, {
      method: 'POST', path: '/v1/projects', headers: { 'content-length': 65 * MIB + 1 },
      body(request) { request.on('error', () => {}); request.write(Buffer.alloc(1000)); },
    });
    assertError(refused, 413, 'payload_too_large');
    assert.match(refused.json.hint, /64 MiB/);
    assert.equal(seen, undefined, 'the program was not asked');
  });

  test('a chunked body is counted too', async () => {
    const refused = await ask(site, {
      method: 'POST', path: '/v1/projects',
      body(request) {
        request.on('error', () => {});
        let left = 66;
        const more = () => { if (left-- > 0) request.write(Buffer.alloc(MIB), more); else request.end(); };
        more();
      },
    });
    assertError(refused, 413, 'payload_too_large');
  });

  test('400 for a request that is not HTTP, without a version', async () => {
    const text = await askRaw(site, 'GET /v1/projects HTTP/1.1\r\nHost: a\r\nHost: b\r\nBad Header\r\n\r\n');
    assert.match(text, /^HTTP\/1\.1 400 /);
    assert.match(text, /"code":"bad_request","request_id":"[0-9a-f]{32}"/);
    assert.doesNotMatch(text, /nginx\/\d|<html>/);
    const garbage = await askRaw(site, '\x16\x03\x01 hello\r\n\r\n');
    assert.match(garbage, /"code":"bad_request"/);
    assert.doesNotMatch(garbage, /nginx\/\d|<html>/);
  });

  test('404 outside the known paths', async () => {
    for (const target of ['/', '/index.php', '/_functions_admin_error', '/functions-adminx', '/v1', '/_internal/boot']) {
      assertError(await ask(site, { path: target }), 404, 'not_found');
    }
  });

  test('405 for TRACE', async () => {
    assertError(await ask(site, { method: 'TRACE', path: '/v1/projects' }), 405, 'method_not_allowed');
  });

  test('414 for a target of more than 32 KiB', async () => {
    const text = await askRaw(site, `GET /v1/${'a'.repeat(40000)} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.match(text, /^HTTP\/1\.1 414 /);
    assert.match(text, /"code":"uri_too_long"/);
    assert.doesNotMatch(text, /nginx\/\d|<html>/);
  });

  test('431 for a header of more than 32 KiB', async () => {
    const text = await askRaw(site, `GET /v1/projects HTTP/1.1\r\nHost: a\r\nX-Long: ${'a'.repeat(40000)}\r\n\r\n`);
    assert.match(text, /^HTTP\/1\.1 431/);
    assert.match(text, /"code":"headers_too_large"/);
    assert.doesNotMatch(text, /nginx\/\d|<html>/);
  });

  test("the program's own errors pass as they are", async () => {
    for (const status of ['400 Bad Request', '404 Not Found', '413 Content Too Large', '500 Internal Server Error', '503 Service Unavailable', '507 Insufficient Storage']) {
      const response = await ask(site, { path: `/v1/projects?status=${status.replaceAll(' ', '_').replace('_', ' ').split(' ')[0]}` });
      assert.equal(response.status, Number(status.slice(0, 3)));
      assert.equal(response.json.uri.startsWith('/v1/projects'), true);
      assertSafeHeaders(response);
    }
  });
});

describe('metrics', () => {
  test('are closed to callers, however the path is written', async () => {
    for (const target of ['/metrics', '/functions-admin/metrics', '/functions-admin//metrics', '/functions-admin/%6Detrics', '/functions-admin/x/../metrics', '/functions-admin/v1/../metrics?x=1']) {
      assertError(await ask(site, { path: target }), 404, 'not_found');
    }
  });

  test('are open on the operations listener, which has nothing else', async () => {
    assert.equal((await ask(ops, { path: '/metrics' })).json.uri, '/metrics');
    assert.equal((await ask(ops, { path: '/readyz' })).json.uri, '/readyz');
    assertError(await ask(ops, { path: '/v1/projects' }), 404, 'not_found');
  });
});

test('the access log names path and id, never the query or a key', async () => {
  await ask(site, { path: '/v1/logged?apikey=very-secret-key', headers: { authorization: 'Bearer very-secret-token', 'x-request-id': 'log-line-1234' } });
  const line = await until('the line is written', () => fs.readFileSync(`${nginx.dir}/functions-admin.access.log`, 'utf8').split('\n').find((text) => text.includes('log-line-1234')));
  const entry = JSON.parse(line);
  assert.equal(entry.path, '/v1/logged');
  assert.equal(entry.status, 200);
  const everything = fs.readFileSync(`${nginx.dir}/functions-admin.access.log`, 'utf8') + nginx.log();
  assert.doesNotMatch(everything, /very-secret/);
});

test('502 when the program is down', async () => {
  const own = await startNginx();
  try {
    const listen = `${own.dir}/site.sock`;
    const down = await ask(listen, { path: '/v1/projects' });
    assertError(down, 502, 'bad_gateway');
    assert.equal(down.headers['retry-after'], '2');
  } finally { await own.stop(); }
});

test('504 when the program does not answer in time', async () => {
  const own = await startNginx();
  const silent = net.createServer(() => {});
  try {
    // The production time is five minutes; the same configuration with a second shows the answer.
    const conf = `${own.dir}/fastcgi.conf`;
    fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8').replace('fastcgi_read_timeout 300s', 'fastcgi_read_timeout 1s'));
    silent.listen(`${own.dir}/fcgi.sock`);
    await until('it listens', () => fs.existsSync(`${own.dir}/fcgi.sock`));
    fs.chmodSync(`${own.dir}/fcgi.sock`, 0o666);
    // Told more than once: a master that is still starting its worker sleeps over the first signal.
    const reload = () => process.kill(Number(fs.readFileSync(`${own.dir}/nginx.pid`, 'utf8')), 'SIGHUP');
    let told = 0;
    await until('the new configuration is in use', () => {
      if (Date.now() > told + 1000) { reload(); told = Date.now(); }
      return /gracefully shutting down/.test(own.log());
    });
    const response = await ask(`${own.dir}/site.sock`, { path: '/v1/projects' });
    assertError(response, 504, 'gateway_timeout');
    assert.equal(response.headers['retry-after'], '10');
  } finally { silent.close(); await own.stop(); }
});

test('a client over its rate gets 429 with Retry-After, another client does not, health is never limited', async () => {
  const own = await startNginx({ RATE: '1r/s', BURST: 3 });
  const responder = await startFastCgi(`${own.dir}/fcgi.sock`, answer);
  try {
    const listen = `${own.dir}/site.sock`;
    const from = (client) => ({ path: '/v1/projects', headers: { 'x-forwarded-for': client } });
    const responses = [];
    for (let i = 0; i < 6; i++) responses.push(await ask(listen, from('203.0.113.1')));
    assert.deepEqual(responses.slice(0, 4).map((r) => r.status), [200, 200, 200, 200], 'the burst and one');
    const refused = responses.find((r) => r.status !== 200);
    assertError(refused, 429, 'rate_limited');
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal(refused.headers['x-ratelimit-limit'], '3');
    assert.equal(refused.headers['x-ratelimit-remaining'], '0');
    assert.equal(refused.headers['x-ratelimit-reset'], '1');
    assert.equal((await ask(listen, from('203.0.113.2'))).status, 200);
    for (let i = 0; i < 8; i++) assert.equal((await ask(listen, { path: '/healthz', headers: { 'x-forwarded-for': '203.0.113.1' } })).status, 200);
  } finally { await responder.stop(); await own.stop(); }
});

test('the first 64 bits of an IPv6 address are one client, and an IPv4 address is one however it is written', async () => {
  const own = await startNginx({ RATE: '1r/m', BURST: 1 });
  const responder = await startFastCgi(`${own.dir}/fcgi.sock`, answer);
  const from = async (client) => (await ask(`${own.dir}/site.sock`, { path: '/v1/projects', headers: { 'x-forwarded-for': client } })).status;
  const one = [
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2:a0a:a0a:a0a:a0a'], ['2001:db8:1:3::1', '2001:db8:1:3::2', '2001:db8:1:3:1::'],
    ['2001:db8::1', '2001:db8:0:0:1::', '2001:db8::a:b:c:d'], ['::1', '::2:1', '0:0:0:0:1::1'], ['203.0.113.1', '::ffff:203.0.113.1', '203.0.113.1'], ['::ffff:203.0.113.2', '203.0.113.2', '203.0.113.2'],
  ];
  try {
    for (const [a, b, c] of one) assert.deepEqual([a, await from(a), await from(b), await from(c)], [a, 200, 200, 429]);
  } finally { await responder.stop(); await own.stop(); }
});

describe('the web UI', () => {
  const get = (target, encodings) => ask(site, { path: `/functions-admin/ui/${target}`, headers: encodings === undefined ? {} : { 'accept-encoding': encodings } });

  test('comes in the form that the client takes, with the type of what is inside', async () => {
    const types = { '': ['text/html; charset=utf-8', 'page'], 'assets/app-1a2b.js': ['text/javascript; charset=utf-8', 'script'], 'assets/app-1a2b.css': ['text/css; charset=utf-8', 'style'], 'assets/i-1a2b.svg': ['image/svg+xml', 'icon'] };
    const forms = [[undefined, undefined], ['', undefined], ['identity', undefined], ['gzip', 'gzip'], ['gzip, deflate', 'gzip'], ['gzip, deflate, br, zstd', 'br'], ['br;q=1.0, gzip;q=0.5', 'br'],
      ['br;q=0, gzip', 'gzip'], ['gzip;q=0', undefined], ['gzip; q=0.0, br; q=0.000', undefined], ['brotli, gzipped', undefined]];
    for (const [target, [type, text]] of Object.entries(types)) for (const [accepted, encoding] of forms) {
      const response = await get(target, accepted);
      assert.equal(response.status, 200, `${target} ${accepted}`);
      assert.equal(response.headers['content-encoding'], encoding, `${target} ${accepted}`);
      assert.equal(response.text, encoding ? `${text} as ${encoding === 'gzip' ? 'gz' : 'br'}` : text);
      assert.equal(response.headers['content-type'], type);
      assert.equal(response.headers.vary, 'Accept-Encoding');
    }
  });

  test('has a content policy without inline script or style, and keeps what never changes', async () => {
    for (const [target, kept] of [['', 'no-cache'], ['assets/app-1a2b.js', 'public, max-age=31536000, immutable'], ['assets/f-1a2b.woff2', 'public, max-age=31536000, immutable']]) {
      const { headers, status } = await get(target);
      assert.equal(status, 200);
      assert.equal(headers['cache-control'], kept);
      const policy = Object.fromEntries(headers['content-security-policy'].split('; ').map((part) => [part.split(' ')[0], part.split(' ').slice(1).join(' ')]));
      assert.equal(policy['default-src'], "'none'");
      for (const name of ['script-src', 'style-src', 'connect-src', 'font-src', 'img-src']) assert.equal(policy[name], "'self'", name);
      assert.equal(policy['frame-ancestors'], "'none'");
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['x-frame-options'], 'DENY');
      assert.equal(headers['referrer-policy'], 'no-referrer');
    }
    assert.equal((await get('assets/f-1a2b.woff2')).headers['content-type'], 'font/woff2');
  });

  test('is these files and nothing else', async () => {
    for (const target of ['index.html', 'secret.txt', 'assets/', 'assets/none.js', 'assets/app-1a2b.js.gz', 'assets/../secret.txt', 'assets/%2e%2e/secret.txt', 'assets/..%2fsecret.txt', 'x']) {
      assertError(await get(target), 404, 'not_found');
    }
    const short = await ask(site, { path: '/functions-admin/' });
    assert.equal(short.status, 302);
    assert.equal(short.headers.location, '/functions-admin/ui/');
  });

  test('is not there where it was not built; the program answers all the same', async () => {
    const own = await startNginx();
    const responder = await startFastCgi(`${own.dir}/fcgi.sock`, answer);
    try {
      assertError(await ask(`${own.dir}/site.sock`, { path: '/functions-admin/ui/' }), 404, 'not_found');
      assert.equal((await ask(`${own.dir}/site.sock`, { path: '/functions-admin/v1/projects' })).status, 200);
    } finally { await responder.stop(); await own.stop(); }
  });

  test("a credential that a gateway filled in is for the UI's own requests, not for pages from elsewhere", async () => {
    const from = (origin) => ask(site, { path: '/functions-admin/v1/projects', headers: { 'x-functions-admin-dashboard': '1', ...(origin && { 'sec-fetch-site': origin }) } });
    for (const origin of [undefined, 'same-origin']) assert.equal((await from(origin)).status, 200, origin);
    for (const origin of ['cross-site', 'same-site', 'none', 'anything']) assertError(await from(origin), 403, 'forbidden');
    assert.equal((await ask(site, { path: '/functions-admin/v1/projects', headers: { 'sec-fetch-site': 'cross-site', authorization: 'Bearer x' } })).status, 200, 'a credential of its own needs no such check');
  });

  test('is told that there is no session where no gateway fills one in', async () => {
    const response = await ask(site, { path: '/functions-admin/dashboard/v1/session' });
    assert.deepEqual(response.json, { authenticated: false });
    assert.equal(response.headers['cache-control'], 'no-store');
    assertSafeHeaders(response);
  });
});

describe('scripts/render', () => {
  test('writes for the owner only', () => {
    for (const name of ['nginx.conf', 'gateway.conf', 'functions-admin.conf', 'http.conf', 'gateway-dashboard.inc']) {
      assert.equal(fs.statSync(`${nginx.dir}/${name}`).mode & 0o077, 0, name);
    }
  });

  test('refuses a missing value and a value that nginx would read as syntax', () => {
    const dir = `${nginx.dir}/again`;
    const without = values(dir);
    delete without.FASTCGI;
    const missing = runRender([dir, '-'], without);
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /http\.conf\.in needs a value for FASTCGI/);
    for (const bad of ['a"b', 'a$b', 'a\\b', '@LISTEN@']) {
      const refused = runRender([dir, '-'], values(dir, { SITE: bad }));
      assert.equal(refused.status, 1, bad);
      assert.match(refused.stderr, /the value of SITE has a character/);
    }
  });

  test('can leave the gateway out', () => {
    const dir = `${nginx.dir}/production`;
    assert.equal(runRender(['--only', '[!gn]*', dir, '-'], values(dir)).status, 0);
    assert.deepEqual(fs.readdirSync(dir).sort(), ['errors.conf', 'fastcgi.conf', 'functions-admin.conf', 'http.conf', 'security-headers.conf', 'web-assets.conf', 'web-headers.conf']);
  });
});
