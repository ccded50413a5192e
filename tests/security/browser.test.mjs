// Requests that web pages make; and JWT secrets that are being changed.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { jwt, startStack } from "./service.mjs";

const listed = "https://ui.example.com";
const previous = ["the-first-earlier-secret-0123456789abcdef", "the-second-earlier-secret-0123456789abcdef"];
let stack;
let credential;
before(async () => {
  stack = await startStack({ cors_origins: `http://localhost:3000, ${listed}`, jwt_previous_secrets: previous.join(", ") });
  credential = stack.keys.service_role_key;
});
after(async () => stack?.stop());

const list = (headers) => stack.as(credential, "GET", `/v1/projects/${stack.ref}/functions`, undefined, { headers });

test("a page of the same origin, and programs, may ask", async () => {
  for (const headers of [{}, { "sec-fetch-site": "same-origin", origin: "https://supabase.example" }, { "sec-fetch-site": "none" }]) {
    const answer = await list(headers);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["access-control-allow-origin"], undefined);
    assert.equal(answer.headers["access-control-allow-credentials"], undefined);
  }
});

test("a page from elsewhere may not, whatever credential a gateway filled in", async () => {
  for (const site of ["cross-site", "same-site", "nonsense"]) {
    const answer = await list({ "sec-fetch-site": site, origin: "https://evil.example", "x-functions-admin-dashboard": "1" });
    assert.deepEqual([answer.status, answer.json.code], [403, "cross_origin"]);
    assert.equal(answer.headers["access-control-allow-origin"], undefined);
    assert.equal(answer.headers.vary, "Origin");
  }
});

test("a page of a listed origin may, and reads errors too", async () => {
  const headers = { "sec-fetch-site": "cross-site", origin: listed };
  const good = await list(headers);
  assert.deepEqual([good.status, good.headers["access-control-allow-origin"], good.headers.vary], [200, listed, "Origin"]);
  assert.match(good.headers["access-control-expose-headers"], /X-Request-Id/);
  const bad = await stack.as("nonsense", "GET", "/v1/projects", undefined, { headers });
  assert.deepEqual([bad.status, bad.headers["access-control-allow-origin"]], [401, listed]);
  for (const origin of [`${listed}.evil.example`, "https://ui.example.co", "http://ui.example.com", "null", ""])
    assert.equal((await list({ ...headers, origin })).status, 403, origin);
});

test("preflights are answered for listed origins only, and never grant the browser's own credentials", async () => {
  const ask = (origin) => stack.ask("OPTIONS", `/v1/projects/${stack.ref}/functions`, { headers: { origin, "access-control-request-method": "DELETE", "sec-fetch-site": "cross-site" } });
  const good = await ask(listed);
  assert.equal(good.status, 204);
  assert.equal(good.headers["access-control-allow-origin"], listed);
  assert.match(good.headers["access-control-allow-methods"], /DELETE/);
  assert.match(good.headers["access-control-allow-headers"], /authorization/);
  assert.equal(good.headers["access-control-allow-credentials"], undefined);
  const bad = await ask("https://evil.example");
  assert.equal(bad.status, 405);
  assert.equal(bad.headers["access-control-allow-origin"], undefined);
});

test("every answer carries the headers that keep browsers from guessing and storing", async () => {
  for (const answer of [await list({}), await stack.ask("GET", "/healthz"), await stack.ask("GET", "/nothing")]) {
    assert.equal(answer.headers["x-content-type-options"], "nosniff");
    assert.ok(answer.headers["cache-control"]);
  }
});

test("earlier JWT secrets still verify, others do not", async () => {
  const claims = { role: "service_role", exp: 4102444800 };
  const status = async (secret) => (await stack.as(jwt(secret, claims), "GET", "/v1/projects")).status;
  assert.equal(await status(previous[0]), 200);
  assert.equal(await status(previous[1]), 200);
  assert.equal(await status(previous.join(", ")), 401);
  assert.equal(await status("another-secret-of-enough-bytes-0123456789"), 401);
});
