// The flat API as the self-hosted MCP client calls it: one prefix below /functions/v1, the service_role key as bearer, the sources
// of each function as text in its JSON.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { request, startStack } from "../lib/stack.mjs";

describe("flat API", () => {
  let stack;
  before(async () => stack = await startStack());
  after(() => stack?.stop());

  const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
  const files = [
    { name: "index.ts", content: 'import { word } from "./lib/word.ts";\nDeno.serve(() => new Response(word));\n' },
    { name: "lib/word.ts", content: 'export const word = "first – äöü 🦕";\r\n' },
  ];

  test("an empty project lists nothing", async () => {
    const list = await stack.flat("GET", "/functions");
    assert.equal(list.status, 200);
    assert.deepEqual(list.json, []);
  });

  test("deploy of a new function: answered without its files, called at once", async () => {
    const deployed = await stack.flat("POST", "/functions", { body: { name: "flat", files } });
    assert.equal(deployed.status, 200, deployed.text);
    const { id, created_at, updated_at, ...rest } = deployed.json;
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.match(created_at, ISO);
    assert.match(updated_at, ISO);
    assert.deepEqual(rest, { slug: "flat", name: "flat", status: "ACTIVE", version: 1, verify_jwt: true, import_map: false, entrypoint_path: "index.ts" });
    assert.equal((await stack.call("flat")).text, "first – äöü 🦕");
    assert.equal((await stack.call("flat", { token: null })).status, 401, "verify_jwt is on where nothing is said");
  });

  test("get of one, and the list, show exactly the files sent; newest first", async () => {
    const one = await stack.flat("GET", "/functions/flat");
    assert.equal(one.status, 200);
    assert.deepEqual(one.json.files, files);
    await stack.flat("POST", "/functions", { body: { name: "younger", files: [{ name: "index.ts", content: "Deno.serve(() => new Response());" }] } });
    const list = await stack.flat("GET", "/functions");
    assert.deepEqual(list.json.map((f) => f.slug), ["younger", "flat"]);
    assert.deepEqual(list.json[1], one.json);
  });

  test("deploy of an existing function replaces it, entry point, import map and verify_jwt included", async () => {
    const anew = [
      { name: "main.ts", content: 'import { word } from "word";\nDeno.serve(() => new Response(word));\n' },
      { name: "deno.json", content: '{ "imports": { "word": "./word.ts" } }' },
      { name: "word.ts", content: 'export const word = "second";\n' },
    ];
    const deployed = await stack.flat("POST", "/functions", { body: { name: "flat", files: anew, entrypoint_path: "main.ts", import_map_path: "deno.json", verify_jwt: false } });
    assert.equal(deployed.status, 200, deployed.text);
    assert.equal(deployed.json.version, 2);
    assert.equal(deployed.json.import_map, true);
    assert.equal(deployed.json.import_map_path, "deno.json");
    assert.equal(deployed.json.entrypoint_path, "main.ts");
    assert.equal((await stack.call("flat", { token: null })).text, "second");
    const one = await stack.flat("GET", "/functions/flat");
    assert.deepEqual(new Set(one.json.files.map((f) => f.name)), new Set(anew.map((f) => f.name)));
  });

  test("the same under the program's own prefix, with the secret key and with an access token", async () => {
    const seen = (await stack.flat("GET", "/functions")).json;
    for (const token of [stack.env.SERVICE_ROLE_KEY, stack.env.SECRET_KEY, stack.env.ACCESS_TOKEN]) {
      assert.deepEqual((await stack.api("GET", "/v1/functions", { token })).json, seen);
    }
    const trailing = await stack.flat("GET", "/functions/");
    assert.deepEqual(trailing.json, seen);
    assert.deepEqual((await request(`${stack.env.FUNCTIONS_URL}/supabase-function-manager/functions?apikey=${stack.env.SERVICE_ROLE_KEY}`)).json, seen);
  });

  test("both APIs show the same function", async () => {
    const managed = (await stack.api("GET", "functions/flat")).json;
    const flat = (await stack.flat("GET", "/functions/flat")).json;
    assert.equal(flat.id, managed.id);
    assert.equal(flat.version, managed.version);
    assert.equal(Date.parse(flat.updated_at), managed.updated_at);
    assert.ok(managed.entrypoint_path.endsWith(`/source/${flat.entrypoint_path}`));
  });

  test("a binary file is listed without content, and the others with theirs", async () => {
    await stack.deploy("binary", { "index.ts": "Deno.serve(() => new Response());", "logo.bin": Buffer.from([255, 0, 254]) });
    const one = await stack.flat("GET", "/functions/binary");
    assert.deepEqual(one.json.files, [{ name: "index.ts", content: "Deno.serve(() => new Response());" }, { name: "logo.bin" }]);
  });

  test("refusals carry error and message, and leave what is served", async () => {
    const cases = [
      [{ name: "flat", files: [] }, 422, "no_files"],
      [{ name: "flat", files: [{ name: "other.ts", content: "" }] }, 422, "entrypoint_missing"],
      [{ name: "flat", files: [{ name: "../index.ts", content: "" }] }, 422],
      [{ name: "flat", files: [{ name: "index.ts", content: 7 }] }, 422],
      [{ name: "flat", files: "index.ts" }, 422, "no_files"],
      [{ files }, 422],
      [{ name: "main", files }, 422],
      [{ name: "flat", files: [{ name: "index.ts", content: 'throw new Error("no");' }] }, 422, "boot_failed"],
      ["{", 400],
    ];
    for (const [body, status, code] of cases) {
      const headers = typeof body === "string" ? { "content-type": "application/json" } : {};
      const refused = await stack.flat("POST", "/functions", { body, headers });
      assert.equal(refused.status, status, refused.text);
      assert.ok(refused.json.error.length > 5 && refused.json.error === refused.json.message, refused.text);
      if (code) assert.equal(refused.json.code, code);
    }
    assert.equal((await stack.call("flat", { token: null })).text, "second");
    assert.equal((await stack.flat("GET", "/functions/flat")).json.version, 2);
  });

  test("who may not is refused: no key, the anon key, a wrong one", async () => {
    for (const [token, status] of [[null, 401], [stack.env.ANON_KEY, 403], [stack.env.PUBLISHABLE_KEY, 403], ["nonsense", 401]]) {
      for (const method of ["GET", "POST"]) {
        const refused = await stack.flat(method, "/functions", { token, body: method === "POST" ? { name: "flat", files } : undefined });
        assert.equal(refused.status, status, `${method} ${token}: ${refused.text}`);
        assert.equal(refused.json.error, refused.json.message);
      }
    }
  });

  test("delete; then neither get, call nor delete finds it", async () => {
    const deleted = await stack.flat("DELETE", "/functions/flat");
    assert.equal(deleted.status, 200);
    assert.deepEqual(deleted.json, { message: "Function deleted successfully" });
    assert.equal((await stack.call("flat", { token: null })).status, 404);
    for (const method of ["GET", "DELETE"]) {
      const gone = await stack.flat(method, "/functions/flat");
      assert.equal(gone.status, 404);
      assert.equal(gone.json.error, "Function not found");
    }
  });
});
