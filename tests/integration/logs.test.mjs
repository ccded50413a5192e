// What functions say and do: from the runtime's events to the API, MCP and numbers; nothing waits for it, nothing is lost unseen.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";
import { ROOT, startStack, until } from "../lib/stack.mjs";

const TALK = `console.log("hello from", Deno.env.get("SUPABASE_FUNCTION_VERSION"));
Deno.serve((request) => {
  const { searchParams } = new URL(request.url);
  if (searchParams.has("fail")) { console.error("about to fail"); return new Response("no", { status: 500 }); }
  for (let i = 0; i < Number(searchParams.get("lines") ?? 0); i++) console.info("line " + i);
  if (searchParams.has("say")) console.warn(searchParams.get("say"));
  return new Response("ok");
});`;

let stack;
before(async () => stack = await startStack());
after(() => stack?.stop());

const logs = async (slug, query = "") => {
  const answer = await stack.api("GET", `functions/${slug}/logs?limit=500${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.data;
};
const messages = async (slug, query) => (await logs(slug, query)).map((each) => each.message);
const arrives = (slug, message, query) => until(`"${message}" in the log`, async () => (await messages(slug, query)).some((each) => each.includes(message)));

test("console output, boots and calls are in the log of their function and version", async () => {
  await stack.deploy("talk", TALK);
  assert.equal((await stack.call("talk", { path: "?say=something" })).text, "ok");
  await arrives("talk", "something");
  const said = (await logs("talk", "&text=SOMETHING"))[0];
  assert.deepEqual([said.kind, said.level, said.message, said.version], ["log", "warning", "something", 1]);
  assert.match(said.execution_id, /^[0-9a-f-]{36}$/);
  assert.ok(Math.abs(Date.parse(said.at) - Date.now()) < 60_000);
  await arrives("talk", "hello from 1");
  assert.ok((await logs("talk", "&kind=boot"))[0].ms >= 0);
  await until("the call", async () => (await logs("talk", "&kind=call")).length === 1);
  const [call] = await logs("talk", "&kind=call");
  assert.deepEqual([call.message, call.status, call.level], ["GET 200", 200, "info"]);
  assert.ok(!(await messages("talk")).includes("GET 200"));
});

test("filters: level, version, time, text, pages", async () => {
  await stack.deploy("talk", `${TALK}\n// second`);
  await stack.call("talk", { path: "?fail=1" });
  await arrives("talk", "about to fail");
  assert.deepEqual((await messages("talk", "&level=error")), ["about to fail"]);
  assert.deepEqual(await messages("talk", "&version=1&text=about"), []);
  assert.deepEqual(await messages("talk", "&version=2&text=about"), ["about to fail"]);
  const [{ at }] = await logs("talk", "&text=about");
  assert.deepEqual(await messages("talk", `&text=about&to=${at}`), []);
  assert.deepEqual(await messages("talk", `&text=about&from=${at}`), ["about to fail"]);
  assert.deepEqual(await messages("talk", "&text=a%25t"), []);
  const all = (await logs("talk")).map((each) => each.id);
  const paged = [];
  for (let next = ""; next !== undefined;) {
    const page = (await stack.api("GET", `functions/talk/logs?limit=2${next && `&cursor=${next}`}`)).json;
    paged.push(...page.data.map((each) => each.id));
    next = page.next_cursor;
  }
  assert.deepEqual(paged, all);
  for (const bad of ["level=loud", "kind=x", "version=0", "from=yesterday", "cursor=x", "cursor=1", "cursor=9223372036854775807-1", "limit=0"]) {
    assert.equal((await stack.api("GET", `functions/talk/logs?${bad}`)).status, 400, bad);
  }
  assert.equal((await stack.api("GET", "functions/nobody/logs")).status, 404);
});

test("followed by server-sent events: each once, in order", async () => {
  const follow = async (last) => {
    const answer = await stack.api("GET", "functions/talk/logs", { headers: { accept: "text/event-stream", ...(last !== undefined ? { "last-event-id": String(last) } : {}) } });
    assert.equal(answer.headers["content-type"], "text/event-stream");
    assert.match(answer.text, /^retry: 1000\n/);
    const ids = [...answer.text.matchAll(/^id: (\d+)$/gm)].map((each) => Number(each[1]));
    return { last: ids.at(-1), said: [...answer.text.matchAll(/^data: (.*)$/gm)].map((each) => JSON.parse(each[1]).message) };
  };
  let { last, said } = await follow();
  assert.ok(said.includes("about to fail"));
  for (const say of ["one", "two\nlines"]) await stack.call("talk", { path: `?say=${encodeURIComponent(say)}` });
  await arrives("talk", "two\nlines");
  const seen = [];
  await until("both", async () => {
    ({ last, said } = await follow(last));
    seen.push(...said);
    return seen.includes("two\nlines");
  });
  assert.deepEqual(seen.filter((each) => /^(one|two)/.test(each)), ["one", "two\nlines"]);
  assert.deepEqual((await follow(last)).said.filter((each) => /^(one|two)/.test(each)), []);
  assert.equal((await stack.api("GET", "functions/talk/logs", { headers: { accept: "text/event-stream", "last-event-id": "x" } })).status, 400);
});

