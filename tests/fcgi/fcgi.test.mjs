// The FastCGI side of the program, spoken to without a web server in between.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import {
  ABORT, BEGIN, END, GET_VALUES, GET_VALUES_RESULT, PARAMS, STDIN, UNKNOWN_TYPE, beginRecord, connect, pairs, record, requestBytes, stream, variables,
} from "../lib/fastcgi.mjs";
import { REF, SERVICE_ROLE, makeService, multipart, startPostgres, until } from "../lib/service.mjs";

const WORKERS = 2;
const authorization = `Bearer ${SERVICE_ROLE}`;
const HEALTH = { path: "/healthz" };
const project = `/functions-admin/v1/projects/${REF}`;
let postgres, service;

before(async () => {
  postgres = await startPostgres();
  service = await makeService(postgres, { options: { workers: WORKERS, boot_check: "off" } }).start();
});
after(async () => {
  await service?.remove();
  await postgres?.remove();
});

const open = () => connect(service.socket);

/** One request on a connection of its own. */
async function ask(what) {
  const peer = await open();
  await peer.write(requestBytes(what));
  const answer = await peer.answer();
  assert.ok(await peer.closed());
  peer.destroy();
  return answer;
}

async function isServing(message) {
  const answer = await ask(HEALTH);
  assert.equal(answer?.status, 200, message);
}

function deployRequest(slug, source) {
  const form = multipart({ entrypoint_path: "index.ts" }, { "index.ts": source });
  return { method: "POST", path: `${project}/functions/deploy?slug=${slug}`, headers: { authorization, "content-type": form.type }, body: form.body };
}

test("a request in one piece, and byte by byte", async () => {
  const bytes = requestBytes({ path: "/healthz" });
  const whole = await open(), bits = await open();
  await whole.write(bytes);
  const expected = await whole.answer();
  assert.equal(expected.status, 200);
  assert.equal(expected.headers["content-type"], "application/json");
  assert.equal(Number(expected.headers["content-length"]), expected.body.length);
  for (let i = 0; i < bytes.length; i++) await bits.write(bytes.subarray(i, i + 1));
  assert.deepEqual((await bits.answer()).text, expected.text);
  assert.ok(await whole.closed() && await bits.closed());
});

test("params split over many records, in the middle of names, lengths and values, with padding", async () => {
  for (const paramSize of [1, 2, 3, 5, 7, 100]) {
    const answer = await ask({ path: project, headers: { authorization }, paramSize, pad: paramSize });
    assert.equal(answer.status, 200);
    assert.equal(JSON.parse(answer.text).ref, REF);
  }
});

test("large params: a header of 60,000 bytes and two hundred of them", async () => {
  const headers = { authorization, "x-long": "a".repeat(60_000) };
  for (let i = 0; i < 200; i++) headers[`x-number-${i}`] = `${i}`.repeat(20);
  assert.equal((await ask({ path: project, headers })).status, 200);
  assert.equal((await ask({ path: project, headers: { authorization: `Bearer ${"a".repeat(60_000)}` } })).status, 401);
});

test("a body in pieces of every size makes the same function", async () => {
  for (const stdinSize of [1, 7, 8192, 65535]) {
    const source = `// ${stdinSize}\n${"x".repeat(stdinSize === 1 ? 2_000 : 100_000)}\n`;
    const answer = await ask({ ...deployRequest("pieces", source), stdinSize, pad: stdinSize % 8 });
    assert.equal(answer.status, 201, answer.text);
    assert.equal(fs.readFileSync(path.join(service.functionsDir, "pieces/source/index.ts"), "utf8"), source);
  }
});

test("the keep flag set: the connection serves request after request; unset: it is closed", async () => {
  const peer = await open();
  for (let i = 1; i <= 50; i++) {
    await peer.write(requestBytes({ keep: true, id: i, path: i % 2 ? "/healthz" : project, headers: i % 2 ? {} : { authorization } }));
    const answer = await peer.answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.id, i);
    assert.equal(answer.protocolStatus, 0);
  }
  await peer.write(requestBytes({ ...HEALTH, id: 51 }));
  assert.equal((await peer.answer()).status, 200);
  assert.ok(await peer.closed());
});

