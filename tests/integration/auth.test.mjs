// Who may call: every kind of credential, and every way in which one is no good. The verified role decides, never what a
// gateway or a caller claims in headers.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { after, before, test } from 'node:test';
import { ANON, hour, jwt, makeService, SECRETS, SERVICE_ROLE, startNginx, startPostgres } from '../lib/service.mjs';

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }), rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }), stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = (key, more) => ({ ...key.publicKey.export({ format: 'jwk' }), use: 'sig', ...more });
const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
function signed(key, header, claims) {
  const text = `${b64(header)}.${b64(claims)}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}
const role = (r, more = {}) => ({ role: r, iss: 'supabase', exp: hour(), ...more });
const PAST = Math.floor(Date.now() / 1000) - 3600;

let postgres, service, nginx, token;
before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres, { options: { jwks: JSON.stringify({ keys: [jwk(ec, { kid: 'ec', alg: 'ES256' }), jwk(rsa, { kid: 'rsa', alg: 'RS256' })] }) } });
  await service.start();
  nginx = await startNginx(service);
  token = service.run('token', ['create', '--name', 'test', '--scope', 'functions:read', '--scope', 'functions:write']).stdout.trim();
});
after(async () => {
  await nginx?.stop();
  await service?.remove();
  await postgres?.remove();
});

const list = (headers, query = '') => service.ask('GET', service.functions(query), { headers: { authorization: null, ...headers } });
const expectStatus = async (status, headers, query) => {
  const answer = await list(headers, query);
  assert.equal(answer.status, status, answer.text);
  if (status === 401) assert.equal(answer.json.code, 'unauthorized');
  return answer;
};

test('good credentials, as Bearer and as apikey', async () => {
  const good = {
    'access token': token, 'service_role, HS256': SERVICE_ROLE, 'service_role without exp': jwt({ role: 'service_role' }, SECRETS.jwt_secret),
    'secret key': SECRETS.secret_key, 'service_role, ES256': signed(ec, { alg: 'ES256', typ: 'JWT', kid: 'ec' }, role('service_role')),
    'service_role, RS256': signed(rsa, { alg: 'RS256', typ: 'JWT', kid: 'rsa' }, role('service_role')),
  };
  for (const [name, credential] of Object.entries(good)) {
    assert.equal((await list({ authorization: `Bearer ${credential}` })).status, 200, name);
    assert.equal((await list({ authorization: `bearer ${credential}` })).status, 200, `${name}: the scheme's case does not matter`);
    assert.equal((await list({ apikey: credential })).status, 200, `${name} as apikey`);
    assert.equal((await list({}, `?apikey=${credential}`)).status, 200, `${name} in the query`);
  }
});

test('nothing, or nothing that is a credential: 401', async () => {
  for (const headers of [{}, { authorization: '' }, { authorization: 'Bearer ' }, { authorization: 'Bearer' }, { authorization: `Basic ${Buffer.from('a:b').toString('base64')}` },
    { authorization: SERVICE_ROLE }, { authorization: 'Bearer nonsense' }, { apikey: 'nonsense' }, { authorization: `Bearer ${SERVICE_ROLE} x` }, { authorization: `Token ${token}` },
    { authorization: `Bearer ${'a'.repeat(5000)}` }, { authorization: Buffer.from([0x42, 0x65, 0x61, 0x72, 0x65, 0x72, 0x20, 0xff]) }])
    await expectStatus(401, headers);
});

