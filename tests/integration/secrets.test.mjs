// Secrets, from the CLI to the running function and nowhere else.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import pg from "pg";
import { startRuntime } from "../lib/runtime.mjs";
import { makeService, REF, startPostgres, startRuntime as startFakeRuntime } from "../lib/service.mjs";
import { CLI_VERSIONS, run, startStack, until } from "../lib/stack.mjs";

const ECHO = 'Deno.serve((request) => Response.json(new URL(request.url).searchParams.getAll("name").map((name) => Deno.env.get(name) ?? null)));';
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

let stack;
before(async () => {
  stack = await startStack();
  for (const slug of ["echo", "other"]) assert.equal((await stack.deploy(slug, ECHO)).status, 201);
});
after(() => stack?.stop());

const seen = async (slug, ...names) => {
  const answer = await stack.call(slug, { path: `?${names.map((name) => `name=${name}`).join("&")}` });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
};
const set = (values, where = "secrets", more = {}) =>
  stack.api("POST", where, { body: Object.entries(values).map(([name, value]) => ({ name, value })), ...more });
const file = () => path.join(stack.functionsDir, ".functions-admin/secrets.json");
const command = (args, { input, config = path.join(stack.home, "conf/functions-admin.conf") } = {}) =>
  run(path.join(stack.home, "bin/functions-admin"), ["secret", ...args, "--config", config], { env: { PATH: process.env.PATH }, input });

for (const version of Object.keys(CLI_VERSIONS)) {
  test(`CLI ${version}: set --env-file, list, unset; each call sees the change at once`, async () => {
    const cwd = stack.folder(), value = randomBytes(12).toString("hex");
    fs.writeFileSync(path.join(cwd, "my.env"), `CLI_ONE=${value}\nCLI_TWO="two words"\n`);
    const cli = async (...args) => {
      const done = await stack.cli(["secrets", ...args, "--project-ref", stack.ref, "--yes"], { version, cwd });
      assert.equal(done.code, 0, done.stdout + done.stderr);
      return done.stdout + done.stderr;
    };
    await cli("set", "--env-file", "my.env");
    assert.deepEqual(await seen("echo", "CLI_ONE", "CLI_TWO"), [value, "two words"]);
    await cli("set", "CLI_TWO=changed");
    assert.deepEqual(await seen("echo", "CLI_TWO"), ["changed"]);
    const list = await cli("list");
    assert.ok(list.includes("CLI_ONE") && list.includes(sha256(value)), list);
    await cli("unset", "CLI_ONE", "CLI_TWO");
    assert.deepEqual(await seen("echo", "CLI_ONE", "CLI_TWO"), [null, null]);
  });
}

test("a function's own secret wins, and is for that function alone", async () => {
  assert.equal((await set({ LEVEL: "project", SHARED: "s" })).status, 201);
  assert.equal((await set({ LEVEL: "function", OWN: "o" }, "functions/echo/secrets")).status, 201);
  assert.deepEqual(await seen("echo", "LEVEL", "SHARED", "OWN"), ["function", "s", "o"]);
  assert.deepEqual(await seen("other", "LEVEL", "SHARED", "OWN"), ["project", "s", null]);
  assert.deepEqual((await stack.api("GET", "functions/echo/secrets")).json.map((each) => [each.name, each.value]), [["LEVEL", sha256("function")], ["OWN", sha256("o")]]);
  assert.equal((await stack.api("DELETE", "functions/echo/secrets", { body: ["LEVEL"] })).status, 200);
  assert.deepEqual(await seen("echo", "LEVEL"), ["project"]);
  assert.equal((await set({ X: "x" }, "functions/nobody/secrets")).status, 404);
});

