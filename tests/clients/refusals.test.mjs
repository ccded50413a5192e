// What a person reads when the CLI is refused: each refusal names what is wrong, changes nothing, and ends with exit code 1.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startStack } from "../lib/stack.mjs";
import { makeProject } from "./project.mjs";

const OK = 'Deno.serve(() => new Response("before"));\n';
const FOLDER = "supabase/functions";

describe("refusals that the CLI prints", () => {
  let stack, unchanged;

  before(async () => {
    stack = await startStack();
    assert.equal((await stack.deploy("one", OK)).status, 201);
    unchanged = await snapshot();
  });
  after(() => stack?.stop());

  const snapshot = async () => ({
    list: (await stack.api("GET", "functions")).json,
    generation: await stack.sql("SELECT generation FROM functions_admin.projects"),
    active: await stack.sql("SELECT slug, active_version FROM functions_admin.edge_functions WHERE active_version IS NOT NULL"),
  });
  const token = async (scopes, more = {}) => {
    const made = await stack.api("POST", "/v1/access-tokens", { body: { name: scopes.join(" "), scopes, ...more } });
    assert.equal(made.status, 201, made.text);
    return made.json.token;
  };
  const refused = async (files, args, words, env = {}) => {
    const folder = makeProject(stack, Object.fromEntries(Object.entries(files).map(([name, content]) => [`${FOLDER}/${name}`, content])));
    const done = await stack.cli(["functions", ...args, "--project-ref", stack.ref, "--yes"], { cwd: folder, env });
    assert.equal(done.code, 1, `${done.stdout}${done.stderr}`);
    assert.match(done.stderr, words);
    assert.deepEqual(await snapshot(), unchanged);
    assert.equal((await stack.call("one")).text, "before");
  };
  const deployOne = ["deploy", "one", "--use-api"];

  test("a reserved name", () => refused({ "main/index.ts": OK }, ["deploy", "main", "--use-api"], /The function slug \\"main\\" is reserved/));
  test("an error at the start of the function, with its line", () =>
    refused({ "one/index.ts": '\nthrow new Error("not today");\n' }, deployOne, /does not boot: .*not today.*one\/index\.ts:2/));
  test("a syntax error, with its line", () => refused({ "one/index.ts": "const x = ;\n" }, deployOne, /does not boot: .*one\/index\.ts:1/));
  test("a file that the CLI did not find and left out", () =>
    refused({ "one/index.ts": `import "./absent.ts";\n${OK}` }, deployOne, /one\/index\.ts, line 1: the import \\"\.\/absent\.ts\\" is not among the uploaded files/));
  test("a file outside of the project, which the CLI leaves out", () =>
    refused({ "one/index.ts": `import "../../../outside.ts";\n${OK}` }, deployOne, /the import .*outside\.ts\\" is not among the uploaded files.*move it below supabase\/functions\/_shared/));
  test("a function that never listens", () => refused({ "one/index.ts": "" }, deployOne, /ended without listening for requests/));
  test("one of two that does not boot, by its name", () =>
    refused({ "one/index.ts": OK, "two/index.ts": "throw 1;" }, ["deploy", "--use-api"], /two: The function does not boot/));
  test("a file that is too large, by its name and the limit", () =>
    refused({ "one/index.ts": `import "./big.ts";\n${OK}`, "one/big.ts": `//${"x".repeat(20 * 1024 * 1024)}` }, deployOne,
      /The file \\"supabase\/functions\/one\/big\.ts\\" is larger than 20971520 bytes.*max_file_bytes/));

  test("an unknown token", () => refused({ "one/index.ts": `${OK}//` }, deployOne, /The access token is unknown, revoked or expired/, { SUPABASE_ACCESS_TOKEN: `sbp_${"0".repeat(40)}` }));
  test("a token that may only read", async () =>
    refused({ "one/index.ts": `${OK}//` }, deployOne, /lacks the scope functions:write.*token create --scope functions:write/, { SUPABASE_ACCESS_TOKEN: await token(["functions:read"]) }));
  test("a token that may not even read", async () =>
    refused({ "one/index.ts": OK }, ["list"], /lacks the scope functions:read/, { SUPABASE_ACCESS_TOKEN: await token(["audit:read"]) }));
  test("a token for other functions", async () =>
    refused({ "one/index.ts": `${OK}//` }, deployOne, /This access token is not for this function/, { SUPABASE_ACCESS_TOKEN: await token(["functions:read", "functions:write"], { slugs: ["ci-*"] }) }));
  test("a key that is no access token, by the CLI itself", () =>
    refused({ "one/index.ts": OK }, ["list"], /Invalid access token format/, { SUPABASE_ACCESS_TOKEN: stack.env.SERVICE_ROLE_KEY }));
  test("delete of what is not there", () => refused({ "one/index.ts": OK }, ["delete", "absent"], /Function absent does not exist/));

  // Last: it leaves the program dead.
  test("a program that is down", async () => {
    await stack.killProgram();
    const done = await stack.cli(["functions", "list", "--project-ref", stack.ref]);
    assert.equal(done.code, 1);
    assert.match(done.stderr, /The program behind the web server is not answering/);
  });
});
