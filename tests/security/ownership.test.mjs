// A database belongs to the installation whose master_key has marked it: whoever comes with another key, by a DATABASE_URL that
// was meant for somebody else, writes nothing there.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { makeService, SECRETS, startPostgres, temporaryFolder } from "../lib/service.mjs";

let postgres, service, other;
before(async () => {
  postgres = await startPostgres();
  service = await makeService(postgres).start();
  assert.equal((await service.deploy("hello", "export default 1")).status, 201);
  other = makeService(postgres, { options: { master_key: randomBytes(32).toString("hex") } });
});
after(async () => {
  await other?.remove();
  await service?.remove();
  await postgres?.remove();
});

const mark = (of = service) => of.sql("SELECT encode(fingerprint, 'hex') FROM functions_admin.installation");
const HINT = /^functions-admin: This database belongs to an installation with another master_key\nHINT: .*DATABASE_URL.*migrate --replace-master-key$/m;
// Of all tables, the audit log included; but that the service lives, and its node, is renewed all the time.
function rows() {
  const tables = service.sql("SELECT relname FROM pg_class WHERE relnamespace = 'functions_admin'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname NOT IN ('instances', 'nodes')").split("\n");
  return service.sql(tables.map((t) => `SELECT '${t}', md5(string_agg(t::text, ',' ORDER BY t::text)) FROM functions_admin.${t} t`).join(" UNION ALL ")
    + " UNION ALL SELECT 'nodes', string_agg(name, ',' ORDER BY name) FROM functions_admin.nodes ORDER BY 1");
}

test("migrate marks it, with what says nothing of the key", () => {
  assert.match(mark(), /^[0-9a-f]{64}$/);
  assert.notEqual(mark(), mark(other));
  for (const of of [SECRETS.master_key, Buffer.from(SECRETS.master_key, "hex")]) assert.notEqual(mark(), createHash("sha256").update(of).digest("hex"));
  assert.notEqual(mark(), SECRETS.master_key);
});

test("with the address of another installation's database nothing starts, and no command writes", () => {
  const folder = temporaryFolder(), env = { DATABASE_URL: postgres.url(service.database) }, file = path.join(folder, "token");
  fs.writeFileSync(file, `sbp_${"0".repeat(40)}`);
  other.writeConfig({ database_url: null });
  const before = rows();
  for (const [command, ...args] of [
    ["serve"], ["agent"], ["node", "list"], ["migrate"], ["migrate", "--status"], ["token", "create", "--name", "x", "--scope", "functions:read"], ["token", "list"],
    ["project", "create", "--name", "x", "--functions-dir", folder], ["secret", "set", "NAME=value"], ["secret", "rotate-key"],
    ["import"], ["drift"], ["prune"], ["audit", "prune", "--keep-days", "0"], ["audit", "verify"],
    ["pull", "--from", "http://127.0.0.1:9", "--ref", service.options.project_ref, "--token-file", file],
  ]) {
    const done = other.run(command, args, { env });
    assert.match(done.stderr, HINT, `${command} ${args.join(" ")}: ${done.stderr}`);
    assert.deepEqual([done.status, done.stdout], [1, ""], command);
  }
  assert.equal(rows(), before);
  const found = JSON.parse(other.run("doctor", ["--json"], { env }).stdout).checks.find((c) => c.check === "master_key");
  assert.deepEqual([found.verdict, /another master_key/.test(found.message)], ["wrong", true]);
  assert.equal(rows(), before);
  other.writeConfig({ database_url: postgres.url(other.database) });
});

test("a database without a mark, as an older release leaves it, is marked by the service", async () => {
  const old = makeService(postgres);
  const marked = mark(old);
  old.sql("DELETE FROM functions_admin.installation");
  assert.equal(old.run("token", ["list"]).status, 0);
  assert.equal(mark(old), "", "a command takes it for its own, and leaves that to the service");
  await old.start();
  assert.equal(mark(old), marked);
  assert.equal(old.sql("SELECT has_table_privilege('functions_admin_service', 'functions_admin.installation', 'UPDATE, DELETE, TRUNCATE')"), "f");
  await old.remove();
});

test("who has replaced the key says so to migrate, and then it is the earlier key that is refused", async () => {
  const lost = makeService(postgres);
  assert.equal((await (await lost.start()).deploy("kept", "export default 1")).status, 201);
  assert.equal((await lost.ask("POST", `/v1/projects/${lost.options.project_ref}/secrets`, { json: [{ name: "KEPT", value: "sealed under the earlier key" }] })).status, 201);
  await lost.stop();
  const earlier = lost.options.master_key, key = randomBytes(32).toString("hex");
  lost.writeConfig({ master_key: null });
  const none = lost.run("migrate", ["--replace-master-key"]);
  assert.deepEqual([none.status, /master_key is not set/.test(none.stderr)], [2, true], none.stderr);
  lost.writeConfig({ master_key: key });
  assert.match(lost.run("migrate").stderr, HINT);
  const before = mark(lost), taken = lost.run("migrate", ["--replace-master-key"]);
  assert.deepEqual([taken.status, taken.stderr], [0, ""]);
  assert.notEqual(mark(lost), before);
  // The earlier key opens its secrets until they are sealed anew.
  lost.writeConfig({ secrets_previous_keys: earlier });
  const resealed = lost.run("secret", ["rotate-key"]);
  assert.equal(resealed.status, 0, resealed.stderr);
  lost.writeConfig({ secrets_previous_keys: null });
  await lost.start();
  assert.equal(JSON.parse(fs.readFileSync(path.join(lost.functionsDir, ".functions-admin/secrets.json"), "utf8")).project.KEPT, "sealed under the earlier key");
  assert.equal((await lost.deploy("kept", "export default 2")).status, 201);
  await lost.stop();
  lost.writeConfig({ master_key: earlier });
  assert.match(lost.run("serve").stderr, HINT);
  await lost.remove();
});