test("what cannot be a secret is refused, and changes nothing", async () => {
  const before = (await stack.api("GET", "secrets/revisions")).json.data[0].revision;
  const refused = async (body, status, code) => {
    const answer = await stack.api("POST", "secrets", { body, headers: { "content-type": "application/json" } });
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.json.code, code, answer.text);
    assert.ok(!answer.text.includes("hunter2"), answer.text);
  };
  await refused([{ name: "SUPABASE_URL", value: "hunter2" }], 422, "reserved_secret_name");
  await refused([{ name: "FUNCTIONS_ADMIN_X", value: "hunter2" }], 422, "reserved_secret_name");
  for (const name of ["", "A=B", "A B", "Ä", "x".repeat(257)]) await refused([{ name, value: "hunter2" }], 422, "invalid_secret_name");
  await refused([{ name: "A", value: "x".repeat(24577) }], 422, "secret_too_large");
  await refused([{ name: "A", value: "hunter2" }, { name: "A", value: "hunter2" }], 422, "duplicate_secret");
  await refused(Array.from({ length: 1001 }, (_, i) => ({ name: `N${i}`, value: "v" })), 413, "too_many_secrets");
  await refused([{ name: "A", value: 5 }], 422, "invalid");
  await refused({ name: "A", value: "hunter2" }, 422, "invalid");
  await refused('[{"name":"A","value":"hunter2" oops', 400, "invalid_json");
  assert.equal((await stack.api("DELETE", "secrets", { body: [1] })).status, 422);
  assert.equal((await stack.api("GET", "secrets/revisions")).json.data[0].revision, before);
});

test("a value that is set again, and a name that is not there, make no new revision", async () => {
  await set({ SAME: "value" });
  const before = (await stack.api("GET", "secrets/revisions")).json.data[0].revision;
  assert.equal((await set({ SAME: "value" })).status, 201);
  assert.equal((await stack.api("DELETE", "secrets", { body: ["NEVER_SET"] })).status, 200);
  assert.equal((await stack.api("GET", "secrets/revisions")).json.data[0].revision, before);
});

test("a revision can be rolled back, of the project and its functions at once", async () => {
  await set({ BACK: "first" });
  await set({ BACK: "first" }, "functions/echo/secrets");
  const { revision } = (await stack.api("GET", "secrets/revisions")).json.data[0];
  await set({ BACK: "second", LATER: "l" });
  await stack.api("DELETE", "functions/echo/secrets", { body: ["BACK"] });
  assert.deepEqual(await seen("echo", "BACK", "LATER"), ["second", "l"]);
  const back = await stack.api("POST", "secrets/rollback", { body: { revision } });
  assert.equal(back.status, 201, back.text);
  assert.deepEqual(back.json, { revision: revision + 3, restored: revision });
  assert.deepEqual(await seen("echo", "BACK", "LATER"), ["first", null]);
  assert.deepEqual(await seen("other", "BACK"), ["first"]);
  assert.deepEqual((await stack.api("GET", "functions/echo/secrets")).json.filter((each) => each.name === "BACK").length, 1);
  const [newest] = (await stack.api("GET", "secrets/revisions")).json.data;
  assert.deepEqual([newest.revision, newest.source, newest.restored, newest.current], [revision + 3, "rollback", revision, true]);
  for (const unknown of [revision + 100, 999_999]) {
    const refused = await stack.api("POST", "secrets/rollback", { body: { revision: unknown } });
    assert.equal(refused.status, 422);
    assert.equal(refused.json.code, "no_such_revision");
  }
});