test('tokens that are no longer good, or never were: 401', async () => {
  const none = (claims) => `${b64({ alg: 'none', typ: 'JWT' })}.${b64(claims)}.`;
  const pem = ec.publicKey.export({ type: 'spki', format: 'pem' });
  const [head, claims, signature] = SERVICE_ROLE.split('.');
  const bad = {
    'expired': jwt(role('service_role', { exp: PAST }), SECRETS.jwt_secret),
    'not yet valid': jwt(role('service_role', { nbf: hour() }), SECRETS.jwt_secret),
    'another secret': jwt(role('service_role'), 'another-secret-of-more-than-thirty-two-bytes-000'),
    'alg none': none(role('service_role')), 'alg none with a signature': `${none(role('service_role'))}${signature}`,
    'claims changed': `${head}.${b64(role('service_role', { iss: 'me' }))}.${signature}`,
    'signature cut': `${head}.${claims}.${signature.slice(0, -4)}`, 'no signature': `${head}.${claims}.`, 'two parts': `${head}.${claims}`,
    'HS256 with a public key': jwt(role('service_role'), pem, { kid: 'ec' }), 'ES256 of a stranger': signed(stranger, { alg: 'ES256', kid: 'ec' }, role('service_role')),
    'RS256 said, ES256 signed': signed(ec, { alg: 'RS256', kid: 'ec' }, role('service_role')), 'expired, ES256': signed(ec, { alg: 'ES256', kid: 'ec' }, role('service_role', { exp: PAST })),
    'exp is text': jwt(role('service_role', { exp: 'tomorrow' }), SECRETS.jwt_secret), 'exp is negative': jwt(role('service_role', { exp: -1 }), SECRETS.jwt_secret),
    'the role in a list': jwt(role(['service_role']), SECRETS.jwt_secret), 'an unknown access token': `sbp_${'0'.repeat(40)}`, 'a short access token': token.slice(0, -1), 'upper case': token.toUpperCase(), 'another secret key': 'sb_secret_another0000000000000000',
    'a prefix of the secret key': SECRETS.secret_key.slice(0, -1),
  };
  for (const [name, credential] of Object.entries(bad)) {
    const answer = await list({ authorization: `Bearer ${credential}` });
    assert.equal(answer.status, 401, `${name}: ${answer.text}`);
  }
});

test('a good credential of another role: 403', async () => {
  for (const credential of [ANON, jwt(role('authenticated'), SECRETS.jwt_secret), jwt(role('postgres'), SECRETS.jwt_secret), jwt({ exp: hour() }, SECRETS.jwt_secret),
    signed(ec, { alg: 'ES256', kid: 'ec' }, role('anon')), SECRETS.publishable_key, 'sb_publishable_of_anybody']) {
    const answer = await list({ authorization: `Bearer ${credential}` });
    assert.equal(answer.status, 403, `${credential.slice(0, 20)}: ${answer.text}`);
    assert.equal((await list({ apikey: credential })).status, 403);
  }
});

test('Authorization wins over apikey, good or bad', async () => {
  await expectStatus(200, { authorization: `Bearer ${token}`, apikey: 'nonsense' });
  await expectStatus(401, { authorization: 'Bearer nonsense', apikey: SERVICE_ROLE });
  await expectStatus(403, { authorization: `Bearer ${ANON}`, apikey: SERVICE_ROLE });
  await expectStatus(200, { apikey: SERVICE_ROLE }, '?apikey=nonsense');
});

test('what a gateway would say about the caller proves nothing', async () => {
  const spoofed = {
    'x-consumer-username': 'service_role', 'x-consumer-custom-id': 'service_role', 'x-consumer-groups': 'admin', 'x-credential-identifier': 'admin', 'x-anonymous-consumer': 'false',
    'x-forwarded-user': 'service_role', 'x-role': 'service_role', 'x-authenticated-scope': 'functions:write', 'remote-user': 'postgres', 'x-functions-admin-token': SECRETS.runtime_token, 'x-forwarded-for': '127.0.0.1',
  };
  await expectStatus(401, spoofed);
  await expectStatus(403, { ...spoofed, authorization: `Bearer ${ANON}` });
  const variables = await service.ask('GET', service.functions(), { headers: { authorization: null }, params: { REMOTE_USER: 'postgres', AUTH_TYPE: 'Basic' } });
  assert.equal(variables.status, 401);
  for (const target of ['/functions-admin', '']) {
    const answer = await nginx.site('GET', `${target}${service.functions()}`, { headers: { ...spoofed, authorization: null } });
    assert.equal(answer.status, 401);
  }
  assert.equal((await nginx.gateway('GET', `/functions-admin${service.functions()}`, { headers: { ...spoofed, authorization: `Bearer ${ANON}` } })).status, 403);
  assert.equal((await nginx.gateway('GET', `/functions-admin${service.functions()}`, { headers: { authorization: `Bearer ${token}` } })).status, 200);
});

