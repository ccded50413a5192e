// What others wait for: the official CLI with many functions, and a call of a function through runtime/main.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { ROOT, wrk } from './lib.mjs';
import { CLI_VERSIONS } from '../tests/lib/stack.mjs';
import { FunctionsFolder, startRuntime } from '../tests/lib/runtime.mjs';

/** Passes requests on to `origin` and keeps each answer; from replay() on it answers with these, at once. */
async function recorder(origin) {
  const kept = new Map();
  let passing = true;
  const server = http.createServer((request, response) => {
    const key = `${request.method} ${request.url}`, chunks = [];
    const send = (answer) => { response.writeHead(answer.status, answer.headers); response.end(answer.body); };
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', async () => {
      if (!passing) return send(kept.get(key) ?? { status: 404, headers: {}, body: '{}' });
      const { host: _, 'content-length': __, connection: ___, ...headers } = request.headers;
      const answer = await fetch(origin + request.url, { method: request.method, headers, ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}) });
      kept.set(key, { status: answer.status, headers: { 'content-type': answer.headers.get('content-type') ?? 'application/json' }, body: Buffer.from(await answer.arrayBuffer()) });
      return send(kept.get(key));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, replay: () => { passing = false; }, stop: () => server.close() };
}

export async function cli({ stack, note, section, median, quick }) {
  const count = quick ? 40 : 250;
  section(`The CLI with ${count} functions`);
  const folder = stack.folder('cli'), { origin } = new URL(stack.env.API_URL);
  const proxy = await recorder(origin);
  const profile = path.join(folder, 'profile.toml');
  fs.writeFileSync(profile, fs.readFileSync(stack.env.CLI_PROFILE, 'utf8').replaceAll(origin, proxy.url));
  let edition = 0;
  const write = () => {
    edition++;
    for (let i = 0; i < count; i++) {
      const at = path.join(folder, `supabase/functions/cli-${i}`);
      fs.mkdirSync(at, { recursive: true });
      fs.writeFileSync(path.join(at, 'index.ts'), `Deno.serve(() => new Response("${i} ${edition}"));\n`);
    }
  };
  const deploy = async (to) => {
    const began = performance.now();
    const child = spawn(process.execPath, [CLI_VERSIONS['3.1.0'], 'functions', 'deploy', '-j', '8', '--project-ref', stack.ref, '--use-api', '--yes', '--profile', to], {
      cwd: folder, stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env.PATH, HOME: folder, LANG: 'C.UTF-8', DO_NOT_TRACK: '1', SUPABASE_TELEMETRY_DISABLED: '1', SUPABASE_ACCESS_TOKEN: stack.env.ACCESS_TOKEN },
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text) => { said += text; });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`supabase functions deploy: ${said.slice(-500)}`);
    return performance.now() - began;
  };
  fs.mkdirSync(path.join(folder, 'supabase'), { recursive: true });
  fs.writeFileSync(path.join(folder, 'supabase/config.toml'), 'project_id = "bench"\n');
  try {
    write();
    await deploy(profile);
    proxy.replay();
    const ours = [], atOnce = [];
    for (let i = 0; i < 2; i++) {
      write();
      atOnce.push(await deploy(profile));
      ours.push(await deploy(stack.env.CLI_PROFILE));
    }
    note('cli', `${count} functions by the official CLI with -j 8, of what it needs when answered at once`, { seconds: median(ours) / 1000, at_once_seconds: median(atOnce) / 1000 }, median(ours.map((ms, i) => ms / atOnce[i])), 'under', 1.3);
  } finally { proxy.stop(); }
}

export async function runtime({ note, section, median, rounds, seconds }) {
  section('A call through runtime/main');
  const functions = new FunctionsFolder();
  const running = [];
  try {
    functions.deploy('hello', 1, 'Deno.serve(() => new Response("hello"));\n');
    const release = path.join(functions.folder, functions.functions.hello.versions[0].path);
    const ours = await startRuntime({ functionsDir: functions.folder });
    running.push(ours);
    const floor = await startRuntime({ functionsDir: functions.folder, mainService: path.join(ROOT, 'bench/baseline/main'), env: { FLOOR_RELEASE: fs.realpathSync(release) } });
    running.push(floor);
    const rates = { ours: [], floor: [] };
    const call = async (at) => (await wrk(`${at.url}/hello`, { connections: 4, seconds })).rate;
    await call(ours);
    await call(floor);
    for (let i = 0; i < rounds; i++) {
      rates.floor.push(await call(floor));
      rates.ours.push(await call(ours));
    }
    const cost = median(rates.floor.map((rate, i) => rate / rates.ours[i] - 1));
    note('runtime', 'what runtime/main adds to a call of a hello-world function, over the least main service', { rate: median(rates.ours), floor: median(rates.floor) }, cost, 'under', 0.05);
  } finally {
    for (const each of running) await each.stop();
    functions.remove();
  }
}
