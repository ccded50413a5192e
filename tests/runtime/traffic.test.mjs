// Which version answers: shares, stickiness, and the header that lets an operator choose.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { FunctionsFolder, hs256, startRuntime } from "../lib/runtime.mjs";

const SECRET = "a-secret-of-at-least-thirty-two-characters";
const exp = Math.floor(Date.now() / 1000) + 600;

describe("traffic", () => {
  const functions = new FunctionsFolder();
  const version = {};
  let runtime;
  before(async () => {
    for (const n of [1, 2, 3]) version[n] = functions.stage("fn", n, `Deno.serve(() => new Response("${n}"));`);
    runtime = await startRuntime({
      functionsDir: functions.folder,
      env: { JWT_SECRET: SECRET, SUPABASE_SECRET_KEY: "sb_secret_one", SUPABASE_SECRET_KEYS: '{"other":"sb_secret_two"}', SUPABASE_PUBLISHABLE_KEY: "sb_publishable_x" },
    });
  });
  after(async () => {
    await runtime?.stop();
    functions.remove();
  });

  const call = async (headers = {}) => {
    const response = await fetch(`${runtime.url}/fn`, { headers });
    const text = await response.text();
    if (response.status === 200) assert.equal(response.headers.get("x-edge-function"), `fn; version=${text}`);
    return text;
  };
  const split = (shares, sticky) =>
    functions.activate({
      fn: { ...(sticky && { sticky }), versions: Object.entries(shares).map(([n, percent]) => ({ ...version[n], percent })) },
    });
  const count = async (calls, headers) => {
    const counts = {};
    for (let i = 0; i < calls; i++) {
      const answer = await call(headers?.(i));
      counts[answer] = (counts[answer] ?? 0) + 1;
    }
    return counts;
  };

  it("is split by percentages", async () => {
    split({ 1: 75, 2: 25 });
    const counts = await count(400);
    // Six standard deviations of 400 draws at a quarter: about 52.
    assert.ok(counts[2] > 48 && counts[2] < 152, JSON.stringify(counts));
    assert.equal(counts[1] + counts[2], 400);
  });
  it("never reaches a version at 0 percent", async () => {
    split({ 1: 0, 2: 100, 3: 0 });
    assert.deepEqual(await count(50), { 2: 50 });
  });

  const sticky = {
    header: [{ by: "header", name: "x-user" }, (user) => ({ "x-user": user })],
    cookie: [{ by: "cookie", name: "sid" }, (user) => ({ cookie: `a=b; sid=${user}; sidx=z` })],
    address: [{ by: "address" }, (user) => ({ "x-forwarded-for": `${user}, 10.0.0.1` })],
  };
  for (const [name, [rule, headers]] of Object.entries(sticky)) {
    it(`keeps a caller at one version by ${name}, and only moves callers towards the one that grows`, async () => {
      const users = Array.from({ length: 60 }, (_, i) => `10.1.${i}.${i * 3 % 250}`);
      const answers = async () => Object.fromEntries(await Promise.all(users.map(async (user) => [user, await call(headers(user))])));
      split({ 1: 70, 2: 30 }, rule);
      const before = await answers();
      for (let i = 0; i < 3; i++) assert.deepEqual(await answers(), before);
      assert.ok(Object.values(before).includes("1") && Object.values(before).includes("2"), "both take part");
      split({ 1: 40, 2: 60 }, rule);
      const after = await answers();
      for (const user of users) if (before[user] === "2") assert.equal(after[user], "2");
      assert.ok(users.some((user) => before[user] === "1" && after[user] === "2"));
    });
  }
  it("gives callers without the sticky value their share", async () => {
    split({ 1: 50, 2: 50 }, { by: "header", name: "x-user" });
    const counts = await count(100);
    assert.ok(counts[1] > 10 && counts[2] > 10, JSON.stringify(counts));
  });

  describe("the override header", () => {
    const wanted = (n, headers) => ({ "x-functions-admin-version": String(n), ...headers });
    const bearer = (token) => ({ authorization: `Bearer ${token}` });
    const service = () => bearer(hs256({ role: "service_role", exp }, SECRET));

    it("lets an operator reach a version, at 0 percent too", async () => {
      split({ 1: 100, 3: 0 });
      for (const headers of [service(), { apikey: hs256({ role: "service_role", exp }, SECRET) }, bearer("sb_secret_one"), { apikey: "sb_secret_two" }]) {
        assert.equal(await call(wanted(3, headers)), "3");
        assert.equal(await call(wanted(1, headers)), "1");
      }
    });
    it("is ignored from anybody else", async () => {
      split({ 1: 100, 3: 0 });
      for (const headers of [
        {},
        bearer(hs256({ role: "anon", exp }, SECRET)),
        bearer(hs256({ role: "service_role", exp: 1 }, SECRET)),
        bearer(hs256({ role: "service_role", exp }, "another secret")),
        bearer("sb_publishable_x"),
        { apikey: "sb_secret_" },
        { apikey: "sb_secret_onf" },
        { apikey: "" },
      ]) {
        assert.equal(await call(wanted(3, headers)), "1", JSON.stringify(headers));
      }
    });
    it("is 404 for a version that is not there", async () => {
      split({ 1: 100, 3: 0 });
      for (const n of ["2", "99", "x", "03", ""]) {
        const response = await fetch(`${runtime.url}/fn`, { headers: wanted(n, service()) });
        assert.equal(response.status, 404);
        assert.equal((await response.json()).code, "NOT_FOUND");
      }
    });
  });
});
