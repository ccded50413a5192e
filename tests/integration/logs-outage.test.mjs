// A thousand events a second into the real API, PostgreSQL stopped meanwhile: what the program says was lost is what is missing.
// FA_LONG: a minute of it, then PostgreSQL away for half a minute and more; otherwise two seconds of each.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { ROOT, startStack, until } from "../lib/stack.mjs";

const [STEADY_S, AWAY_S] = process.env.FA_LONG ? [60, 30] : [2, 2];
const BURST = 62_000;

let stack;
before(async () => stack = await startStack());
after(() => stack?.stop());

test("nothing is lost at 1,000 events a second; with PostgreSQL stopped functions answer, and the loss is counted exactly", { timeout: 300_000 }, async (t) => {
  await stack.deploy("calm", 'Deno.serve(() => new Response("ok"));');
  assert.equal((await stack.call("calm")).text, "ok");
  const packages = path.join(ROOT, "runtime/dev/node_modules/@deno");
  const deno = fs.readdirSync(packages).map((name) => path.join(packages, name, "deno")).find((file) => fs.existsSync(file));
  const token = fs.readFileSync(path.join(stack.functionsDir, ".functions-admin/events-token"), "utf8").trim();
  const script = path.join(stack.folder(), "add.ts");
  fs.writeFileSync(script, `import { Batches } from ${JSON.stringify(path.join(ROOT, "runtime/main/batches.ts"))};
    const batches = new Batches(Deno.env.get("EVENTS_URL"), () => Deno.env.get("EVENTS_TOKEN")!);
    let added = 0;
    const add = (n: number) => { for (; n > 0; n--) batches.add({ at: Date.now(), slug: "calm", version: 1, kind: "log", message: "outage-" + added++ }); };
    const steady = async (seconds: number) => {
      const began = performance.now(), before = added;
      for (let due = 0; due < seconds * 1000; await new Promise((resolve) => setTimeout(resolve, 20))) {
        due = Math.min(seconds * 1000, Math.floor(performance.now() - began));
        add(due - (added - before));
      }
    };
    await steady(${STEADY_S});
    console.log("steady");
    await Deno.stdin.read(new Uint8Array(1));
    await steady(${AWAY_S});
    add(${BURST});
    console.log("added " + added);`);
  const child = spawn(deno, ["run", "--quiet", "--no-lock", "--allow-all", script], {
    env: { ...process.env, EVENTS_URL: `${stack.env.API_URL}/v1/projects/${stack.ref}/events`, EVENTS_TOKEN: token }, stdio: ["pipe", "pipe", "inherit"],
  });
  let out = "", postgres;
  child.stdout.setEncoding("utf8").on("data", (text) => out += text);
  const count = async () => (await stack.sql(`SELECT count(*) FILTER (WHERE message LIKE 'outage-%')::int AS stored,
    count(DISTINCT message) FILTER (WHERE message LIKE 'outage-%')::int AS different,
    coalesce(sum(count) FILTER (WHERE kind = 'dropped'), 0)::int AS dropped FROM functions_admin.function_events`))[0];
  try {
    await until("the steady part was added", () => out.includes("steady"), STEADY_S * 1000 + 20_000);
    const all = STEADY_S * 1000;
    await until("all of it is stored", async () => (await count()).stored === all, 30_000);
    assert.deepEqual(await count(), { stored: all, different: all, dropped: 0 });

    const pid = stack.pid("postgres"), proc = `/proc/${pid}`;
    const [, ...args] = fs.readFileSync(`${proc}/cmdline`, "utf8").split("\0").slice(0, -1);
    const { uid, gid } = fs.statSync(proc);
    const binary = fs.readlinkSync(`${proc}/exe`), cwd = fs.readlinkSync(`${proc}/cwd`);
    process.kill(pid, "SIGINT");
    await until("PostgreSQL is gone", () => stack.pid("postgres") === undefined);
    child.stdin.write("\n");
    while (!out.includes("added ")) {
      assert.equal((await stack.call("calm")).text, "ok");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    postgres = spawn(binary, args, { cwd, uid, gid, stdio: "ignore" });
    await until("PostgreSQL answers", () => stack.sql("SELECT 1").catch(() => false));
    const added = all + AWAY_S * 1000 + BURST;
    assert.match(out, new RegExp(`added ${added}\n`));
    await until("what was stored and what was lost are all", async () => { const { stored, dropped } = await count(); return stored + dropped >= added; }, 120_000);
    const { stored, different, dropped } = await count();
    t.diagnostic(`added ${added}, stored ${stored}, reported as lost ${dropped}`);
    assert.deepEqual([stored, dropped], [different, added - different]);
    assert.ok(dropped > 0);
  } finally {
    child.kill("SIGKILL");
    if (postgres) {
      const ended = new Promise((resolve) => postgres.once("exit", resolve));
      if (postgres.exitCode === null && postgres.kill("SIGINT")) await ended;
    }
  }
});
