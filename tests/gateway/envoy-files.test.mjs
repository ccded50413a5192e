// The Envoy files, put into Supabase's by scripts/gateway: the fields that they use, and what a small reading of Envoy's rules makes of
// them, request by request, against the same table of answers as the development gateway. Envoy itself is not in Debian's archive and
// does not run here.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, describe, test } from 'node:test';
import YAML from 'yaml';
import { DASHBOARD, KEYS } from './helpers.mjs';
import { LAYOUTS } from '../lib/layouts.mjs';

const program = fileURLToPath(new URL('../../scripts/gateway', import.meta.url));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fa envoy-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));
fs.writeFileSync(`${folder}/token`, `${KEYS.DEPLOY_TOKEN}\n`);

const ASYMMETRIC = { ANON_KEY_ASYMMETRIC: 'asymmetric.anon.key', SERVICE_ROLE_KEY_ASYMMETRIC: 'asymmetric.service.key' };

// The file as Envoy gets it: with our routes, and with the keys that the entrypoint's sed puts in.
function listener(options = [], values = {}) {
  const file = path.join(folder, `lds-${Math.random()}.yaml`);
  fs.writeFileSync(file, LAYOUTS.newer['volumes/api/envoy/lds.template.yaml']);
  const done = spawnSync(program, ['install', '--file', file, ...options], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  const variables = { ...KEYS, ...ASYMMETRIC, ...values };
  const text = fs.readFileSync(file, 'utf8').replace(/\$\{([A-Z_]+)\}/g, (all, name) => variables[name] ?? (name === 'DASHBOARD_BASIC_AUTH' ? 'login' : assert.fail(`the entrypoint does not know ${name}`)));
  return YAML.parse(text).resources[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes;
}

const modes = { anonymous: listener(), 'strict-bearer': listener(['--strict', '--deploy-token-file', `${folder}/token`]) };
const basic = `Basic ${Buffer.from(`${DASHBOARD.user}:${DASHBOARD.password}`).toString('base64')}`;

// ---- A small reading of Envoy's rules, as far as the files use them

// normalize_path, merge_slashes and path_with_escaped_slashes_action: REJECT_REQUEST.
function normalise(target) {
  const [raw, ...query] = target.split('?');
  if (/%2f|%5c/i.test(raw)) return null;
  const parts = [];
  for (const part of raw.replace(/%[0-9a-f]{2}/gi, (code) => { const char = decodeURIComponent(code); return /[A-Za-z0-9._~-]/.test(char) ? char : code; }).split('/').slice(1)) {
    if (part === '..') parts.pop();
    else if (part !== '.' && part !== '') parts.push(part);
  }
  return { path: `/${parts.join('/')}${raw.endsWith('/') && parts.length ? '/' : ''}`, query: query.length ? `?${query.join('?')}` : '' };
}

const matches = (value, match) => value !== undefined && (match.exact !== undefined ? value === match.exact : new RegExp(`^(?:${match.safe_regex.regex})$`).test(value));

function route(routes, request) {
  return routes.find(({ match }) => (match.path === undefined || request.path === match.path) && (match.prefix === undefined || request.path.startsWith(match.prefix))
    && (match.headers ?? []).every((header) => matches(header.name === ':method' ? request.method : request.headers[header.name], header.string_match)));
}

// Supabase's own filters between login and rules: the key from the query, an opaque key to its JWT, and that as Authorization. They
// leave everything below /functions/v1/ alone.
function supabaseFilters(request) {
  if (request.path.startsWith('/functions/v1/')) return;
  const { headers } = request;
  headers.apikey ??= new URLSearchParams(request.query).get('apikey') ?? undefined;
  if (headers.apikey === KEYS.SECRET_KEY) headers.apikey = ASYMMETRIC.SERVICE_ROLE_KEY_ASYMMETRIC;
  if (headers.apikey === KEYS.PUBLISHABLE_KEY) headers.apikey = ASYMMETRIC.ANON_KEY_ASYMMETRIC;
  if (!/^Bearer (?!sb_)/.test(headers.authorization ?? '') && headers.apikey) headers.authorization = `Bearer ${headers.apikey}`;
}

function envoy(routes, { method = 'GET', path: target, headers = {} }) {
  const where = normalise(target);
  if (where === null) return { status: 400 };
  const request = { method, ...where, headers: { ...headers } };
  const chosen = route(routes, request);
  const filters = chosen.typed_per_filter_config ?? {};
  if (!filters['envoy.filters.http.basic_auth']?.disabled && headers.authorization !== basic) return { status: 401, route: chosen };
  supabaseFilters(request);
  const rbac = filters['envoy.filters.http.rbac'];
  if (!rbac?.disabled) {
    const { action, policies } = rbac.rbac.rules;
    const hit = Object.values(policies).some((policy) => policy.principals.some((one) => one.any || matches(request.headers[one.header.name], one.header.string_match)));
    if (hit !== (action === 'ALLOW')) return { status: 403, route: chosen };
  }
  if (chosen.direct_response) return { status: chosen.direct_response.status, route: chosen };
  for (const name of chosen.request_headers_to_remove ?? []) delete request.headers[name];
  for (const { header, append_action: action } of chosen.request_headers_to_add ?? []) {
    assert.equal(action, 'OVERWRITE_IF_EXISTS_OR_ADD');
    request.headers[header.key.toLowerCase()] = header.value;
  }
  const rewrite = chosen.route.prefix_rewrite;
  const rest = request.path.slice((chosen.match.prefix ?? chosen.match.path).length);
  return { status: 200, route: chosen, cluster: chosen.route.cluster, target: (rewrite === undefined ? request.path : rewrite + rest) + request.query, headers: request.headers };
}

// ---- The table

const names = { '{service}': KEYS.SERVICE_ROLE_KEY, '{secret}': KEYS.SECRET_KEY, '{anon}': KEYS.ANON_KEY, '{publishable}': KEYS.PUBLISHABLE_KEY, '{deploy}': KEYS.DEPLOY_TOKEN };
const fill = (text) => text.replace(/\{[a-z]+\}/g, (name) => names[name]);

// Where Envoy, as Supabase sets it up, does not answer as Kong does.
const DIFFERS = {
  'bearer-wrong-apikey-first': 'either credential is enough: Envoy looks at both',
  'bearer-anon-apikey-first': 'either credential is enough: Envoy looks at both',
  'path-2f': 'Supabase has Envoy refuse %2F in a path, for every route',
  'path-2f-runtime': 'Supabase has Envoy refuse %2F in a path, for every route',
  'path-case': "falls to the dashboard's route, which asks for its login",
  'anonymous-spoofed': 'no header says who the caller is, so only the removal counts (tested below)',
};
const STATUS = { 401: 'strict', 403: 'group' };

describe("the table of Kong's answers, asked of Envoy's routes", () => {
  const { rows } = JSON.parse(fs.readFileSync(new URL('kong-answers.json', import.meta.url)));
  for (const row of rows.filter((one) => one.send && modes[one.mode] && !one.send.bytes && !one.send.unfinished && !DIFFERS[one.id] && !one.id.startsWith('forwarded'))) {
    test(row.id, () => {
      const headers = row.send.basic ? { authorization: basic } : {};
      for (const [name, value] of Object.entries(row.send.headers ?? {})) headers[name] = fill(value);
      const answer = envoy(modes[row.mode], { method: row.send.method, path: fill(row.send.path), headers });
      // A refusal for want of a right key is Envoy's 403, where Kong says 401.
      if (STATUS[row.expect.status] && row.mode === 'strict-bearer') assert.equal(answer.status, 403);
      else assert.equal(answer.status, row.expect.status);
      if (row.expect.upstream) assert.equal(answer.cluster, { admin: 'functions-admin', runtime: 'functions' }[row.expect.upstream]);
      if (row.expect.target) assert.equal(answer.target, fill(row.expect.target));
      for (const name of ['authorization', 'apikey']) {
        if (row.expect.seen && name in row.expect.seen) {
          const expected = row.expect.seen[name];
          assert.equal(answer.headers[name], expected === null ? undefined : fill(expected), name);
        }
      }
    });
  }
});

describe('what is our own', () => {
  for (const [mode, routes] of Object.entries(modes)) {
    test(`${mode}: a caller cannot send what the program or a gateway would`, () => {
      const spoofed = ['x-consumer-id', 'x-consumer-username', 'x-consumer-custom-id', 'x-consumer-groups', 'x-credential-identifier', 'x-credential-username', 'x-anonymous-consumer', 'x-functions-admin-token', 'x-functions-admin-boot'];
      for (const one of routes.filter((entry) => entry.name?.startsWith('functions-admin') && entry.route)) {
        for (const name of spoofed) assert.ok(one.request_headers_to_remove.includes(name), `${one.name}: ${name}`);
      }
    });

    test(`${mode}: the runtime's internal paths are closed`, () => {
      for (const target of ['/functions/v1/_internal', '/functions/v1/_internal/boot', '/functions/v1//_internal/boot', '/functions/v1/%5Finternal/boot', '/functions/v1/hello/../_internal/boot']) {
        const answer = envoy(routes, { method: 'POST', path: target, headers: { apikey: KEYS.SERVICE_ROLE_KEY } });
        assert.equal(answer.status, 404, target);
      }
    });

    test(`${mode}: the dashboard's login guards the UI and Studio's path, for reading only`, () => {
      for (const target of ['/functions-admin/ui', '/functions-admin/ui/app.js', '/api/v1/projects/default/functions', '/api/v1/projects/default/functions/hello/body']) {
        assert.equal(envoy(routes, { path: target }).status, 401, target);
        assert.equal(envoy(routes, { path: target, headers: { apikey: KEYS.SERVICE_ROLE_KEY } }).status, 401, target);
        const open = envoy(routes, { path: target, headers: { authorization: basic } });
        assert.equal(open.cluster, 'functions-admin', target);
        assert.equal(open.headers.authorization, target.startsWith('/api/') ? `Bearer ${KEYS.SERVICE_ROLE_KEY}` : undefined);
      }
      assert.equal(envoy(routes, { method: 'PUT', path: '/api/v1/projects/default/functions/hello', headers: { authorization: basic } }).cluster, 'studio', "falls through to Studio's own route");
      assert.equal(envoy(routes, { path: '/api/v1/projects/default/functionsXYZ', headers: { authorization: basic } }).cluster, 'studio');
    });

    test(`${mode}: the UI asks the API with the login and its own header, not with one of them`, () => {
      const ask = (headers) => envoy(routes, { method: 'POST', path: '/functions-admin/dashboard/v1/projects', headers });
      const passed = ask({ authorization: basic, 'x-functions-admin-dashboard': '1' });
      assert.equal(passed.target, '/functions-admin/v1/projects');
      assert.equal(passed.headers.authorization, `Bearer ${KEYS.SERVICE_ROLE_KEY}`);
      assert.equal(ask({ 'x-functions-admin-dashboard': '1', apikey: KEYS.SERVICE_ROLE_KEY }).status, 401);
      const without = ask({ authorization: basic });
      assert.notEqual(without.route.name, 'functions-admin-dashboard-all');
      assert.notEqual(without.headers?.authorization, `Bearer ${KEYS.SERVICE_ROLE_KEY}`);
    });

    test(`${mode}: where users of the MCP endpoint sign in is open to all, and takes no credential along`, () => {
      for (const target of ['/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/functions-admin/mcp']) {
        for (const headers of [{}, { apikey: KEYS.ANON_KEY }, { authorization: 'Bearer nonsense' }]) {
          const answer = envoy(routes, { path: target, headers });
          assert.deepEqual([answer.status, answer.cluster, answer.target], [200, 'functions-admin', target]);
          assert.deepEqual([answer.headers.apikey, answer.headers.authorization], [undefined, undefined]);
        }
      }
      for (const target of ['/.well-known/oauth-protected-resource/functions/v1/other', '/.well-known/oauth-authorization-server'])
        assert.ok(!(envoy(routes, { path: target }).route.name ?? '').startsWith('functions-admin'), target);
    });

    test(`${mode}: uploads and streams are not cut by a total time, and nothing is repeated`, () => {
      for (const one of routes.filter((entry) => /^functions-admin-(all|bare|flat)/.test(entry.name ?? ''))) {
        assert.equal(one.route.timeout, '0s');
        assert.equal(one.route.idle_timeout, '330s');
        assert.equal(one.route.retry_policy, undefined);
      }
    });
  }

  test('keys that are not set admit nobody', () => {
    const routes = listener(['--strict', '--deploy-token-file', `${folder}/token`], { SERVICE_ROLE_KEY_ASYMMETRIC: '' });
    for (const headers of [{}, { apikey: 'wrong' }, { authorization: 'Bearer' }, { authorization: 'Bearer wrong' }]) {
      assert.equal(envoy(routes, { path: '/functions-admin/v1/projects', headers }).status, 403, JSON.stringify(headers));
    }
  });

  test('every cluster that a route names exists, and only fields of Envoy are used', () => {
    const cluster = YAML.parse(fs.readFileSync(new URL('../../envoy/clusters.yaml', import.meta.url), 'utf8')).resources[0];
    assert.equal(cluster.name, cluster.load_assignment.cluster_name);
    assert.deepEqual(Object.keys(cluster), ['@type', 'name', 'type', 'connect_timeout', 'lb_policy', 'load_assignment']);
    const fields = { '': ['name', 'match', 'route', 'direct_response', 'request_headers_to_add', 'request_headers_to_remove', 'typed_per_filter_config'], match: ['path', 'prefix', 'headers'], route: ['cluster', 'prefix_rewrite', 'timeout', 'idle_timeout'] };
    for (const file of ['routes', 'routes-strict']) {
      for (const one of YAML.parse(fs.readFileSync(new URL(`../../envoy/${file}.yaml`, import.meta.url), 'utf8')).routes) {
        assert.ok(one.direct_response || one.route.cluster === cluster.name);
        for (const [part, known] of Object.entries(fields)) for (const name of Object.keys(part ? one[part] ?? {} : one)) assert.ok(known.includes(name), `${one.name}: ${part}.${name}`);
      }
    }
  });

  test('strict differs in who passes, in nothing else', () => {
    const strip = (routes) => routes.map((one) => { const copy = structuredClone(one); if (copy.typed_per_filter_config?.['envoy.filters.http.rbac']?.rbac) delete copy.typed_per_filter_config['envoy.filters.http.rbac']; return copy; });
    assert.deepEqual(strip(modes['strict-bearer']), strip(modes.anonymous));
  });
});
