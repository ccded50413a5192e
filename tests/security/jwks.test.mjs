// Keys at a URL: fetched when they are needed, kept when the URL fails, and never fetched for made-up names.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { after, before, test } from "node:test";
import { startStack } from "./service.mjs";

const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
function makeKey(kid) {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    jwk: { ...pair.publicKey.export({ format: "jwk" }), kid, alg: "ES256", use: "sig" },
    token(claims = {}) {
      const signed = `${encode({ alg: "ES256", typ: "JWT", kid })}.${encode({ role: "service_role", exp: 4102444800, ...claims })}`;
      return `${signed}.${sign("sha256", Buffer.from(signed), { key: pair.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
    },
  };
}

const first = makeKey("first");
const second = makeKey("second");
let stack;
let server;
let fetched = 0;
let answer = () => ({ status: 200, body: JSON.stringify({ keys: [first.jwk] }) });
before(async () => {
  server = http.createServer((req, res) => {
    fetched++;
    const { status, body } = answer();
    res.writeHead(status, status === 302 ? { location: "/elsewhere" } : {}).end(body);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  stack = await startStack({ jwks_url: `http://127.0.0.1:${server.address().port}/jwks.json` });
});
after(async () => {
  await stack?.stop();
  server?.closeAllConnections();
  server?.close();
});

const status = async (token) => (await stack.as(token, "GET", "/v1/projects")).status;

test("the first token that needs them fetches the keys, once", async () => {
  assert.equal(fetched, 0);
  assert.equal(await status(stack.keys.service_role_key), 200);
  assert.equal(fetched, 0);
  assert.deepEqual(await Promise.all(Array.from({ length: 8 }, () => status(first.token()))), Array(8).fill(200));
  assert.equal(fetched, 1);
  assert.equal(await status(first.token({ role: "authenticated" })), 403);
  assert.equal(await status(first.token({ exp: 1 })), 401);
});

test("made-up key names do not make it fetch, and the keys stay when the URL fails", async () => {
  answer = () => ({ status: 500, body: "no" });
  for (let i = 0; i < 20; i++) assert.equal(await status(makeKey(`made up ${i}`).token()), 401);
  assert.equal(fetched, 1);
  assert.equal(await status(first.token()), 200);
});

test("a URL that fails, redirects or gives nonsense is logged, and given a second chance", async () => {
  for (const wrong of [{ status: 500, body: "no" }, { status: 302, body: "" }, { status: 200, body: "nonsense" }, { status: 200, body: `"${"x".repeat(300000)}"` }]) {
    await stack.service.stop();
    stack.service.clearLog();
    answer = () => wrong;
    await stack.service.start();
    const before = fetched;
    assert.equal(await status(second.token()), 401);
    assert.equal(fetched, before + 1);
    assert.match(stack.log(), /jwks_url: .*are kept/);
  }
});

test("other keys of the same name prove nothing", async () => {
  await stack.service.stop();
  stack.service.clearLog();
  answer = () => ({ status: 200, body: JSON.stringify({ keys: [second.jwk] }) });
  await stack.service.start();
  assert.equal(await status(second.token()), 200);
  assert.equal(await status(makeKey("second").token()), 401);
  assert.equal(await status(first.token()), 401);
});