test("numbers by version, and the Management API's", async () => {
  await until("all calls", async () => (await logs("talk", "&kind=call")).length === 4);
  const { json } = await stack.api("GET", "functions/talk/stats");
  const [second, first] = json.versions;
  assert.deepEqual([second.version, second.calls, second.errors, first.version, first.calls, first.errors], [2, 3, 1, 1, 1, 0]);
  assert.ok(second.call_ms.p50 <= second.call_ms.p95 && second.call_ms.p95 <= second.call_ms.max);
  assert.ok(first.boots >= 1 && first.boot_ms.p50 >= 0);
  const { id } = (await stack.api("GET", "functions/talk")).json;
  const combined = await stack.api("GET", `analytics/endpoints/functions.combined-stats?interval=15min&function_id=${id}`);
  const sum = (name) => combined.json.result.reduce((total, row) => total + row[name], 0);
  assert.deepEqual([sum("requests_count"), sum("success_count"), sum("server_err_count")], [4, 3, 1]);
  assert.equal((await stack.api("GET", `analytics/endpoints/functions.combined-stats?interval=1week&function_id=${id}`)).status, 400);
  assert.equal((await stack.api("GET", "analytics/endpoints/functions.combined-stats?interval=1hr&function_id=x")).status, 404);
});

test("the official MCP server shows them", async () => {
  const client = await stack.mcp({ args: ["--features", "functions,debugging"] });
  const { tools } = await client.listTools();
  const ask = async (service) => {
    const table = { "edge-function-runtime": "function_logs", "edge-function": "function_edge_logs" }[service];
    const answer = tools.some((tool) => tool.name === "get_logs")
      ? await client.callTool({ name: "get_logs", arguments: { service } })
      : await client.callTool({ name: "query_logs", arguments: { sql: `select id, timestamp, event_message from logs where source = '${table}' order by timestamp desc limit 100` } });
    assert.ok(!answer.isError, JSON.stringify(answer));
    return answer.content[0].text;
  };
  assert.match(await ask("edge-function-runtime"), /about to fail/);
  assert.match(await ask("edge-function"), /GET 500/);
});

test("with the API away functions answer as before, and what they said then arrives once", async () => {
  await stack.call("talk", { path: "?say=before" });
  await arrives("talk", "before");
  await stack.killProgram();
  for (let i = 0; i < 5; i++) {
    const began = performance.now();
    assert.equal((await stack.call("talk", { path: `?lines=200&say=away-${i}` })).text, "ok");
    assert.ok(performance.now() - began < 5_000);
  }
  await stack.startProgram();
  await arrives("talk", "away-4");
  const { found, different } = (await stack.sql("SELECT count(*)::int AS found, count(DISTINCT (execution_id, id))::int AS different FROM functions_admin.function_events WHERE message LIKE 'line %'"))[0];
  assert.deepEqual([found, different], [1000, 1000]);
  assert.equal((await stack.sql("SELECT coalesce(sum(count), 0)::int AS dropped FROM functions_admin.function_events WHERE kind = 'dropped'"))[0].dropped, 0);
});

test("a long message is cut at 10,000 characters, others keep what they are", async () => {
  await stack.deploy("long", 'Deno.serve(() => { console.log("x".repeat(20000)); console.log("zero \\0 and \\u{1F600}"); return new Response("ok"); });');
  await stack.call("long");
  await arrives("long", "zero  and \u{1F600}");
  assert.ok((await messages("long")).some((each) => each === "x".repeat(10000)));
});

