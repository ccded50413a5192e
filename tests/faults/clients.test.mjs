// Clients that are slow, that go away, that speak wrongly, or that ask again: what was not sent as a whole is nowhere stored, what
// was answered with success is whole, and nobody else waits for them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { ABORT, PARAMS, STDIN, STDOUT, beginRecord, connect, pairs, record, requestBytes, stream, variables } from '../lib/fastcgi.mjs';
import { counting } from './report.mjs';
import { REF, SERVICE_ROLE, freePort, makeService, multipart, startNginx, startPostgres, startRuntime, until } from '../lib/service.mjs';

const ARRIVES = 'it arrives as a whole, and nobody else waits for it', NOTHING = 'nothing is stored or left in staging, no worker is lost';
const WHOLE = 'refused, or carried out as it was sent', ONCE = 'carried out once, the same answer again';
const counts = counting('clients.test.mjs');
const WORKERS = 4, BASE = '/functions-admin';
const authorization = `Bearer ${SERVICE_ROLE}`;
let postgres, service, runtime, nginx;

before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres, { options: { workers: WORKERS } });
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  await service.start();
  nginx = await startNginx(service);
});
after(async () => {
  await nginx?.stop();
  await service?.remove();
  await runtime?.stop();
  await postgres?.remove();
});

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const list = () => service.ask('GET', service.functions());
const source = (slug, size = 3_000) => `// ${slug}${' abcdefghi'.repeat(size / 10)}`;

function deployRequest(slug, text = source(slug), headers = {}) {
  const form = multipart({ entrypoint_path: 'index.ts', name: slug }, { 'index.ts': text });
  return { method: 'POST', path: `${BASE}${service.functions(`/deploy?slug=${slug}`)}`, headers: { authorization, 'content-type': form.type, ...headers }, body: form.body };
}

