// The unmodified Supabase MCP server, as an agent's client runs it, against the whole stack.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT, startStack } from "../lib/stack.mjs";

describe("Supabase MCP server", () => {
  let stack, client;

  before(async () => {
    stack = await startStack();
    client = await stack.mcp();
  });
  after(() => stack?.stop());

  const text = (result) => result.content.map((part) => part.text).join("");
  const use = async (name, args = {}) => {
    const result = await client.callTool({ name, arguments: args });
    assert.ok(!result.isError, `${name}: ${text(result)}`);
    return JSON.parse(text(result));
  };
  const refused = async (name, args, on = client) => {
    const result = await on.callTool({ name, arguments: args });
    assert.ok(result.isError, `${name} was not refused: ${text(result)}`);
    return text(result);
  };
  const deploy = (name, files, more = {}) => use("deploy_edge_function", {
    name, files, entrypoint_path: files[0].name, verify_jwt: true, ...more,
  });
  const byName = (files) => Object.fromEntries(files.map(({ name, content }) => [name, content]));

  test("it offers its function tools", async () => {
    const names = (await client.listTools()).tools.map((tool) => tool.name);
    for (const name of ["list_edge_functions", "get_edge_function", "deploy_edge_function"]) assert.ok(names.includes(name), `${name} of ${names}`);
  });

  test("an empty project lists nothing", async () => {
    assert.deepEqual(functionsOf(await use("list_edge_functions")), []);
  });

  test("deploy of a new function, get shows exactly the files sent, a call runs them", async () => {
    const files = [
      { name: "index.ts", content: 'import { greet } from "./lib/greet.ts";\nDeno.serve(() => new Response(greet("MCP")));\n' },
      { name: "lib/greet.ts", content: "export const greet = (who: string) => `Hello ${who}, äöü 🦕`;\r\n" },
      { name: "data/no newline.txt", content: "  leading blanks, no newline" },
    ];
    const deployed = await deploy("from-mcp", files);
    assert.equal(deployed.slug, "from-mcp");
    assert.equal(deployed.version, 1);
    assert.equal(deployed.verify_jwt, true);
    const got = await use("get_edge_function", { function_slug: "from-mcp" });
    assert.deepEqual(byName(got.files), byName(files));
    assert.equal(got.entrypoint_path, "index.ts");
    assert.equal((await stack.call("from-mcp")).text, "Hello MCP, äöü 🦕");
    assert.equal((await stack.call("from-mcp", { token: null })).status, 401);
  });

  test("deploy of an existing function updates it", async () => {
    const files = [
      { name: "main.ts", content: 'import { greet } from "greet";\nDeno.serve(() => new Response(greet()));\n' },
      { name: "deno.json", content: '{ "imports": { "greet": "./greet.ts" } }' },
      { name: "greet.ts", content: 'export const greet = () => "updated";\n' },
    ];
    const deployed = await deploy("from-mcp", files, { import_map_path: "deno.json", verify_jwt: false });
    assert.equal(deployed.version, 2);
    const got = await use("get_edge_function", { function_slug: "from-mcp" });
    assert.deepEqual(byName(got.files), byName(files), "nothing of the version before");
    assert.equal(got.import_map_path, "deno.json");
    assert.equal(got.entrypoint_path, "main.ts");
    const answer = await stack.call("from-mcp", { token: null });
    assert.equal(answer.status, 200);
    assert.equal(answer.text, "updated");
  });

  test("list shows what is deployed, whoever deployed it", async () => {
    await stack.deploy("from-api", 'Deno.serve(() => new Response("api"));');
    const list = functionsOf(await use("list_edge_functions"));
    assert.deepEqual(list.map((f) => [f.slug, f.version, f.status]).sort(), [["from-api", 1, "ACTIVE"], ["from-mcp", 2, "ACTIVE"]]);
    const got = await use("get_edge_function", { function_slug: "from-api" });
    assert.deepEqual(byName(got.files), { "supabase/functions/from-api/index.ts": 'Deno.serve(() => new Response("api"));' });
  });

  test("without import_map_path the server sends the one of the version before; an empty one takes it away", async () => {
    const files = [{ name: "index.ts", content: 'Deno.serve(() => new Response("no map"));' }];
    assert.match(await refused("deploy_edge_function", { name: "from-mcp", entrypoint_path: "index.ts", verify_jwt: false, files }),
      /The import map \\"deno\.json\\" is not among the uploaded files/);
    assert.equal((await stack.call("from-mcp", { token: null })).text, "updated");
    await deploy("from-mcp", files, { import_map_path: "", verify_jwt: false });
    assert.equal((await stack.call("from-mcp", { token: null })).text, "no map");
    assert.equal((await use("get_edge_function", { function_slug: "from-mcp" })).import_map_path, undefined);
  });

  test("what does not boot is refused in words, and the version before still answers", async () => {
    const message = await refused("deploy_edge_function", {
      name: "from-mcp", entrypoint_path: "index.ts", verify_jwt: false, files: [{ name: "index.ts", content: 'throw new Error("not today");' }],
    });
    assert.match(message, /The function does not boot: .*not today/);
    assert.equal((await stack.call("from-mcp", { token: null })).text, "no map");
  });

  test("a missing import, a bad name, a missing function and a wrong token are refused in words", async () => {
    assert.match(await refused("deploy_edge_function", {
      name: "broken", entrypoint_path: "index.ts", verify_jwt: false, files: [{ name: "index.ts", content: 'import "./absent.ts"; Deno.serve(() => new Response());' }],
    }), /absent\.ts/);
    assert.match(await refused("deploy_edge_function", {
      name: "1 bad", entrypoint_path: "index.ts", verify_jwt: false, files: [{ name: "index.ts", content: "" }],
    }), /Invalid string: must match pattern/, "by the server itself");
    assert.match(await refused("get_edge_function", { function_slug: "nowhere" }), /Function not found/);
    const stranger = await stack.mcp({ token: `sbp_${"0".repeat(40)}` });
    assert.match(await refused("list_edge_functions", {}, stranger), /Unauthorized|access token/i);
  });

  test("a function that was deployed as a bundle is listed, and shown with the sources inside it", async () => {
    const bundle = fs.readFileSync(path.join(ROOT, "tests/fixtures/eszip/hello.ezbr"));
    const created = await stack.api("POST", "functions?slug=bundled&name=bundled&entrypoint_path=file:///src/index.ts", {
      body: bundle, headers: { "content-type": "application/vnd.denoland.eszip" },
    });
    assert.equal(created.status, 201, created.text);
    assert.ok(functionsOf(await use("list_edge_functions")).some((f) => f.slug === "bundled"));
    const got = await use("get_edge_function", { function_slug: "bundled" });
    assert.deepEqual(got.files.map((file) => file.name), ["index.ts", "greet.ts"]);
    assert.match(got.files[0].content, /^import \{ greet \} from "\.\/greet\.ts";\n/);
  });

  test("--read-only looks, and deploys nothing", async () => {
    const reader = await stack.mcp({ args: ["--read-only"] });
    assert.ok(!(await reader.callTool({ name: "list_edge_functions", arguments: {} })).isError);
    const files = [{ name: "index.ts", content: "Deno.serve(() => new Response());" }];
    assert.match(await refused("deploy_edge_function", { name: "read-only", files, entrypoint_path: "index.ts", verify_jwt: true }, reader), /read.?only/i);
    assert.equal((await stack.api("GET", "functions/read-only")).status, 404);
  });

  // The tool answers with the list itself, or with an object around it, as its version has it.
  function functionsOf(answer) {
    return Array.isArray(answer) ? answer : answer.functions;
  }
});