test("scopes: reading, writing, and tokens that are for some functions only", async () => {
  const token = async (scopes, slugs) => (await stack.api("POST", "/v1/access-tokens", { body: { name: "t", scopes, slugs }, token: stack.env.SERVICE_ROLE_KEY })).json.token;
  const reader = await token(["secrets:read"]), writer = await token(["secrets:write"]), bound = await token(["secrets:read", "secrets:write"], ["ec*"]);
  assert.equal((await stack.api("GET", "secrets", { token: reader })).status, 200);
  assert.equal((await set({ A: "a" }, "secrets", { token: reader })).status, 403);
  assert.equal((await stack.api("GET", "secrets", { token: writer })).status, 403);
  assert.equal((await set({ BY_WRITER: "a" }, "secrets", { token: writer })).status, 201);
  for (const [method, where] of [["GET", "secrets"], ["GET", "secrets/revisions"], ["GET", "functions/other/secrets"]]) {
    assert.equal((await stack.api(method, where, { token: bound })).status, 403, where);
  }
  assert.equal((await set({ A: "a" }, "secrets", { token: bound })).status, 403);
  assert.equal((await stack.api("POST", "secrets/rollback", { body: { revision: 1 }, token: bound })).status, 403);
  assert.equal((await set({ BOUND: "b" }, "functions/echo/secrets", { token: bound })).status, 201);
});

test("the file is for its owner alone, and comes back when it is removed", async () => {
  await set({ HEALED: "yes" });
  assert.equal(fs.statSync(file()).mode & 0o777, 0o600);
  fs.rmSync(file());
  assert.equal((await set({ HEALED: "yes" })).status, 201);
  assert.deepEqual(await seen("echo", "HEALED"), ["yes"]);
  fs.rmSync(file());
  await until("the file is back", () => fs.existsSync(file()), 20_000);
  await stack.killProgram();
  fs.rmSync(file());
  await stack.startProgram();
  assert.deepEqual(await seen("echo", "HEALED"), ["yes"]);
});

test("a value is in the running function and in the one file, and nowhere else", async () => {
  const value = `needle-${randomBytes(16).toString("hex")}`;
  const answers = [(await set({ NEEDLE: value })).text, (await stack.api("GET", "secrets")).text, (await stack.api("GET", "secrets/revisions")).text];
  assert.deepEqual(await seen("echo", "NEEDLE"), [value]);
  answers.push((await stack.api("POST", "secrets", { body: `[{"name":"NEEDLE","value":"${value}"`, headers: { "content-type": "application/json" } })).text);
  for (const answer of answers) assert.ok(!answer.includes(value));
  const tables = await stack.sql("SELECT relname FROM pg_class WHERE relnamespace = 'functions_admin'::regnamespace AND relkind IN ('r', 'p')");
  const hex = Buffer.from(value).toString("hex");
  for (const { relname } of tables) {
    const [{ found }] = await stack.sql(`SELECT count(*)::int AS found FROM functions_admin.${relname} t WHERE t::text LIKE $1 OR t::text LIKE $2`, [`%${value}%`, `%${hex}%`]);
    assert.equal(found, 0, relname);
  }
  for (const name of fs.readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    for (const of of ["cmdline", "environ"]) {
      let text = "";
      try { text = fs.readFileSync(`/proc/${name}/${of}`, "utf8"); } catch { /* it has ended */ }
      assert.ok(!text.includes(value), `${of} of ${name}`);
    }
  }
  const holding = [];
  const search = (folder) => {
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const at = path.join(folder, entry.name);
      // The cluster's own files hold what its tables hold, which was searched above, and are rewritten as we look.
      if (entry.isDirectory() && at !== path.join(stack.home, "pg") && at !== path.join(stack.home, "cache")) search(at);
      else if (entry.isFile() && fs.readFileSync(at).includes(value)) holding.push(path.relative(stack.functionsDir, at));
    }
  };
  search(stack.home);
  assert.deepEqual(holding, [".functions-admin/secrets.json"]);
});

