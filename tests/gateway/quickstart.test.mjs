// What quickstart refuses and says, and how it tells its own processes from others. Whether it brings everything up is tested
// where the program is built.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, describe, test } from 'node:test';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'fa-quickstart-'));
after(() => fs.rmSync(dir, { recursive: true, force: true }));

const quickstart = (args, env = {}) => spawnSync('bash', ['--norc', path.join(root, 'quickstart'), ...args],
  { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: dir, FA_HOME: path.join(dir, 'home'), ...env } });
const library = (script, ...args) => spawnSync('bash', ['--norc', '-euo', 'pipefail', '-c',
  `say() { echo "$1"; }; fail() { echo "$1" >&2; exit 1; }; RUN_AS=(env); RUN=$1; LOGS=$1; . ${root}/scripts/packages.sh; . ${root}/scripts/processes.sh; ${script}`, 'test', dir, ...args],
  { encoding: 'utf8' });

describe('words', () => {
  test('--help names every command', () => {
    const done = quickstart(['--help']);
    assert.equal(done.status, 0);
    for (const word of ['up --detach', 'status', 'env', 'logs', 'down', 'reset', '--no-install', 'FA_HOME', 'FA_PORT']) assert.ok(done.stdout.includes(word), word);
  });

  test('an unknown command or option is refused with a hint', () => {
    const command = quickstart(['start']);
    assert.equal(command.status, 1);
    assert.match(command.stderr, /^quickstart: There is no command start\.\nHINT: /);
    const option = quickstart(['up', '--fast']);
    assert.equal(option.status, 1);
    assert.match(option.stderr, /^quickstart: up knows no option --fast\nHINT: /);
  });

  test('before anything was started, status, env and logs say so; down and reset have nothing to do', () => {
    for (const name of ['status', 'env', 'logs']) {
      const done = quickstart([name]);
      assert.equal(done.status, 1, name);
      assert.match(done.stderr, /HINT: start with \.\/quickstart up/);
      assert.equal(done.stdout, '');
    }
    for (const name of ['down', 'reset']) {
      const done = quickstart([name]);
      assert.equal(done.status, 0, name);
      assert.match(done.stdout, /^There is nothing in /);
    }
    assert.equal(fs.existsSync(path.join(dir, 'home')), false, 'nothing was made');
  });

  test('a port that is none, or for root only, or in use, is one clear sentence', async () => {
    for (const port of ['x', '0', '65536', '8000 ', '-1']) {
      const done = quickstart(['up', '--no-install'], { FA_PORT: port });
      assert.equal(done.status, 1);
      assert.match(done.stderr, /^quickstart: FA_PORT is .*, which is no port number\.\nHINT: .*\n$/);
    }
    assert.match(quickstart(['up', '--no-install'], { FA_PORT: '80' }).stderr, /^quickstart: FA_PORT is 80, and ports below 1024/);

    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    const done = quickstart(['up', '--no-install'], { FA_PORT: String(port) });
    server.close();
    assert.equal(done.status, 1);
    assert.equal(done.stderr, `quickstart: Port ${port} is in use by another program.\nHINT: choose another one: FA_PORT=${port + 1} ./quickstart\n`);
    assert.equal(fs.existsSync(path.join(dir, 'home')), false);
  });

  test('an unknown policy is refused', () => {
    assert.match(quickstart(['up', '--no-install'], { FA_POLICY: 'always' }).stderr, /^quickstart: FA_POLICY is always\nHINT: /);
  });

  test("a folder with something else in it is neither used nor deleted", () => {
    const home = path.join(dir, 'mine');
    fs.mkdirSync(home);
    fs.writeFileSync(path.join(home, 'letter.txt'), 'keep');
    assert.match(quickstart(['reset'], { FA_HOME: home }).stdout, /^There is nothing in /);
    const done = quickstart(['up', '--no-install'], { FA_HOME: home, FA_PORT: '65123' });
    assert.equal(done.status, 1);
    assert.match(done.stderr, /holds something that is not quickstart's|packages are missing/);
    assert.deepEqual(fs.readdirSync(home), ['letter.txt']);
  });
});

describe('packages', () => {
  test('are looked for by command, by file and by pattern', () => {
    const done = library('missing_packages "$2"', `
there    bash
absent   no-such-command-anywhere
file     /bin/sh
pattern  /usr/bin/b?sh
nofile   /no/such/*/file
`);
    assert.equal(done.stdout, 'absent\nnofile\n');
  });

  test('each line of the lists is a package and its proof', () => {
    const done = library('printf "%s\\n" "$packages_build" "$packages_run" "$packages_node"');
    const lines = done.stdout.split('\n').filter(Boolean);
    assert.ok(lines.length > 15);
    for (const line of lines) assert.match(line, /^[a-z0-9.+-]+ +\S+$/);
  });
});

describe('processes', () => {
  test('are started in a session of their own, found, and stopped with what they started', () => {
    const done = library(`
      start_process one sh -c 'sleep 600 & echo $! > "$0/child"; wait' "$RUN"
      until [ -s "$RUN/child" ]; do sleep 0.02; done
      find_process one; echo "found $pid"
      stop_process one TERM 5
      find_process one && echo "still there"
      kill -0 "$(cat "$RUN/child")" 2>/dev/null && [ "$(cut -d' ' -f3 "/proc/$(cat "$RUN/child")/stat")" != Z ] && echo "child is there"
      [ -e "$RUN/one.pid" ] || echo "forgotten"`);
    assert.match(done.stdout, /^found \d+\nforgotten\n$/, done.stderr);
  });

  test('one that ignores the signal is killed', () => {
    const done = library(`
      start_process deaf sh -c 'trap "" TERM; : > "$0/deaf"; while :; do sleep 1; done' "$RUN"
      until [ -e "$RUN/deaf" ]; do sleep 0.02; done
      stop_process deaf TERM 1
      find_process deaf || echo gone`);
    assert.equal(done.stdout, 'deaf did not stop within 1 s and is killed\ngone\n', done.stderr);
  });

  test('a stale pid file, whose number is somebody else\'s by now, harms nobody', async () => {
    const stranger = spawn('sleep', ['600'], { detached: true });
    fs.writeFileSync(path.join(dir, 'stale.pid'), `${stranger.pid} 1\n`);
    const done = library('find_process stale && echo found; stop_process stale TERM 5; [ -e "$RUN/stale.pid" ] || echo forgotten');
    assert.equal(done.stdout, 'forgotten\n');
    assert.equal(stranger.exitCode, null);
    assert.equal(stranger.signalCode, null);
    process.kill(stranger.pid, 0);
    stranger.kill();
    await once(stranger, 'exit');
  });

  test('one that ends while it is waited for is named, with its last words', () => {
    const done = library(`start_process brief sh -c 'echo "the disk is full"; exit 1'; wait_ready brief 10 false`);
    assert.equal(done.status, 1);
    assert.equal(done.stderr, 'brief ended while it was starting: the disk is full\n');
  });
});
