// scripts/gateway: what it adds to a gateway's file, that it changes nothing else, and what it refuses.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, describe, test } from 'node:test';
import YAML from 'yaml';
import { LAYOUTS } from '../lib/layouts.mjs';

const program = fileURLToPath(new URL('../../scripts/gateway', import.meta.url));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fa routes-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const TOKEN = `sbp_${'0123456789abcdef'.repeat(3).slice(0, 40)}`;
const tokenFile = path.join(folder, 'token');
fs.writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 });
const STRICT = ['--strict', '--deploy-token-file', tokenFile];

const FILES = {
  'Kong 2.8': LAYOUTS.older['volumes/api/kong.yml'],
  'Kong 3.9 (format 2.1)': LAYOUTS.newer['volumes/api/kong.yml'],
  'Kong 3.9 (format 3.0)': LAYOUTS.newer['volumes/api/kong.yml'].replace("'2.1'", '"3.0"'),
  'Kong, services before consumers, entries without indentation': "_format_version: '1.1'\nservices:\n# first\n- name: one\n  url: http://one\n\nconsumers:   # who\n- username: DASHBOARD\n- username: 'service_role'\n",
  'Kong, no newline at the end': LAYOUTS.older['volumes/api/kong.yml'].replace(/\n$/, ''),
  'Kong, deep indentation': "_format_version: '2.1'\nconsumers:\n    - username: DASHBOARD\n    - username: service_role\nservices:\n    - name: one\n      url: http://one\n",
  "Envoy's routes": LAYOUTS.newer['volumes/api/envoy/lds.template.yaml'],
  "Envoy's clusters": LAYOUTS.newer['volumes/api/envoy/cds.yaml'],
};

let count = 0;
function put(text) {
  const file = path.join(folder, `gateway ${count++}.yml`);
  fs.writeFileSync(file, text);
  return file;
}
const run = (...args) => spawnSync(program, args, { encoding: 'utf8' });
const list = (text) => {
  const file = YAML.parse(text);
  if (file._format_version) return [...file.services, ...file.consumers];
  return file.resources.flatMap((resource) => resource.filter_chains?.[0].filters[0].typed_config.route_config.virtual_hosts[0].routes ?? [resource]);
};
const ours = (entry) => JSON.stringify(entry.name ?? entry.username ?? '').includes('functions-admin');

