// The audit log: what is written, that nothing in it can be changed unseen, and that a flood of refusals does not fill it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startStack } from "./service.mjs";

let stack;
let root;
before(async () => {
  stack = await startStack();
  root = stack.keys.secret_key;
});
after(async () => stack?.stop());

const audit = async (query = "", credential = root) => await stack.as(credential, "GET", `/v1/projects/${stack.ref}/audit${query}`);
const entries = async (query) => (await audit(query)).json.data;
const verify = () => {
  const done = stack.command(["audit", "verify", "--json"]);
  return { status: done.status, stderr: done.stderr, ...(done.stdout ? JSON.parse(done.stdout) : {}) };
};
/** The same as the API answers it, for the chain of the project. */
const asked = async () => {
  const answer = await stack.as(root, "GET", `/v1/projects/${stack.ref}/audit/verify`);
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual([answer.json.ok, answer.json.findings.length], [answer.json.found === 0, Math.min(answer.json.found, 100)]);
  return answer.json;
};
// Changes behind the service's back, as somebody with all rights on the database would make them.
const tamper = (sql) => stack.psql(`SET session_replication_role = replica; ${sql}`);

describe("what is written", () => {
  test("every change, with who, from where and what", async () => {
    const { token, id } = await stack.token({ name: "writer", scopes: ["functions:write", "functions:read"] });
    const headers = { "x-request-id": "the-request-of-this-test" };
    const answer = await stack.as(token, "POST", "/v1/functions", { name: "hello", files: [{ name: "index.ts", content: "export default 1" }] }, { address: "192.0.2.44", headers });
    assert.equal(answer.status, 200, answer.text);
    await stack.as(token, "PATCH", `/v1/projects/${stack.ref}/functions/hello`, { name: "Another" });
    await stack.as(token, "DELETE", "/v1/functions/hello");
    const [deployed] = await entries("?request_id=the-request-of-this-test");
    assert.deepEqual({ ...deployed, id: 0, at: "" }, {
      id: 0, at: "", actor: "token writer", token_id: id, address: "192.0.2.44", request_id: "the-request-of-this-test",
      action: "function.deploy", target: "hello", outcome: "done", after: "1",
    });
    assert.ok(Math.abs(Date.parse(deployed.at) - Date.now()) < 60000);
    const actions = (await entries("?target=hello")).map((e) => e.action);
    assert.deepEqual(actions, ["function.delete", "function.rename", "function.deploy"]);
  });

  test("tokens: made, rotated, revoked", async () => {
    const made = await stack.token({ name: "short life", scopes: ["functions:read"], project: "default" });
    await stack.as(root, "POST", `/v1/access-tokens/${made.id}/rotate`);
    await stack.as(root, "DELETE", `/v1/access-tokens/${made.id}`);
    assert.deepEqual((await entries("?target=short%20life")).map((e) => [e.action, e.actor]), [
      ["token.revoke", "secret key"], ["token.rotate", "secret key"], ["token.create", "secret key"],
    ]);
  });

  test("keys that were shown", async () => {
    await stack.as(root, "GET", `/v1/projects/${stack.ref}/api-keys`);
    assert.deepEqual(await entries("?action=keys.reveal"), []);
    assert.equal((await stack.as(root, "GET", `/v1/projects/${stack.ref}/api-keys?reveal=true`)).status, 200);
    assert.equal((await entries("?action=keys.*")).length, 1);
  });

  test("what failed leaves no trace of a success", async () => {
    const before = (await entries("?action=function.*")).length;
    assert.equal((await stack.deploy("broken", 7)).status, 422);
    assert.equal((await entries("?action=function.*")).length, before);
  });
});

