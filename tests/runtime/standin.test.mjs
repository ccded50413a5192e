// What the stand-in for the edge runtime promises beside running functions.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, it } from "node:test";
import { FunctionsFolder, isStandIn, makeFolder, program, startRuntime } from "../lib/runtime.mjs";

async function until(what, condition) {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `${what} did not happen in 10 seconds`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Processes whose parent is `pid`, by the process table. */
function childrenOf(pid) {
  return fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((name) => {
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(fields[1]) === pid && fields[0] !== "Z";
    } catch {
      return false;
    }
  }).map(Number);
}
function runs(pid) {
  try {
    return !/\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

describe("the stand-in", { skip: !isStandIn && "a real edge-runtime is on PATH" }, () => {
  for (const signal of ["SIGKILL", "SIGTERM"]) {
    it(`takes its workers along when it is ended by ${signal}`, async () => {
      const functions = new FunctionsFolder();
      for (const slug of ["a", "b"]) functions.deploy(slug, 1, `Deno.serve(() => new Response("x"));`);
      const runtime = await startRuntime({ functionsDir: functions.folder });
      for (const slug of ["a", "b"]) await (await fetch(`${runtime.url}/${slug}`)).text();
      const workers = childrenOf(runtime.pid);
      assert.equal(workers.length, 2);
      process.kill(runtime.pid, signal);
      await runtime.ended;
      await until("the end of the workers", () => !workers.some(runs));
      functions.remove();
    });
  }

  it("ends a worker when its time is up, without a call", async () => {
    const functions = new FunctionsFolder();
    functions.deploy("a", 1, `Deno.serve(() => new Response("x"));`, { limits: { wall_ms: 500 } });
    const runtime = await startRuntime({ functionsDir: functions.folder });
    await (await fetch(`${runtime.url}/a`)).text();
    await until("the end of the worker", () => childrenOf(runtime.pid).length === 0);
    await runtime.stop();
    functions.remove();
  });

  it("says what is wrong with its command line", () => {
    for (const [args, message] of [
      [[], /usage/],
      [["start"], /--main-service is missing/],
      [["start", "--main-service", "/x", "--policy", "other"], /--policy: "other"/],
      [["start", "--main-service", "/x", "--port", "70000"], /--port: "70000"/],
      [["start", "--main-service", "/x", "--nonsense", "1"], /unknown option --nonsense/],
    ]) {
      const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
      assert.equal(status, 2, stderr);
      assert.match(stderr, message);
    }
  });

  it("hands what workers report to an event worker", async () => {
    const functions = new FunctionsFolder();
    functions.deploy("noisy", 7, `console.error("a line"); Deno.serve(() => { console.log({ b: 1 }); return new Response("x"); });`);
    functions.deploy("falls", 1, `throw new Error("fallen");`);
    const events = makeFolder(), out = path.join(events, "out");
    fs.writeFileSync(path.join(events, "index.ts"), `
      const out = Deno.openSync(${JSON.stringify(out)}, { create: true, append: true });
      for await (const event of new EventManager()) out.writeSync(new TextEncoder().encode(JSON.stringify(event) + "\\n"));`
      // A module that never ends must not keep the main service from starting.
      .replace("for await", "(async () => { for await").concat("})();"));
    const runtime = await startRuntime({ functionsDir: functions.folder, args: ["--event-worker", events] });
    await (await fetch(`${runtime.url}/noisy`)).text();
    await (await fetch(`${runtime.url}/falls`)).text();
    const read = () => fs.existsSync(out) ? fs.readFileSync(out, "utf8").trim().split("\n").map((line) => JSON.parse(line)) : [];
    const types = () => read().map((event) => event.event_type);
    await until("all events", () => types().includes("UncaughtException") && types().filter((type) => type === "Log").length === 2);
    const logs = read().filter((event) => event.event_type === "Log");
    assert.deepEqual(logs.map(({ event }) => event), [{ level: "Error", msg: "a line\n" }, { level: "Info", msg: "{ b: 1 }\n" }]);
    assert.match(logs[0].metadata.service_path, /\/\.releases\/noisy\/7-[0-9a-f]{12}@[0-9a-f]{8}$/);
    assert.match(read().find((event) => event.event_type === "UncaughtException").event.exception, /fallen/);
    assert.ok(types().includes("Boot"));
    await runtime.stop();
    functions.remove();
    fs.rmSync(events, { recursive: true });
  });
});
