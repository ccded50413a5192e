// The functions folder is full, read-only, or the program has no file descriptors left: a clear answer, nothing half-written,
// what is deployed goes on being served, and all is well once the cause is gone, without a restart.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { makeService, startPostgres, startRuntime, until } from '../lib/service.mjs';

const PAGE = 4096, SLUGS = ['one', 'two'];
const files = (text) => ({ 'index.ts': text, 'lib/a.ts': 'a'.repeat(3 * PAGE), 'lib/b.ts': text });
const command = (name, ...args) => { const done = spawnSync(name, args, { encoding: 'utf8', timeout: 10_000 }); assert.equal(done.status, 0, `${name}: ${done.stderr}`); };
let postgres, number = 0;

before(async () => { postgres = await startPostgres(); });
after(() => postgres?.remove());

/** A service, on a tmpfs with these options where there are any; two functions are deployed. */
async function started(mounted, options = {}) {
  const service = makeService(postgres, { options }), runtime = await startRuntime(service.functionsDir);
  const unmount = () => { if (mounted) spawnSync('umount', ['-l', service.functionsDir]); };
  process.once('exit', unmount);
  if (mounted) command('mount', '-t', 'tmpfs', '-o', `mode=755,${mounted}`, 'tmpfs', service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  await service.start();
  for (const slug of SLUGS) assert.equal((await service.deploy(slug, files(`first ${slug}`))).status, 201);
  return { service, runtime, async end() {
    await service.stop();
    unmount();
    process.removeListener('exit', unmount);
    await service.remove();
    await runtime.stop();
  } };
}

function mountable() {
  if (process.getuid() !== 0) return 'only root can mount';
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fa-mount-'));
  try {
    return spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', folder]).status === 0 && spawnSync('umount', [folder]).status === 0 ? false : 'no tmpfs can be mounted here';
  } finally { fs.rmSync(folder, { recursive: true, force: true }); }
}
const unmountable = mountable();

/** A deploy that may fail with one of these; what is served afterwards is the old version or the new one. */
async function tried({ service, runtime }, failures) {
  const text = `try ${number++}`, before = await (await runtime.call('one')).text();
  // Without a descriptor for the connection there is no answer.
  const answer = await service.deploy('one', files(text)).catch((error) => ({ status: 0, text: error.message, json: { code: error.code } }));
  const now = await (await runtime.call('one')).text();
  if (answer.status === 201) assert.equal(now, text, 'what is said to be deployed is served');
  else {
    assert.ok(failures.some(([status, code]) => answer.status === status && answer.json.code === code), `${answer.status} ${answer.text}\n${service.log.slice(-2000)}`);
    assert.equal(now, before, `the old version serves: ${answer.text}`);
    if (answer.status === 507) await service.settled();
  }
  return answer.status;
}

async function healed(at) {
  await until('deploys work again', async () => (await at.service.deploy('one', files(`healed ${number++}`))).status === 201);
  await agree(at.service, at.runtime, SLUGS);
}

/**
 * Deploys with ever more of something free, until it is enough for one. What the program was about to give back when it was
 * counted makes the first deploy find enough, on a slow machine; then it is counted again.
 */
async function climb(at, resource, limit, failures) {
  let failed = 0;
  for (let round = 0; round < 10 && failed === 0; round++) {
    for (let free = 0; free <= limit; free++) {
      resource.leave(free);
      const status = await tried(at, failures);
      if (status === 201) break;
      failed++;
      assert.ok(free < limit, 'one deploy finds enough');
    }
  }
  assert.ok(failed > 0, 'one deploy did not find enough');
  resource.free();
  await healed(at);
  return failed;
}

test('no space is left at each page of a deploy', { skip: unmountable }, async () => {
  const at = await started('size=1m'), filler = path.join(at.service.functionsDir, '.filler');
  const fill = () => { const fd = fs.openSync(filler, 'a'); try { for (;;) fs.writeSync(fd, Buffer.alloc(PAGE)); } catch (error) { assert.equal(error.code, 'ENOSPC'); } finally { fs.closeSync(fd); } };
  try {
    await climb(at, {
      leave(free) { fill(); fs.truncateSync(filler, fs.statSync(filler).size - free * PAGE); },
      free: () => fs.rmSync(filler),
    }, 60, [[507, 'no_space']]);
  } finally { await at.end(); }
});

test('no inode is left at each file of a deploy', { skip: unmountable }, async () => {
  const at = await started('nr_inodes=120'), folder = path.join(at.service.functionsDir, '.fillers');
  fs.mkdirSync(folder);
  let made = 0;
  const fill = () => { try { for (;; made++) fs.writeFileSync(path.join(folder, `${made}`), ''); } catch (error) { assert.equal(error.code, 'ENOSPC'); } };
  try {
    await climb(at, {
      leave(free) { fill(); for (; free > 0; free--) fs.rmSync(path.join(folder, `${--made}`)); },
      free: () => fs.rmSync(folder, { recursive: true }),
    }, 40, [[507, 'no_space']]);
  } finally { await at.end(); }
});

test('no file descriptor is left for each that a deploy opens', async () => {
  const at = await started();
  const limit = (n) => command('prlimit', '--pid', `${at.service.pid}`, `--nofile=${n}:`);
  // The limit is one of numbers, so it goes above as many that nobody has as shall be left.
  const leave = (free) => {
    const used = new Set(fs.readdirSync(`/proc/${at.service.pid}/fd`).map(Number));
    let n = 0;
    for (let unused = 0; unused < free || used.has(n); n++) if (!used.has(n)) unused++;
    limit(n);
  };
  try {
    await climb(at, { leave: (free) => leave(1 + free), free: () => limit(1024) }, 40, [[0, 'EPIPE'], [0, 'ECONNRESET'], [503, 'out_of_files'], [503, 'database_unavailable'], [503, 'runtime_unreachable']]);
    // To remove a directory one has to open it: what was staged meanwhile goes at the next start.
    await at.service.stop();
    await at.service.start();
    await at.service.settled();
  } finally { await at.end(); }
});

test('read-only: the program says so at the start, and starts once it is not', { skip: unmountable }, async () => {
  const at = await started('size=4m');
  try {
    await at.service.stop();
    command('mount', '-o', 'remount,ro', at.service.functionsDir);
    await assert.rejects(at.service.start(), (error) => /Read-only file system/.test(error.message));
    assert.equal(await (await at.runtime.call('one')).text(), 'first one', 'what is deployed is served');
    command('mount', '-o', 'remount,rw', at.service.functionsDir);
    await at.service.start();
    await healed(at);
  } finally { await at.end(); }
});