test("only the event service's own token hands in events, and it can do nothing else", async () => {
  const token = fs.readFileSync(path.join(stack.functionsDir, ".functions-admin/events-token"), "utf8");
  assert.equal(fs.statSync(path.join(stack.functionsDir, ".functions-admin/events-token")).mode & 0o777, 0o600);
  const event = { at: Date.now(), slug: "talk", version: 1, kind: "log", message: "by hand" };
  const batch = { source: "11111111-1111-4111-8111-111111111111", batch: 1, events: [event] };
  const send = (body, more) => stack.api("POST", "events", { body, token, ...more });
  assert.deepEqual((await send(batch)).json, { stored: 1 });
  assert.deepEqual((await send(batch)).json, { stored: 0 });
  for (const other of [stack.env.SERVICE_ROLE_KEY, stack.env.ACCESS_TOKEN]) assert.equal((await send(batch, { token: other })).status, 403);
  assert.equal((await send(batch, { token: `${token.slice(0, -1)}x` })).status, 401);
  for (const target of ["functions", "functions/talk/logs", "secrets"]) assert.equal((await stack.api("GET", target, { token })).status, 403, target);
  for (const bad of [[], {}, { ...batch, source: "x" }, { ...batch, batch: 0 }, { ...batch, events: {} }, { ...batch, batch: 2, events: [{ ...event, kind: "dropped" }] }, { ...batch, batch: 2, events: [{ ...event, level: "loud" }] }, { ...batch, batch: 2, events: [5] }, { ...batch, batch: 2, events: Array(1001).fill(event) }]) {
    assert.equal((await send(bad)).status, 422, JSON.stringify(bad).slice(0, 80));
  }
  // A clock that is wrong makes no other days.
  assert.deepEqual((await send({ ...batch, batch: 3, events: [{ ...event, at: 0, message: "long ago" }, { ...event, at: 9e15, message: "far away" }] })).json, { stored: 2 });
  assert.equal((await stack.sql("SELECT count(*)::int AS n FROM functions_admin.function_events WHERE message IN ('long ago', 'far away')"))[0].n, 2);
});

test("what the runtime lost is told in the log of any function, to whoever asks for it", async () => {
  const token = fs.readFileSync(path.join(stack.functionsDir, ".functions-admin/events-token"), "utf8");
  const body = { source: "22222222-2222-4222-8222-222222222222", batch: 1, dropped: 1234, events: [] };
  for (const time of [1, 2]) assert.equal((await stack.api("POST", "events", { body, token })).status, 201, `time ${time}`);
  for (const slug of ["talk", "long"]) {
    assert.deepEqual((await logs(slug, "&kind=dropped")).map(({ kind, level, message, count }) => ({ kind, level, message, count })), [
      { kind: "dropped", level: "warning", message: "1234 events were dropped before they could be stored", count: 1234 }]);
    assert.ok((await logs(slug)).every((each) => each.kind !== "dropped"));
  }
});

test("old days go by age, then by size; nobody but the owner reads them", async () => {
  await stack.sql("SELECT functions_admin.event_partition((now() AT TIME ZONE 'UTC')::date - d) FROM generate_series(2, 12) d");
  const days = async () => (await stack.sql("SELECT count(*)::int AS n FROM pg_inherits WHERE inhparent = 'functions_admin.function_events'::regclass"))[0].n;
  assert.equal(await days(), 14);
  await until("days older than a week are gone", async () => await days() === 9, 25_000);
  const [{ open }] = await stack.sql("SELECT count(*)::int AS open FROM pg_class c, unnest(ARRAY['anon', 'authenticated', 'service_role']) r WHERE relname LIKE 'function_events%' AND relkind IN ('r', 'p') AND has_table_privilege(r, c.oid, 'SELECT')");
  assert.equal(open, 0);
});