test('an access token is bound: scopes, project, functions, time; and is good until it is revoked', async () => {
  const make = (args) => JSON.parse(service.run('token', ['create', '--json', '--name', 'bound', ...args]).stdout);
  const as = (made) => ({ headers: { authorization: `Bearer ${made.token}` } });
  const reader = make(['--scope', 'functions:read']);
  assert.equal((await service.ask('GET', service.functions(), as(reader))).status, 200);
  const refused = await service.deploy('bound', 'x', as(reader));
  assert.equal(refused.status, 403);
  assert.equal(refused.json.code, 'missing_scope');
  assert.match(refused.json.hint, /functions:write/);
  assert.equal((await service.ask('GET', '/v1/access-tokens', as(reader))).status, 403);

  const ci = make(['--scope', 'functions:read', '--scope', 'functions:write', '--slug', 'ci-*']);
  assert.equal((await service.deploy('ci-one', 'x', as(ci))).status, 201);
  assert.equal((await service.deploy('other', 'x', as(ci))).status, 403);
  assert.equal((await service.deploy('other', 'x')).status, 201);
  assert.deepEqual((await service.ask('GET', service.functions(), as(ci))).json.map((f) => f.slug), ['ci-one']);
  for (const how of [['GET', '/other'], ['GET', '/other/body'], ['DELETE', '/other'], ['PATCH', '/other']])
    assert.equal((await service.ask(how[0], service.functions(how[1]), { ...as(ci), ...(how[0] === 'PATCH' ? { json: { name: 'x' } } : {}) })).status, 403, how.join(' '));
  assert.equal((await service.ask('PUT', service.functions(), { ...as(ci), json: [{ slug: 'other', version: 1 }] })).status, 403);
  assert.deepEqual((await service.ask('GET', '/v1/functions', as(ci))).json.map((f) => f.slug), ['ci-one']);

  const elsewhere = JSON.parse(service.run('token', ['create', '--json', '--name', 'elsewhere', '--scope', 'functions:read', '--project', 'default']).stdout);
  service.sql(`INSERT INTO functions_admin.projects (ref, name) VALUES ('zyxwvutsrqponmlkjihg', 'Another')`);
  assert.equal((await service.ask('GET', '/v1/projects/zyxwvutsrqponmlkjihg/functions', as(elsewhere))).status, 404, 'to whom is bound, another project is not there');
  assert.deepEqual((await service.ask('GET', '/v1/projects', as(elsewhere))).json.map((p) => p.ref), [elsewhere.project]);

  service.sql(`UPDATE functions_admin.access_tokens SET expires_at = now() - interval '1 second' WHERE id = '${elsewhere.id}'`);
  assert.equal((await service.ask('GET', service.functions(), as(elsewhere))).status, 401, 'expired');
  assert.equal(service.run('token', ['revoke', reader.id]).status, 0);
  assert.equal((await service.ask('GET', service.functions(), as(reader))).status, 401, 'revoked');
});

test('nobody gives away what they do not have', async () => {
  const admin = JSON.parse(service.run('token', ['create', '--json', '--name', 'admin', '--scope', 'tokens:admin', '--scope', 'functions:read', '--slug', 'ci-*', '--expires-in', '1']).stdout);
  const create = (json) => service.ask('POST', '/v1/access-tokens', { json: { name: 'child', ...json }, headers: { authorization: `Bearer ${admin.token}` } });
  assert.equal((await create({ scopes: ['functions:write'] })).status, 403);
  assert.equal((await create({ scopes: ['functions:read'], slugs: ['other'] })).status, 403);
  const child = await create({ scopes: ['functions:read'], expires_in: 864000 });
  assert.equal(child.status, 201);
  assert.deepEqual(child.json.slugs, ['ci-*']);
  assert.equal(child.json.expires_at, admin.expires_at, 'not longer than its maker');
});

test('API keys are masked save for who may see them and asks', async () => {
  const keys = async (query, headers = {}) => (await service.ask('GET', `/v1/projects/default/api-keys${query}`, { headers })).json;
  const shown = await keys('?reveal=true');
  assert.deepEqual(shown.map((k) => [k.name, k.type, k.api_key]), [['anon', 'legacy', ANON], ['service_role', 'legacy', SERVICE_ROLE], ['default', 'publishable', SECRETS.publishable_key], ['default', 'secret', SECRETS.secret_key]]);
  for (const masked of [await keys(''), await keys('?reveal=false'), await keys('?reveal=1'), await keys('?reveal=true', { authorization: `Bearer ${token}` })]) {
    assert.deepEqual(masked.map((k) => [k.name, k.type]), shown.map((k) => [k.name, k.type]));
    for (const key of masked) assert.match(key.api_key, /^.{8}\.\.\.$/, JSON.stringify(key));
  }
});

test('no key and no token was written to a log', () => {
  const text = service.log + nginx.log();
  for (const [name, secret] of Object.entries({ token, SERVICE_ROLE, ...SECRETS })) assert.ok(!text.includes(secret.slice(-24)), `${name} is in a log`);
  assert.match(text, /401/);
});
