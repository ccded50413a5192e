// Versions, rollback, releases, restore, promotion, retention: a history that can be trusted and undone.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { startStack, until } from "../lib/stack.mjs";

let stack;
before(async () => {
  stack = await startStack();
});
after(() => stack?.stop());

const answering = (text) => `Deno.serve(() => new Response(${JSON.stringify(text)}));\n`;
const ok = async (status, promise) => {
  const answer = await promise;
  assert.equal(answer.status, status, answer.text);
  return answer;
};
const deploy = async (slug, text, more = {}) => (await ok(201, stack.deploy(slug, typeof text === "string" ? answering(text) : text, { verify_jwt: false, ...more }))).json;
const post = (target, body = {}, headers = {}) => stack.api("POST", target, { body, headers });
const answers = async (slug, text) => {
  const answer = await stack.call(slug, { token: null });
  assert.equal(answer.text, text);
};
const program = (...args) => spawnSync(process.env.FA_BINARY ?? path.join(stack.home, "bin/functions-admin"), [...args, "--config", path.join(stack.home, "conf/functions-admin.conf")], { encoding: "utf8" });

describe("versions", () => {
  test("each deploy is one, with who, when, why and what", async () => {
    await deploy("seen", "one", { message: "the first" });
    await ok(201, stack.deploy("seen", { "supabase/functions/seen/index.ts": answering("two"), "supabase/functions/_shared/a.bin": Buffer.from([0, 255, 1]) }, { headers: { "x-deploy-message": "the second" } }));
    const { data } = (await ok(200, stack.api("GET", "functions/seen/versions"))).json;
    assert.deepEqual(data.map((v) => [v.version, v.active, v.source, v.message, v.file_count]), [[2, true, "deploy", "the second", 2], [1, false, "deploy", "the first", 1]]);
    assert.match(data[0].created_by, /^token /);
    assert.ok(Math.abs(Date.parse(data[0].created_at) - Date.now()) < 60_000);
    const one = (await ok(200, stack.api("GET", "functions/seen/versions/2"))).json;
    assert.deepEqual(one.files.map((f) => [f.path, f.size]), [["supabase/functions/_shared/a.bin", 3], ["supabase/functions/seen/index.ts", answering("two").length]]);
    const body = await ok(200, stack.api("GET", "functions/seen/versions/1/body"));
    assert.ok(body.text.includes(answering("one")));
    await ok(404, stack.api("GET", "functions/seen/versions/3"));
    await ok(400, stack.api("GET", "functions/seen/versions/0"));
  });

  test("the same bytes and metadata again make no version, and the answer says so", async () => {
    await deploy("same", "same");
    const again = await ok(201, stack.deploy("same", answering("same"), { verify_jwt: false }));
    assert.equal(again.json.version, 1);
    assert.equal(again.headers["x-deploy-result"], "unchanged");
    assert.equal((await stack.api("GET", "functions/same/versions")).json.data.length, 1);
    assert.equal((await deploy("same", "same", { verify_jwt: true })).version, 2, "verify_jwt belongs to the version");
  });

  test("diff: unified, per file; binary files named as such; changed settings beside them", async () => {
    await deploy("changed", { "index.ts": "Deno.serve(() => new Response('a'));\n", "gone.txt": "x\n", "image.png": Buffer.from([0x89, 0x50, 0, 1]) });
    await deploy("changed", { "index.ts": "Deno.serve(() => new Response('b'));\n", "new.txt": "y\n", "image.png": Buffer.from([0x89, 0x50, 0, 2]) }, { verify_jwt: true });
    const diff = (await ok(200, stack.api("GET", "functions/changed/diff?from=1&to=2"))).json;
    assert.deepEqual(diff.settings, { verify_jwt: [false, true] });
    assert.deepEqual(diff.files.map((f) => [f.path, f.change, f.binary]), [["gone.txt", "removed", false], ["image.png", "modified", true], ["index.ts", "modified", false], ["new.txt", "added", false]]);
    assert.match(diff.files[2].diff, /^-Deno\.serve\(\(\) => new Response\('a'\)\);\n\+Deno\.serve\(\(\) => new Response\('b'\)\);$/m);
    await ok(400, stack.api("GET", "functions/changed/diff?from=1"));
    await ok(404, stack.api("GET", "functions/changed/diff?from=1&to=9"));
  });

  test("pages are whole, also while others write", async () => {
    for (let i = 1; i <= 5; i++) await deploy("paged", `v${i}`);
    const seen = [];
    let cursor = "";
    do {
      const page = await ok(200, stack.api("GET", `functions/paged/versions?limit=2${cursor}`));
      seen.push(...page.json.data.map((v) => v.version));
      if (page.json.next_cursor) assert.match(page.headers.link, /^<\?limit=2&cursor=\d+>; rel="next"$/);
      cursor = page.json.next_cursor ? `&cursor=${page.json.next_cursor}` : "";
      if (seen.length === 2) await deploy("paged", "v6");
    } while (cursor);
    assert.deepEqual(seen, [5, 4, 3, 2, 1]);
    for (const bad of ["limit=0", "limit=501", "limit=x", "cursor=x", "cursor=-1"]) await ok(400, stack.api("GET", `functions/paged/versions?${bad}`));
  });
});