test("a thousand secrets of 24 KiB: set by the CLI, listed, delivered, sealed anew while calls and changes go on", { timeout: 400_000 }, async (t) => {
  const all = (await stack.api("GET", "secrets")).json.map((each) => each.name);
  if (all.length) assert.equal((await stack.api("DELETE", "secrets", { body: all })).status, 200);
  const values = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`BIG_${i}`, `${i}: a $b #c\t`.padEnd(24576, "x")]));
  const cwd = stack.folder();
  fs.writeFileSync(path.join(cwd, "big.env"), Object.entries(values).map(([name, value]) => `${name}='${value}'\n`).join(""));
  const done = await stack.cli(["secrets", "set", "--env-file", "big.env", "--project-ref", stack.ref, "--yes"], { cwd });
  assert.equal(done.code, 0, done.stdout + done.stderr);
  assert.deepEqual(await seen("echo", "BIG_0", "BIG_999"), [values.BIG_0, values.BIG_999]);
  assert.deepEqual(Object.fromEntries((await stack.api("GET", "secrets")).json.map((each) => [each.name, each.value])),
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, sha256(value)])));
  const refused = await set({ ONE_MORE: "x" });
  assert.equal(refused.status, 422);
  assert.equal(refused.json.code, "too_many_secrets");

  // The request's body, its values, plain and sealed, and the file: a few times the 24 MB that they are.
  const peak = () => Math.round(fs.readFileSync(`/proc/${stack.pid("functions-admin")}/status`, "utf8").match(/^VmHWM:\s+(\d+) kB$/m)[1] / 1024);
  const peaks = [peak()], key = randomBytes(32).toString("hex");
  await stack.restartProgram({ options: { secrets_key: key } });
  let rotating = true, rounds = 0;
  const rotation = command(["rotate-key", "--json"]).finally(() => rotating = false);
  do {
    assert.equal((await set({ BIG_500: `round ${rounds}` })).status, 201);
    assert.deepEqual(await seen("echo", "BIG_500", "BIG_7"), [`round ${rounds++}`, values.BIG_7]);
  } while (rotating);
  const rotated = await rotation;
  assert.equal(rotated.code, 0, rotated.stderr);
  assert.ok(JSON.parse(rotated.stdout).resealed >= 999, rotated.stdout);
  assert.equal((await stack.sql("SELECT count(DISTINCT key_id)::int AS n FROM functions_admin.secrets"))[0].n, 1);
  peaks.push(peak());
  t.diagnostic(`${rounds} changes while the key was rotated; the program took ${peaks.join(" and ")} MiB at most`);
  for (const mib of peaks) assert.ok(mib < 400, `the program took ${peaks} MiB`);
  assert.equal((await stack.api("DELETE", "secrets", { body: Object.keys(values) })).status, 200);
  await stack.restartProgram({ options: { secrets_key: "", secrets_previous_keys: key } });
  assert.equal((await command(["rotate-key"])).code, 0);
  await stack.restartProgram({ options: { secrets_previous_keys: "" } });
});

test("the command: values from standard input and files, never arguments", async () => {
  const ok = async (args, input) => {
    const done = await command(args, { input });
    assert.equal(done.code, 0, done.stderr);
    return done.stdout;
  };
  await ok(["set", "FROM_STDIN"], "from stdin\n");
  const env = path.join(stack.folder(), "some.env");
  fs.writeFileSync(env, "# a comment\nexport PLAIN = some text # more\nSINGLE='a $b\nc'\nDOUBLE=\"x\\ny \\\"z\\\"\"\n");
  await ok(["set", "--env-file", env, "--function", "echo"]);
  await until("the service has handed them over", async () => (await seen("echo", "FROM_STDIN"))[0] === "from stdin", 20_000);
  assert.deepEqual(await seen("echo", "PLAIN", "SINGLE", "DOUBLE"), ["some text", "a $b\nc", 'x\ny "z"']);
  assert.deepEqual(await seen("other", "PLAIN"), [null]);
  assert.match(await ok(["list"]), new RegExp(sha256("from stdin")));
  assert.deepEqual(JSON.parse(await ok(["list", "--json", "--function", "echo"])).map((each) => each.name).filter((name) => /PLAIN|SINGLE|DOUBLE/.test(name)), ["DOUBLE", "PLAIN", "SINGLE"]);
  await ok(["unset", "FROM_STDIN"]);
  const number = JSON.parse(await ok(["revisions", "--json"]))[1].revision;
  await ok(["rollback", String(number)]);
  assert.match(await ok(["list"]), /FROM_STDIN/);
  for (const [args, status, words] of [
    [["set", "A", "value"], 2, /set takes one name/], [["set"], 2, /set takes one name/], [["unset"], 2, /names/], [["rollback", "x"], 2, /number/],
    [["rollback", "999999"], 1, /no revision/], [["set", "SUPABASE_X"], 1, /reserved/], [["list", "--function", "nobody"], 5, /not found/], [["what"], 2, /secret needs/],
  ]) {
    const done = await command(args, { input: "value" });
    assert.match(done.stderr, words);
    assert.equal(done.code, status, done.stderr);
  }
  fs.writeFileSync(env, "GOOD=1\nhunter2\n");
  const bad = await command(["set", "--env-file", env]);
  assert.match(bad.stderr, /Line 2/);
  assert.ok(!bad.stderr.includes("hunter2"));
});

