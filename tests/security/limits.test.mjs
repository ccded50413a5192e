// Limits of requests and of bad credentials, as clients see them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startStack } from "./service.mjs";

let stack;
let good;
before(async () => {
  stack = await startStack({ rate_limit: "on", rate_read: 600, rate_write: 6, rate_failures: 30 });
  good = (await stack.token({ scopes: ["functions:read"] })).token;
});
after(async () => stack?.stop());

const list = (credential, address = "192.0.2.1") => stack.as(credential, "GET", `/v1/projects/${stack.ref}/functions`, undefined, { address });

test("answers tell what is left", async () => {
  const answer = await list(good);
  assert.equal(answer.headers["x-ratelimit-limit"], "600");
  assert.equal(answer.headers["x-ratelimit-remaining"], "599");
  assert.equal(answer.headers["x-ratelimit-reset"], "1");
  assert.equal(answer.headers["retry-after"], undefined);
  const open = await stack.ask("GET", "/healthz");
  assert.equal(open.headers["x-ratelimit-limit"], undefined);
});

test("too many changes are refused, for the caller wherever it comes from, and reads go on", async () => {
  const { token } = await stack.token({ scopes: ["functions:write", "functions:read"] });
  const remove = (address) => stack.as(token, "DELETE", "/v1/functions/nothing", undefined, { address });
  const answers = [];
  for (let i = 0; i < 8; i++) answers.push(await remove(`192.0.3.${i}`));
  assert.deepEqual(answers.map((a) => a.status), [404, 404, 404, 404, 404, 404, 429, 429]);
  const last = answers.at(-1);
  assert.equal(last.json.code, "rate_limited");
  assert.equal(last.headers["x-ratelimit-limit"], "6");
  assert.equal(last.headers["x-ratelimit-remaining"], "0");
  assert.ok(Number(last.headers["retry-after"]) >= 1 && Number(last.headers["retry-after"]) <= 10);
  assert.equal((await list(token)).status, 200);
});

test("after too many bad credentials an address is heard with good ones only", async () => {
  const address = "198.51.100.7";
  const { token: fresh } = await stack.token({ scopes: ["functions:read"] });
  assert.equal((await list(good, address)).status, 200);
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => list(`sbp_${String(i).padStart(40, "0")}`, address)));
  const refused = answers.filter((a) => a.status === 429);
  assert.ok(answers.filter((a) => a.status === 401).length >= 30 && refused.length > 0);
  assert.ok(Number(refused[0].headers["retry-after"]) >= 1);
  // nginx hands the refusal out slowly, and keeps the header that told it so.
  assert.equal(refused[0].headers["x-accel-limit-rate"], "128");
  assert.equal(answers.find((a) => a.status === 401).headers["x-accel-limit-rate"], undefined);
  assert.equal((await list(good, address)).status, 200);
  assert.equal((await list(fresh, address)).status, 429);
  assert.equal((await list(fresh, "198.51.100.8")).status, 200);
});

test("an IPv6 network of 64 bits is one address, whose holder has all others of it", async () => {
  const { token: fresh } = await stack.token({ scopes: ["functions:read"] });
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => list(`sbp_${String(i).padStart(40, "0")}`, `2001:db8:1:2:${i}::${i}`)));
  assert.ok(answers.some((a) => a.status === 429));
  assert.equal((await list(fresh, "2001:db8:1:2:ffff::1")).status, 429);
  assert.equal((await list(fresh, "2001:db8:1:3::1")).status, 200);
});

test("dry: nothing is refused, the log tells", async () => {
  await stack.service.stop();
  stack.service.clearLog();
  stack.service.writeConfig({ rate_limit: "dry", rate_write: 1 });
  await stack.service.start();
  for (let i = 0; i < 3; i++) assert.equal((await stack.as(stack.keys.secret_key, "DELETE", "/v1/functions/nothing")).status, 404);
  assert.match(stack.log(), /rate limit \(dry\): changing requests from 127\.0\.0\.1 would be refused/);
});
