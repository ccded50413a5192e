// Lists of the MCP endpoint in pages: each item once and in order, whatever is written meanwhile; and cursors that nobody gave out.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { makeService, startPostgres } from "../lib/service.mjs";

let postgres, service;
const slugs = Array.from({ length: 101 }, (_, i) => `f${i}`).concat("F", "f-1", "f_1").sort((a, b) => (a < b ? -1 : 1));
before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres);
  await service.start();
  for (const slug of slugs) assert.equal((await service.deploy(slug, "1")).status, 201);
});
after(async () => {
  await service?.remove();
  await postgres?.remove();
});

async function rpc(method, params) {
  const answer = await service.ask("POST", "/mcp", { headers: { accept: "application/json" }, json: { jsonrpc: "2.0", id: 1, method, ...(params && { params }) } });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}
async function tool(name, args) {
  const { result } = await rpc("tools/call", { name, arguments: args });
  return result.isError ? { error: result.content[0].text } : result.structuredContent;
}
/** All items of a tool's list, and how many each page had. */
async function walk(name, args, member) {
  const items = [], pages = [];
  for (let cursor; ; ) {
    const page = await tool(name, { ...args, ...(cursor && { cursor }) });
    assert.equal(page.error, undefined);
    items.push(...page[member]);
    pages.push(page[member].length);
    if (page.next_cursor === undefined) return { items, pages };
    cursor = page.next_cursor;
    assert.ok(pages.length < 200, "the cursors go in a circle");
  }
}

test("list_edge_functions and resources/list", async () => {
  for (const [args, pages] of [[{}, [100, 4]], [{ limit: 52 }, [52, 52]], [{ limit: 104 }, [104]], [{ limit: 103 }, [103, 1]], [{ limit: 500 }, [104]]]) {
    const all = await walk("list_edge_functions", args, "functions");
    assert.deepEqual(all.items.map(({ slug }) => slug), slugs);
    assert.deepEqual(all.pages, pages);
  }
  const first = (await rpc("resources/list")).result;
  assert.equal(first.resources.length, 100);
  const second = (await rpc("resources/list", { cursor: first.nextCursor })).result;
  assert.deepEqual([...first.resources, ...second.resources].map(({ name }) => name), slugs);
  assert.equal(second.nextCursor, undefined);
  // The function that a cursor names may be gone, and a new one may stand before it.
  const page = await tool("list_edge_functions", { limit: 2 });
  assert.equal((await service.ask("DELETE", service.functions(`/${page.next_cursor}`))).status, 200);
  await service.deploy("E", "1");
  assert.deepEqual((await tool("list_edge_functions", { limit: 1, cursor: page.next_cursor })).functions.map(({ slug }) => slug), [slugs[2]]);
});

test("list_versions", async () => {
  for (let i = 2; i <= 45; i++) await service.deploy("f0", `${i}`);
  const newest = Array.from({ length: 45 }, (_, i) => 45 - i);
  for (const [args, pages] of [[{}, [20, 20, 5]], [{ limit: 45 }, [45]], [{ limit: 44 }, [44, 1]]]) {
    const all = await walk("list_versions", { function_slug: "f0", ...args }, "data");
    assert.deepEqual(all.items.map(({ version }) => version), newest);
    assert.deepEqual(all.pages, pages);
  }
});

test("get_logs, with its filters on each page", async () => {
  const token = fs.readFileSync(path.join(service.functionsDir, ".functions-admin/events-token"), "utf8");
  const events = Array.from({ length: 130 }, (_, i) => ({ id: i + 1, at: Date.now() - 1000 + Math.floor(i / 10), execution_id: "33333333-3333-4333-8333-333333333333", slug: "f1", version: 1, kind: "log", level: i % 2 ? "error" : "info", message: `line ${i}` }));
  const sent = await service.ask("POST", `/v1/projects/${service.options.project_ref}/events`, { headers: { authorization: `Bearer ${token}` }, json: { source: "11111111-1111-4111-8111-111111111111", batch: 1, events } });
  assert.deepEqual([sent.status, sent.json], [201, { stored: 130 }]);
  const all = await walk("get_logs", { function_slug: "f1" }, "data");
  assert.deepEqual(all.pages, [50, 50, 30]);
  assert.equal(new Set(all.items.map(({ message }) => message)).size, 130);
  assert.deepEqual(all.items.map(({ at }) => at), all.items.map(({ at }) => at).sort().reverse());
  const errors = await walk("get_logs", { function_slug: "f1", level: "error", text: "line", limit: 30 }, "data");
  assert.deepEqual(errors.pages, [30, 30, 5]);
  assert.ok(errors.items.every(({ level }) => level === "error"));
});

test("cursors and limits that are none", async () => {
  for (const method of ["tools/list", "prompts/list", "resources/templates/list", "resources/list"])
    for (const cursor of ["../x", 5, {}, "a b"]) assert.equal((await rpc(method, { cursor })).error.code, -32602, `${method} ${cursor}`);
  for (const method of ["tools/list", "prompts/list", "resources/templates/list", "resources/list"]) assert.equal((await rpc(method, {})).result.nextCursor !== undefined, method === "resources/list");
  for (const [name, args] of [["list_edge_functions", {}], ["list_versions", { function_slug: "f0" }], ["get_logs", { function_slug: "f1" }]]) {
    for (const cursor of ["a&limit=500", "-", "x".repeat(500)]) assert.match((await tool(name, { ...args, cursor })).error ?? "done", /cursor is none that/, `${name} ${cursor}`);
    for (const bad of [{ cursor: 7 }, { limit: 0 }, { limit: 501 }, { limit: "5" }]) assert.match((await tool(name, { ...args, ...bad })).error ?? "done", /"?(cursor|limit)"?/, `${name} ${JSON.stringify(bad)}`);
  }
});
