// Several clients at once: every deploy that is answered was served, versions are distinct, and database, folder and answers agree
// on what is active in the end; whatever is tidied away meanwhile.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { startStack, until } from "../lib/stack.mjs";
import { makeProject } from "./project.mjs";

describe("at once", () => {
  let stack;
  // Few releases stay on disk, so that tidying up has much to do.
  before(async () => stack = await startStack({ options: { max_disk_releases: 2 } }));
  after(() => stack?.stop());

  const answering = (text) => `Deno.serve(() => new Response("${text}"));\n`;
  const manifest = () => JSON.parse(fs.readFileSync(path.join(stack.functionsDir, ".functions-admin/manifest.json"), "utf8"));
  const releases = (slug) => {
    const folder = path.join(stack.functionsDir, ".releases", slug);
    return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  };
  /** List, database, manifest, folder and calls agree; gives the version of each slug. */
  const agreed = async () => {
    const list = (await stack.api("GET", "functions")).json;
    const shown = manifest();
    const active = await stack.sql("SELECT slug, active_version FROM functions_admin.edge_functions WHERE active_version IS NOT NULL");
    const [project] = await stack.sql("SELECT generation::int FROM functions_admin.projects WHERE ref = $1", [stack.ref]);
    const versions = Object.fromEntries(list.map((f) => [f.slug, f.version]));
    assert.deepEqual(Object.fromEntries(active.map((f) => [f.slug, f.active_version])), versions);
    assert.deepEqual(Object.fromEntries(Object.entries(shown.functions).map(([slug, f]) => [slug, f.versions[0].version])), versions);
    assert.equal(shown.generation, project.generation);
    for (const [slug, f] of Object.entries(shown.functions)) {
      assert.ok(fs.existsSync(path.join(stack.functionsDir, f.versions[0].path, "index.ts")), slug);
      assert.ok(releases(slug).length <= 3, `${slug} keeps ${releases(slug)}`);
      const answer = await stack.call(slug);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.headers["x-edge-function"], `${slug}; version=${versions[slug]}`);
    }
    return versions;
  };

  test("twenty deploys of one function: twenty versions, all verified, the last activated one answers", async () => {
    const done = await Promise.all(Array.from({ length: 20 }, (_, i) => stack.deploy("one", answering(`variant ${i}`))));
    for (const answer of done) assert.equal(answer.status, 201, answer.text);
    assert.deepEqual(done.map((answer) => answer.json.version).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i + 1));
    const { one } = await agreed();
    const winner = done.findIndex((answer) => answer.json.version === one);
    assert.equal((await stack.call("one")).text, `variant ${winner}`);
    assert.deepEqual(await stack.sql("SELECT DISTINCT status FROM functions_admin.edge_function_deployments"), [{ status: "verified" }]);
  });

  test("deploys and deletes of the same functions: each deploy that is answered was good, and nothing is left of what is gone", async () => {
    const calls = Array.from({ length: 32 }, (_, i) => i % 4 === 3
      ? stack.api("DELETE", `functions/mixed-${i >> 2 & 1}`)
      : stack.deploy(`mixed-${i & 1}`, answering(`mixed ${i}`)));
    for (const [i, answer] of (await Promise.all(calls)).entries()) {
      // A deploy that a delete overtakes says so, and is not served.
      const right = i % 4 === 3 ? [200, 404].includes(answer.status) : answer.status === 201 || answer.json.code === "function_deleted";
      assert.ok(right, answer.text);
    }
    await agreed();
    for (const slug of ["mixed-0", "mixed-1"]) await stack.api("DELETE", `functions/${slug}`);
    assert.deepEqual(Object.keys(await agreed()), ["one"]);
    for (const slug of ["mixed-0", "mixed-1"]) {
      assert.deepEqual(releases(slug), []);
      assert.equal(fs.existsSync(path.join(stack.functionsDir, slug)), false);
      assert.equal((await stack.call(slug)).status, 404);
    }
  });

  test("a delete that overtakes a deploy: the deploy says so, and nothing of it is served", async () => {
    assert.equal((await stack.deploy("overtaken", answering("before"))).status, 201);
    const slow = stack.deploy("overtaken", `await new Promise((resolve) => setTimeout(resolve, 1500)); ${answering("after")}`);
    await until("the deploy has begun", async () =>
      (await stack.sql("SELECT FROM functions_admin.edge_function_deployments WHERE status = 'pending'")).length === 1);
    assert.equal((await stack.api("DELETE", "functions/overtaken")).status, 200);
    const answer = await slow;
    assert.deepEqual([answer.status, answer.json.code, answer.json.message],
      [409, "function_deleted", "The function was deleted while this deployment ran"]);
    assert.equal((await stack.call("overtaken")).status, 404);
    assert.deepEqual(releases("overtaken"), []);
    await agreed();
  });

  test("two runs of the CLI over the same functions: each is whole, the later one is served", async () => {
    const folders = ["left", "right"].map((side) => makeProject(stack, Object.fromEntries(["one", "two", "three"].map((slug) =>
      [`supabase/functions/${slug}/index.ts`, answering(`${slug} ${side}`)]))));
    const runs = await Promise.all(folders.map((cwd) =>
      stack.cli(["functions", "deploy", "-j", "3", "--project-ref", stack.ref, "--use-api", "--yes"], { cwd })));
    for (const done of runs) assert.equal(done.code, 0, done.stderr);
    await agreed();
    const [side] = (await stack.call("one")).text.split(" ").slice(-1);
    for (const slug of ["one", "two", "three"]) assert.equal((await stack.call(slug)).text, `${slug} ${side}`);
  });
});