describe("reading", () => {
  test("in pages, filtered", async () => {
    const all = await entries("?limit=500");
    assert.deepEqual(all.map((e) => e.id), all.map((_, i) => all.length - i));
    const seen = [];
    for (let cursor = ""; cursor !== undefined; ) {
      const page = (await audit(`?limit=2${cursor && `&cursor=${cursor}`}`)).json;
      assert.ok(page.data.length <= 2);
      seen.push(...page.data);
      cursor = page.next_cursor;
    }
    assert.deepEqual(seen, all);
    const middle = all[Math.floor(all.length / 2)];
    const later = await entries(`?since=${middle.at}`);
    assert.ok(later.length > 0 && later.every((e) => e.at >= middle.at));
    const earlier = await entries(`?until=${middle.at}`);
    assert.ok(earlier.every((e) => e.at < middle.at));
    assert.equal((await audit("?since=yesterday")).status, 400);
    assert.equal((await audit("?cursor=x")).status, 400);
    assert.ok((await entries("?outcome=done&actor=secret%20key")).every((e) => e.actor === "secret key"));
  });

  test("slug-bound tokens see their functions' entries only", async () => {
    for (const slug of ["ci-a", "shop"]) assert.equal((await stack.deploy(slug)).status, 200);
    const { token } = await stack.token({ scopes: ["audit:read"], slugs: ["ci-*"] });
    const targets = (await audit("?limit=500", token)).json.data.map((e) => e.target);
    assert.deepEqual(targets, ["ci-a"]);
  });

  test("as JSON lines", () => {
    const done = stack.command(["audit", "export"]);
    assert.equal(done.status, 0, done.stderr);
    const lines = done.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(lines.length, Number(stack.psql("SELECT count(*) FROM functions_admin.audit_log")));
    for (const line of lines) assert.match(line.hash, /^[0-9a-f]{64}$/);
    const mine = stack.command(["audit", "export", "--project", stack.ref]).stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.ok(mine.length > 0 && mine.every((line) => line.project === stack.ref));
  });
});

describe("refusals", () => {
  test("are recorded with who, from where and why; a flood becomes few rows", async () => {
    const { token, id } = await stack.token({ name: "reader", scopes: ["functions:read"] });
    assert.equal((await stack.as(token, "DELETE", "/v1/functions/ci-a", undefined, { address: "198.51.100.5" })).status, 403);
    const count = Number(stack.psql("SELECT count(*) FROM functions_admin.audit_log"));
    for (let i = 0; i < 40; i++)
      await Promise.all(Array.from({ length: 25 }, (_, j) => stack.as("nonsense", "GET", "/v1/projects", undefined, { address: `10.${i}.${j}.1` })));
    await stack.service.stop();
    stack.service.clearLog();
    await stack.service.start();
    const [refused] = await entries("?action=request.refused&actor=token%20reader");
    assert.deepEqual([refused.address, refused.token_id, refused.target, refused.outcome, refused.after], ["198.51.100.5", id, "DELETE /v1/functions/{slug}", "refused", "missing_scope"]);
    const rows = Number(stack.psql("SELECT count(*) FROM functions_admin.audit_log")) - count;
    assert.ok(rows > 10 && rows < 140, `${rows} rows for 1,001 refusals`);
    const summary = (await entries("?actor=many"))[0];
    assert.match(summary.after, /^refused, \d+ times$/);
    const total = (await entries("?action=request.refused&limit=500")).filter((e) => e.actor !== "token reader").reduce((n, e) => n + Number(/, (\d+) times/.exec(e.after)?.[1] ?? 1), 0);
    assert.ok(total >= 1000, `${total} refusals are counted`);
  });
});

