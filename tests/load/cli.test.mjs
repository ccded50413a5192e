// The official CLI deploys a whole project while the program is killed and started again, every few seconds: what it says with its
// exit code is true, and with retries all of it arrives.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeProject } from "../clients/project.mjs";
import { startStack } from "../lib/stack.mjs";

const FUNCTIONS = 250;
const skip = !process.env.FA_LONG && "the CLI waits between its tries: ./check --long";
const slugs = Array.from({ length: FUNCTIONS }, (_, i) => `f${i}`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let stack, folder;

before(async () => {
  if (skip) return;
  stack = await startStack();
  folder = makeProject(stack, Object.fromEntries(slugs.map((slug) => [`supabase/functions/${slug}/index.ts`, `Deno.serve(() => new Response("${slug}"));\n`])));
});
after(() => stack?.stop());

test(`${FUNCTIONS} functions, with retries`, { skip }, async () => {
  // Twice as long after each try that failed: somebody who retries meets a service that is up in the end.
  let gap = 3_000, killed = 0, over = false;
  const killing = (async () => {
    while (!over) {
      await pause(gap);
      if (over) break;
      await stack.killProgram();
      killed++;
      await stack.startProgram();
    }
  })();
  const codes = [], began = Date.now();
  try {
    for (let arrived = false; !arrived;) {
      const before = killed, done = await stack.cli(["functions", "deploy", "--use-api", "--yes", "--project-ref", stack.ref], { cwd: folder, timeoutMs: 600_000 });
      codes.push(done.code);
      assert.ok([0, 1].includes(done.code), `${done.code}: ${done.stderr}`);
      arrived = done.code === 0;
      if (!arrived) assert.ok(killed > before, `nobody killed the program, and it failed: ${done.stderr}${stack.log()}`);
      assert.ok(codes.length < 12, `${codes}: ${done.stderr}`);
      gap *= 2;
    }
  } finally {
    over = true;
    await killing;
  }
  assert.ok(killed > 0);
  const list = await stack.api("GET", "functions");
  assert.equal(list.status, 200, list.text);
  assert.deepEqual(list.json.map((f) => f.slug).sort(), [...slugs].sort(), "0 says that all of it is there");
  // Each answers; in the long run a process is started for each of these, so some of them have to do.
  for (const slug of slugs.filter((_, i) => i % Math.ceil(FUNCTIONS / 25) === 0)) {
    const answer = await stack.call(slug);
    assert.deepEqual([answer.status, answer.text], [200, slug]);
  }
  assert.deepEqual(await stack.sql("SELECT status, count(*)::int FROM functions_admin.edge_function_deployments WHERE status IN ('pending', 'staged', 'booted') GROUP BY status"), []);
  console.log(`${FUNCTIONS} functions: exit codes ${codes}, killed ${killed} times, ${Date.now() - began} ms`);
});