test("requests on one connection share nothing: a body that was not read does not leak into the next request", async () => {
  const peer = await open();
  await peer.write(requestBytes({ keep: true, method: "POST", path: "/nowhere", body: "y".repeat(100_000) }));
  assert.equal((await peer.answer()).status, 404);
  await peer.write(requestBytes({ keep: true, path: project }));
  assert.equal((await peer.answer()).status, 401, "the credential of another request does not count");
  peer.destroy();
});

test("a refused upload that is too large to read is answered, then the connection ends without holding a worker", async () => {
  const peer = await open();
  await peer.write(Buffer.concat([beginRecord({ keep: true }), stream(PARAMS, pairs({ ...variables({ method: "POST", path: "/nowhere" }), CONTENT_LENGTH: 4_000_000 }))]));
  const body = stream(STDIN, Buffer.alloc(4_000_000));
  peer.write(body);
  assert.equal((await peer.answer()).status, 404);
  assert.ok(await peer.closed());
});

test("abort in the middle of a body: nothing is deployed, the connection is of no more use", async () => {
  const peer = await open();
  const what = deployRequest("aborted", "export default 1\n");
  await peer.write(Buffer.concat([beginRecord({ keep: true }), stream(PARAMS, pairs(variables(what))), record(STDIN, what.body.subarray(0, 50)), record(ABORT)]));
  const answer = await peer.answer();
  assert.ok(answer === undefined || answer.status === 400, "no success");
  assert.ok(await peer.closed());
  assert.ok(!fs.existsSync(path.join(service.functionsDir, "aborted")));
  await isServing("after an abort");
});

test("a body that ends before its Content-Length, and a connection that breaks off within one", async () => {
  const what = deployRequest("short", "export default 1\n");
  const short = await open();
  await short.write(Buffer.concat([beginRecord(), stream(PARAMS, pairs(variables(what))), stream(STDIN, what.body.subarray(0, -10))]));
  assert.equal((await short.answer()).status, 400);
  short.destroy();
  for (const at of [4, 20, 60]) {
    const peer = await open();
    await peer.write(Buffer.concat([beginRecord(), stream(PARAMS, pairs(variables(what))), record(STDIN, what.body.subarray(0, at))]));
    peer.destroy();
  }
  await isServing("after broken connections");
  assert.ok(!fs.existsSync(path.join(service.functionsDir, "short")));
});

test("a peer that is gone before its answer", async () => {
  for (let i = 0; i < 20; i++) {
    const peer = await open();
    await peer.write(requestBytes({ path: `${project}/functions`, headers: { authorization } }));
    peer.destroy();
  }
  await isServing("after peers that left");
});

test("what is no FastCGI ends the connection, and nothing else", async () => {
  const garbage = {
    "HTTP": Buffer.from("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
    "zeros": Buffer.alloc(4096),
    "noise": Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) & 255)),
    "another version": record(BEGIN, Buffer.from([0, 1, 0, 0, 0, 0, 0, 0]), { version: 2 }),
    "a begin record of the wrong length": record(BEGIN, Buffer.from([0, 1, 0])),
    "a begin record of no request": record(BEGIN, Buffer.from([0, 1, 0, 0, 0, 0, 0, 0]), { id: 0 }),
    "an unknown role": Buffer.concat([beginRecord({ role: 77 }), stream(PARAMS, pairs(variables(HEALTH)))]),
    "params without a beginning": stream(PARAMS, pairs(variables(HEALTH))),
    "stdin among the params": Buffer.concat([beginRecord(), record(PARAMS, pairs(variables(HEALTH)).subarray(0, 20)), record(STDIN, "x")]),
    "lengths beyond the record": Buffer.concat([beginRecord(), record(PARAMS, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f])), record(PARAMS)]),
    "lengths whose sum overflows": Buffer.concat([beginRecord(), record(PARAMS, Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Buffer.alloc(64, 65)])), record(PARAMS)]),
  };
  for (const [name, bytes] of Object.entries(garbage)) {
    const peer = await open();
    await peer.write(bytes);
    peer.socket.end();
    assert.equal(await peer.answer(), undefined, name);
    peer.destroy();
  }
  await isServing("after garbage");
});

