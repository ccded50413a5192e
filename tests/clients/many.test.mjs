// Many functions in one run of the CLI: they arrive complete and together, or not at all, and the exit code says which. Twenty-four in
// ./check, 250 with --long.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startStack } from "../lib/stack.mjs";
import { makeProject, write } from "./project.mjs";

const COUNT = process.env.FA_LONG ? 250 : 24;
const slugs = Array.from({ length: COUNT }, (_, i) => `many-${String(i).padStart(3, "0")}`);
const source = (slug, edition) => `import { edition } from "../_shared/edition-${edition}.ts";\nDeno.serve(() => new Response(\`${slug} \${edition}\`));\n`;
const edition = (n) => ({
  [`supabase/functions/_shared/edition-${n}.ts`]: `export const edition = ${n};\n`,
  ...Object.fromEntries(slugs.map((slug) => [`supabase/functions/${slug}/index.ts`, source(slug, n)])),
});

describe(`${COUNT} functions with -j 8`, () => {
  let stack, folder;
  before(async () => {
    stack = await startStack();
    folder = makeProject(stack, edition(1));
  });
  after(() => stack?.stop());

  const deploy = () => stack.cli(["functions", "deploy", "-j", "8", "--project-ref", stack.ref, "--use-api", "--yes"], { cwd: folder, timeoutMs: 180_000 });
  const versions = async () => (await stack.api("GET", "functions")).json.map(({ slug, version }) => [slug, version]).sort();
  const generation = async () => (await stack.sql("SELECT generation::int FROM functions_admin.projects WHERE ref = $1", [stack.ref]))[0].generation;
  const answers = async (n) => {
    for (const slug of slugs) {
      const answer = await stack.call(slug);
      assert.equal(answer.text, `${slug} ${n}`, `${slug}: ${answer.status}`);
    }
  };

  test("arrive complete, in one generation, and each answers", async () => {
    const done = await deploy();
    assert.equal(done.code, 0, done.stderr.slice(-2000));
    assert.deepEqual(await versions(), slugs.map((slug) => [slug, 1]));
    assert.equal(await generation(), 1);
    await answers(1);
  });

  test("one that does not boot: exit code 1, its name and error in words, nothing activated", async () => {
    write(folder, { ...edition(2), "supabase/functions/many-017/index.ts": 'throw new Error("the seventeenth");\n' });
    const done = await deploy();
    assert.equal(done.code, 1);
    assert.match(done.stderr, /many-017: The function does not boot: .*the seventeenth/);
    assert.deepEqual(await versions(), slugs.map((slug) => [slug, 1]));
    assert.equal(await generation(), 1);
    for (const slug of [slugs[0], "many-017", slugs.at(-1)]) assert.equal((await stack.call(slug)).text, `${slug} 1`);
  });

  test("mended, all of them change together", async () => {
    write(folder, edition(2));
    const done = await deploy();
    assert.equal(done.code, 0, done.stderr.slice(-2000));
    assert.equal(await generation(), 2);
    for (const slug of [slugs[0], "many-017", slugs.at(-1)]) assert.equal((await stack.call(slug)).text, `${slug} 2`);
  });

  test("one that is refused: exit code 1, nothing activated", async () => {
    write(folder, { ...edition(3), "supabase/functions/many-021/index.ts": 'import "./absent.ts";\nDeno.serve(() => new Response());\n' });
    const done = await deploy();
    assert.equal(done.code, 1);
    assert.match(done.stderr, /absent\.ts/);
    assert.equal(await generation(), 2);
    for (const slug of [slugs[0], "many-021", slugs.at(-1)]) assert.equal((await stack.call(slug)).text, `${slug} 2`);
  });
});
