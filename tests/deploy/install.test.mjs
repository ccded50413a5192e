// install.sh on copies of Supabase's docker folder: what it writes, that a second time changes nothing, and that --uninstall brings
// every byte back. Docker itself is a stand-in that notes what it was asked to do.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, describe, test } from 'node:test';
import YAML from 'yaml';
import { LAYOUTS, makeLayout, snapshot } from '../lib/layouts.mjs';
import { know, searchFolders, searchText } from '../lib/leaks.mjs';

const program = fileURLToPath(new URL('../../install.sh', import.meta.url));
const OVERRIDE = 'docker-compose.functions-admin.yml';
const folders = [];
after(() => { for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true }); });
const layout = (...args) => { const folder = makeLayout(...args); folders.push(folder); return folder; };

// A PATH whose docker writes its arguments into a file.
const bin = fs.mkdtempSync(path.join(os.tmpdir(), 'fa docker-'));
folders.push(bin);
fs.writeFileSync(`${bin}/docker`, `#!/bin/sh\n[ "$2" = version ] || echo "$@" >>"${bin}/calls"\n[ ! -e "${bin}/broken" ]\n`, { mode: 0o755 });

const TOKEN = `sbp_${'0123456789abcdef'.repeat(3).slice(0, 40)}`;
fs.writeFileSync(`${bin}/token`, `${TOKEN}\n`, { mode: 0o600 });

know('the deploy token', TOKEN);
const temporary = `${bin}/temporary`;
fs.mkdirSync(temporary);

/** No key is in what was printed, in docker's arguments or in a file that is not there for it. */
function search(folder, done) {
  const env = path.join(folder, '.env');
  for (const [, name, value] of (fs.existsSync(env) ? fs.readFileSync(env, 'utf8') : '').matchAll(/^(\w*(?:KEY|SECRET|PASSWORD)\w*)="?(.*?)"?$/gm)) know(name, value);
  const secrets = path.join(folder, 'volumes/functions-admin/secrets');
  for (const name of fs.existsSync(secrets) ? fs.readdirSync(secrets) : []) know(name, fs.readFileSync(path.join(secrets, name), 'utf8').trim());
  searchText('what install.sh has printed', done.stdout + done.stderr);
  searchText('the arguments of docker', done.calls.join('\n'));
  searchFolders([folder, temporary], (file, name) => file === env || path.dirname(file) === secrets
    || (name === 'the deploy token' && path.dirname(file) === path.join(folder, 'volumes/api')));
  assert.deepEqual(fs.readdirSync(temporary), [], 'temporary files are left');
}

function run(folder, ...options) {
  fs.rmSync(`${bin}/calls`, { force: true });
  const start = options.includes('--start');
  const args = [folder, ...options.filter((option) => option !== '--start'), ...(start ? [] : ['--no-start'])];
  const done = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, TMPDIR: temporary } });
  done.calls = fs.existsSync(`${bin}/calls`) ? fs.readFileSync(`${bin}/calls`, 'utf8').trim().split('\n') : [];
  search(folder, done);
  return done;
}
const read = (folder, name) => fs.readFileSync(path.join(folder, name), 'utf8');
const installed = (folder, ...options) => { const done = run(folder, ...options); assert.equal(done.status, 0, done.stderr + done.stdout); return done; };

const CASES = {
  'older, Kong 2.8': ['older', {}],
  'older, with a file of its own beside it': ['older', { 'docker-compose.override.yml': 'services: {}\n' }],
  'newer, Envoy': ['newer', {}],
  'newer, Kong by COMPOSE_FILE': ['newer', { '.env': `${LAYOUTS.newer['.env']}\nCOMPOSE_FILE=docker-compose.yml:docker-compose.kong.yml\n# the end\n` }],
  'newer, Kong by CONFIG': ['newer', { '.env': `${LAYOUTS.newer['.env']}\nCONFIG=kong` }],
  'newer, COMPOSE_FILE in quotes': ['newer', { '.env': `COMPOSE_FILE="docker-compose.yml"\n${LAYOUTS.newer['.env']}` }],
  'newer, empty COMPOSE_FILE': ['newer', { '.env': `COMPOSE_FILE=\n${LAYOUTS.newer['.env']}` }],
  'newer, empty CONFIG': ['newer', { '.env': `CONFIG=\n${LAYOUTS.newer['.env']}` }],
};

// Each start of it is two hundred processes: in the short run the dry run and the second time are tried with one layout of each gateway.
const WHOLE = ['older, Kong 2.8', 'newer, Envoy', 'newer, Kong by COMPOSE_FILE'];