test("rotate-key: another key seals everything while the service runs; the earlier one is not needed any more", async () => {
  const ids = async () => (await stack.sql("SELECT DISTINCT encode(key_id, 'hex') AS id FROM functions_admin.secrets")).map((row) => row.id);
  await set({ ROTATED: "still here" });
  const before = await ids();
  assert.equal(before.length, 1);
  const first = randomBytes(32).toString("hex"), second = randomBytes(32).toString("hex");
  await stack.restartProgram({ options: { secrets_key: first } });
  assert.deepEqual(await seen("echo", "ROTATED"), ["still here"]);
  assert.equal((await command(["rotate-key"])).code, 0);
  const after = await ids();
  assert.equal(after.length, 1);
  assert.notEqual(after[0], before[0]);
  // A rollback that is under way puts a value back under the earlier key: the rotation waits for it, and takes it along.
  await stack.restartProgram({ options: { secrets_key: second, secrets_previous_keys: first } });
  const rollback = new pg.Client({ connectionString: stack.env.DATABASE_URL });
  await rollback.connect();
  await rollback.query("BEGIN");
  await rollback.query("SELECT FROM functions_admin.projects FOR UPDATE");
  await rollback.query(`INSERT INTO functions_admin.secrets (project_ref, name, sealed, key_id, created_revision, removed_revision)
    SELECT project_ref, name, sealed, key_id, created_revision, created_revision + 1 FROM functions_admin.secrets WHERE name = 'ROTATED' LIMIT 1`);
  const waiting = command(["rotate-key"]);
  await until("it waits", async () => (await stack.sql("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%projects%'")).length > 0);
  await rollback.query("COMMIT");
  await rollback.end();
  assert.equal((await waiting).code, 0);
  assert.equal((await ids()).length, 1);
  await stack.restartProgram({ options: { secrets_key: first, secrets_previous_keys: second } });
  assert.equal((await command(["rotate-key"])).code, 0);
  // A command gives the key: the client of a key management service. The strict sandbox starts none.
  const key = path.join(stack.folder(), "key");
  fs.writeFileSync(key, `${second}\n`, { mode: 0o644 });
  fs.chmodSync(path.dirname(key), 0o755);
  await stack.restartProgram({ options: { sandbox: "auto", secrets_key: "", secrets_key_command: `cat ${key}`, secrets_previous_keys: first } });
  const rotated = await command(["rotate-key", "--json"]);
  assert.ok(JSON.parse(rotated.stdout).resealed > 0, rotated.stderr);
  await stack.restartProgram({ options: { secrets_previous_keys: "" } });
  assert.deepEqual(await seen("echo", "ROTATED"), ["still here"]);
  assert.equal((await set({ ROTATED: "and changed" })).status, 201);
  // Without the key the service says so at its start, and names the key by its id alone.
  fs.writeFileSync(key, `${randomBytes(32).toString("hex")}\n`);
  await assert.rejects(stack.restartProgram(), /was sealed with the key [0-9a-f]{8}/);
  fs.writeFileSync(key, "nonsense\n");
  await assert.rejects(stack.restartProgram(), /secrets_key_command/);
  fs.writeFileSync(key, `${second}\n`);
  await stack.restartProgram();
});

