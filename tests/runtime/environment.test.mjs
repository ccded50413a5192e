// What a function finds in its environment, and what it must never find there.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, it } from "node:test";
import { boot, FunctionsFolder, startRuntime } from "../lib/runtime.mjs";

const ENV = `Deno.serve(() => Response.json(Deno.env.toObject()));`;
const CONTAINER = {
  JWT_SECRET: "container-jwt-secret",
  SUPABASE_URL: "http://kong:8000",
  SUPABASE_ANON_KEY: "anon-key",
  SUPABASE_SERVICE_ROLE_KEY: "service-key",
  SUPABASE_DB_URL: "postgresql://db",
  SUPABASE_PUBLISHABLE_KEY: "sb_publishable_1",
  SUPABASE_SECRET_KEY: "sb_secret_1",
  SUPABASE_JWKS: JSON.stringify({
    keys: [
      { kty: "oct", k: "c2hhcmVkLXNlY3JldA", kid: "shared" },
      { kty: "EC", crv: "P-256", x: "eA", y: "eQ", d: "cHJpdmF0ZQ", kid: "ec" },
    ],
  }),
  OTHER_OF_THE_CONTAINER: "private",
};

describe("environment", () => {
  const functions = new FunctionsFolder();
  let runtime;
  before(async () => {
    runtime = await startRuntime({ functionsDir: functions.folder, env: CONTAINER });
  });
  after(async () => {
    await runtime?.stop();
    functions.remove();
  });
  const envOf = async (slug) => await (await fetch(`${runtime.url}/${slug}`)).json();

  it("has the platform's values and the function's name, and nothing else", async () => {
    functions.deploy("all", 3, ENV);
    const env = await envOf("all");
    assert.match(env.SB_EXECUTION_ID, /^[0-9a-f-]{36}$/);
    delete env.SB_EXECUTION_ID;
    assert.deepEqual(JSON.parse(env.SUPABASE_JWKS), { keys: [{ kty: "EC", crv: "P-256", x: "eA", y: "eQ", kid: "ec" }] });
    delete env.SUPABASE_JWKS;
    assert.deepEqual(env, {
      SUPABASE_URL: "http://kong:8000",
      SUPABASE_ANON_KEY: "anon-key",
      SUPABASE_SERVICE_ROLE_KEY: "service-key",
      SUPABASE_DB_URL: "postgresql://db",
      SUPABASE_PUBLISHABLE_KEY: "sb_publishable_1",
      SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_1"}',
      SUPABASE_SECRET_KEY: "sb_secret_1",
      SUPABASE_SECRET_KEYS: '{"default":"sb_secret_1"}',
      SUPABASE_FUNCTION_SLUG: "all",
      SUPABASE_FUNCTION_VERSION: "3",
    });
  });

  it("has only the platform credentials that the version may have", async () => {
    functions.deploy("some", 1, ENV, { platform: ["SUPABASE_ANON_KEY"] });
    functions.deploy("none", 1, ENV, { platform: [] });
    const platform = (env) => Object.keys(env).filter((name) => name.startsWith("SUPABASE_") && !name.startsWith("SUPABASE_FUNCTION_")).sort();
    assert.deepEqual(platform(await envOf("some")), ["SUPABASE_ANON_KEY", "SUPABASE_URL"]);
    assert.deepEqual(platform(await envOf("none")), ["SUPABASE_URL"]);
  });

  it("follows a change of the settings of a version that stays the same release", async () => {
    const version = functions.stage("narrow", 1, ENV);
    functions.activate({ narrow: version });
    assert.ok("SUPABASE_DB_URL" in await envOf("narrow"));
    functions.activate({ narrow: { ...version, platform: [] } });
    assert.ok(!("SUPABASE_DB_URL" in await envOf("narrow")));
  });

  it("lets the function's secrets win over the project's, and the platform over both", async () => {
    functions.deploy("mine", 1, ENV);
    functions.deploy("yours", 1, ENV);
    functions.secrets({
      revision: 1,
      project: { A: "project", B: "project", SUPABASE_URL: "stolen", FUNCTIONS_ADMIN_BOOT_SECRET: "stolen" },
      functions: { mine: { B: "mine" } },
    });
    const mine = await envOf("mine"), yours = await envOf("yours");
    assert.deepEqual([mine.A, mine.B, mine.SUPABASE_URL], ["project", "mine", "http://kong:8000"]);
    assert.deepEqual([yours.A, yours.B], ["project", "project"]);
    assert.ok(!("FUNCTIONS_ADMIN_BOOT_SECRET" in mine));
  });

  it("gives a pinned version the values of its pin, and does not run it with others", async () => {
    const version = functions.stage("pinned", 1, ENV);
    functions.secrets({ revision: 5, project: { A: "now" }, pinned: { 4: { project: { A: "then" } } } });
    functions.activate({ pinned: { ...version, secrets_revision: 4 } });
    assert.equal((await envOf("pinned")).A, "then");
    functions.activate({ pinned: { ...version, secrets_revision: 5 } });
    assert.equal((await envOf("pinned")).A, "now");
    functions.activate({ pinned: { ...version, secrets_revision: 3 } });
    assert.equal((await fetch(`${runtime.url}/pinned`)).status, 503);
    const { body } = await boot(runtime, "pinned", { ...version, secrets_revision: 3 });
    assert.deepEqual(body, {
      ok: false,
      error: { name: "InvalidWorkerCreation", message: "revision 3 of the secrets is not on this host" },
    });
  });

  it("never logs a secret or the token", async () => {
    functions.secrets({ revision: 9, project: { SHY: "very-private-value" } });
    functions.deploy("shy", 1, `Deno.serve(() => { throw new Error("x"); });`);
    await (await fetch(`${runtime.url}/shy`)).text();
    for (const secret of ["very-private-value", runtime.token, CONTAINER.JWT_SECRET, CONTAINER.SUPABASE_SERVICE_ROLE_KEY]) {
      assert.ok(!runtime.log().includes(secret));
    }
  });

  it("goes on with what it has when a file is not usable", async () => {
    const { replaceFile } = await import("../lib/runtime.mjs");
    functions.deploy("stays", 1, `Deno.serve(() => new Response("here"));`);
    assert.equal(await (await fetch(`${runtime.url}/stays`)).text(), "here");
    for (const text of ["{", '{"format":2}', '{"format":1,"functions":{"../x":{"versions":[]}}}']) {
      replaceFile(`${functions.folder}/.functions-admin/manifest.json`, text);
      assert.equal(await (await fetch(`${runtime.url}/stays`)).text(), "here");
    }
    functions.activate();
    assert.equal(await (await fetch(`${runtime.url}/stays`)).text(), "here");
  });

  it("begins with the kept manifest where a loss of power left a part of the other", async () => {
    const { replaceFile } = await import("../lib/runtime.mjs");
    functions.deploy("kept", 1, `Deno.serve(() => new Response("kept"));`);
    const own = `${functions.folder}/.functions-admin`, manifest = fs.readFileSync(`${own}/manifest.json`, "utf8");
    replaceFile(`${own}/manifest.kept.json`, manifest);
    replaceFile(`${own}/manifest.json`, manifest.slice(0, 40));
    const second = await startRuntime({ functionsDir: functions.folder, env: CONTAINER });
    try {
      assert.equal(await (await fetch(`${second.url}/kept`)).text(), "kept");
      functions.deploy("kept", 2, `Deno.serve(() => new Response("newer"));`);
      assert.equal(await (await fetch(`${second.url}/kept`)).text(), "newer");
    } finally {
      await second.stop();
      fs.rmSync(`${own}/manifest.kept.json`);
    }
  });
});