for (const [name, [kind, changes]] of Object.entries(CASES)) {
  const whole = process.env.FA_LONG || WHOLE.includes(name);
  test(`${name}: ${whole ? 'a dry run changes nothing; install twice' : 'install'}; uninstall; byte for byte`, () => {
    const folder = layout(kind, changes);
    const owner = fs.statSync(`${folder}/volumes/functions`).uid;
    const before = snapshot(folder);
    if (whole) {
      const dry = installed(folder, '--dry-run');
      assert.match(dry.stdout, /Nothing was changed/);
      assert.match(dry.stdout, /^\+.*# >>> functions-admin/m, 'the routes are shown');
      assert.deepEqual(snapshot(folder), before);
    }

    installed(folder);
    const first = snapshot(folder);
    assert.notDeepEqual(first, before);
    if (whole) {
      const again = installed(folder);
      assert.deepEqual(snapshot(folder), first, 'a second time changes nothing');
      assert.doesNotMatch(again.stdout, /^ {2}(write|routes|\.env|chown)/m, 'and says so');
    }

    installed(folder, '--uninstall', '--purge');
    assert.deepEqual(snapshot(folder), before);
    assert.equal(fs.statSync(`${folder}/volumes/functions`).uid, owner);
  });
}

test('uninstall: a dry run changes nothing, and a second time neither', () => {
  const folder = layout('newer');
  const before = snapshot(folder);
  installed(folder);
  const first = snapshot(folder);
  installed(folder, '--uninstall', '--dry-run');
  assert.deepEqual(snapshot(folder), first);
  installed(folder, '--uninstall', '--purge');
  installed(folder, '--uninstall', '--purge');
  assert.deepEqual(snapshot(folder), before);
});

describe('what is written', () => {
  test('the override: a program without rights, secrets in files, the runtime with our main service', () => {
    const folder = layout('newer', { 'docker-compose.yml': LAYOUTS.newer['docker-compose.yml'].replace('"start",\n', '"start",\n        "--user-worker-request-idle-timeout",\n        "150000",\n') });
    installed(folder);
    const text = read(folder, OVERRIDE);
    const { services } = YAML.parse(text);
    const admin = services['functions-admin'];
    assert.equal(admin.read_only, true);
    assert.deepEqual(admin.cap_drop, ['ALL']);
    assert.notEqual(admin.user.split(':')[0], '0');
    assert.match(admin.environment.FUNCTIONS_ADMIN_PROJECT_REF, /^[a-z]{20}$/);
    assert.deepEqual(services.functions.command, ['start', '--user-worker-request-idle-timeout', '150000', '--main-service', '/home/deno/functions-admin/main', '--event-worker', '/home/deno/functions-admin/event']);
    assert.equal(services.functions.environment.FUNCTIONS_ADMIN_EVENTS_URL, `http://functions-admin:8000/v1/projects/${admin.environment.FUNCTIONS_ADMIN_PROJECT_REF}/events`);
    for (const value of ['postgres-password-of-the-test', 'jwt-secret-of-the-test', 'service.role.key', 'sb_secret_of-the-test']) assert.equal(text.includes(value), false, value);
    for (const [option, file] of Object.entries(admin.environment).filter(([option]) => option.endsWith('_FILE'))) {
      const inside = path.join(folder, 'volumes/functions-admin', file.replace('/etc/functions-admin/', ''));
      assert.equal(fs.statSync(inside).mode & 0o777, 0o600, option);
      assert.ok(fs.statSync(inside).size > 1, option);
      assert.equal(`${fs.statSync(inside).uid}`, admin.user.split(':')[0], option);
    }
    assert.equal(read(folder, 'volumes/functions-admin/secrets/jwks'), '{"keys":[]}\n');
    assert.match(read(folder, 'volumes/functions-admin/secrets/master_key'), /^[0-9a-f]{64}\n$/);
    for (const name of ['main', 'event']) assert.ok(fs.existsSync(`${folder}/volumes/functions-admin/runtime/${name}/index.ts`));
    assert.equal(`${fs.statSync(`${folder}/volumes/functions`).uid}`, admin.user.split(':')[0], 'the program may write there');
  });

  test('.env gets the one line that Compose needs, in the form that is there', () => {
    const line = (kind, env) => { const folder = layout(kind, env === undefined ? {} : { '.env': LAYOUTS[kind]['.env'] + env }); installed(folder); return read(folder, '.env').split('\n').filter((text) => /^(COMPOSE_FILE|CONFIG)=/.test(text)); };
    assert.deepEqual(line('older'), [`COMPOSE_FILE=docker-compose.yml:${OVERRIDE}`]);
    assert.deepEqual(line('newer'), [`COMPOSE_FILE=docker-compose.yml:${OVERRIDE}`]);
    assert.deepEqual(line('newer', '\nCOMPOSE_FILE="docker-compose.yml:a.yml"\n'), [`COMPOSE_FILE="docker-compose.yml:a.yml:${OVERRIDE}"`]);
    assert.deepEqual(line('newer', '\nCOMPOSE_FILE=\n'), [`COMPOSE_FILE=docker-compose.yml:${OVERRIDE}`]);
    assert.deepEqual(line('newer', '\nCONFIG="pg17 kong"\n'), ['CONFIG="pg17 kong functions-admin"']);
    assert.deepEqual(line('newer', '\nCONFIG=\n'), ['CONFIG="functions-admin"']);
  });

  test('a rotated key reaches its file; master key and project stay', () => {
    const folder = layout('older');
    installed(folder);
    const kept = ['master_key', 'runtime_token'].map((name) => read(folder, `volumes/functions-admin/secrets/${name}`)).concat(read(folder, 'volumes/functions-admin/project_ref'));
    fs.writeFileSync(`${folder}/.env`, read(folder, '.env').replace(/^SERVICE_ROLE_KEY=.*/m, 'SERVICE_ROLE_KEY="a.new.key"').replace(/^ANON_KEY=.*/m, 'ANON_KEY='));
    installed(folder);
    assert.equal(read(folder, 'volumes/functions-admin/secrets/service_role_key'), 'a.new.key\n');
    assert.equal(fs.existsSync(`${folder}/volumes/functions-admin/secrets/anon_key`), false);
    assert.doesNotMatch(read(folder, OVERRIDE), /ANON_KEY_FILE/);
    assert.deepEqual(['master_key', 'runtime_token'].map((name) => read(folder, `volumes/functions-admin/secrets/${name}`)).concat(read(folder, 'volumes/functions-admin/project_ref')), kept);
  });

  test('uninstall keeps master key and project for the next install; what was changed meanwhile stays', () => {
    const folder = layout('newer', { '.env': `${LAYOUTS.newer['.env']}\nCOMPOSE_FILE=docker-compose.yml\n` });
    installed(folder);
    const key = read(folder, 'volumes/functions-admin/secrets/master_key');
    const ref = read(folder, 'volumes/functions-admin/project_ref');
    fs.writeFileSync(`${folder}/.env`, `${read(folder, '.env').replace(OVERRIDE, `${OVERRIDE}:mine.yml`)}NEW=1\n`);
    installed(folder, '--uninstall');
    assert.match(read(folder, '.env'), /^COMPOSE_FILE=docker-compose\.yml:mine\.yml\nNEW=1\n$/m);
    assert.deepEqual(fs.readdirSync(`${folder}/volumes/functions-admin`).sort(), ['project_ref', 'secrets']);
    assert.deepEqual(fs.readdirSync(`${folder}/volumes/functions-admin/secrets`), ['master_key']);
    installed(folder);
    assert.equal(read(folder, 'volumes/functions-admin/secrets/master_key'), key);
    assert.equal(read(folder, 'volumes/functions-admin/project_ref'), ref);
  });

  test('strict: the token reaches the gateway files and no output', () => {
    const folder = layout('older');
    const done = installed(folder, '--strict', '--deploy-token-file', `${bin}/token`);
    assert.match(read(folder, 'volumes/api/kong.yml'), new RegExp(`key: 'Bearer ${TOKEN}'`));
    assert.equal((done.stdout + done.stderr + installed(folder, '--strict', '--deploy-token-file', `${bin}/token`, '--dry-run').stdout).includes(TOKEN), false);
  });

  test('no secret is printed', () => {
    const folder = layout('newer');
    const shown = [installed(folder, '--dry-run'), installed(folder), installed(folder, '--uninstall')].map((done) => done.stdout + done.stderr).join('');
    for (const value of ['postgres-password', 'jwt-secret-of', 'anon.key', 'service.role.key', 'sb_secret', 'dashboard-password']) assert.equal(shown.includes(value), false, value);
  });
});

describe('docker', () => {
  test('is asked to build, start and restart the gateway; in a second install too', () => {
    for (const [kind, service] of [['older', 'kong'], ['newer', 'api-gw']]) {
      const folder = layout(kind);
      const expected = ['compose up -d --build --wait functions-admin functions', `compose restart ${service}`];
      assert.deepEqual(installed(folder, '--start', '--without-import').calls, expected);
      assert.deepEqual(installed(folder, '--start', '--without-import').calls, expected);
      assert.deepEqual(installed(folder, '--start', '--dry-run').calls, []);
      assert.deepEqual(installed(folder, '--start', '--uninstall').calls, ['compose rm --stop --force functions-admin', 'compose up -d functions', `compose restart ${service}`]);
    }
  });

  test('functions that are there already are named, and imported once the service runs', () => {
    const folder = layout('older');
    const planned = run(folder, '--dry-run');
    assert.match(planned.stdout, /import +each as its own version 1[^\n]*: hello\n/);
    const left = run(folder, '--dry-run', '--without-import');
    assert.match(left.stdout, /404 +until they are imported: hello\n/);
    assert.match(installed(folder).stdout, /docker compose exec -T functions-admin functions-admin import --no-verify-jwt\n/);
    const env = `${folder}/.env`;
    fs.writeFileSync(env, fs.readFileSync(env, 'utf8').replace(/^FUNCTIONS_VERIFY_JWT=.*$/m, 'FUNCTIONS_VERIFY_JWT=true'));
    const { calls } = installed(folder, '--start');
    assert.equal(calls.at(-1), 'compose exec -T functions-admin functions-admin import');
    // Once they are ours there is nothing to say.
    fs.mkdirSync(`${folder}/volumes/functions/.releases/hello`, { recursive: true });
    assert.doesNotMatch(installed(folder).stdout, /hello/);
  });

  test('a step that fails is named, and what to do then', () => {
    const folder = layout('older');
    installed(folder);
    fs.writeFileSync(`${bin}/docker`, fs.readFileSync(`${bin}/docker`, 'utf8').replace('[ ! -e', '[ "$2" = version ] || [ ! -e'));
    fs.writeFileSync(`${bin}/broken`, '');
    try {
      const done = run(folder, '--start');
      assert.equal(done.status, 1);
      assert.match(done.stderr, /this failed: docker compose up/);
      assert.match(done.stderr, /safe to repeat/);
    } finally { fs.rmSync(`${bin}/broken`); }
  });
});

describe('refused, with nothing changed:', () => {
  const refusals = {
    'a folder that is something else': ['older', { '.env': null }, [], /no \.env/],
    'no edge runtime': ['older', { 'docker-compose.yml': LAYOUTS.older['docker-compose.yml'].replace('  functions:', '  deno:') }, [], /no service functions/],
    'a gateway that is not known': ['older', { 'docker-compose.yml': LAYOUTS.older['docker-compose.yml'].replace('  kong:', '  traefik:') }, [], /neither a service kong/],
    'a command that is not understood': ['older', { 'docker-compose.yml': LAYOUTS.older['docker-compose.yml'].replace('"start",', '"bash",') }, [], /command of the service functions/],
    'a gateway file that is not understood': ['older', { 'volumes/api/kong.yml': LAYOUTS.older['volumes/api/kong.yml'].replace('services:', 'service:') }, [], /0 lines 'services:'/],
    'the other gateway': ['older', {}, ['--gateway', 'envoy'], /lds\.template\.yaml is not there/],
    'a short JWT secret': ['older', { '.env': LAYOUTS.older['.env'].replace(/^JWT_SECRET=.*/m, 'JWT_SECRET=short') }, [], /JWT_SECRET/],
    'no database password': ['older', { '.env': LAYOUTS.older['.env'].replace(/^POSTGRES_PASSWORD=.*/m, 'POSTGRES_PASSWORD=') }, [], /POSTGRES_PASSWORD/],
    'strict without a token': ['older', {}, ['--strict'], /needs --deploy-token-file/],
    'an option that does not exist': ['older', {}, ['--force'], /no option --force/],
    'purge without uninstall': ['older', {}, ['--purge'], /for --uninstall only/],
    'a gateway of another name': ['older', {}, ['--gateway', 'nginx'], /kong or envoy/],
  };
  for (const [name, [kind, changes, options, words]] of Object.entries(refusals)) {
    test(name, () => {
      const gone = Object.keys(changes).filter((file) => changes[file] === null);
      const folder = layout(kind, Object.fromEntries(Object.entries(changes).filter(([, text]) => text !== null)));
      for (const file of gone) fs.rmSync(path.join(folder, file));
      const before = snapshot(folder);
      const done = run(folder, ...options);
      assert.notEqual(done.status, 0);
      assert.match(done.stderr, words);
      assert.deepEqual(snapshot(folder), before);
    });
  }

  test("the other gateway's file where it is not understood is left out, with a word", () => {
    const folder = layout('newer', { 'volumes/api/kong.yml': 'something: else\n' });
    const done = installed(folder);
    assert.match(done.stdout, /skip +volumes\/api\/kong\.yml/);
    assert.equal(read(folder, 'volumes/api/kong.yml'), 'something: else\n');
  });
});
