// Functions that log a thousand events a second, through the event service into the real API, and PostgreSQL away meanwhile: each
// event carries a number, and what the program says was lost is exactly what is missing.
// FA_LONG: a minute of it, then PostgreSQL frozen and stopped for half a minute each; otherwise five seconds, three and three.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import { after, before, test } from "node:test";
import { startStack, until } from "../lib/stack.mjs";

const [STEADY_S, AWAY_S] = process.env.FA_LONG ? [60, 30] : [5, 3];
const RATE = 1000;
/** More than may wait in the runtime, said while PostgreSQL is away. */
const BURST = 62_000;
const TALKERS = ["talker-a", "talker-b", "talker-c"];
/** How many lines at most one call says. */
const LINES = 500;

const TALK = `Deno.serve((request) => {
  const { searchParams } = new URL(request.url);
  const from = Number(searchParams.get("from")), lines = Number(searchParams.get("lines"));
  for (let i = from; i < from + lines; i++) console.log("event-" + i);
  return new Response(String(lines));
});`;

let stack;
before(async () => {
  stack = await startStack();
  // No worker comes or goes meanwhile: boots and shutdowns are events too, and could be among the lost.
  const settings = await stack.api("PATCH", "function-defaults", { body: { limits: { wall_ms: 3_600_000 } }, token: stack.env.SERVICE_ROLE_KEY });
  assert.equal(settings.status, 200, settings.text);
  for (const slug of TALKERS) {
    assert.equal((await stack.deploy(slug, TALK)).status, 201);
    assert.equal((await stack.call(slug, { path: "?from=0&lines=0" })).text, "0");
  }
});
after(() => stack?.stop());

/** Calls functions so that they log; keeps how many lines they said and how long each call took. */
class Load {
  lines = 0;
  #turn = 0;
  calls = TALKERS.length;

  async say(lines) {
    const from = this.lines, slug = TALKERS[this.#turn++ % TALKERS.length];
    this.lines += lines;
    this.calls++;
    const began = performance.now();
    const answer = await stack.call(slug, { path: `?from=${from}&lines=${lines}` });
    assert.deepEqual([answer.status, answer.text], [200, String(lines)]);
    return performance.now() - began;
  }

  /** RATE lines in each second, calls overlapping as they come; how long the calls took, in order. */
  async steady(seconds) {
    const began = performance.now(), before = this.lines, calls = [];
    for (let due = 0; due < seconds * RATE; await new Promise((resolve) => setTimeout(resolve, 50))) {
      due = Math.min(seconds * RATE, Math.floor((performance.now() - began) * RATE / 1000));
      for (let lines; (lines = Math.min(LINES, due - (this.lines - before))) > 0;) calls.push(this.say(lines));
    }
    return (await Promise.all(calls)).sort((a, b) => a - b);
  }

  /** As fast as functions can. */
  async burst(lines) {
    for (const end = this.lines + lines; this.lines < end;) await Promise.all(TALKERS.map(() => this.say(Math.min(LINES, end - this.lines))));
  }
}

const count = async () => (await stack.sql(`SELECT count(*) FILTER (WHERE message LIKE 'event-%')::int AS stored,
  count(DISTINCT message) FILTER (WHERE message LIKE 'event-%')::int AS different,
  coalesce(max(substr(message, 7)::int) FILTER (WHERE message LIKE 'event-%'), -1) AS last,
  count(*) FILTER (WHERE kind = 'call')::int AS calls, count(*) FILTER (WHERE kind IN ('boot', 'shutdown'))::int AS workers,
  coalesce(sum(count) FILTER (WHERE kind = 'dropped'), 0)::int AS dropped FROM functions_admin.function_events`))[0];

/** Stops PostgreSQL, as a whole. Gives what starts it again, and then ends what was started. */
async function stopPostgres() {
  const pid = stack.pid("postgres"), proc = `/proc/${pid}`;
  const [, ...args] = fs.readFileSync(`${proc}/cmdline`, "utf8").split("\0").slice(0, -1);
  const { uid, gid } = fs.statSync(proc);
  const binary = fs.readlinkSync(`${proc}/exe`), cwd = fs.readlinkSync(`${proc}/cwd`);
  process.kill(pid, "SIGINT");
  await until("PostgreSQL is gone", () => stack.pid("postgres") === undefined);
  let child;
  return {
    async start() {
      child = spawn(binary, args, { cwd, uid, gid, stdio: "ignore" });
      await until("PostgreSQL answers", () => stack.sql("SELECT 1").catch(() => false));
    },
    async end() {
      if (!child || child.exitCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.kill("SIGINT")) await ended;
    },
  };
}

/** Stops all processes of PostgreSQL where they are: connections stay open, and nobody answers on them. Gives what lets them go on. */
function freezePostgres() {
  const pid = stack.pid("postgres");
  const all = [pid, ...fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number)];
  const signal = (name) => all.forEach((each) => {
    try {
      process.kill(each, name);
    } catch { /* a connection that has ended */ }
  });
  signal("SIGSTOP");
  return () => signal("SIGCONT");
}

