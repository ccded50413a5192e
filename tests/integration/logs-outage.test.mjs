// Functions that log a thousand events a second, through the event service into the real API, and PostgreSQL stopped meanwhile: each
// event carries a number, and what the program says was lost is exactly what is missing.
// FA_LONG: a minute of it, then PostgreSQL away for half a minute; otherwise five seconds and three.
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

const median = (sorted) => sorted[Math.floor(sorted.length / 2)];
const describe = (sorted) => `${sorted.length} calls, median ${median(sorted).toFixed(1)} ms, longest ${sorted.at(-1).toFixed(1)} ms`;

test("functions log 1,000 events a second and none is lost; with PostgreSQL stopped they answer as before, and the loss is counted exactly", { timeout: 400_000 }, async (t) => {
  const load = new Load();
  const before = await load.steady(STEADY_S);
  await until("all of it is stored", async () => {
    const { stored, calls } = await count();
    return stored >= load.lines && calls >= load.calls;
  }, 30_000);
  const steady = await count();
  t.diagnostic(`${STEADY_S} s: said ${load.lines}, stored ${steady.stored}, reported as lost ${steady.dropped}; ${describe(before)}`);
  assert.deepEqual(steady, { stored: STEADY_S * RATE, different: STEADY_S * RATE, last: STEADY_S * RATE - 1, calls: load.calls, workers: TALKERS.length, dropped: 0 });

  const postgres = await stopPostgres();
  try {
    const away = await load.steady(AWAY_S);
    t.diagnostic(`${AWAY_S} s without PostgreSQL: said ${load.lines - steady.stored}; ${describe(away)}`);
    // The machine of a test is busy with others: what waits for a database would take as long as a connection or a try does, seconds.
    assert.ok(median(away) < 5 * median(before) + 100, `${describe(before)}; then ${describe(away)}`);
    assert.ok(away.at(-1) < 5_000, describe(away));
    // Below the cap, nothing is lost yet. Past it, the oldest go.
    await load.burst(BURST);
    await postgres.start();
    await until("what was stored and what was lost are all", async () => {
      const { stored, dropped, calls } = await count();
      return stored + dropped >= load.lines && calls >= load.calls;
    }, 120_000);
    const end = await count();
    t.diagnostic(`in all: said ${load.lines}, stored ${end.stored}, reported as lost ${end.dropped}; calls ${load.calls}, stored ${end.calls}`);
    assert.equal(end.stored + end.dropped, load.lines);
    assert.ok(end.dropped > 0);
    assert.deepEqual([end.different, end.calls, end.last, end.workers], [end.stored, load.calls, load.lines - 1, TALKERS.length]);
    // The newest are there without a gap: what is missing are the oldest that waited, beside what was on its way when the outage began.
    const [{ gap }] = await stack.sql(`SELECT $1::int - count(*)::int AS gap FROM functions_admin.function_events WHERE kind = 'log' AND substr(message, 7)::int >= $2`, [50_000, load.lines - 50_000]);
    assert.equal(gap, 0);
    // Whoever reads the log of a function learns of it there.
    const { status, json } = await stack.api("GET", `functions/${TALKERS[0]}/logs?kind=dropped`);
    assert.equal(status, 200);
    assert.equal(json.data.reduce((sum, each) => sum + each.count, 0), end.dropped);
    assert.match(json.data[0].message, /^\d+ events were dropped before they could be stored$/);
  } finally {
    await postgres.end();
  }
});