for (const [name, text] of Object.entries(FILES)) {
  for (const options of [[], STRICT]) {
    test(`${name}${options.length ? ', strict' : ''}: install, install again, remove`, () => {
      const file = put(text);
      fs.chmodSync(file, 0o640);
      const { ino } = fs.statSync(file);
      const first = run('install', '--file', file, ...options);
      assert.equal(first.status, 0, first.stderr);
      assert.match(first.stdout, /are in it\. Restart the gateway/);
      const added = fs.readFileSync(file, 'utf8');

      const again = run('install', '--file', file, ...options);
      assert.equal(again.status, 0);
      assert.match(again.stdout, /nothing to change/);
      assert.equal(fs.readFileSync(file, 'utf8'), added, 'a second time changes nothing');
      assert.equal(fs.statSync(file).ino, ino, 'the very file, which a container has mounted');
      assert.equal(fs.statSync(file).mode & 0o777, 0o640);
      assert.equal(fs.readFileSync(`${file}.before-functions-admin`, 'utf8'), text, 'the copy');

      const before = list(text);
      const entries = list(added);
      assert.deepEqual(entries.filter((entry) => !ours(entry)), before, 'what was there, in its order');
      assert.ok(entries.length > before.length);
      assert.doesNotMatch(added, /@DEPLOY_TOKEN@/);
      assert.equal(added.includes(TOKEN), options.length > 0 && name !== "Envoy's clusters");

      const removed = run('remove', '--file', file);
      assert.equal(removed.status, 0, removed.stderr);
      assert.equal(fs.readFileSync(file, 'utf8'), text, 'byte for byte');
      assert.equal(fs.existsSync(`${file}.before-functions-admin`), false, 'the copy has done its work');
      assert.match(run('remove', '--file', file).stdout, /nothing to remove/);
      assert.equal(fs.readFileSync(file, 'utf8'), text);
    });
  }

  test(`${name}: diff shows the change and makes none`, () => {
    const file = put(text);
    const shown = run('diff', '--file', file, ...STRICT);
    assert.equal(shown.status, 1, shown.stderr);
    assert.match(shown.stdout, /^\+ *# >>> functions-admin/m);
    assert.doesNotMatch(shown.stdout, /^-(?!--)/m, 'nothing is taken away');
    assert.equal(shown.stdout.includes(TOKEN), false, 'the token is not shown');
    assert.equal(fs.readFileSync(file, 'utf8'), text);
    run('install', '--file', file, ...STRICT);
    const after = run('diff', '--file', file, ...STRICT);
    assert.equal(after.status, 0);
    assert.equal(after.stdout, '');
  });
}

describe('a changed file', () => {
  const kong = FILES['Kong 2.8'];

  test('install with other options replaces the block and nothing else', () => {
    const file = put(kong);
    run('install', '--file', file);
    run('install', '--file', file, ...STRICT, '--upstream', 'host.docker.internal:8081');
    const text = fs.readFileSync(file, 'utf8');
    assert.equal(text.match(/# >>> functions-admin/g).length, 2, 'one block in each of two lists');
    assert.doesNotMatch(text, /anonymous/);
    assert.match(text, /url: http:\/\/host\.docker\.internal:8081\/functions-admin\//);
    run('remove', '--file', file);
    assert.equal(fs.readFileSync(file, 'utf8'), kong);
  });

  test('the upstream of an Envoy cluster', () => {
    const file = put(FILES["Envoy's clusters"]);
    run('install', '--file', file, '--upstream', '10.0.0.7:8081');
    const cluster = YAML.parse(fs.readFileSync(file, 'utf8')).resources.find(ours);
    assert.deepEqual(cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address, { address: '10.0.0.7', port_value: 8081 });
  });

  test('what somebody else changed meanwhile stays, and so does the copy of how it was', () => {
    const file = put(kong);
    run('install', '--file', file);
    fs.appendFileSync(file, '# mine\n');
    run('remove', '--file', file);
    assert.equal(fs.readFileSync(file, 'utf8'), `${kong}# mine\n`);
    assert.equal(fs.readFileSync(`${file}.before-functions-admin`, 'utf8'), kong);
  });

  test('lines added inside the block are replaced by the next install', () => {
    const file = put(kong);
    run('install', '--file', file);
    const installed = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, installed.replace('retries: 0', 'retries: 7'));
    assert.equal(run('diff', '--file', file).status, 1);
    run('install', '--file', file);
    assert.equal(fs.readFileSync(file, 'utf8'), installed);
  });
});

describe('refused, with nothing changed:', () => {
  const kong = FILES['Kong 2.8'];
  const lds = FILES["Envoy's routes"];
  const refusals = {
    'an empty file': ['', /empty/],
    'something else': ['services:\n  web:\n    image: nginx\n', /neither Kong/],
    'a Kong format that is not known': [kong.replace("'2.1'", "'4.0'"), /neither Kong/],
    'no services': [kong.replace(/^services:$/m, 'service_list:'), /0 lines 'services:'/],
    'two lists of services': [`${kong}services:\n  - name: x\n`, /2 lines 'services:'/],
    'a list on one line': [kong.replace(/^services:$/m, 'services: []\nothers:'), /0 lines 'services:'/],
    'no list below': [kong.replace(/^services:$/m, 'services:\n  key: value\nothers:'), /no list begins/],
    'no consumer service_role': [kong.replace('username: service_role', 'username: service'), /no consumer service_role/],
    'no consumer DASHBOARD': [kong.replace('username: DASHBOARD', 'username: STUDIO'), /no consumer DASHBOARD/],
    'routes of functions-admin that somebody added by hand': [kong.replace('name: auth-v1-open', 'name: functions-admin'), /already, outside the markers/],
    'tab characters': [kong.replace('  - username: anon', '\t- username: anon'), /tab/],
    'line ends of Windows': [kong.replaceAll('\n', '\r\n'), /(Windows|neither)/],
    'several documents': [`---\n${kong}`, /documents/],
    'Envoy without a list of routes': [lds.replace(/^( +)routes:$/m, '$1rds:'), /0 lines 'routes:'/],
    'Envoy with two lists of routes': [lds.replace(/^( +)routes:$/m, '$1routes:\n$1  - match: {}\n$1routes:'), /2 lines 'routes:'/],
    'Envoy without the keys of the entrypoint': [lds.replaceAll('${SERVICE_ROLE_KEY}', 'literal'), /SERVICE_ROLE_KEY/],
    'Envoy without basic_auth': [lds.replaceAll('basic_auth', 'jwt_authn'), /basic_auth/],
    'Envoy with functions-admin by hand': [lds.replace('cluster: functions\n', 'cluster: functions-admin\n'), /already/],
  };
  for (const [name, [text, words]] of Object.entries(refusals)) {
    test(name, () => {
      const file = put(text);
      const done = run('install', '--file', file);
      assert.equal(done.status, 2, done.stdout);
      assert.match(done.stderr, words);
      assert.match(done.stderr, /^gateway: /);
      assert.equal(fs.readFileSync(file, 'utf8'), text);
      assert.equal(fs.existsSync(`${file}.before-functions-admin`), false);
    });
  }

  test('a block whose marker is missing, for remove too', () => {
    for (const marker of ['# >>> functions-admin', '# <<< functions-admin']) {
      const file = put(kong);
      run('install', '--file', file);
      const broken = fs.readFileSync(file, 'utf8').split('\n');
      broken.splice(broken.findIndex((line) => line.includes(marker)), 1);
      fs.writeFileSync(file, broken.join('\n'));
      for (const command of ['install', 'remove', 'diff']) {
        const done = run(command, '--file', file);
        assert.equal(done.status, 2, command);
        assert.match(done.stderr, /marker is missing/);
      }
      assert.equal(fs.readFileSync(file, 'utf8'), broken.join('\n'));
    }
  });

  test('wrong arguments', () => {
    const file = put(kong);
    const bad = path.join(folder, 'bad-token');
    fs.writeFileSync(bad, 'sbp_short\n');
    for (const [args, words] of [
      [['install'], /no --file/], [['install', '--file'], /needs a value/], [['install', '--file', '/nowhere.yml'], /not there/], [['explode', '--file', file], /no command explode/],
      [['install', '--file', file, '--strict'], /needs --deploy-token-file/], [['install', '--file', file, '--strict', '--deploy-token-file', bad], /holds no access token/],
      [['install', '--file', file, '--deploy-token-file', tokenFile], /for --strict only/], [['install', '--file', file, '--upstream', 'a b:1'], /HOST:PORT/],
      [['install', '--file', file, '--upstream', 'a:99999'], /HOST:PORT/], [['install', '--file', file, '--loud'], /no option --loud/],
    ]) {
      const done = run(...args);
      assert.equal(done.status, 2, args.join(' '));
      assert.match(done.stderr, words);
      assert.equal(done.stderr.includes('sbp_short'), false);
    }
    assert.equal(fs.readFileSync(file, 'utf8'), kong);
  });

  test('--help says what there is', () => {
    assert.match(run('--help').stdout, /install[^]*remove[^]*diff[^]*--strict/);
    assert.equal(run('--help').status, 0);
    assert.equal(run().status, 2);
  });
});