test("record types that a responder need not know are passed over or refused, and a record for another request is ignored", async () => {
  const peer = await open();
  await peer.write(Buffer.concat([
    record(99, "", { id: 0 }),
    beginRecord(), record(STDIN, "for somebody else", { id: 7 }), stream(PARAMS, pairs(variables(HEALTH))), stream(STDIN, ""),
  ]));
  const first = await peer.record();
  assert.equal(first.type, UNKNOWN_TYPE);
  assert.equal(first.content[0], 99);
  assert.equal((await peer.answer()).status, 200);
  peer.destroy();
});

test("the server's own values are told", async () => {
  const peer = await open();
  await peer.write(Buffer.concat([record(GET_VALUES, pairs({ FCGI_MPXS_CONNS: "" }), { id: 0 }), requestBytes(HEALTH)]));
  const first = await peer.record();
  assert.equal(first.type, GET_VALUES_RESULT);
  assert.match(first.content.toString("latin1"), /FCGI_MPXS_CONNS0/);
  assert.equal((await peer.answer()).status, 200);
  peer.destroy();
});

test("a second request begun within the first is refused: one at a time on a connection", async () => {
  const peer = await open();
  await peer.write(Buffer.concat([beginRecord({ id: 1 }), beginRecord({ id: 2 }), stream(PARAMS, pairs(variables(HEALTH))), stream(STDIN, "")]));
  const refused = await peer.record();
  assert.deepEqual([refused.type, refused.id, refused.content[4]], [END, 2, 1], "FCGI_CANT_MPX_CONN");
  assert.equal((await peer.answer()).status, 200);
  peer.destroy();
});

test("HEAD has the headers of GET and no body", async () => {
  const answer = await ask({ method: "HEAD", path: "/healthz" });
  assert.equal(answer.status, 200);
  assert.equal(answer.body.length, 0);
});

test("two thousand silent connections, and workers are free all the time", async () => {
  const silent = await Promise.all(Array.from({ length: 2000 }, open));
  for (let i = 0; i < 5; i++) await isServing("beside silent connections");
  for (const peer of silent) peer.destroy();
  await isServing("after they left");
});

test("kept connections, many more than workers, hold none", async () => {
  const kept = await Promise.all(Array.from({ length: 100 }, open));
  for (let round = 0; round < 3; round++) {
    for (const peer of kept) await peer.write(requestBytes({ ...HEALTH, keep: true }));
    for (const peer of kept) assert.equal((await peer.answer()).status, 200);
    await isServing("beside kept connections");
  }
  for (const peer of kept) peer.destroy();
});

test("who says nothing, or stops in the middle of a request's head, is shut out after ten seconds", async () => {
  const silent = await open();
  const halves = await Promise.all(Array.from({ length: WORKERS }, open));
  for (const peer of halves) await peer.write(beginRecord());
  // All workers wait for the rest of a head; the deadline frees them.
  const started = Date.now();
  const answer = ask(HEALTH);
  for (const peer of [silent, ...halves]) assert.ok(await peer.closed(15_000));
  assert.ok(Date.now() - started < 14_000);
  assert.equal((await answer).status, 200);
});

test("a graceful stop finishes what runs, answers what has arrived and takes nothing new", async () => {
  const idle = await open();
  await idle.write(requestBytes({ ...HEALTH, keep: true }));
  assert.equal((await idle.answer()).status, 200);
  const what = deployRequest("last", "export default 1\n");
  const running = await open();
  await running.write(Buffer.concat([beginRecord({ keep: true }), stream(PARAMS, pairs(variables(what))), record(STDIN, what.body.subarray(0, 100))]));
  // Once the worker waits for the rest of the body, the staging folder of the upload is there.
  await until("the upload has begun", () => service.staging().length > 0);
  service.child.kill("SIGTERM");
  assert.ok(await idle.closed(), "a connection without a request is closed");
  await running.write(Buffer.concat([record(STDIN, what.body.subarray(100)), record(STDIN)]));
  const answer = await running.answer();
  assert.equal(answer?.status, 201, answer?.text);
  assert.ok(await running.closed(), "kept or not, it ends with the program");
  assert.equal(await service.ended(), 0);
  await assert.rejects(open());
  service.clearLog();
  await service.start();
  assert.equal((await service.ask("GET", service.functions("/last"))).json.version, 1);
});