test("a log that is full loses the oldest: whole days, then half of the present one, and each is counted", async () => {
  await stack.sql("TRUNCATE functions_admin.function_events");
  await stack.sql("SELECT functions_admin.event_partition((now() AT TIME ZONE 'UTC')::date - 1)");
  const insert = (day, from, count) => stack.sql(`INSERT INTO functions_admin.function_events (at, project_ref, slug, version, kind, level, message, count)
    SELECT now() - interval '1 day' * ${day}, CASE WHEN g % 10 = 0 THEN 'another' ELSE '${stack.ref}' END, 'talk', 1, CASE WHEN g = ${from} THEN 'dropped' ELSE 'log' END,
    'info', rpad('full-' || g, 300, '.'), CASE WHEN g = ${from} THEN 7 END FROM generate_series(${from}, ${from + count - 1}) g ORDER BY g`);
  await insert(1, 1, 1000);
  await insert(0, 1001, 5000);
  await stack.restartProgram({ options: { log_max_bytes: "1M" } });
  const found = async () => (await stack.sql(`SELECT count(*) FILTER (WHERE message LIKE 'full-%' AND kind = 'log')::int AS kept,
    coalesce(min(substr(message, 6, 4)::int) FILTER (WHERE message LIKE 'full-%'), 0) AS first, coalesce(sum(count) FILTER (WHERE kind = 'dropped'), 0)::int AS lost,
    coalesce(sum(count) FILTER (WHERE kind = 'dropped' AND project_ref = 'another'), 0)::int AS others FROM functions_admin.function_events`))[0];
  const size = async () => Number((await stack.sql("SELECT sum(pg_total_relation_size(inhrelid)) AS n FROM pg_inherits WHERE inhparent = 'functions_admin.function_events'::regclass"))[0].n);
  await until("it has room again", async () => await size() <= 1 << 20, 60_000);
  const { kept, first, lost, others } = await found();
  // Two of the rows are no events, and tell of seven each.
  assert.equal(kept + lost, 5998 + 14);
  assert.deepEqual([first, others], [6001 - kept, Math.floor((6000 - kept) / 10)]);
  assert.ok(kept >= 1000, `${kept} are left`);
  const told = (await stack.api("GET", "functions/talk/logs?kind=dropped")).json.data;
  assert.equal(told.reduce((sum, each) => sum + each.count, 0), lost - others);
  assert.match(told[0].message, /^\d+ stored events were dropped: the log is full$/);
  assert.match(stack.log("functions-admin"), /logs of functions: \d+ events were dropped, the oldest first, to keep within log_max_bytes/);
  // What comes next is stored as before.
  await stack.call("talk", { path: "?say=afterwards" });
  await arrives("talk", "afterwards");
});

/** An API that answers as `answer` says, and a script of the runtime's side, which has `batches`, in a process of its own; `use` runs when all was added. */
async function withBatches(answer, script, use) {
  const packages = path.join(ROOT, "runtime/dev/node_modules/@deno");
  const deno = fs.readdirSync(packages).map((name) => path.join(packages, name, "deno")).find((file) => fs.existsSync(file));
  const server = http.createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    response.writeHead(answer(JSON.parse(text))).end();
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const file = path.join(stack.folder(), "add.ts");
  fs.writeFileSync(file, `import { Batches } from ${JSON.stringify(path.join(ROOT, "runtime/main/batches.ts"))};
    const batches = new Batches("http://127.0.0.1:${server.address().port}/", () => "token");
    ${script}
    console.log("all added");`);
  const child = spawn(deno, ["run", "--quiet", "--no-lock", "--allow-all", file], { stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text) => out += text);
  try {
    await until("all were added", () => out.includes("all added"), 30_000);
    await use();
  } finally {
    child.kill("SIGKILL");
    server.closeAllConnections();
    server.close();
  }
}

test("what cannot be kept is dropped, oldest first, and counted exactly", { timeout: 80_000 }, async () => {
  const taken = [];
  let dropped = 0, refusing = true, refused = 0;
  const answer = ({ events, dropped: before }) => {
    if (refusing) return 503;
    // One batch that is wrong in itself: it comes no second time, and counts as lost.
    if (refused === 0) {
      refused = events.length;
      return 422;
    }
    taken.push(...events.map((event) => event.version));
    dropped += before;
    return 201;
  };
  await withBatches(answer, `for (let version = 0; version < 70000; version++) {
      batches.add({ at: 0, slug: "a", version, kind: "log", message: "m" });
      if (version === 1000) await new Promise((resolve) => setTimeout(resolve, 600));
    }`, async () => {
    refusing = false;
    await until("the rest is taken", () => taken.length + dropped === 70_000, 40_000);
    assert.ok(refused > 0);
    assert.ok(dropped - refused >= 8_000 && dropped - refused <= 10_000, `${dropped}, ${refused} of them refused`);
    assert.equal(new Set(taken).size, taken.length);
    assert.equal(Math.max(...taken), 69_999);
  });
});

test("long messages come in smaller batches, in order", { timeout: 60_000 }, async () => {
  const taken = [], sizes = [];
  const answer = ({ events }) => {
    taken.push(...events.map((event) => event.version));
    sizes.push(events.reduce((sum, event) => sum + event.message.length, 0));
    return 201;
  };
  await withBatches(answer, 'for (let version = 0; version < 1000; version++) batches.add({ at: 0, slug: "a", version, kind: "log", message: "m".repeat(10_000) });', async () => {
    await until("all are taken", () => taken.length === 1000, 30_000);
    assert.deepEqual(taken, Array.from({ length: 1000 }, (_, i) => i));
    assert.deepEqual(sizes, [4_190_000, 4_190_000, 1_620_000]);
  });
});
