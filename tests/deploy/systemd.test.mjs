// The units for hosts without containers. That the program takes a socket which systemd opened is tested in tests/integration/operations.test.mjs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const unit = (name) => fs.readFileSync(path.join(ROOT, 'deploy/systemd', name), 'utf8');
const value = (text, key) => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1];

test('the socket is where nginx looks for it, for the same user, in a directory that a restart leaves alone', () => {
  const socket = unit('functions-admin.socket');
  const service = unit('functions-admin.service');
  const site = fs.readFileSync(path.join(ROOT, 'debian/rules'), 'utf8');
  assert.equal(value(socket, 'ListenStream'), /FASTCGI=unix:(\S+)/.exec(site)[1]);
  assert.equal(path.dirname(value(socket, 'ListenStream')), `/run/${value(service, 'RuntimeDirectory')}`);
  assert.equal(value(socket, 'SocketUser'), value(service, 'User'));
  assert.equal(value(socket, 'SocketGroup'), value(service, 'Group'));
  assert.equal(value(socket, 'SocketMode'), '0660');
  assert.equal(value(service, 'RuntimeDirectoryPreserve'), 'yes');
  // More than the program keeps of connections (MAX_CONNECTIONS in src/http/connections.c), and files beside them.
  assert.ok(Number(value(service, 'LimitNOFILE')) > 2 * 4096);
});

test('the Debian package has both units, switches neither on, and leaves the socket open through an upgrade, and stops both when it goes', () => {
  const rules = fs.readFileSync(path.join(ROOT, 'debian/rules'), 'utf8');
  for (const name of ['functions-admin.service', 'functions-admin.socket']) {
    assert.match(rules, new RegExp(`^\\tcp .*deploy/systemd/${name}.* debian/$`, 'm'));
    const flags = rules.split('\n').find((line) => line.startsWith('\tdh_installsystemd') && line.endsWith(` ${name}`));
    assert.match(flags, / --no-enable --no-start /);
    assert.equal(flags.includes(' --no-restart-after-upgrade --no-stop-on-upgrade '), name.endsWith('.socket'));
  }
  const prerm = fs.readFileSync(path.join(ROOT, 'debian/functions-admin.prerm'), 'utf8');
  assert.match(prerm, /"\$1" = remove[^]*deb-systemd-invoke stop functions-admin\.socket functions-admin\.service/);
});

const found = spawnSync('systemd-analyze', ['--version']).status === 0;
test('systemd understands the units', { skip: found ? false : 'there is no systemd-analyze' }, (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fa-units-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const names = ['functions-admin.service', 'functions-admin.socket'];
  // The program is not installed where the tests run; any that is will do for a look at the unit.
  for (const name of names) fs.writeFileSync(path.join(folder, name), unit(name).replaceAll('/usr/bin/functions-admin', '/bin/true'));
  const done = spawnSync('systemd-analyze', ['verify', '--man=no', ...names.map((name) => path.join(folder, name))], { encoding: 'utf8', timeout: 20_000 });
  const own = done.stderr.split('\n').filter((line) => line.includes('functions-admin'));
  assert.deepEqual(own, []);
  assert.equal(done.status, 0, done.stderr);
});