describe("rollback", () => {
  test("to the version before, to any kept one, forward again; no version is made", async () => {
    for (const text of ["one", "two", "three"]) await deploy("back", text);
    assert.equal((await ok(200, post("functions/back/rollback"))).json.version, 2);
    await answers("back", "two");
    assert.equal((await ok(200, post("functions/back/rollback", { version: 1, message: "worse yet" }))).json.version, 1);
    await answers("back", "one");
    assert.equal((await ok(200, post("functions/back/rollback", { version: 3 }))).json.version, 3);
    await answers("back", "three");
    const { data } = (await stack.api("GET", "functions/back/deployments")).json;
    assert.deepEqual(data.map((d) => [d.version, d.status]), [[3, "verified"], [1, "verified"], [2, "verified"], [3, "verified"], [2, "verified"], [1, "verified"]]);
    await ok(404, post("functions/back/rollback", { version: 9 }));
    await ok(422, post("functions/back/rollback", { version: "1" }));
  });

  test("with the release gone from disk it is built from the database", async () => {
    await deploy("rebuilt", "old");
    await deploy("rebuilt", "new");
    const releases = path.join(stack.functionsDir, ".releases/rebuilt");
    for (const name of fs.readdirSync(releases).filter((n) => n.startsWith("1-"))) fs.rmSync(path.join(releases, name), { recursive: true });
    await ok(200, post("functions/rebuilt/rollback"));
    await answers("rebuilt", "old");
  });

  test("where nothing was before, it says so and changes nothing", async () => {
    await deploy("only", "only");
    const answer = await ok(409, post("functions/only/rollback"));
    assert.equal(answer.json.code, "nothing_before");
    await answers("only", "only");
  });

  test("the official CLI downloads the old bytes", async () => {
    await deploy("fetched", "old bytes");
    await deploy("fetched", "new bytes");
    await ok(200, post("functions/fetched/rollback"));
    const folder = stack.folder();
    const done = await stack.cli(["functions", "download", "fetched", "--use-api", "--remote=" + stack.ref], { cwd: folder });
    assert.equal(done.code, 0, done.stderr);
    assert.equal(fs.readFileSync(path.join(folder, "supabase/functions/fetched/index.ts"), "utf8"), answering("old bytes"));
  });
});