const median = (sorted) => sorted[Math.floor(sorted.length / 2)];
const describe = (sorted) => `${sorted.length} calls, median ${median(sorted).toFixed(1)} ms, longest ${sorted.at(-1).toFixed(1)} ms`;

const load = new Load();
let usual;

/** Other programs keep this machine busy; what waits for a database would take as long as a connection or a try does: seconds. */
function assertAsBefore(calls) {
  assert.ok(median(calls) < 5 * median(usual) + 100, `${describe(usual)}; then ${describe(calls)}`);
  assert.ok(calls.at(-1) < 5_000, describe(calls));
}

async function arrives(deadlineMs) {
  await until("what was stored and what was lost are all", async () => {
    const { stored, dropped, calls } = await count();
    return stored + dropped >= load.lines && calls >= load.calls;
  }, deadlineMs);
  return await count();
}

const complete = () => ({ stored: load.lines, different: load.lines, last: load.lines - 1, calls: load.calls, workers: TALKERS.length, dropped: 0 });

test("functions log 1,000 events a second, and none is lost", { timeout: 120_000 }, async (t) => {
  usual = await load.steady(STEADY_S);
  const found = await arrives(30_000);
  t.diagnostic(`${STEADY_S} s: said ${load.lines}, stored ${found.stored}, reported as lost ${found.dropped}; ${describe(usual)}`);
  assert.equal(load.lines, STEADY_S * RATE);
  assert.deepEqual(found, complete());
});

test("PostgreSQL holds its connections and answers nothing: functions answer as before, all is stored, and once", { timeout: 180_000 }, async (t) => {
  const thaw = freezePostgres();
  try {
    const calls = await load.steady(AWAY_S);
    t.diagnostic(`${AWAY_S} s with PostgreSQL frozen: ${describe(calls)}`);
    assertAsBefore(calls);
  } finally {
    thaw();
  }
  const found = await arrives(90_000);
  t.diagnostic(`in all: said ${load.lines}, stored ${found.stored}, reported as lost ${found.dropped}`);
  assert.deepEqual(found, complete());
});

test("PostgreSQL is stopped: functions answer as before, and the loss is counted exactly", { timeout: 240_000 }, async (t) => {
  const postgres = await stopPostgres();
  try {
    const calls = await load.steady(AWAY_S);
    t.diagnostic(`${AWAY_S} s without PostgreSQL: said ${AWAY_S * RATE}; ${describe(calls)}`);
    assertAsBefore(calls);
    // So far all waits in the runtime. Past its cap, the oldest go.
    await load.burst(BURST);
    await postgres.start();
    const end = await arrives(120_000);
    t.diagnostic(`in all: said ${load.lines}, stored ${end.stored}, reported as lost ${end.dropped}; calls ${load.calls}, stored ${end.calls}`);
    assert.equal(end.stored + end.dropped, load.lines);
    assert.ok(end.dropped > 0);
    assert.deepEqual([end.different, end.calls, end.last, end.workers], [end.stored, load.calls, load.lines - 1, TALKERS.length]);
    const newest = 50_000;
    const [{ found }] = await stack.sql("SELECT count(*)::int AS found FROM functions_admin.function_events WHERE message LIKE 'event-%' AND substr(message, 7)::int >= $1", [load.lines - newest]);
    assert.equal(found, newest);
    // Whoever reads the log of a function can ask for it there.
    const { status, json } = await stack.api("GET", `functions/${TALKERS[0]}/logs?kind=dropped`);
    assert.equal(status, 200);
    assert.equal(json.data.reduce((sum, each) => sum + each.count, 0), end.dropped);
    assert.match(json.data[0].message, /^\d+ events were dropped before they could be stored$/);
  } finally {
    await postgres.end();
  }
});
