// The declarative Kong files: both say the same, survive their entrypoint's substitution, and agree with the development gateway.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';

const read = (name) => fs.readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
const older = read('kong/functions-admin-2.8.yml');
const newer = read('kong/functions-admin-3.9.yml');
const gateway = read('nginx/gateway.conf.in');
const code = (text) => text.split('\n').filter((line) => !/^\s*#/.test(line)).join('\n');
const paths = (text) => [...code(text).matchAll(/- '(~?\/[^']*)'/g)].map((match) => match[1]);

test('the two files differ in the format version and in how a regular expression is written, in nothing else', () => {
  assert.match(older, /^_format_version: '2\.1'$/m);
  assert.match(newer, /^_format_version: '3\.0'$/m);
  assert.equal(code(newer).replaceAll("'~/", "'/").replace("'3.0'", "'2.1'"), code(older));
});

test('only plugins that Supabase enables in every version', () => {
  const enabled = new Set(['request-transformer', 'cors', 'key-auth', 'acl', 'basic-auth', 'request-termination', 'ip-restriction']);
  const used = [...code(older).matchAll(/^ {6}- name: (\S+)\n {8}config:/gm)].map((match) => match[1]);
  assert.ok(used.length >= 7);
  for (const name of used) assert.ok(enabled.has(name), name);
});

test("the older entrypoint's substitution leaves the file as it is, but for the variables", () => {
  const echo = spawnSync('bash', ['--norc', '-c', 'eval "echo \\"$(cat)\\""'], { input: older, encoding: 'utf8', env: { SUPABASE_SERVICE_KEY: 'the-service-key', PATH: process.env.PATH } });
  assert.equal(echo.status, 0, echo.stderr);
  assert.equal(echo.stderr, '');
  assert.equal(code(echo.stdout), code(older).replace('$SUPABASE_SERVICE_KEY', 'the-service-key'));
});

test('each route has the bare path beside the one with a slash, and the development gateway has both', () => {
  for (const file of [older, newer]) {
    for (const path of paths(file).filter((text) => text.endsWith('/'))) {
      const bare = path.slice(0, -1);
      assert.ok(paths(file).some((other) => other.replace(/^~/, '') === `${bare}$`), bare);
      assert.ok(gateway.includes(`location = ${bare} {`), `location = ${bare}`);
      assert.ok(gateway.includes(`location ${path} {`), `location ${path}`);
    }
  }
  assert.ok(gateway.includes('location /functions/v1/_internal '));
});

test('no service that reaches functions-admin sends a request twice', () => {
  const services = code(older).split(/^ {2}- name: /m).slice(1).filter((text) => !text.startsWith('functions-admin-internal'));
  assert.equal(services.length, 3);
  for (const service of services) assert.match(service, /^ {4}retries: 0$/m);
});