describe("the chain", () => {
  test("is whole, also after many changes at once", async () => {
    const made = await Promise.all(Array.from({ length: 24 }, (_, i) => stack.as(root, "POST", "/v1/access-tokens", { name: `many ${i}`, scopes: ["functions:read"], project: i % 2 ? "default" : undefined })));
    assert.ok(made.every((a) => a.status === 201));
    const seen = verify();
    assert.deepEqual([seen.status, seen.ok, seen.findings], [0, true, []]);
    assert.deepEqual(seen.chains.map((c) => c.chain), ["", stack.ref]);
    assert.ok(seen.chains.every((c) => c.entries === c.head));
    const own = seen.chains[1];
    assert.deepEqual(await asked(), { ok: true, from: 1, entries: own.entries, head: { id: own.head, hash: own.hash }, found: 0, findings: [] });
  });

  test("rows cannot be changed, removed or truncated by SQL as it is", () => {
    for (const sql of [
      "UPDATE functions_admin.audit_log SET actor = 'x'", "DELETE FROM functions_admin.audit_log", "TRUNCATE functions_admin.audit_log",
      "DELETE FROM functions_admin.audit_heads", "TRUNCATE functions_admin.audit_heads", "DELETE FROM functions_admin.audit_checkpoints WHERE true; SELECT 1/count(*) FROM functions_admin.audit_checkpoints",
    ])
      assert.throws(() => stack.psql(sql, "postgres"), /append-only|division by zero/, sql);
  });

  const log = "functions_admin.audit_log";
  const where = (seq) => `WHERE project_ref = 'abcdefghijklmnopqrst' AND seq = ${seq}`;
  const cases = {
    "an edited actor": [`UPDATE ${log} SET actor = 'somebody else' ${where(3)}`, /entry 3 was changed.*by somebody else/, 1],
    "an edited time": [`UPDATE ${log} SET at = at - interval '1 hour' ${where(3)}`, /entry 3 was changed/, 1],
    "an edited value that was nothing": [`UPDATE ${log} SET before = '' ${where(1)}`, /entry 1 was changed/, 1],
    "an edited hash": [`UPDATE ${log} SET hash = sha256('x') ${where(4)}`, /entry 4 was changed/, 1],
    "a row removed from the middle": [`DELETE FROM ${log} ${where(5)}`, /entry 5 is missing/, 2],
    "the first rows removed": [`DELETE FROM ${log} WHERE project_ref IS NOT NULL AND seq <= 3`, /entries 1 to 3 are missing/, 2],
    "the newest row removed": [`DELETE FROM ${log} WHERE (chain, seq) IN (SELECT chain, max(seq) FROM ${log} WHERE project_ref IS NOT NULL GROUP BY 1)`, /entry \d+ is missing/, 1],
    "the newest row removed, and the head set back": [`DELETE FROM ${log} WHERE (chain, seq) IN (SELECT chain, seq FROM functions_admin.audit_heads WHERE chain <> '');
      UPDATE functions_admin.audit_heads h SET seq = l.seq, hash = l.hash FROM ${log} l WHERE h.chain <> '' AND l.chain = h.chain AND l.seq = h.seq - 1`, /its head was changed/, 1],
    "two rows that changed places": [`UPDATE ${log} SET seq = -seq WHERE project_ref IS NOT NULL AND seq IN (3, 4); UPDATE ${log} SET seq = 7 + seq WHERE project_ref IS NOT NULL AND seq < 0`, /entry 3 was changed[^]*entry 4 was changed/, undefined, true],
    "a row put in at the end": [`INSERT INTO ${log} (seq, at, project_ref, actor, address, request_id, action, target, outcome, hash) SELECT seq + 1, at, project_ref, actor, address, request_id, action, target, outcome, hash FROM ${log} WHERE (chain, seq) IN (SELECT chain, seq FROM functions_admin.audit_heads WHERE chain <> '')`, /was changed, moved or put in/, undefined],
    "a row moved to another chain": [`UPDATE ${log} SET project_ref = NULL, seq = 100000 ${where(5)}`, /entry 5 is missing/, undefined],
    "a whole chain removed": [`DELETE FROM ${log} WHERE project_ref IS NOT NULL; DELETE FROM functions_admin.audit_heads WHERE chain <> ''`, /its head is missing, and so are all of its entries/, 1],
    "a false checkpoint": [`DELETE FROM ${log} WHERE project_ref IS NOT NULL AND seq <= 2; INSERT INTO functions_admin.audit_checkpoints (chain, seq, hash, mac) SELECT chain, 2, hash, hash FROM functions_admin.audit_heads WHERE chain <> ''`, /its checkpoint was changed/, undefined],
  };
  for (const [what, [sql, finding, count, constraint]] of Object.entries(cases)) {
    test(`verify finds and names ${what}`, async () => {
      tamper(`CREATE TABLE functions_admin.kept AS SELECT * FROM ${log}; CREATE TABLE functions_admin.kept_heads AS SELECT * FROM functions_admin.audit_heads`);
      try {
        if (constraint) tamper(`ALTER TABLE ${log} DROP CONSTRAINT audit_log_seq_check`);
        tamper(sql);
        const seen = verify();
        assert.equal(seen.status, 1, seen.stderr);
        assert.match(seen.findings.join("\n"), finding);
        if (count !== undefined) assert.equal(seen.findings.length, count, seen.findings.join("\n"));
        assert.deepEqual((await asked()).findings, seen.findings.filter((finding) => finding.startsWith(stack.ref)));
      } finally {
        // TRUNCATE's triggers are off as well, so everything can be put back.
        const columns = "seq, at, project_ref, actor, token_id, address, request_id, action, target, outcome, before, after, hash";
        tamper(`TRUNCATE ${log}, functions_admin.audit_heads, functions_admin.audit_checkpoints;
          INSERT INTO ${log} (${columns}) SELECT ${columns} FROM functions_admin.kept;
          INSERT INTO functions_admin.audit_heads SELECT * FROM functions_admin.kept_heads;
          DROP TABLE functions_admin.kept, functions_admin.kept_heads`);
        if (constraint) tamper(`ALTER TABLE ${log} ADD CONSTRAINT audit_log_seq_check CHECK (seq > 0)`);
      }
      assert.equal(verify().ok, true);
    });
  }

  test("the API looks at the newest entries only, one caller at a time, and not for tokens that are for some functions", async () => {
    const [newest] = await entries("?limit=1");
    tamper(`INSERT INTO ${log} (seq, at, project_ref, actor, address, request_id, action, target, outcome, hash)
      SELECT ${newest.id} + n, now(), '${stack.ref}', 'x', 'x', 'x', 'x', 'x', 'done', sha256('x') FROM generate_series(1, 100010) n;
      UPDATE functions_admin.audit_heads SET seq = seq + 100010 WHERE chain <> ''`);
    try {
      const all = await Promise.all(Array.from({ length: 3 }, () => stack.as(root, "GET", `/v1/projects/${stack.ref}/audit/verify`)));
      const done = all.find((answer) => answer.status === 200).json;
      assert.deepEqual([done.from, done.entries, done.ok, done.findings.length], [newest.id + 11, 100000, false, 100]);
      for (const answer of all) if (answer.status !== 200) assert.deepEqual([answer.status, answer.json.code], [409, "verification_runs"]);
    } finally {
      tamper(`DELETE FROM ${log} WHERE request_id = 'x'; UPDATE functions_admin.audit_heads SET seq = seq - 100010 WHERE chain <> ''`);
    }
    assert.equal((await asked()).ok, true);
    const bound = await stack.token({ name: "bound", scopes: ["audit:read"], project: "default", slugs: ["hello"] });
    const refused = await stack.as(bound.token, "GET", `/v1/projects/${stack.ref}/audit/verify`);
    assert.deepEqual([refused.status, refused.json.code], [403, "slug_not_allowed"]);
  });

  test("a head noted elsewhere shows that the newest rows are gone", async () => {
    const kept = stack.psql("SELECT quote_literal(mac), quote_literal(hash), seq FROM functions_admin.audit_heads WHERE chain <> ''").split("|");
    await stack.token({ name: "to be hidden", scopes: ["functions:read"], project: "default" });
    const noted = verify().chains.find((c) => c.chain === stack.ref);
    const expect = `${stack.ref}:${noted.head}:${noted.hash}`;
    assert.equal(stack.command(["audit", "verify", "--expect", expect]).status, 0);
    tamper(`DELETE FROM functions_admin.audit_log WHERE project_ref IS NOT NULL AND seq > ${kept[2]}; UPDATE functions_admin.audit_heads SET seq = ${kept[2]}, mac = ${kept[0]}, hash = ${kept[1]} WHERE chain <> ''`);
    const done = stack.command(["audit", "verify", "--expect", expect]);
    assert.equal(done.status, 1);
    assert.match(done.stdout, new RegExp(`FOUND ${stack.ref}: entry ${noted.head} is missing`));
    for (const wrong of ["x", "a:b:c", `${stack.ref}:1:00`]) assert.equal(stack.command(["audit", "verify", "--expect", wrong]).status, 2);
  });

  test("pruning leaves a chain that still verifies, and is recorded", async () => {
    const before = stack.psql("SELECT count(*) FROM functions_admin.audit_log");
    const none = stack.command(["audit", "prune", "--keep-days", "1", "--json"]);
    assert.deepEqual([none.status, none.stdout && JSON.parse(none.stdout).removed], [0, 0], none.stderr);
    const done = stack.command(["audit", "prune", "--keep-days", "0", "--json"]);
    assert.equal(done.status, 0, done.stderr);
    const { removed } = JSON.parse(done.stdout);
    assert.ok(removed > 10 && removed < Number(before));
    const seen = verify();
    assert.deepEqual([seen.status, seen.findings], [0, []]);
    assert.equal((await entries("?limit=1"))[0].action, "audit.prune");
    await stack.token({ name: "goes on", scopes: ["functions:read"], project: "default" });
    assert.equal(verify().ok, true);
    tamper("DELETE FROM functions_admin.audit_log WHERE project_ref IS NOT NULL AND seq IN (SELECT min(seq) FROM functions_admin.audit_log WHERE project_ref IS NOT NULL)");
    assert.equal(verify().status, 1);
  });

  test("a forged head is not taken for a good one by the next change", async () => {
    tamper("UPDATE functions_admin.audit_heads SET mac = sha256('x') WHERE chain = ''");
    await stack.token({ name: "after the forgery", scopes: ["functions:read"] });
    assert.match(verify().findings.join("\n"), /\(no project\): entry \d+ tells that the head had been changed before it/);
  });
});

test("without the master key nothing can be checked, or written", () => {
  stack.service.writeConfig({ master_key: null });
  const done = stack.command(["audit", "verify"]);
  assert.equal(done.status, 2);
  assert.match(done.stderr, /master_key is missing[^]*HINT: /);
  for (const args of [["audit"], ["audit", "prune"], ["audit", "prune", "--keep-days", "x"], ["audit", "erase"]]) assert.equal(stack.command(args).status, 2);
});
