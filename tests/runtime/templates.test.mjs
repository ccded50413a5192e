// Every starter function, run as far as it goes without outside hosts: what it asks elsewhere is a server of the test's own.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import * as fs from "node:fs";
import * as http from "node:http";
import * as path from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { FunctionsFolder, startRuntime } from "../lib/runtime.mjs";

const FOLDER = fileURLToPath(new URL("../../runtime/templates", import.meta.url));
const ids = fs.readdirSync(FOLDER).map((name) => name.replace(".template.ts", "")).sort();
const functions = new FunctionsFolder();
const asked = [];
let runtime, outside, answer;

before(async () => {
  outside = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    asked.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() });
    const { status = 200, type = "application/json", body = "[]" } = answer ?? {};
    response.writeHead(status, { "content-type": type }).end(body);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => outside.once("listening", resolve));
  const origin = `http://127.0.0.1:${outside.address().port}`;
  functions.secrets({
    revision: 1,
    project: {
      ALLOWED_ORIGINS: "https://a.example, https://b.example", STRIPE_WEBHOOK_SECRET: "whsec_test", CRON_SECRET: "cron secret",
      OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${origin}/v1`, RATE_PER_MINUTE: "3", TELEGRAM_WEBHOOK_SECRET: "telegram",
    },
  });
  for (const id of ids) functions.deploy(id, 1, fs.readFileSync(path.join(FOLDER, `${id}.template.ts`), "utf8"), { verify_jwt: false });
  runtime = await startRuntime({
    functionsDir: functions.folder,
    env: { SUPABASE_URL: origin, SUPABASE_ANON_KEY: "anon-key", SUPABASE_DB_URL: "postgresql://nobody:nothing@127.0.0.1:1/postgres" },
  });
});
after(async () => {
  await runtime?.stop();
  outside?.close();
  functions.remove();
});

const call = async (id, { path: below = "", ...init } = {}) => {
  asked.length = 0;
  const response = await fetch(`${runtime.url}/${id}${below}`, init);
  const text = await response.text();
  let json;
  try { json = JSON.parse(text); } catch { /* not JSON */ }
  return { status: response.status, headers: response.headers, text, json };
};
const post = (id, body, headers = {}) => call(id, { method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body) });

describe("templates", () => {
  it("are a dozen, each with a head that describes it", () => {
    assert.equal(ids.length, 12);
    for (const id of ids) {
      const [title, description, verify, secrets] = fs.readFileSync(path.join(FOLDER, `${id}.template.ts`), "utf8").split("\n");
      assert.match(title, /^\/\/ \S/, id);
      assert.match(description, /^\/\/ .{20,}/, id);
      assert.match(verify, /^\/\/ verify_jwt: (true|false)$/, id);
      assert.match(secrets, /^\/\/ secrets: (none|[A-Z_]+(, [A-Z_]+)*)$/, id);
    }
  });

  it("hello", async () => {
    assert.deepEqual((await post("hello", { name: "Ada" })).json, { message: "Hello, Ada!" });
    assert.deepEqual((await call("hello")).json, { message: "Hello, world!" });
  });

  it("cors", async () => {
    const preflight = await call("cors", { method: "OPTIONS", headers: { origin: "https://a.example" } });
    assert.deepEqual([preflight.status, preflight.headers.get("access-control-allow-origin")], [204, "https://a.example"]);
    assert.equal((await call("cors", { headers: { origin: "https://b.example" } })).headers.get("access-control-allow-origin"), "https://b.example");
    assert.equal((await call("cors", { headers: { origin: "https://evil.example" } })).headers.get("access-control-allow-origin"), null);
  });

  it("stripe-webhook takes what Stripe signed, and nothing else", async () => {
    const body = JSON.stringify({ type: "checkout.session.completed", data: { object: { id: "cs_1" } } });
    const sign = (time, secret = "whsec_test", signed = body) => `t=${time},v1=${createHmac("sha256", secret).update(`${time}.${signed}`).digest("hex")}`;
    const now = Math.floor(Date.now() / 1000);
    assert.deepEqual((await post("stripe-webhook", body, { "stripe-signature": sign(now) })).json, { received: true });
    assert.equal((await post("stripe-webhook", body, { "stripe-signature": `${sign(now, "old")},${sign(now).split(",")[1]}` })).status, 200);
    for (const signature of [undefined, "", "t=1", `t=${now},v1=00`, sign(now, "wrong"), sign(now - 400), sign(now, "whsec_test", "{}")]) {
      assert.equal((await post("stripe-webhook", body, signature === undefined ? {} : { "stripe-signature": signature })).status, 400, signature);
    }
  });

  it("user-context asks with the caller's token", async () => {
    answer = { body: '[{"id":1}]' };
    assert.deepEqual((await call("user-context", { path: "?table=notes", headers: { authorization: "Bearer user" } })).json, { rows: [{ id: 1 }] });
    assert.deepEqual([asked[0].url, asked[0].headers.authorization, asked[0].headers.apikey], ["/rest/v1/notes?select=*&limit=10", "Bearer user", "anon-key"]);
    assert.equal((await call("user-context", { path: "?table=notes;drop" })).status, 400);
    assert.equal(asked.length, 0);
    answer = { status: 401, body: "{}" };
    assert.deepEqual((await call("user-context")).json, { error: "The rows could not be read", status: 401 });
  });

  it("postgres-query says when the database cannot be asked", async () => {
    const { status, json } = await call("postgres-query");
    assert.deepEqual([status, json], [502, { error: "The database cannot be asked now" }]);
  });

  it("storage-upload stores under a name of its own, with the caller's token", async () => {
    answer = { body: "{}" };
    const form = new FormData();
    form.append("file", new Blob(["content"], { type: "text/plain" }), "../../evil.txt");
    const { status, json } = await call("storage-upload", { method: "POST", body: form, headers: { authorization: "Bearer user" } });
    assert.equal(status, 201);
    assert.match(json.path, /^[0-9a-f-]{36}\.txt$/);
    assert.deepEqual([asked[0].url, asked[0].body, asked[0].headers.authorization, asked[0].headers["content-type"]], [`/storage/v1/object/uploads/${json.path}`, "content", "Bearer user", "text/plain"]);
    assert.equal((await post("storage-upload", "no form")).status, 400);
    answer = { status: 403, body: "{}" };
    assert.deepEqual((await call("storage-upload", { method: "POST", body: form })).json, { error: "Storage did not take the file", status: 403 });
  });

  it("scheduled-job runs for its schedule only", async () => {
    assert.equal((await post("scheduled-job", "", { "x-cron-secret": "cron secret" })).json.done, "nothing to do");
    for (const secret of ["", "wrong"]) assert.equal((await post("scheduled-job", "", { "x-cron-secret": secret })).status, 401);
  });

  it("openai-stream hands the answer on as it comes", async () => {
    answer = { type: "text/event-stream", body: 'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n' };
    const streamed = await post("openai-stream", { prompt: "Say hi" });
    assert.deepEqual([streamed.status, streamed.headers.get("content-type"), streamed.text], [200, "text/event-stream", answer.body]);
    assert.deepEqual([asked[0].url, asked[0].headers.authorization], ["/v1/chat/completions", "Bearer sk-test"]);
    assert.deepEqual(JSON.parse(asked[0].body).messages, [{ role: "user", content: "Say hi" }]);
    for (const prompt of [undefined, "", 5, "x".repeat(8001)]) assert.equal((await post("openai-stream", { prompt })).status, 400);
    answer = { status: 429, body: "{}" };
    assert.deepEqual((await post("openai-stream", { prompt: "again" })).json, { error: "The model did not answer", status: 429 });
  });

  it("websocket sends back what it gets", async () => {
    assert.equal((await call("websocket")).status, 426);
    const { hostname, port } = new URL(runtime.url);
    const request = http.request({ hostname, port, path: "/websocket", headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" } });
    const socket = await new Promise((resolve, reject) => {
      request.once("upgrade", (_response, each) => resolve(each)).once("error", reject).once("response", (response) => reject(new Error(`status ${response.statusCode}`)));
      request.end();
    });
    try {
      // A text frame from a client is masked (RFC 6455, 5.3); a mask of zeroes changes nothing.
      socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | 4, 0, 0, 0, 0]), Buffer.from("ping")]));
      const frame = await new Promise((resolve, reject) => socket.once("data", resolve).once("close", () => reject(new Error("closed"))));
      assert.deepEqual(JSON.parse(frame.subarray(2).toString()), { echo: "ping", count: 1 });
    } finally {
      socket.destroy();
    }
  });

  it("rate-limited tells when to come again", async () => {
    const statuses = [];
    let last;
    for (let i = 0; i < 4; i++) statuses.push((last = await call("rate-limited", { headers: { authorization: "Bearer one" } })).status);
    assert.deepEqual(statuses, [200, 200, 200, 429]);
    assert.ok(Number(last.headers.get("retry-after")) >= 1);
    assert.equal((await call("rate-limited", { headers: { authorization: "Bearer two" } })).status, 200);
  });

  it("mcp-server speaks the protocol", async () => {
    const ask = async (method, params, id = 1) => (await post("mcp-server", { jsonrpc: "2.0", id, method, params })).json;
    assert.equal((await ask("initialize", { protocolVersion: "2025-03-26" })).result.protocolVersion, "2025-03-26");
    assert.equal((await post("mcp-server", { jsonrpc: "2.0", method: "notifications/initialized" })).status, 202);
    assert.deepEqual((await ask("tools/list")).result.tools.map((tool) => tool.name), ["add"]);
    assert.deepEqual((await ask("tools/call", { name: "add", arguments: { a: 2, b: 3 } })).result.content, [{ type: "text", text: "5" }]);
    assert.equal((await ask("tools/call", { name: "add", arguments: { a: "2" } })).result.isError, true);
    assert.equal((await ask("tools/call", { name: "constructor" })).error.code, -32602);
    assert.equal((await ask("unknown")).error.code, -32601);
    assert.equal((await post("mcp-server", "nonsense")).json.error.code, -32600);
    assert.equal((await call("mcp-server")).status, 405);
  });

  it("telegram-bot answers messages", async () => {
    const secret = { "x-telegram-bot-api-secret-token": "telegram" };
    const say = (text) => post("telegram-bot", { message: { chat: { id: 7 }, text } }, secret);
    assert.deepEqual((await say("hi")).json, { method: "sendMessage", chat_id: 7, text: "You wrote: hi" });
    assert.match((await say("/start")).json.text, /^Welcome/);
    assert.deepEqual([(await post("telegram-bot", { edited: 1 }, secret)).status, (await post("telegram-bot", {})).status], [200, 401]);
  });
});
