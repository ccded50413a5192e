// The declarative Kong files: fields and types as Kong's schemas have them, both formats say the same, they survive their entrypoint's
// substitution, and they agree with the development gateway.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import YAML from 'yaml';

const read = (name) => fs.readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
const schema = JSON.parse(fs.readFileSync(new URL('kong-schema.json', import.meta.url)));
const variants = { '2.8': read('kong/functions-admin-2.8.yml'), '3.9': read('kong/functions-admin-3.9.yml'), '2.8-strict': read('kong/functions-admin-2.8-strict.yml'), '3.9-strict': read('kong/functions-admin-3.9-strict.yml') };
const older = variants['2.8'];
const gateway = read('nginx/gateway.conf.in');
const code = (text) => text.split('\n').filter((line) => !/^\s*#/.test(line)).join('\n');
const routes = (file) => YAML.parse(file).services.flatMap((service) => service.routes);

function checkType(type, value, where) {
  if (Array.isArray(type)) {
    assert.ok(Number.isInteger(value) && value >= type[1] && value <= type[2], `${where}: ${value}`);
  } else if (type === 'strings') {
    assert.ok(Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string'), `${where}: ${JSON.stringify(value)}`);
  } else if (typeof type === 'object') {
    checkFields(type, value, where);
  } else {
    assert.equal(typeof value, type === 'map' ? 'object' : type, where);
  }
}

function checkFields(fields, entity, where) {
  assert.equal(typeof entity, 'object', where);
  for (const [name, value] of Object.entries(entity)) {
    const type = fields[name];
    assert.ok(type, `${where}.${name} is no field that Kong has`);
    if (type === '@config') checkFields(schema.plugins[entity.name] ?? assert.fail(`${where}: plugin ${entity.name} has no schema`), value, `${where}.config`);
    else if (typeof type === 'string' && type.startsWith('@')) value.forEach((item, at) => checkFields(schema.entities[type.slice(1)], item, `${where}.${name}[${at}]`));
    else checkType(type, value, `${where}.${name}`);
  }
}

for (const [name, text] of Object.entries(variants)) {
  test(`${name}: every field is one of Kong's schema, with its type`, () => {
    const file = YAML.parse(text);
    assert.deepEqual(Object.keys(file).sort(), ['_format_version', 'consumers', 'services']);
    file.services.forEach((service) => checkFields(schema.entities.service, service, service.name));
    file.consumers.forEach((consumer) => checkFields(schema.entities.consumer, consumer, consumer.username));
    for (const service of file.services) {
      for (const plugin of service.plugins ?? []) {
        for (const change of schema.header_pairs) for (const pair of plugin.config[change]?.headers ?? []) assert.match(pair, /^[A-Za-z-]+: ?\S/, 'a header to add is NAME:VALUE');
      }
    }
  });

  test(`${name}: names are not used twice, and the anonymous consumer and the groups exist`, () => {
    const file = YAML.parse(text);
    const names = [...file.services.map((service) => service.name), ...routes(text).map((route) => route.name)];
    assert.equal(new Set(names).size, names.length);
    const usernames = file.consumers.map((consumer) => consumer.username);
    const groups = new Set(['admin', ...file.consumers.flatMap((consumer) => consumer.acls.map((acl) => acl.group))]);
    for (const { plugins = [] } of file.services) {
      for (const { name: plugin, config } of plugins) {
        if (plugin === 'key-auth' && config.anonymous) assert.ok(usernames.includes(config.anonymous));
        if (plugin === 'acl') for (const group of config.allow) assert.ok(groups.has(group), group);
      }
    }
  });

  test(`${name}: only plugins that every version of Supabase's compose file enables`, () => {
    for (const [version, enabled] of Object.entries(schema.enabled)) {
      for (const service of YAML.parse(text).services) for (const plugin of service.plugins ?? []) assert.ok(enabled.includes(plugin.name), `${plugin.name} in ${version}`);
    }
  });

  test(`${name}: no service that reaches functions-admin sends a request twice, and uploads and streams pass unbuffered`, () => {
    for (const service of YAML.parse(text).services) assert.equal(service.retries, 0, service.name);
    const all = routes(text).find((route) => route.name === 'functions-admin-all');
    assert.equal(all.request_buffering, false);
    assert.equal(all.response_buffering, false);
  });

  test(`${name}: what stands behind the dashboard's login is for reading only, or asks for a header that other pages cannot send`, () => {
    for (const service of YAML.parse(text).services) {
      if (!(service.plugins ?? []).some((plugin) => plugin.name === 'basic-auth')) continue;
      for (const route of service.routes) {
        if (route.headers) assert.deepEqual(route.headers, { 'X-Functions-Admin-Dashboard': ['1'] });
        else assert.deepEqual(route.methods, ['GET', 'HEAD'], route.name);
      }
    }
  });

  test(`${name}: where users of the MCP endpoint sign in is open to all, whole paths as they are`, () => {
    const service = YAML.parse(text).services.find((one) => one.name === 'functions-admin-resource-metadata');
    assert.deepEqual([service.plugins, service.url, service.routes[0].strip_path], [undefined, 'http://functions-admin:8000', false]);
    const [own, host] = service.routes[0].paths;
    for (const path of [own, host.replace(/^~|\$$/g, '')]) assert.ok(gateway.includes(`location = ${path} {`), path);
  });

  test(`${name}: each route has the bare path beside the one with a slash, and the development gateway has both`, () => {
    const paths = routes(text).flatMap((route) => route.paths);
    // Nothing stands at the bare path of dashboard/.
    for (const path of paths.filter((item) => item.endsWith('/') && !item.endsWith('/dashboard/'))) {
      const bare = path.slice(0, -1);
      assert.ok(paths.includes(name.startsWith('2.8') ? `${bare}$` : `~${bare}$`), bare);
      assert.ok(gateway.includes(`location = ${bare} {`), `location = ${bare}`);
      assert.ok(gateway.includes(`location ${path} {`), `location ${path}`);
    }
    assert.ok(gateway.includes('location /functions/v1/_internal '));
  });
}

test('the two formats differ in the version and in how a regular expression is written, in nothing else', () => {
  for (const kind of ['', '-strict']) {
    const [old, fresh] = [variants[`2.8${kind}`], variants[`3.9${kind}`]];
    assert.match(old, /^_format_version: '2\.1'$/m);
    assert.match(fresh, /^_format_version: '3\.0'$/m);
    assert.equal(code(fresh).replaceAll("'~/", "'/").replace("'3.0'", "'2.1'"), code(old));
  }
});

test('strict differs in who passes, in nothing else', () => {
  const strip = (text) => {
    const file = YAML.parse(text);
    for (const service of file.services) service.plugins = (service.plugins ?? []).filter((plugin) => plugin.name !== 'key-auth' && plugin.name !== 'acl');
    return file.services;
  };
  assert.deepEqual(strip(variants['2.8-strict']), strip(older));
  const strict = YAML.parse(variants['2.8-strict']);
  for (const service of strict.services) {
    for (const { name, config } of service.plugins ?? []) {
      if (name === 'key-auth') assert.deepEqual(config, { key_names: ['apikey', 'authorization'], hide_credentials: false });
      if (name === 'acl') assert.deepEqual(config.allow, ['admin', 'functions-admin']);
    }
  }
  assert.deepEqual(strict.consumers.flatMap((consumer) => consumer.keyauth_credentials.map((credential) => credential.key)),
    ['Bearer $SUPABASE_SERVICE_KEY', '@DEPLOY_TOKEN@', 'Bearer @DEPLOY_TOKEN@']);
});

test("the older entrypoint's substitution leaves the files as they are, but for the variables", () => {
  for (const text of [older, variants['2.8-strict']]) {
    const echo = spawnSync('bash', ['--norc', '-c', 'eval "echo \\"$(cat)\\""'], { input: text, encoding: 'utf8', env: { SUPABASE_SERVICE_KEY: 'the-service-key', PATH: process.env.PATH } });
    assert.equal(echo.status, 0, echo.stderr);
    assert.equal(echo.stderr, '');
    assert.equal(echo.stdout, text.replaceAll('$SUPABASE_SERVICE_KEY', 'the-service-key'));
  }
});

test("the newer entrypoint's substitution leaves nothing unsubstituted", () => {
  for (const text of [variants['3.9'], variants['3.9-strict']]) {
    for (const [, variable] of code(text).matchAll(/\$([A-Za-z_][A-Za-z_0-9]*)/g)) assert.equal(variable, 'SUPABASE_SERVICE_KEY');
    assert.doesNotMatch(text, /^\s*- key:\s*$/m, 'a line that it would drop');
  }
});