describe("releases", () => {
  test("a bulk PUT is one release, and undone as one, also what it created and what a later call deleted", async () => {
    await deploy("unit-a", "a1");
    const b = (await ok(201, stack.deploy("unit-b", answering("b1"), { verify_jwt: false, bundleOnly: true }))).json;
    const a = (await ok(201, stack.deploy("unit-a", answering("a2"), { verify_jwt: false, bundleOnly: true }))).json;
    await answers("unit-a", "a1");
    await ok(200, stack.api("PUT", "functions", { body: [a, b] }));
    await answers("unit-a", "a2");
    await answers("unit-b", "b1");
    const [release] = (await ok(200, stack.api("GET", "releases?limit=1"))).json.data;
    assert.deepEqual(release.functions.map((f) => [f.slug, f.version_before, f.version_after]), [["unit-a", 1, 2], ["unit-b", null, 1]]);
    await ok(200, stack.api("DELETE", "functions/unit-a"));
    const undone = (await ok(200, post(`releases/${release.id}/rollback`, { message: "never mind" }))).json;
    assert.equal(undone.source, "rollback");
    assert.equal(undone.functions.length, 2);
    await answers("unit-a", "a1");
    assert.equal((await stack.call("unit-b", { token: null })).status, 404);
    assert.equal((await stack.api("GET", "functions/unit-b")).status, 404);
    await ok(404, post("releases/999999/rollback"));
  });

  test("a deleted function comes back with what it served", async () => {
    await deploy("lost", "first");
    await deploy("lost", "last");
    const before = (await stack.api("GET", "functions/lost")).json;
    await ok(200, stack.api("DELETE", "functions/lost"));
    assert.equal((await stack.call("lost", { token: null })).status, 404);
    assert.ok(!fs.existsSync(path.join(stack.functionsDir, "lost")) && !fs.existsSync(path.join(stack.functionsDir, ".releases/lost")));
    const after = (await ok(200, post("functions/lost/restore"))).json;
    assert.deepEqual([after.id, after.version], [before.id, 2]);
    await answers("lost", "last");
    await ok(409, post("functions/lost/restore"));
    await ok(404, post("functions/never/restore"));
  });

  test("one that was made anew stands in the way, and is left alone", async () => {
    await deploy("anew", "old");
    await ok(200, stack.api("DELETE", "functions/anew"));
    const [release] = (await stack.api("GET", "releases?limit=1")).json.data;
    await deploy("anew", "new");
    const answer = await ok(409, post(`releases/${release.id}/rollback`));
    assert.equal(answer.json.code, "slug_taken");
    await answers("anew", "new");
  });
});

describe("at the same time", () => {
  test("If-Match: what was changed meanwhile is not overwritten", async () => {
    await deploy("careful", "one");
    const seen = await ok(200, stack.api("GET", "functions/careful"));
    const tag = { "if-match": seen.headers.etag };
    await ok(304, stack.api("GET", "functions/careful", { headers: { "if-none-match": seen.headers.etag } }));
    await deploy("careful", "two");
    for (const [method, target, body] of [["DELETE", "functions/careful"], ["POST", "functions/careful/rollback", {}], ["PATCH", "functions/careful", { name: "x" }], ["PUT", "functions/careful/traffic", [{ version: 1, percent: 100 }]]])
      await ok(412, stack.api(method, target, { body, headers: tag }));
    await ok(412, stack.deploy("careful", answering("three"), { headers: tag }));
    await answers("careful", "two");
    const now = await stack.api("GET", "functions/careful");
    assert.equal(now.json.version, 2);
    await ok(201, stack.deploy("careful", answering("three"), { verify_jwt: false, headers: { "if-match": now.headers.etag } }));
    await answers("careful", "three");
  });

  test("Idempotency-Key: one deploy, the same answer, another body refused; not after a failure", async () => {
    const key = { "idempotency-key": "deploy-1" };
    const first = await ok(201, stack.deploy("once", answering("1"), { verify_jwt: false, headers: key }));
    await deploy("once", "2");
    const again = await ok(201, stack.deploy("once", answering("1"), { verify_jwt: false, headers: key }));
    assert.equal(again.text, first.text);
    assert.equal(again.headers["idempotent-replayed"], "true");
    await answers("once", "2");
    assert.equal((await ok(422, stack.deploy("once", answering("3"), { verify_jwt: false, headers: key }))).json.code, "idempotency_key_reused");
    await ok(422, stack.deploy("once", answering("4"), { entrypoint_path: "none.ts", headers: { "idempotency-key": "deploy-2" } }));
    await ok(201, stack.deploy("once", answering("4"), { verify_jwt: false, headers: { "idempotency-key": "deploy-2" } }));
    await ok(400, stack.deploy("once", answering("5"), { headers: { "idempotency-key": "a b" } }));
    const [{ n }] = await stack.sql("SELECT count(*)::int n FROM functions_admin.idempotency_keys WHERE position('once'::bytea IN answer) > 0");
    assert.equal(n, 0, "answers are sealed");
  });
});

