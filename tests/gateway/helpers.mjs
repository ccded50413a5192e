// A private nginx with the project's rendered configuration, and the tiny peers that stand behind it in these tests.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const render = path.join(root, 'scripts/render');

// nginx started by root would hand its work to a user who cannot enter the private folder, so the whole of it runs as nobody.
const asRoot = process.getuid() === 0;
const NOBODY = 65534;

export const KEYS = {
  SERVICE_ROLE_KEY: 'eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJlLW9uZQ',
  ANON_KEY: 'eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJlLXR3bw',
  SECRET_KEY: 'sb_secret_0123456789abcdefABCDEF_xyz',
  PUBLISHABLE_KEY: 'sb_publishable_0123456789abcdefABCDEF_xyz',
  DEPLOY_TOKEN: 'sbp_89abcdef0123456789abcdef0123456789abcdef',
};
export const DASHBOARD = { user: 'supabase', password: 'dashboard-password' };

export async function until(what, condition, deadlineMs = 15000) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function values(dir, more = {}) {
  return {
    STATE_DIR: dir, LOG_DIR: dir, WORKERS: 1,
    FASTCGI: `unix:${dir}/fcgi.sock`, LISTEN: `unix:${dir}/site.sock`, OPS_LISTEN: `unix:${dir}/ops.sock`,
    GATEWAY_ADDRESS: 'unix:', RATE: '1000r/s', BURST: 2000,
    GATEWAY_LISTEN: `unix:${dir}/gateway.sock`, SITE: `unix:${dir}/admin.sock`, RUNTIME: `unix:${dir}/runtime.sock`,
    KEY_AUTH: 'anonymous', WEB_DIR: `${dir}/web`, ...KEYS, ...more,
  };
}

export function runRender(args, vars) {
  const input = Object.entries(vars).map(([name, value]) => `${name}=${value}\n`).join('');
  return spawnSync(render, args, { input, encoding: 'utf8' });
}

// The files of a web UI: path and content.
function writeWeb(folder, files) {
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(`${folder}/${name}`), { recursive: true });
    fs.writeFileSync(`${folder}/${name}`, content);
  }
}

