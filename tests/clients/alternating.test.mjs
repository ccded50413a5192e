// New code at once: deploys of two variants of one function in turn, each followed at once by a call, which the new variant must
// answer; under each policy of the runtime. Ten of them in ./check, a hundred with --long.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startStack } from "../lib/stack.mjs";
import { makeProject, write } from "./project.mjs";

// Each variant has a file that the other has not, and one that differs, so that a mixture of the two would be seen.
const VARIANTS = ["red", "blue"].map((name) => ({
  "supabase/functions/turn/index.ts": `import { name } from "./${name}.ts";\nimport { both } from "../_shared/both.ts";\nDeno.serve(() => new Response(\`${name} \${name} \${both}\`));\n`,
  [`supabase/functions/turn/${name}.ts`]: `export const name = "${name}";\n`,
  "supabase/functions/_shared/both.ts": `export const both = "${name}";\n`,
}));
const ANSWERS = ["red red red", "blue blue blue"];
const DEPLOYS = process.env.FA_LONG ? 100 : 10;
const BY_CLI = process.env.FA_LONG ? 4 : 2;

for (const policy of ["per_worker", "per_request", "oneshot"]) {
  describe(`under ${policy}`, () => {
    let stack;
    before(async () => stack = await startStack({ policy }));
    after(() => stack?.stop());

    const answered = async (i, version) => {
      const answer = await stack.call("turn");
      assert.equal(answer.text, ANSWERS[i % 2], `the call after deploy ${i}: ${answer.status}`);
      assert.equal(answer.headers["x-edge-function"], `turn; version=${version}`);
    };

    test(`${DEPLOYS} deploys of two variants, each answers the next call`, async () => {
      for (let i = 0; i < DEPLOYS; i++) {
        const deployed = await stack.deploy("turn", VARIANTS[i % 2]);
        assert.equal(deployed.status, 201, deployed.text);
        assert.equal(deployed.json.version, i + 1);
        await answered(i, i + 1);
      }
    });

    test("the same through the CLI", async () => {
      const folder = makeProject(stack, {});
      for (let i = 0; i < BY_CLI; i++) {
        write(folder, VARIANTS[i % 2]);
        const done = await stack.cli(["functions", "deploy", "turn", "--project-ref", stack.ref, "--use-api", "--yes"], { cwd: folder });
        assert.equal(done.code, 0, done.stderr);
        await answered(i, DEPLOYS + 1 + i);
      }
    });
  });
}
