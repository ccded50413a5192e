// The conformance suite and the inspector's command-line mode against the endpoint, over HTTP as a client has it: a door of this test
// on localhost, nginx, the program.
import assert from "node:assert/strict";
import http from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { makeService, ROOT, SERVICE_ROLE, startNginx, startPostgres, temporaryFolder } from "../lib/service.mjs";
import { run } from "../lib/stack.mjs";

const modules = path.join(ROOT, "tests/node_modules/@modelcontextprotocol");
let postgres, service, nginx, door, url, folder;
before(async () => {
  postgres = await startPostgres();
  // The suite sends no credential of its own, and calls the server by the address that it was given.
  door = http.createServer((req, res) => {
    const out = http.request({ socketPath: `${nginx.dir}/gateway.sock`, method: req.method, path: `/functions-admin${req.url}`, headers: { authorization: `Bearer ${SERVICE_ROLE}`, ...req.headers } }, (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      answer.pipe(res);
    });
    out.on("error", () => res.destroy());
    req.pipe(out);
  });
  await new Promise((resolve) => door.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${door.address().port}`;
  url = `${origin}/mcp`;
  service = makeService(postgres, { options: { public_url: origin } });
  await service.start();
  nginx = await startNginx(service);
  folder = temporaryFolder();
  for (const slug of ["one", "two"]) await service.deploy(slug, "1");
});
after(async () => {
  door?.close();
  door?.closeAllConnections();
  await nginx?.stop();
  await service?.remove();
  await postgres?.remove();
});

describe("the conformance suite", () => {
  for (const scenario of ["server-initialize", "ping", "tools-list", "resources-list", "prompts-list", "dns-rebinding-protection"]) {
    test(scenario, async () => {
      const done = await run(process.execPath, [path.join(modules, "conformance/dist/index.js"), "server", "--url", url, "--scenario", scenario], { cwd: folder, env: process.env });
      assert.equal(done.code, 0, `${done.stdout}${done.stderr}`);
    });
  }
});

describe("the inspector's command-line mode", () => {
  // Its package says Node 22.19; this mode runs on 20 as well. A folder of its own, since it keeps a file in the home directory.
  const inspect = (...args) => run(process.execPath, [path.join(modules, "inspector/clients/launcher/build/index.js"), "--cli", url, "--transport", "http", "--header", `Authorization: Bearer ${SERVICE_ROLE}`, "--method", ...args], { cwd: folder, env: { ...process.env, HOME: folder } });
  const result = async (...args) => {
    const done = await inspect(...args);
    assert.equal(done.code, 0, `${done.stdout}${done.stderr}`);
    return JSON.parse(done.stdout);
  };

  test("lists tools, resources, templates and prompts", async () => {
    assert.equal((await result("tools/list")).tools.length, 13);
    assert.deepEqual((await result("resources/list")).resources.map(({ name }) => name), ["one", "two"]);
    assert.equal((await result("resources/templates/list")).resourceTemplates.length, 3);
    assert.equal((await result("prompts/list")).prompts.length, 3);
  });

  test("calls tools, reads a resource and gets a prompt", async () => {
    const listed = await result("tools/call", "--tool-name", "list_edge_functions", "--tool-arg", "limit=1");
    assert.deepEqual([listed.structuredContent.functions.map(({ slug }) => slug), listed.structuredContent.next_cursor], [["one"], "one"]);
    const deployed = await result("tools/call", "--tool-name", "deploy_edge_function", "--tool-arg", "name=three", 'files=[{"name":"index.ts","content":"3"}]');
    assert.deepEqual([deployed.isError, deployed.structuredContent.version], [false, 1]);
    assert.equal((await result("resources/read", "--uri", "functions-admin://functions/three/files/index.ts")).contents[0].text, "3");
    assert.match((await result("prompts/get", "--prompt-name", "debug_function", "--prompt-args", "slug=three")).messages[0].content.text, /edge function three fails/);
    for (const [args, says] of [[["get_edge_function", "--tool-arg", "function_slug=absent"], /Function not found/], [["nonsense"], /nonsense/]]) {
      const refused = await inspect("tools/call", "--tool-name", ...args);
      assert.equal(refused.code, 5, `${refused.stdout}${refused.stderr}`);
      assert.match(refused.stdout + refused.stderr, says);
    }
  });
});
