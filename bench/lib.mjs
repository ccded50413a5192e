// What the benchmarks share: nginx with the project's own configuration in front of any FastCGI socket, wrk, medians.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const asRoot = process.getuid() === 0;
const children = new Set();
process.on('exit', () => { for (const child of children) child.kill('SIGKILL'); });

export const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

export async function until(what, condition, deadlineMs = 15000) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a process that ends with this one; what it prints goes to `log`. */
export function start(command, args, { log, env, as } = {}) {
  const out = log ? fs.openSync(log, 'a') : 'ignore';
  const child = spawn(command, args, {
    stdio: ['ignore', out, out], env: env ?? process.env, ...(as && asRoot ? { uid: as.uid, gid: as.gid } : {}),
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  if (log) fs.closeSync(out);
  return child;
}

export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

/**
 * nginx with the project's configuration in front of `socket`. `edit` may change the rendered text of a file, for
 * experiments: edit(name, text) gives the new text.
 */
export async function startNginx(dir, socket, { edit } = {}) {
  fs.mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const values = {
    STATE_DIR: dir, LOG_DIR: dir, WORKERS: 1, FASTCGI: `unix:${socket}`, LISTEN: `127.0.0.1:${port}`,
    OPS_LISTEN: `unix:${dir}/ops.sock`, GATEWAY_ADDRESS: 'unix:', RATE: '100000r/s', BURST: 100000, WEB_DIR: path.join(ROOT, 'web'),
  };
  const done = spawnSync(path.join(ROOT, 'scripts/render'), ['--only', '[!g]*', dir, '-'],
    { input: Object.entries(values).map(([name, value]) => `${name}=${value}\n`).join(''), encoding: 'utf8' });
  if (done.status !== 0) throw new Error(done.stderr);
  for (const name of fs.readdirSync(dir).filter((file) => file.endsWith('.conf'))) {
    const file = path.join(dir, name);
    let text = fs.readFileSync(file, 'utf8');
    // nginx started by root would give its workers to a user who may not open the program's socket.
    if (name === 'nginx.conf' && asRoot) text = `user root;\n${text}`;
    fs.writeFileSync(file, edit ? edit(name, text) : text);
  }
  const child = start('nginx', ['-e', `${dir}/nginx.log`, '-p', dir, '-c', `${dir}/nginx.conf`],
    { log: `${dir}/nginx.log`, env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
  await until('nginx is up', () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${fs.readFileSync(`${dir}/nginx.log`, 'utf8')}`);
    return fs.existsSync(`${dir}/nginx.pid`) && fs.existsSync(`${dir}/ops.sock`);
  });
  return { port, url: `http://127.0.0.1:${port}`, child, stop: () => stop(child) };
}

const inMs = { us: 1e-3, ms: 1, s: 1e3, m: 6e4 };
const duration = (text) => { const [, n, unit] = /([\d.]+)(us|ms|s|m)/.exec(text); return Number(n) * inMs[unit]; };

/** One run of wrk. Failed answers make it throw: a rate of errors is no rate. */
export async function wrk(url, { connections = 16, seconds = 2, headers = {} } = {}) {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency'];
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`);
  const child = spawn('wrk', [...args, url], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => { text += chunk; });
  await once(child, 'close');
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(text);
  if (!rate) throw new Error(`wrk: ${text}`);
  const bad = /Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)/.exec(text);
  if (bad) throw new Error(`${url}: ${bad[0]}`);
  return { rate: Number(rate[1]), p50: duration(/^\s+50%\s+(\S+)/m.exec(text)[1]), p99: duration(/^\s+99%\s+(\S+)/m.exec(text)[1]) };
}
