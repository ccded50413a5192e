// Connections between nginx and the program: kept or not, and how many (docs/decisions/0004 has the numbers of one run).
// usage: node bench/fastcgi.mjs [ROUNDS]
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ROOT, median, start, startNginx, stop, until, wrk } from './lib.mjs';
import { startStack } from '../tests/lib/stack.mjs';

const WORKERS = 8;
const rounds = Number(process.argv[2] ?? 3);
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'fa-bench-fastcgi-'));
process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));

const built = spawnSync('cc', ['-O2', '-o', `${dir}/floor`, path.join(ROOT, 'bench/baseline/floor.c'), '-lfcgi', '-lpthread'], { stdio: 'inherit' });
if (built.status !== 0) process.exit(1);
fs.writeFileSync(`${dir}/answer`, '{"status":"ok"}');
const floor = start(`${dir}/floor`, [`${dir}/floor.sock`, String(WORKERS), `/=application/json=${dir}/answer`]);
await until('the floor listens', () => fs.existsSync(`${dir}/floor.sock`));
const stack = await startStack({ options: { sandbox: 'auto', boot_check: 'off', log_level: 'warn', rate_limit: 'off', workers: WORKERS } });
const sockets = fs.readFileSync(path.join(stack.home, 'run/sockets'), 'utf8').trim();

const keeping = (n) => (name, text) => {
  if (name === 'http.conf') return text.replace(/\n\s*keepalive \d+;/, '').replace(/(server "unix:.*";)/, n ? `$1 keepalive ${n};` : '$1');
  if (name === 'fastcgi.conf') return text.replace(/fastcgi_keep_conn on;/, '') + (n ? '\nfastcgi_keep_conn on;\n' : '\n');
  return text;
};
const cases = [];
for (const [name, socket] of [['libfcgi as it comes', `${dir}/floor.sock`], ['the program', `${sockets}/functions-admin.sock`]])
  for (const kept of [0, 4, 8, 16, 64]) cases.push({ name, kept, socket, rates: [], p99: [] });
for (const c of cases) c.nginx = await startNginx(`${dir}/nginx-${cases.indexOf(c)}`, c.socket, { edit: keeping(c.kept) });
for (let round = 0; round < rounds; round++)
  for (const c of cases) {
    // nginx would keep its connections to the others' servers, and hold their workers.
    try {
      const seen = await wrk(`${c.nginx.url}/healthz`, { connections: 32, seconds: 2 });
      c.rates.push(seen.rate);
      c.p99.push(seen.p99);
    } catch (error) {
      c.failed = error.message.split('\n')[0];
    }
    process.kill(c.nginx.child.pid, 'SIGHUP');
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
console.log('| | kept connections | requests a second | p99 |\n| --- | --- | --- | --- |');
for (const c of cases) console.log(`| ${c.name}, ${WORKERS} workers | ${c.kept || 'none'} | ${c.rates.length ? Math.round(median(c.rates)) : '-'} | ${c.p99.length ? `${median(c.p99).toFixed(1)} ms` : c.failed} |`);
for (const c of cases) await c.nginx.stop();
await stop(floor);
await stack.stop();
