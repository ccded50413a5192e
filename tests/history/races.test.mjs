// Where two things meet: retention and other changes, a split and a deploy. What is about to serve is not removed, and what was
// removed does not begin to serve.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import pg from "pg";
import { run, startStack, until } from "../lib/stack.mjs";

let stack, database;
before(async () => {
  stack = await startStack();
  database = new pg.Client({ connectionString: stack.env.DATABASE_URL });
  await database.connect();
});
after(async () => {
  await database?.end();
  await stack?.stop();
});

const answering = (text) => `Deno.serve(() => new Response(${JSON.stringify(text)}));\n`;
const deploy = async (slug, text, more) => {
  const answer = await stack.deploy(slug, answering(text), { verify_jwt: false, ...more });
  assert.equal(answer.status, 201, answer.text);
  return answer.json;
};

/** Runs `change` once the request has come as far as its activation, which waits for the project's row. */
async function beforeActivation(send, change) {
  await database.query("BEGIN");
  await database.query("SELECT FROM functions_admin.projects WHERE ref = $1 FOR UPDATE", [stack.ref]);
  const answer = send();
  await until("the activation waits", async () => (await stack.sql("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")).length > 0);
  await change();
  await database.query("COMMIT");
  return await answer;
}

const removeVersion = (slug, version) => database.query("DELETE FROM functions_admin.edge_function_versions v USING functions_admin.edge_functions f WHERE f.id = v.function_id AND f.slug = $1 AND v.version = $2", [slug, version]);

test("a version that was removed meanwhile does not become active", async () => {
  for (const text of ["one", "two", "three"]) await deploy("raced", text);
  const rollback = await beforeActivation(() => stack.api("POST", "functions/raced/rollback", { body: { version: 1 } }), () => removeVersion("raced", 1));
  assert.deepEqual([rollback.status, rollback.json.code], [404, "version_not_found"]);
  const split = await beforeActivation(() => stack.api("PUT", "functions/raced/traffic", { body: [{ version: 3, percent: 90 }, { version: 2, percent: 10 }] }), () => removeVersion("raced", 2));
  assert.deepEqual([split.status, split.json.code], [404, "version_not_found"]);
  assert.equal((await stack.api("GET", "functions/raced")).json.version, 3);
  assert.equal((await stack.call("raced", { token: null })).text, "three");
});

test("prune keeps a bundle that waits for its PUT", async () => {
  await deploy("waiting", "one");
  const bundle = await deploy("waiting", "two", { bundleOnly: true });
  await deploy("waiting", "three");
  await deploy("waiting", "four");
  const settings = await stack.api("PATCH", "settings", { token: stack.env.SERVICE_ROLE_KEY, body: { retention: { versions: 1, days: 0 } } });
  assert.equal(settings.status, 200, settings.text);
  const done = await run(process.env.FA_BINARY ?? path.join(stack.home, "bin/functions-admin"), ["prune", "--config", path.join(stack.home, "conf/functions-admin.conf")]);
  assert.equal(done.code, 0, done.stderr);
  assert.deepEqual((await stack.api("GET", "functions/waiting/versions")).json.data.map((v) => v.version), [4, 3, 2]);
  const put = await stack.api("PUT", "functions", { body: [bundle] });
  assert.equal(put.status, 200, put.text);
  assert.equal((await stack.call("waiting", { token: null })).text, "two");
});

test("bundles wait unsynced for their PUT, which names their releases; one that is gone is built from the database", async () => {
  const bundles = [];
  for (const slug of ["waits-a", "waits-b"]) bundles.push(await deploy(slug, slug, { bundleOnly: true }));
  const at = (...names) => path.join(stack.functionsDir, ...names), releases = (slug) => fs.existsSync(at(".releases", slug)) ? fs.readdirSync(at(".releases", slug)) : [];
  for (const slug of ["waits-a", "waits-b"]) {
    assert.equal(fs.readdirSync(at(".functions-admin/waiting", slug)).length, 1);
    assert.deepEqual(releases(slug), []);
  }
  fs.rmSync(at(".functions-admin/waiting/waits-b"), { recursive: true });
  const put = await stack.api("PUT", "functions", { body: bundles });
  assert.equal(put.status, 200, put.text);
  for (const slug of ["waits-a", "waits-b"]) {
    assert.equal(releases(slug).length, 1);
    assert.equal((await stack.call(slug, { token: null })).text, slug);
    assert.ok(!fs.existsSync(at(".functions-admin/waiting", slug)), "nothing waits any more");
  }
});

test("a deploy of what is active already makes no version, but ends a split", async () => {
  await deploy("split", "one");
  await deploy("split", "two");
  const split = await stack.api("PUT", "functions/split/traffic", { body: [{ version: 2, percent: 60 }, { version: 1, percent: 40 }] });
  assert.equal(split.status, 200, split.text);
  assert.equal((await deploy("split", "two", { bundleOnly: true })).version, 2);
  assert.equal((await stack.api("GET", "functions/split/traffic")).json.traffic.length, 2, "a bundle changes nothing");
  assert.equal((await deploy("split", "two")).version, 2);
  assert.deepEqual((await stack.api("GET", "functions/split/traffic")).json.traffic, [{ version: 2, percent: 100 }]);
});
