// The stack that other tests stand on: that it starts, restarts, takes options, and cleans up.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, test } from "node:test";
import { ROOT, run, startStack, startTime } from "../lib/stack.mjs";

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
