// What the import check refuses, through each way in, and what it leaves to the runtime.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { multipart } from "../lib/service.mjs";
import { startStack } from "./service.mjs";

let stack;
before(async () => {
  stack = await startStack({ import_hosts: "deno.land, *.esm.sh" });
});
after(async () => stack?.stop());

async function deploy(slug, files, metadata = {}) {
  const form = multipart({ entrypoint_path: Object.keys(files)[0], ...metadata }, files);
  return await stack.ask("POST", `/v1/projects/${stack.ref}/functions/deploy?slug=${slug}`, {
    headers: { authorization: `Bearer ${stack.keys.service_role_key}`, "content-type": form.type }, body: form.body,
  });
}

async function refused(answer, code, message) {
  assert.deepEqual([answer.status, answer.json.code, answer.json.message], [422, code, message], answer.text);
  assert.ok(answer.json.hint.length > 0);
  assert.equal(stack.psql("SELECT count(*) FROM functions_admin.edge_function_versions v JOIN functions_admin.edge_functions f ON f.id = v.function_id WHERE f.slug LIKE 'bad%'"), "0");
  await stack.service.settled();
}

test("what the CLI leaves out because it lies outside of the project is named", async () => {
  const files = { "supabase/functions/bad/index.ts": 'import { cors } from "../_shared/cors.ts";\nimport { x } from "../../../../lib/x.ts";\n', "supabase/functions/_shared/cors.ts": "export const cors = 1;\n" };
  await refused(await deploy("bad1", files), "import_outside", 'supabase/functions/bad/index.ts, line 2: the import "../../../../lib/x.ts" leads out of the uploaded files');
});

test("a missing file is named with file and line, also deep inside", async () => {
  const files = { "index.ts": 'import "./a.ts";\n', "a.ts": '/* two\nlines */ export * from "./gone.ts";\n' };
  await refused(await deploy("bad2", files), "import_missing", 'a.ts, line 2: the import "./gone.ts" is not among the uploaded files');
  await refused(await stack.deploy("bad3", 'import "./gone.ts";'), "import_missing", 'index.ts, line 1: the import "./gone.ts" is not among the uploaded files');
});

test("the import map is read, and must be JSON", async () => {
  const map = '{\n  // names\n  "imports": { "lib/": "./lib/", },\n}\n';
  const good = { "index.ts": 'import "lib/x.ts";\n', "lib/x.ts": "", "deno.json": map };
  assert.equal((await deploy("good1", good, { import_map_path: "deno.json" })).status, 201);
  await refused(await deploy("bad4", { "index.ts": 'import "lib/y.ts";\n', "deno.json": map }, { import_map_path: "deno.json" }), "import_missing", 'index.ts, line 1: the import "lib/y.ts" is not among the uploaded files');
  const broken = await deploy("bad5", { "index.ts": "", "deno.json": "{" }, { import_map_path: "deno.json" });
  assert.equal(broken.json.code, "import_map_invalid");
});

test("hosts are a policy", async () => {
  await refused(await stack.deploy("bad6", 'import "https://evil.example/x.ts";'), "import_host", 'index.ts, line 1: the import "https://evil.example/x.ts" is from a host that is not allowed');
  assert.equal((await stack.deploy("good2", 'import "https://cdn.esm.sh/x"; import "npm:x"; import "jsr:@a/b";')).status, 200);
});

test("what may boot is left to the runtime", async () => {
  for (const [i, code] of [
    'import type { T } from "./types.ts";', 'if (false) await import("./gone.ts");', 'const t = `\nimport "./gone.ts"\n`;', '// import "./gone.ts"', "import { } from 'bare';", "this is ) no script { import './gone.ts'",
  ].entries())
    assert.equal((await stack.deploy(`may${i}`, code)).status, 200, code);
});
