// The stack that other tests stand on: that it starts, restarts, takes options, and cleans up.
import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";
import { ROOT, run, startStack, startTime, until } from "../lib/stack.mjs";

let stack;
before(async () => stack = await startStack({ options: { project_name: "The tests", log_level: "debug" } }));
after(() => stack?.stop());

test("options take the place of quickstart's own", async () => {
  const project = await stack.api("GET", `/v1/projects/${stack.ref}`);
  assert.equal(project.status, 200, project.text);
  assert.equal(project.json.name, "The tests");
});

test("no sample is deployed; a deploy is answered, called, and in the database", async () => {
  assert.deepEqual((await stack.api("GET", "functions")).json, []);
  const deployed = await stack.deploy("hello", 'Deno.serve(() => new Response("one"));');
  assert.equal(deployed.status, 201, deployed.text);
  assert.equal((await stack.call("hello")).text, "one");
  assert.deepEqual(await stack.sql("SELECT slug FROM functions_admin.edge_functions WHERE slug = $1", ["hello"]), [{ slug: "hello" }]);
});

test("killed, started and restarted with other options, it is ready each time", async () => {
  const first = stack.pid("functions-admin");
  await stack.killProgram();
  assert.equal(stack.pid("functions-admin"), undefined);
  await stack.startProgram();
  const second = stack.pid("functions-admin");
  assert.ok(second && second !== first);
  await stack.restartProgram({ options: { max_path_bytes: 40 } });
  assert.notEqual(stack.pid("functions-admin"), second);
  const long = await stack.deploy("hello", { [`supabase/functions/hello/${"x".repeat(40)}.ts`]: "" });
  assert.equal(long.status, 422, long.text);
  assert.equal((await stack.call("hello")).text, "one");
});

test("an option that the program refuses stops the start, with its words", async () => {
  await assert.rejects(stack.restartProgram({ options: { workers: "many" } }), /workers/);
  await stack.restartProgram({ options: { workers: "4" } });
});

test("quickstart refuses an FA_OPTIONS or FA_BINARY that is not there", async () => {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, FA_HOME: stack.home };
  const options = await run("bash", [`${ROOT}/quickstart`, "restart"], { env: { ...env, FA_OPTIONS: "/nowhere" } });
  assert.equal(options.code, 1);
  assert.match(options.stderr, /quickstart: FA_OPTIONS cannot be read: \/nowhere\nHINT: /);
  const binary = await run("bash", [`${ROOT}/quickstart`, "restart"], { env: { ...env, FA_BINARY: "/nowhere" } });
  assert.equal(binary.code, 1);
  assert.match(binary.stderr, /quickstart: FA_BINARY cannot be copied: \/nowhere\nHINT: /);
  await stack.startProgram();
});

test("a program that takes the port while quickstart starts, and answers 200 to everything, is not taken for the gateway", async (t) => {
  const home = fs.mkdtempSync(path.join(process.env.TMPDIR ?? "/var/tmp", "functions-admin-port-"));
  fs.chmodSync(home, 0o711);
  const other = http.createServer((_, answer) => answer.end("mine")).listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address();
  await new Promise((resolve) => other.close(resolve));
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, FA_HOME: path.join(home, "home"), FA_PORT: String(port), FA_BINARY: path.join(stack.home, "bin/functions-admin") };
  t.after(async () => {
    await run("bash", [`${ROOT}/quickstart`, "reset", "--yes"], { env });
    fs.rmSync(home, { recursive: true, force: true });
    await new Promise((resolve) => other.close(resolve));
  });
  const up = run("bash", [`${ROOT}/quickstart`, "up", "--detach", "--no-install"], { env });
  // The logs are made after the first look at the port, and well before nginx.
  await until("the logs are there", () => fs.existsSync(path.join(env.FA_HOME, "log/nginx.log")), 60_000);
  other.listen(port, "127.0.0.1");
  const done = await up;
  assert.equal(done.code, 1, done.stderr);
  assert.match(done.stderr, new RegExp(`quickstart: Port ${port} is in use by another program\\.\nHINT: `));
});

test("without options of its own it starts too", async () => {
  const plain = await startStack();
  after(() => plain.stop());
  assert.equal((await plain.api("GET", `/v1/projects/${plain.ref}`)).json.name, "Quickstart");
});

test("stopped, nothing is left", async () => {
  const pids = ["postgres", "runtime", "functions-admin", "nginx"].map((name) => stack.pid(name));
  assert.ok(pids.every(Boolean));
  await stack.stop();
  assert.equal(fs.existsSync(stack.home), false);
  for (const pid of pids) assert.equal(startTime(pid), undefined);
});