/** The same request as HTTP. */
function http({ method = 'GET', path: target, headers = {}, body = '' }, more = {}) {
  const all = { host: 'supabase.example', ...headers, ...(body.length > 0 ? { 'content-length': body.length } : {}), ...more };
  const head = `${method} ${target} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(body)]);
}

/** A connection; where the other side's queue is full for the moment, another try. */
const open = (address) => until('a connection', async () => {
  const socket = net.connect(address);
  const error = await new Promise((resolve) => { socket.on('connect', () => resolve()); socket.on('error', resolve); });
  if (error && error.code !== 'EAGAIN') throw error;
  return error ? undefined : socket;
});
const throughNginx = () => open({ path: `${nginx.dir}/site.sock` });

/** HTTP answers from a socket, one after the other: { status, text }. */
function answers(socket) {
  let bytes = Buffer.alloc(0), wake = () => {}, ended = false;
  socket.on('data', (chunk) => { bytes = Buffer.concat([bytes, chunk]); wake(); });
  socket.on('close', () => { ended = true; wake(); });
  const more = () => new Promise((resolve, reject) => {
    if (ended) reject(new Error(`the connection ended: ${bytes.subarray(0, 300)}`));
    const timer = setTimeout(() => reject(new Error('no answer within 20 s')), 20_000);
    wake = () => { clearTimeout(timer); resolve(); };
  });
  const next = async (until) => { for (;;) { const found = until(); if (found !== undefined) return found; await more(); } };
  const take = (n) => next(() => { if (bytes.length < n) return undefined; const taken = bytes.subarray(0, n); bytes = bytes.subarray(n); return taken; });
  const line = () => next(() => { const at = bytes.indexOf('\r\n'); if (at < 0) return undefined; const taken = bytes.subarray(0, at).toString('latin1'); bytes = bytes.subarray(at + 2); return taken; });
  return async () => {
    const status = Number((await line()).split(' ')[1]), headers = {};
    for (let l = await line(); l !== ''; l = await line()) headers[l.slice(0, l.indexOf(':')).toLowerCase()] = l.slice(l.indexOf(':') + 1).trim();
    let body = Buffer.alloc(0);
    if (headers['transfer-encoding'] === 'chunked')
      for (;;) { const size = parseInt(await line(), 16); body = Buffer.concat([body, await take(size)]); await line(); if (size === 0) break; }
    else body = await take(Number(headers['content-length'] ?? 0));
    return { status, headers, text: body.toString() };
  };
}

/** Nothing is stored, published or staged that was not before; every worker is free. */
async function unchanged(before, what) {
  await service.settled();
  assert.deepEqual(service.state(), before, what);
  const all = await Promise.all(Array.from({ length: 2 * WORKERS }, list));
  for (const answer of all) assert.equal(answer.status, 200, what);
}

describe('slow', () => {
  test('uploads, twice as many as workers, through nginx and straight: all arrive, and through nginx nobody waits for them', counts.of('slow uploads, through nginx and straight', ARRIVES, async (times) => {
    let under = 0;
    const slow = async (socket, bytes) => {
      under++;
      const size = Math.ceil(bytes.length / 20);
      for (let at = 0; at < bytes.length; at += size) {
        await new Promise((resolve) => { socket.write(bytes.subarray(at, at + size), resolve); });
        await pause(20);
      }
      under--;
    };
    const slugs = Array.from({ length: 2 * WORKERS }, (_, i) => `slow-${i}`);
    const uploads = slugs.map(async (slug) => {
      const socket = await throughNginx(), answer = answers(socket);
      await slow(socket, http(deployRequest(slug)));
      const { status, text } = await answer();
      socket.destroy();
      assert.equal(status, 201, text);
    });
    await until('the uploads have begun', () => under === slugs.length);
    let asked = 0;
    while (under === slugs.length) { assert.equal((await list()).status, 200); asked++; }
    assert.ok(asked > 0, 'reads were answered meanwhile');
    await Promise.all(uploads);
    times(2 * slugs.length);
    await Promise.all(slugs.map(async (slug) => {
      const peer = await connect(service.socket);
      await slow(peer.socket, requestBytes(deployRequest(slug, source(`${slug} again`))));
      assert.equal((await peer.answer()).status, 201);
      peer.destroy();
    }));
    await agree(service, runtime, slugs);
    await service.settled();
  }));

  test('downloads, twice as many as workers: nobody waits for them, they are whole, and one that is given up holds nothing', counts.of('slow downloads, some of them given up', ARRIVES, async (times) => {
    const text = source('big', 8_000_000);
    assert.equal((await service.deploy('big', text)).status, 201);
    const target = { path: `${BASE}${service.functions('/big/body')}`, headers: { authorization } };
    const readers = await Promise.all(Array.from({ length: 2 * WORKERS }, async () => {
      const socket = await throughNginx();
      socket.pause();
      socket.write(http(target));
      return socket;
    }));
    // More than pipes and buffers take: each of them is in the middle of its answer now, and reads no more.
    for (const socket of readers) await once(socket, 'readable');
    for (let i = 0; i < 3; i++) for (const answer of await Promise.all(Array.from({ length: WORKERS }, list))) assert.equal(answer.status, 200);
    for (const socket of readers.splice(0, WORKERS)) socket.destroy();
    for (const socket of readers) {
      const answer = answers(socket);
      socket.resume();
      const got = await answer();
      assert.equal(got.status, 200);
      assert.ok(got.text.includes(text), 'the whole file');
      socket.destroy();
    }
    // Straight, a reader holds its worker; when it goes, the worker is free.
    const straight = await Promise.all(Array.from({ length: WORKERS }, () => connect(service.socket)));
    for (const peer of straight) { peer.socket.pause(); await peer.write(requestBytes(target)); }
    times(2 * WORKERS + straight.length);
    const waiting = list();
    await pause(100);
    for (const peer of straight) peer.destroy();
    assert.equal((await waiting).status, 200);
  }));
});

describe('gone', () => {
  test('at every hundredth byte of an upload: through nginx, straight, and by a reset of TCP', counts.of('gone at every hundredth byte of an upload: through nginx, straight, and by a reset of TCP', NOTHING, async (times) => {
    const port = await freePort();
    const other = makeService(postgres, { options: { workers: WORKERS, boot_check: 'off', listen: `127.0.0.1:${port}` } });
    try {
      other.address = { host: '127.0.0.1', port };
      await other.start();
      const here = service.state(), there = other.state();
      const what = deployRequest('gone'), asHttp = http(what), asFastCgi = requestBytes(what);
      let resets = 0;
      const ways = [
        [asHttp, throughNginx, (socket) => socket.destroy()],
        [asFastCgi, () => open({ path: service.socket }), (socket) => socket.destroy()],
        [asFastCgi, () => open(other.address), (socket) => socket.resetAndDestroy()],
      ];
      for (const [bytes, connected, leave] of ways)
        // The last record says that the body is over.
        for (let at = 0; at < bytes.length - 16; at += 100) {
          const socket = await connected();
          await new Promise((resolve) => { socket.write(bytes.subarray(0, at), resolve); });
          leave(socket);
          resets++;
        }
      assert.ok(resets > 100, `${resets}`);
    times(resets);
      await unchanged(here, 'after connections that broke off');
      assert.equal((await other.ask('GET', other.functions())).text, '[]');
      await other.settled();
      assert.deepEqual(other.state(), there);
    } finally { await other.remove(); }
  }));

  test('before its answer: the deploy is carried out or not at all, and nobody else waits', counts.of('gone before the answer', WHOLE, async (times) => {
    const slugs = Array.from({ length: 12 }, (_, i) => `left-${i}`);
    await Promise.all(slugs.map(async (slug, i) => {
      const socket = i % 2 ? await throughNginx() : await open({ path: service.socket });
      await new Promise((resolve) => { socket.write(i % 2 ? http(deployRequest(slug)) : requestBytes(deployRequest(slug)), resolve); });
      await pause(i);
      socket.destroy();
    }));
    times(slugs.length);
    const over = () => service.sql("SELECT count(*) FROM functions_admin.edge_function_deployments WHERE finished_at IS NULL") === '0';
    await until('what nginx passed on is over, and all agrees', () => over() && agree(service, runtime, slugs).then(() => true, () => false));
    await service.settled();
  }));
});

describe('repeated after a lost answer', () => {
  const versions = (slug) => service.sql(`SELECT count(*) FROM functions_admin.edge_function_versions v JOIN functions_admin.edge_functions f ON f.id = v.function_id WHERE f.slug = '${slug}'`);

  test('with an Idempotency-Key: one version, and the answer that was lost', counts.of('repeated after a lost answer, with its Idempotency-Key', ONCE, async (times) => {
    for (const [i, wait] of [0, 1, 5, 20, 80].entries())
      for (const way of ['nginx', 'straight']) {
        times();
        const slug = `again-${i}-${way}`, text = source(slug), headers = { 'idempotency-key': `"${slug}"` };
        const what = deployRequest(slug, text, headers);
        const socket = way === 'nginx' ? await throughNginx() : await open({ path: service.socket });
        await new Promise((resolve) => { socket.write(way === 'nginx' ? http(what) : requestBytes(what), resolve); });
        await pause(wait);
        socket.destroy();
        // The first may be under way still, or its request may not have been seen at all.
        const answer = await until(`the repeated request is answered: ${slug}`, async () => {
          const a = await service.deploy(slug, text, { headers });
          if (a.status !== 409) return a;
          assert.equal(a.json.code, 'request_in_progress', a.text);
          return undefined;
        });
        assert.equal(answer.status, 201, answer.text);
        assert.equal(versions(slug), '1', slug);
        const third = await service.deploy(slug, text, { headers });
        assert.equal(third.headers['idempotent-replayed'], 'true');
        assert.equal(third.text, answer.text);
        assert.equal((await service.deploy(slug, source('another text'), { headers })).json.code, 'idempotency_key_reused');
      }
  }));

  test('cut within the upload: the key is still free', counts.of('repeated after an upload that broke off, with its Idempotency-Key', ONCE, async (times) => {
    const text = source('cut'), headers = { 'idempotency-key': '"cut"' }, bytes = requestBytes(deployRequest('cut', text, headers));
    const socket = await open({ path: service.socket });
    await new Promise((resolve) => { socket.write(bytes.subarray(0, bytes.length - 100), resolve); });
    socket.destroy();
    const answer = await until('the key is free', async () => { const a = await service.deploy('cut', text, { headers }); return a.status !== 409 && a; });
    assert.deepEqual([answer.status, answer.headers['idempotent-replayed']], [201, undefined]);
    assert.equal(versions('cut'), '1');
  }));

  test('eight at once with one key: one version', counts.of('eight requests at once with one Idempotency-Key', ONCE, async (times) => {
    const headers = { 'idempotency-key': '"eight"' };
    const all = await Promise.all(Array.from({ length: 8 }, () => service.deploy('eight', source('eight'), { headers })));
    for (const a of all) assert.ok(a.status === 201 || (a.status === 409 && a.json.code === 'request_in_progress'), a.text);
    assert.ok(all.some((a) => a.status === 201));
    assert.equal(versions('eight'), '1');
  }));
});

describe('many requests on one connection', () => {
  test('pipelined HTTP: every answer, in order, and what is not HTTP ends it', counts.of('pipelined HTTP requests', WHOLE, async (times) => {
    const socket = await throughNginx(), next = answers(socket);
    const listing = { path: `${BASE}${service.functions()}`, headers: { authorization } };
    const of = (slug) => ({ path: `${BASE}${service.functions(`/${slug}`)}`, headers: { authorization } });
    socket.write(Buffer.concat([http(listing), http(of('piped')), http(deployRequest('piped')), http(of('piped')), http({ path: '/healthz' }), http({ ...of('piped'), method: 'DELETE' }), http(of('piped')), Buffer.from('\0\0\0\r\n\r\n')]));
    const statuses = [];
    for (let i = 0; i < 8; i++) statuses.push((await next()).status);
    assert.deepEqual(statuses, [200, 404, 201, 200, 200, 200, 404, 400]);
    await agree(service, runtime, ['piped']);
  }));

  test('pipelined FastCGI, which no web server sends: nothing is taken for what it is not, and no worker is lost', counts.of('pipelined FastCGI requests, and one within the body of another', NOTHING, async (times) => {
    const before = service.state();
    // What follows in the first request's body looks like a request of its own.
    const inner = requestBytes(deployRequest('smuggled'));
    const outer = requestBytes({ keep: true, method: 'POST', path: '/nowhere', headers: { authorization }, body: inner });
    for (const bytes of [outer, Buffer.concat([outer, outer, outer]), Buffer.concat(Array.from({ length: 50 }, () => requestBytes({ keep: true, path: '/healthz' })))]) {
      const peer = await connect(service.socket);
      await peer.write(bytes);
      const first = await peer.answer();
      assert.ok([200, 404].includes(first.status));
      peer.socket.end();
      for (let next = await peer.answer(); next; next = await peer.answer()) assert.equal(next.status, first.status);
      peer.destroy();
    }
    await unchanged(before, 'after pipelined requests');
  }));
});

const descriptorsAllowed = Number(/^Max open files +(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))[1]);
test('thousands of idle connections, through nginx and straight: requests are answered all the time', { skip: descriptorsAllowed < 8_000 && `only ${descriptorsAllowed} files may be open` }, counts.of('idle connections, to nginx and to the program', ARRIVES, async (times) => {
  const straight = [], proxied = [];
  // More than the program keeps (4,096): the oldest of the silent ones make room.
  for (let i = 0; i < 4_500; i++) straight.push(await open({ path: service.socket }));
  for (let i = 0; i < 2_000; i++) {
    const socket = await throughNginx();
    if (i % 2) socket.write('GET /healthz HTTP/1.1\r\nHost: supab');
    proxied.push(socket);
  }
  times(straight.length + proxied.length);
  for (let i = 0; i < 20; i++) {
    assert.equal((await list()).status, 200);
    assert.equal((await nginx.site('GET', `${BASE}${service.functions()}`)).status, 200);
  }
  assert.equal((await service.deploy('beside', source('beside'))).status, 201);
  for (const socket of [...straight, ...proxied]) socket.destroy();
  const descriptors = () => fs.readdirSync(`/proc/${service.pid}/fd`).length;
  await until('their descriptors are given back', () => descriptors() < 100);
  assert.equal((await list()).status, 200);
}));

describe('wrong FastCGI', () => {
  const STEPS = { version: [0, [0, 2, 255]], type: [1, [0, 2, 6, 12, 255]], id: [3, [0, 2, 255]], length: [5, [0, 1, 255]], lengthHigh: [4, [255]], padding: [6, [1, 255]] };

  /** Where the records of these bytes begin. */
  function records(bytes) {
    const at = [];
    for (let i = 0; i + 8 <= bytes.length; i += 8 + bytes.readUInt16BE(i + 4) + bytes[i + 6]) at.push(i);
    return at;
  }

  /** Says it, and ends; the answer's status, or 0 where there was none. */
  async function say(bytes) {
    const peer = await connect(service.socket);
    await peer.write(bytes);
    peer.socket.end();
    let status = 0;
    for (let r = await peer.record(); r; r = await peer.record())
      if (r.type === STDOUT && status === 0) status = Number(/^Status: (\d+)/m.exec(r.content.toString('latin1'))?.[1] ?? 200);
    peer.destroy();
    return status;
  }

  test('each byte of each record head of a deploy with other values: refused or carried out as sent, never half', counts.of('one byte of a FastCGI record head changed', WHOLE, async (times) => {
    const slugs = {};
    const tried = [];
    const pieces = (slug) => requestBytes({ ...deployRequest(slug), stdinSize: 1_000, paramSize: 300 });
    const heads = records(pieces('bent-000')).length;
    let number = 0;
    for (let head = 0; head < heads; head++)
      for (const [name, [offset, values]] of Object.entries(STEPS))
        for (const value of values) {
          const slug = `bent-${String(number++).padStart(3, '0')}`, bytes = pieces(slug), at = records(bytes)[head];
          if (bytes[at + offset] === value) continue;
          bytes[at + offset] = value;
          tried.push(async () => { slugs[slug] = { status: await say(bytes), what: `record ${head}, ${name} ${value}` }; });
        }
    assert.ok(tried.length > 100, `${tried.length}`);
    times(tried.length);
    while (tried.length > 0) await Promise.all(tried.splice(0, 2 * WORKERS).map((say) => say()));
    await service.settled();
    const made = Object.fromEntries((await list()).json.map((f) => [f.slug, f]));
    for (const [slug, { status, what }] of Object.entries(slugs)) {
      assert.ok([0, 201, 400, 401, 404, 411, 413, 415, 422].includes(status), `${what}: ${status}`);
      assert.equal(slug in made, status === 201, `${what}: ${status}`);
      if (status === 201) assert.equal(fs.readFileSync(path.join(service.functionsDir, slug, 'source/index.ts'), 'utf8'), source(slug), what);
    }
    await agree(service, runtime, Object.keys(slugs));
  }));

  test('cut off anywhere in the records before the body, and in their heads', counts.of('FastCGI records cut off', NOTHING, async (times) => {
    const before = service.state(), bytes = requestBytes({ ...deployRequest('cut-off'), paramSize: 64 });
    const body = records(bytes).find((at) => bytes[at + 1] === STDIN);
    const cuts = [...Array(40).keys(), ...records(bytes).filter((at) => at <= body).flatMap((at) => [at, at + 1, at + 7, at + 8])];
    times(cuts.length);
    for (const at of cuts) assert.ok([0, 400].includes(await say(bytes.subarray(0, at))), `cut at ${at}`);
    await unchanged(before, 'after requests that were cut off');
  }));

  test('aborted in every phase; records of other requests, unknown ones and a second beginning within one that is not', counts.of('FastCGI requests aborted, interleaved, with records of unknown types', WHOLE, async (times) => {
    const before = service.state(), what = deployRequest('aborted');
    const params = pairs(variables(what)), half = what.body.length / 2 | 0;
    const head = Buffer.concat([beginRecord(), stream(PARAMS, params)]);
    const aborted = {
      'at once': [beginRecord(), record(ABORT)],
      'within the params': [beginRecord(), record(PARAMS, params.subarray(0, 50)), record(ABORT)],
      'before the body': [head, record(ABORT)],
      'within the body': [head, record(STDIN, what.body.subarray(0, half)), record(ABORT)],
      'of another request, which libfcgi takes for this one': [head, record(STDIN, what.body.subarray(0, half)), record(ABORT, '', { id: 9 }), record(STDIN, what.body.subarray(half)), record(STDIN)],
      'twice': [head, record(STDIN, what.body.subarray(0, half)), record(ABORT), record(ABORT)],
    };
    for (const [when, parts] of Object.entries(aborted)) {
      times();
      const status = await say(Buffer.concat(parts));
      assert.ok([0, 400].includes(status), `${when}: ${status}`);
    }
    await unchanged(before, 'after aborted requests');
    const mixed = Buffer.concat([
      head, record(STDIN, what.body.subarray(0, half)), record(STDIN, 'of another', { id: 9 }), record(77, '', { id: 0 }),
      beginRecord({ id: 5 }), record(STDIN, what.body.subarray(half)), record(STDIN),
    ]);
    assert.equal(await say(mixed), 201);
    assert.equal(fs.readFileSync(path.join(service.functionsDir, 'aborted/source/index.ts'), 'utf8'), source('aborted'));
    await agree(service, runtime, ['aborted']);
  }));
});