describe("Prefer: respond-async", () => {
  test("202 with the deployment to poll, which ends verified, or failed with the reason", async () => {
    const accepted = await ok(202, stack.deploy("later", answering("later"), { verify_jwt: false, headers: { prefer: "respond-async" } }));
    assert.equal(accepted.headers["preference-applied"], "respond-async");
    assert.ok(accepted.headers.location.endsWith(`/v1/projects/${stack.ref}/deployments/${accepted.json.id}`));
    const ended = (id) => until("the deployment ends", async () => {
      const { json } = await stack.api("GET", `deployments/${id}`);
      return ["verified", "failed"].includes(json.status) && json;
    });
    assert.equal((await ended(accepted.json.id)).status, "verified");
    await answers("later", "later");
    const refused = await ok(202, stack.deploy("later", 'throw new Error("no");', { verify_jwt: false, headers: { prefer: "respond-async" } }));
    assert.equal((await ended(refused.json.id)).error.code, "boot_failed");
    await answers("later", "later");
    // What is wrong with the upload itself is said at once.
    await ok(422, stack.deploy("later", answering("x"), { entrypoint_path: "none.ts", headers: { prefer: "respond-async" } }));
  });
});

describe("the smoke test", () => {
  test("a version that fails it is rolled back, and the caller is told", async () => {
    await deploy("smoky", "good");
    await ok(200, stack.api("PATCH", "settings", { token: stack.env.SERVICE_ROLE_KEY, body: { smoke_test: { path: "/{slug}/health", max_status: 299 } } }));
    const bad = await ok(422, stack.deploy("smoky", "Deno.serve(() => new Response('bad', { status: 500 }));", { verify_jwt: false }));
    assert.equal(bad.json.code, "smoke_test_failed");
    await answers("smoky", "good");
    const [last] = (await stack.api("GET", "functions/smoky/deployments")).json.data;
    assert.deepEqual([last.status, last.error.code], ["rolled_back", "smoke_test_failed"]);
    await deploy("smoky", "better");
    await answers("smoky", "better");
    await ok(200, stack.api("PATCH", "settings", { token: stack.env.SERVICE_ROLE_KEY, body: { smoke_test: null } }));
    for (const wrong of [{ smoke_test: { path: "x" } }, { smoke_test: 1 }, { nonsense: true }, { retention: { versions: 0 } }, { auto_rollback: { min_calls: "many" } }])
      await ok(422, stack.api("PATCH", "settings", { token: stack.env.SERVICE_ROLE_KEY, body: wrong }));
  });
});

describe("automatic rollback", () => {
  test("a version whose calls fail is taken back by itself", async () => {
    await ok(200, stack.api("PATCH", "settings", { token: stack.env.SERVICE_ROLE_KEY, body: { auto_rollback: { min_calls: 10, error_percent: 50 } } }));
    await deploy("failing", "good");
    // The first look, from which on calls are known by their time.
    await until("the sweep has looked", async () => stack.log("functions-admin").length > 0);
    await ok(201, stack.deploy("failing", "let n = 0;\nDeno.serve(() => new Response('bad', { status: n++ < 1 ? 200 : 500 }));", { verify_jwt: false }));
    await until("the good version is back", async () => (await stack.call("failing", { token: null })).text === "good", 40_000);
    const data = await until("it is recorded", async () => {
      const { data } = (await stack.api("GET", "functions/failing/deployments")).json;
      return data[1].error && data;
    });
    assert.deepEqual([data[1].version, data[1].status, data[1].error.code], [2, "rolled_back", "auto_rollback"]);
    assert.match(data[1].error.message, /^\d+ of \d+ calls to version 2 failed$/);
    await ok(200, stack.api("PATCH", "settings", { token: stack.env.SERVICE_ROLE_KEY, body: { auto_rollback: null } }));
  });
});