// Renders the configuration into a folder of its own, with a space in its name, and starts nginx on it.
export async function startNginx(more = {}, webFiles = undefined) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'fa gw-'));
  const done = runRender([dir, '-'], values(dir, more));
  if (done.status !== 0) throw new Error(done.stderr);
  const hash = spawnSync('openssl', ['passwd', '-apr1', '-stdin'], { input: DASHBOARD.password, encoding: 'utf8' }).stdout.trim();
  fs.writeFileSync(`${dir}/dashboard.htpasswd`, `${DASHBOARD.user}:${hash}\n`, { mode: 0o600 });
  if (webFiles) writeWeb(`${dir}/web/functions-admin/ui`, webFiles);
  if (asRoot) for (const name of ['', ...fs.readdirSync(dir, { recursive: true })]) fs.chownSync(path.join(dir, name), NOBODY, NOBODY);
  const child = spawn('nginx', ['-e', `${dir}/nginx.log`, '-p', dir, '-c', `${dir}/nginx.conf`],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }, ...(asRoot ? { uid: NOBODY, gid: NOBODY } : {}) });
  let errors = '';
  child.stderr.on('data', (chunk) => { errors += chunk; });
  const log = () => errors + (fs.existsSync(`${dir}/nginx.log`) ? fs.readFileSync(`${dir}/nginx.log`, 'utf8') : '');
  await until('nginx is up', () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${log()}`);
    // With its number in it: an empty file, read as 0, would send a signal to the tests themselves.
    return fs.existsSync(`${dir}/nginx.pid`) && Number(fs.readFileSync(`${dir}/nginx.pid`, 'utf8')) > 0 && fs.existsSync(`${dir}/gateway.sock`);
  });
  return {
    dir, log,
    async stop() {
      if (child.exitCode === null) { child.kill('SIGTERM'); await once(child, 'exit'); }
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
}

// One request over a unix socket; the path goes out exactly as given.
export function ask(socketPath, { method = 'GET', path: target = '/', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, method, path: target, headers: { host: 'gateway.test', ...headers }, agent: false });
    request.on('error', reject);
    request.on('response', async (response) => {
      const chunks = [];
      try { for await (const chunk of response) chunks.push(chunk); } catch (error) { reject(error); return; }
      const text = Buffer.concat(chunks).toString();
      let json;
      try { json = JSON.parse(text); } catch { /* not JSON: the caller looks at text */ }
      resolve({ status: response.statusCode, headers: response.headers, text, json });
    });
    if (typeof body === 'function') body(request); else request.end(body);
  });
}

// Bytes over a unix socket, for requests that no client library would send.
export async function askRaw(socketPath, bytes) {
  const socket = net.connect(socketPath);
  socket.end(bytes);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

function openToNginx(socketPath) {
  if (asRoot) fs.chmodSync(socketPath, 0o666);
}

// An upstream that answers with what it was asked: method, target as it came, headers, body.
export async function startEcho(socketPath, name) {
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    response.writeHead(200, { 'content-type': 'application/json', 'access-control-allow-origin': '*' });
    response.end(JSON.stringify({
      upstream: name, method: request.method, target: request.url, headers: request.headers, raw: request.rawHeaders,
      bytes: body.length, body: body.length < 1000 ? body.toString() : undefined,
    }));
  });
  server.listen(socketPath);
  await once(server, 'listening');
  openToNginx(socketPath);
  return { stop: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }) };
}

// The smallest FastCGI responder: reads requests one after the other, hands its parameters and body to `answer`, which returns the CGI text.
export async function startFastCgi(socketPath, answer) {
  const record = (type, content) => {
    const head = Buffer.from([1, type, 0, 1, content.length >> 8, content.length & 255, 0, 0]);
    return Buffer.concat([head, content]);
  };
  const readParams = (data) => {
    const params = {};
    let at = 0;
    const length = () => {
      if (data[at] < 128) return data[at++];
      const value = data.readUInt32BE(at) & 0x7fffffff;
      at += 4;
      return value;
    };
    while (at < data.length) {
      const nameLength = length();
      const valueLength = length();
      params[data.toString('utf8', at, at + nameLength)] = data.toString('utf8', at + nameLength, at + nameLength + valueLength);
      at += nameLength + valueLength;
    }
    return params;
  };
  const server = net.createServer((socket) => {
    let pending = Buffer.alloc(0);
    let params = [], stdin = [], keep = false, arrived = 0;
    socket.on('error', () => {});
    socket.on('data', async (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 8) {
        const size = pending.readUInt16BE(4);
        const whole = 8 + size + pending[6];
        if (pending.length < whole) return;
        const content = pending.subarray(8, 8 + size);
        if (pending[1] === 4) params.push(content);
        if (pending[1] === 5 && size > 0) stdin.push(content);
        const last = pending[1] === 5 && size === 0;
        if (pending[1] === 1) { keep = (pending[10] & 1) === 1; arrived = Date.now(); }
        pending = pending.subarray(whole);
        if (!last) continue;
        const text = Buffer.from(await answer({ params: readParams(Buffer.concat(params)), body: Buffer.concat(stdin), arrived }));
        for (let at = 0; at < text.length; at += 60000) socket.write(record(6, text.subarray(at, at + 60000)));
        socket.write(Buffer.concat([record(6, Buffer.alloc(0)), record(3, Buffer.alloc(8))]));
        if (!keep) socket.end();
        params = []; stdin = [];
      }
    });
  });
  const open = new Set();
  server.on('connection', (socket) => { open.add(socket); socket.on('close', () => open.delete(socket)); });
  server.listen(socketPath);
  await once(server, 'listening');
  openToNginx(socketPath);
  return { stop: () => new Promise((resolve) => { for (const socket of open) socket.destroy(); server.close(resolve); }) };
}
