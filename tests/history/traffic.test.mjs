// Gradual rollout: percentages, stickiness, the override; and what does not boot never serves a request.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { startStack } from "../lib/stack.mjs";

let stack;
before(async () => {
  stack = await startStack();
});
after(() => stack?.stop());

const answering = (text) => `Deno.serve(() => new Response(${JSON.stringify(text)}));\n`;
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
after(() => agent.destroy());

/** Many calls over kept connections; gives the texts and statuses. */
const call = (slug, headers = {}) => new Promise((resolve, reject) => {
  http.get(`${stack.env.FUNCTIONS_URL}/${slug}`, { agent, headers }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (piece) => text += piece).on("end", () => resolve({ status: response.statusCode, text }));
  }).on("error", reject);
});
const deploy = async (slug, text) => {
  const answer = await stack.deploy(slug, answering(text), { verify_jwt: false });
  assert.equal(answer.status, 201, answer.text);
};
const split = async (slug, body) => {
  const answer = await stack.api("PUT", `functions/${slug}/traffic`, { body });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
};

// CALLS=20000 lies within 9 to 11 %; fewer calls scatter more, so the bounds are five standard deviations.
const CALLS = Number(process.env.CALLS ?? 4000);

test(`10 % of ${CALLS} calls`, async () => {
  await deploy("split", "old");
  await deploy("split", "new");
  await split("split", [{ version: 1, percent: 90 }, { version: 2, percent: 10 }]);
  const seen = {};
  let left = CALLS;
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (left-- > 0) {
      const { status, text } = await call("split");
      const what = status === 200 ? text : `${status} ${text}`;
      seen[what] = (seen[what] ?? 0) + 1;
    }
  }));
  assert.deepEqual(Object.keys(seen).sort(), ["new", "old"], JSON.stringify(seen));
  const most = 5 * Math.sqrt(CALLS * 0.1 * 0.9);
  assert.ok(Math.abs(seen.new - CALLS / 10) <= most, JSON.stringify(seen));
});

test("sticky: each key stays with its version; a version at 0 % is reached with the override only", async () => {
  await deploy("stay", "old");
  await deploy("stay", "new");
  await deploy("stay", "trial");
  assert.deepEqual(await split("stay", { traffic: [{ version: 1, percent: 50 }, { version: 2, percent: 50 }, { version: 3, percent: 0 }], sticky: { by: "header", name: "x-user" } }),
    { traffic: [{ version: 2, percent: 50 }, { version: 1, percent: 50 }, { version: 3, percent: 0 }], sticky: { by: "header", name: "x-user" } });
  const seen = new Set();
  for (let user = 0; user < 40; user++) {
    const answers = new Set();
    for (let i = 0; i < 5; i++) answers.add((await call("stay", { "x-user": `user-${user}` })).text);
    assert.equal(answers.size, 1, `user-${user} saw ${[...answers]}`);
    seen.add([...answers][0]);
  }
  assert.deepEqual([...seen].sort(), ["new", "old"]);
  const override = { "x-functions-admin-version": "3" };
  assert.notEqual((await call("stay", override)).text, "trial");
  assert.notEqual((await call("stay", { ...override, authorization: `Bearer ${stack.env.ANON_KEY}` })).text, "trial");
  assert.equal((await call("stay", { ...override, authorization: `Bearer ${stack.env.SERVICE_ROLE_KEY}` })).text, "trial");
  // A deploy ends the split.
  await deploy("stay", "last");
  for (let i = 0; i < 10; i++) assert.equal((await call("stay")).text, "last");
});

test("splits that make no sense are refused, and nothing changes", async () => {
  await deploy("sense", "one");
  await deploy("sense", "two");
  for (const wrong of [[], [{ version: 1, percent: 99 }], [{ version: 1, percent: 50 }, { version: 1, percent: 50 }], [{ version: 1, percent: 101 }], [{ version: 1, percent: -1 }, { version: 2, percent: 101 }],
    Array.from({ length: 5 }, (_, i) => ({ version: i + 1, percent: 20 })), { traffic: [{ version: 1, percent: 100 }], sticky: { by: "moon" } }, { traffic: [{ version: 1, percent: 100 }], sticky: { by: "header", name: "a b" } }])
    assert.equal((await stack.api("PUT", "functions/sense/traffic", { body: JSON.stringify(wrong), headers: { "content-type": "application/json" } })).status, 422, JSON.stringify(wrong));
  assert.equal((await stack.api("PUT", "functions/sense/traffic", { body: [{ version: 9, percent: 100 }] })).status, 404);
  assert.deepEqual((await stack.api("GET", "functions/sense/traffic")).json, { traffic: [{ version: 2, percent: 100 }] });
});

test("a function that throws at boot is never active, not for one request, under constant load", async () => {
  await deploy("steady", "steady");
  let going = true, calls = 0;
  const load = Promise.all(Array.from({ length: 4 }, async () => {
    while (going) {
      const answer = await call("steady");
      assert.deepEqual(answer, { status: 200, text: "steady" });
      calls++;
    }
  }));
  for (let i = 0; i < 50; i++) {
    const refused = await stack.deploy("steady", `throw new Error("boom ${i}");\n`, { verify_jwt: false });
    assert.equal(refused.status, 422, refused.text);
    assert.equal(refused.json.code, "boot_failed");
    assert.match(refused.json.message, new RegExp(`boom ${i}`));
    assert.match(refused.json.message, /supabase\/functions\/steady\/index\.ts/, "the answer names the file");
  }
  going = false;
  await load;
  assert.ok(calls > 50, `${calls} calls`);
  assert.equal((await stack.api("GET", "functions/steady")).json.version, 1);
  const { data } = (await stack.api("GET", "functions/steady/deployments?limit=50")).json;
  assert.ok(data.every((d) => d.status === "failed" && d.error.code === "boot_failed"));
});