describe("projects", () => {
  test("promotion: the same bytes and digest, a new version there, secrets not copied; keys open their own project only", async () => {
    const folder = stack.folder("production");
    fs.chmodSync(folder, 0o777);
    await stack.restartProgram({ options: { sandbox_paths: folder } });
    const created = program("project", "create", "--name", "Production", "--functions-dir", folder, "--json");
    assert.equal(created.status, 0, created.stderr);
    const { ref, keys } = JSON.parse(created.stdout);
    await deploy("shipped", "goods");
    await ok(201, stack.api("POST", "secrets", { token: stack.env.SERVICE_ROLE_KEY, body: [{ name: "ONLY_HERE", value: "x" }] }));
    await until("the service has taken the project up", async () => (await stack.api("POST", "functions/shipped/promote", { body: { to: ref } })).status === 200, 30_000);
    const here = (await stack.api("GET", "functions/shipped/versions/1")).json;
    const there = (await ok(200, stack.api("GET", `/v1/projects/${ref}/functions/shipped/versions/1`))).json;
    assert.equal(there.digest, here.digest);
    assert.deepEqual([there.source, there.source_project, there.source_version], ["promote", stack.ref, 1]);
    assert.equal(fs.readFileSync(path.join(folder, "shipped/source/supabase/functions/shipped/index.ts"), "utf8"), answering("goods"));
    assert.deepEqual((await stack.api("GET", `/v1/projects/${ref}/secrets`, { token: stack.env.SERVICE_ROLE_KEY })).json, []);
    assert.equal((await ok(200, stack.api("POST", "functions/shipped/promote", { body: { to: ref } }))).json.version, 1, "nothing new to promote");
    await ok(200, stack.api("GET", `/v1/projects/${ref}/functions`, { token: keys.service_role_key }));
    await ok(404, stack.api("GET", "functions", { token: keys.service_role_key }));
    await ok(403, stack.api("GET", `/v1/projects/${ref}/functions`, { token: keys.anon_key }));
    await ok(404, stack.api("POST", "functions/shipped/promote", { body: { to: "zzzzzzzzzzzzzzzzzzzz" } }));
    await ok(422, stack.api("POST", "functions/shipped/promote", { body: { to: stack.ref } }));
    assert.equal(program("project", "delete", ref).status, 1, "it still serves a function");
    await ok(200, stack.api("DELETE", `/v1/projects/${ref}/functions/shipped`));
    assert.equal(program("project", "delete", ref).status, 0);
    await ok(404, stack.api("GET", `/v1/projects/${ref}`));
    const [{ leaked }] = await stack.sql("SELECT count(*)::int leaked FROM functions_admin.projects p WHERE p::text LIKE $1", [`%${keys.jwt_secret}%`]);
    assert.equal(leaked, 0, "keys are sealed");
  });
});

describe("retention", () => {
  test("prune removes old versions and what only they had, never what serves or served before", async () => {
    for (let i = 1; i <= 6; i++) await deploy("kept", `kept ${i}`);
    await ok(200, post("functions/kept/rollback", { version: 2 }));
    await ok(200, stack.api("PATCH", "settings", { token: stack.env.SERVICE_ROLE_KEY, body: { retention: { versions: 1, days: 0, deleted_days: 0 } } }));
    await stack.sql("UPDATE functions_admin.blobs SET created_at = now() - interval '2 hours'");
    const count = async () => (await stack.sql("SELECT count(*)::int n FROM functions_admin.blobs"))[0].n;
    const blobs = await count();
    const dry = JSON.parse(program("prune", "--dry-run", "--json").stdout);
    assert.deepEqual(dry.versions.filter((v) => v.slug === "kept").map((v) => v.version).sort(), [1, 3, 4, 5]);
    assert.equal((await stack.api("GET", "functions/kept/versions")).json.data.length, 6);
    const done = program("prune");
    assert.equal(done.status, 0, done.stderr);
    assert.deepEqual((await stack.api("GET", "functions/kept/versions")).json.data.map((v) => v.version), [6, 2]);
    assert.ok(await count() < blobs);
    await answers("kept", "kept 2");
    await ok(200, post("functions/kept/rollback", { version: 6 }));
    await answers("kept", "kept 6");
  });
});
