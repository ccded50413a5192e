// How many instructions a request costs, counted by callgrind, held against bench/instructions.json. Unlike time, the count is the
// same on a busy machine. A change that costs more than the tolerance fails; one that is meant to is recorded with
// RECORD=1 node --test tests/bench/
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { BINARY, ROOT, makeService, startPostgres, temporaryFolder, until } from "../lib/service.mjs";

const FILE = path.join(ROOT, "bench/instructions.json");
const TOLERANCE = 0.1;
const recorded = JSON.parse(fs.readFileSync(FILE, "utf8"));

const valgrind = spawnSync("valgrind", ["--version"], { encoding: "utf8" }).stdout?.trim();
const sanitized = fs.readFileSync(BINARY).includes("__asan_init");
const reason = recorded.arch !== process.arch ? `the counts are of ${recorded.arch}, this machine is ${process.arch}`
  : sanitized ? "the program is built with a sanitizer, which has instructions of its own" : false;

let postgres, service, out, counts;

/** Runs `requests` one after the other, and gives the instructions that the router and all below it took for each. */
async function measure(requests) {
  const dumps = () => fs.readdirSync(out).filter((name) => /^callgrind\.\d+$/.test(name)).length;
  const found = {};
  for (const [name, request] of Object.entries(requests)) {
    const number = dumps() + 1;
    const answer = await request();
    assert.ok(answer.status < 400, `${name}: ${answer.status} ${answer.text}`);
    const file = path.join(out, `callgrind.${number}`);
    const total = await until(`the count of ${name}`, () => fs.existsSync(file) && /^totals: (\d+)/m.exec(fs.readFileSync(file, "utf8"))?.[1]);
    found[name] = Number(total);
  }
  return found;
}

before(async () => {
  if (reason) return;
  assert.ok(valgrind, "valgrind is missing. HINT: install the Debian package valgrind.");
  out = temporaryFolder("fa-callgrind-");
  postgres = await startPostgres();
  service = await makeService(postgres, {
    // valgrind knows no Landlock.
    options: { workers: 1, boot_check: "off", log_level: "warn", sandbox: "auto" },
    wrapper: ["valgrind", "-q", "--tool=callgrind", `--callgrind-out-file=${out}/callgrind`, "--toggle-collect=api_handle", "--dump-after=api_handle"],
  }).start({ ready: false });
  await until("the program answers", async () => (await service.ask("GET", "/healthz").catch(() => ({}))).status === 200, 60_000);
  const source = (n) => ({ "index.ts": `// ${n}\n`.padEnd(2048, "x"), "part.ts": `// part of ${n}\n`.padEnd(2048, "y") });
  for (let i = 0; i < 20; i++) assert.equal((await service.deploy(`function-${10 + i}`, source(i))).status, 201);
  const list = () => service.ask("GET", service.functions());
  const get = () => service.ask("GET", service.functions("/function-15"));
  await list();
  await get();
  // Every statement has been prepared by now, on the one connection that one worker uses.
  await service.deploy("function-15", source("warm"));
  await measure({ warm: list, again: get });
  const etag = (await list()).headers.etag;
  counts = await measure({
    "list of 20, held": list,
    "list of 20, 304": () => service.ask("GET", service.functions(), { headers: { "if-none-match": etag } }),
    "get, held": get,
    "deploy of 2 files": () => service.deploy("function-15", source("counted")),
    "list of 20, rendered": list,
    "get, rendered": get,
  });
});
after(async () => {
  await service?.remove();
  await postgres?.remove();
  if (out) fs.rmSync(out, { recursive: true, force: true });
});

test("instructions of list, get and deploy", { skip: reason }, (t) => {
  if (process.env.RECORD) {
    const compiler = spawnSync("sh", ["-c", `strings -a '${BINARY}' | grep -m1 -E 'GCC|clang version'`], { encoding: "utf8" }).stdout.trim();
    fs.writeFileSync(FILE, `${JSON.stringify({ arch: process.arch, valgrind, compiler, tolerance: TOLERANCE, instructions: counts }, null, 2)}\n`);
    return;
  }
  for (const [name, count] of Object.entries(counts)) {
    const was = recorded.instructions[name];
    t.diagnostic(`${name}: ${count} instructions, recorded ${was}`);
    assert.ok(was, `${name} has no recorded count. HINT: RECORD=1 node --test tests/bench/`);
    assert.ok(count <= was * (1 + TOLERANCE), `${name}: ${count} instructions, ${Math.round((count / was - 1) * 100)} % more than the recorded ${was}.`
      + " HINT: find what costs more; if it is worth that, RECORD=1 node --test tests/bench/ records the new count.");
  }
});