test("secrets_dir: the file lies on a filesystem of its own, and the runtime finds it there", async () => {
  const postgres = await startPostgres(), other = fs.mkdtempSync("/dev/shm/functions-admin-");
  const service = makeService(postgres, { options: { secrets_dir: other } });
  let runtime;
  try {
    await service.start();
    await service.deploy("echo", ECHO, { metadata: { verify_jwt: false } });
    runtime = await startRuntime({ functionsDir: service.functionsDir, env: { FUNCTIONS_ADMIN_SECRETS_DIR: other } });
    assert.equal((await service.ask("POST", `/v1/projects/${REF}/secrets`, { json: [{ name: "V", value: "in memory" }] })).status, 201);
    assert.deepEqual(await (await fetch(`${runtime.url}/echo?name=V`)).json(), ["in memory"]);
    assert.deepEqual(fs.readdirSync(other), ["secrets.json"]);
    assert.equal(fs.statSync(path.join(other, "secrets.json")).mode & 0o777, 0o600);
    assert.ok(!fs.existsSync(path.join(service.functionsDir, ".functions-admin/secrets.json")));
  } finally {
    await runtime?.stop();
    await service.remove();
    await postgres.remove();
    fs.rmSync(other, { recursive: true });
  }
});

test("stored but not confirmed is said as such, and the same request again confirms it", async () => {
  const postgres = await startPostgres(), service = makeService(postgres);
  const runtime = await startFakeRuntime(service.functionsDir);
  try {
    service.writeConfig({ runtime_url: runtime.url, request_timeout: "1s" });
    await service.start();
    const ask = () => service.ask("POST", `/v1/projects/${REF}/secrets`, { json: [{ name: "V", value: "value" }] });
    runtime.secretsRevision = 0;
    const answer = await ask();
    assert.equal(answer.status, 503, answer.text);
    assert.equal(answer.json.code, "secrets_not_confirmed");
    assert.match(answer.json.message, /Revision 1 .* still uses earlier secrets/);
    runtime.secretsRevision = undefined;
    assert.equal((await ask()).status, 201);
    assert.equal((await service.ask("GET", `/v1/projects/${REF}/secrets/revisions`)).json.data.length, 1);
  } finally {
    await service.remove();
    await runtime.stop();
    await postgres.remove();
  }
});

for (const policy of ["per_worker", "per_request", "oneshot"]) {
  test(`policy ${policy}: the next call sees each change, a rollback, and the revision that its version is pinned to`, async () => {
    const other = await startStack({ policy });
    try {
      await other.deploy("echo", ECHO);
      const ok = async (...request) => {
        const answer = await other.api(...request);
        assert.ok(answer.status < 300, answer.text);
        return answer.json;
      };
      const put = (value, where = "secrets") => ok("POST", where, { body: [{ name: "V", value }] });
      const value = async () => (await other.call("echo", { path: "?name=V" })).json[0];
      for (const each of ["one", "two"]) {
        await put(each);
        assert.equal(await value(), each);
      }
      await put("own", "functions/echo/secrets");
      assert.equal(await value(), "own");
      await ok("POST", "secrets/rollback", { body: { revision: 1 } });
      assert.equal(await value(), "one");
      assert.equal((await ok("GET", "functions/echo")).version, 1, "no change has deployed anything");
      await ok("PATCH", "functions/echo/settings", { body: { secrets_revision: 2 } });
      assert.equal(await value(), "two");
      await put("later");
      assert.equal(await value(), "two");
      await ok("PATCH", "functions/echo/settings", { body: { secrets_revision: null } });
      assert.equal(await value(), "later");
      await ok("DELETE", "secrets", { body: ["V"] });
      assert.equal(await value(), null);
    } finally {
      await other.stop();
    }
  });
}
