// Settings of functions: kept in the version, enforced by the runtime, inherited by deploys, brought back by rollbacks.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startStack } from "../lib/stack.mjs";

const CREDENTIALS = [
  "SUPABASE_ANON_KEY", "SUPABASE_DB_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEY", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY",
];
const ENVIRONMENT = "Deno.serve(() => Response.json(Object.keys(Deno.env.toObject()).filter((name) => name.startsWith('SUPABASE_')).sort()));";

let stack;
before(async () => stack = await startStack());
after(() => stack?.stop());

const patch = (slug, body, more) => stack.api("PATCH", `functions/${slug}/settings`, { body, ...more });
async function changed(slug, body) {
  const answer = await patch(slug, body);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}
const credentials = async (slug) => (await stack.call(slug)).json.filter((name) => CREDENTIALS.includes(name));

test("all credentials by default; a function without the grant sees no such variable", async () => {
  await stack.deploy("env", ENVIRONMENT);
  assert.deepEqual(await credentials("env"), CREDENTIALS);
  const settings = await changed("env", { platform: ["SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY"] });
  assert.deepEqual(settings.platform, ["SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY"]);
  assert.equal(settings.version, 2);
  assert.deepEqual(await credentials("env"), ["SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY"]);
  assert.ok((await stack.call("env")).json.includes("SUPABASE_URL"));
  // Nor does the value stand in any other variable, whatever its name.
  await stack.deploy("values", "Deno.serve(() => Response.json(Object.entries(Deno.env.toObject())));");
  const holding = async (...values) => (await stack.call("values")).json.filter(([, value]) => values.some((each) => value.includes(each))).map(([name]) => name).sort();
  const { SERVICE_ROLE_KEY, SECRET_KEY, ANON_KEY } = stack.env;
  assert.deepEqual(await holding(SERVICE_ROLE_KEY, SECRET_KEY), ["SUPABASE_SECRET_KEY", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY"]);
  await changed("values", { platform: ["SUPABASE_ANON_KEY"] });
  assert.deepEqual(await holding(SERVICE_ROLE_KEY, SECRET_KEY, stack.env.JWT_SECRET, "postgresql://"), []);
  assert.deepEqual(await holding(ANON_KEY), ["SUPABASE_ANON_KEY"]);
  await changed("env", { platform: [] });
  assert.deepEqual(await credentials("env"), []);
  await changed("env", { platform: null });
  assert.deepEqual(await credentials("env"), CREDENTIALS);
});

test("a project's default is for functions that do not choose, at their next call", async () => {
  await stack.deploy("default-env", ENVIRONMENT);
  await stack.deploy("choosing", ENVIRONMENT);
  await changed("choosing", { platform: ["SUPABASE_SERVICE_ROLE_KEY"] });
  const defaults = (body) => stack.api("PATCH", "function-defaults", { body, token: stack.env.SERVICE_ROLE_KEY });
  const answer = await defaults({ platform: ["SUPABASE_ANON_KEY"], limits: { wall_ms: 30000 } });
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.json.effective.limits, { memory_mb: 150, wall_ms: 30000, cpu_soft_ms: 10000, cpu_hard_ms: 20000 });
  assert.deepEqual(await credentials("default-env"), ["SUPABASE_ANON_KEY"]);
  assert.deepEqual(await credentials("choosing"), ["SUPABASE_SERVICE_ROLE_KEY"]);
  await changed("choosing", { limits: { memory_mb: 100 } });
  assert.deepEqual((await stack.api("GET", "functions/choosing/settings")).json.effective.limits, { memory_mb: 100, wall_ms: 30000, cpu_soft_ms: 10000, cpu_hard_ms: 20000 });
  assert.deepEqual((await stack.api("GET", "function-defaults")).json.platform, ["SUPABASE_ANON_KEY"]);
  await defaults({ platform: null, limits: null });
  assert.deepEqual(await credentials("default-env"), CREDENTIALS);
  assert.equal((await defaults({ secrets_revision: 1 })).status, 422);
  const bound = (await stack.api("POST", "/v1/access-tokens", { body: { name: "b", scopes: ["projects:admin"], slugs: ["x*"] }, token: stack.env.SERVICE_ROLE_KEY })).json.token;
  assert.equal((await stack.api("PATCH", "function-defaults", { body: {}, token: bound })).status, 403);
});

test("settings are the version's: a deploy keeps them, a rollback brings them back, the same again makes nothing", async () => {
  await stack.deploy("kept", ENVIRONMENT);
  const first = await changed("kept", { platform: [], limits: { memory_mb: 99 } });
  assert.equal(first.version, 2);
  assert.equal((await changed("kept", { limits: { memory_mb: 99 }, platform: [] })).version, 2);
  assert.equal((await changed("kept", {})).version, 2);
  assert.equal((await stack.deploy("kept", ENVIRONMENT)).json.version, 2);
  const next = await stack.deploy("kept", `${ENVIRONMENT} // again`);
  assert.equal(next.json.version, 3);
  assert.deepEqual((await stack.api("GET", "functions/kept/settings")).json.platform, []);
  assert.deepEqual(await credentials("kept"), []);
  assert.equal((await stack.api("POST", "functions/kept/rollback", { body: { version: 1 } })).status, 200);
  assert.deepEqual(await credentials("kept"), CREDENTIALS);
  assert.equal((await stack.api("GET", "functions/kept/settings")).json.platform, undefined);
  const versions = (await stack.api("GET", "functions/kept/versions")).json.data;
  assert.deepEqual(versions.map((each) => each.source), ["deploy", "settings", "deploy"]);
  assert.deepEqual([versions[1].source_version, versions[1].settings], [1, { limits: { memory_mb: 99 }, platform: [] }]);
});

test("verify_jwt and static files are settings as well", async () => {
  await stack.deploy("files", {
    "supabase/functions/files/index.ts": "Deno.serve(async () => new Response(await Deno.readTextFile(new URL('./page.html', import.meta.url))));",
    "supabase/functions/files/page.html": "<p>page</p>",
  });
  assert.notEqual((await stack.call("files")).text, "<p>page</p>");
  const settings = await changed("files", { static_patterns: ["./supabase/functions/files/*.html"], verify_jwt: false });
  assert.deepEqual([settings.static_patterns, settings.verify_jwt], [["supabase/functions/files/*.html"], false]);
  assert.equal((await stack.call("files", { token: null })).text, "<p>page</p>");
  await changed("files", { verify_jwt: true });
  assert.equal((await stack.call("files", { token: null })).status, 401);
});

test("the wall clock limit ends a worker", async () => {
  await stack.deploy("slow", "Deno.serve(async () => { await new Promise((resolve) => setTimeout(resolve, 20000)); return new Response('late'); });");
  await changed("slow", { limits: { wall_ms: 500 } });
  assert.equal((await stack.call("slow")).status, 546);
});

test("the import policy refuses at the boot, and nothing is activated", async () => {
  await stack.deploy("plain", "Deno.serve(() => new Response('plain'));");
  await changed("plain", { imports: { npm: false, jsr: false, remote: false } });
  const refused = await stack.deploy("plain", "import 'npm:left-pad'; Deno.serve(() => new Response('npm'));");
  assert.equal(refused.status, 422, refused.text);
  assert.match(refused.json.message, /npm:, which the import policy of this function forbids/);
  assert.equal((await stack.call("plain")).text, "plain");
});

test("a version that is pinned to a revision keeps its secrets", async () => {
  const set = (value) => stack.api("POST", "secrets", { body: [{ name: "PINNED", value }] });
  await stack.deploy("pinned", "Deno.serve(() => new Response(Deno.env.get('PINNED') ?? ''));");
  await set("then");
  const { revision } = (await stack.api("GET", "secrets/revisions")).json.data[0];
  await set("now");
  assert.equal((await stack.call("pinned")).text, "now");
  const settings = await changed("pinned", { secrets_revision: revision });
  assert.equal(settings.secrets_revision, revision);
  assert.equal((await stack.call("pinned")).text, "then");
  await set("later");
  assert.equal((await stack.call("pinned")).text, "then");
  // Also as one of two versions that share the calls.
  await changed("pinned", { secrets_revision: null });
  assert.equal((await stack.call("pinned")).text, "later");
  const split = await stack.api("PUT", "functions/pinned/traffic", { body: [{ version: 2, percent: 50 }, { version: 3, percent: 50 }] });
  assert.equal(split.status, 200, split.text);
  const call = async (version) => (await stack.call("pinned", { token: stack.env.SERVICE_ROLE_KEY, headers: { "x-functions-admin-version": version } })).text;
  assert.deepEqual([await call("2"), await call("3")], ["then", "later"]);
  const unknown = await patch("pinned", { secrets_revision: 999999 });
  assert.equal(unknown.status, 422);
  assert.equal(unknown.json.code, "no_such_revision");
});

test("what is no setting is refused by name; If-Match holds", async () => {
  await stack.deploy("strict", ENVIRONMENT);
  for (const body of [
    { limits: { memory_mb: 15 } }, { limits: { memory_mb: "150" } }, { limits: { wall_ms: 99 } }, { limits: { files: 1 } }, { limits: 5 }, { limits: { cpu_soft_ms: 30000 } },
    { imports: { npm: 1 } }, { imports: { cdn: false } }, { imports: [] }, { platform: ["HOME"] }, { platform: "all" }, { platform: [1] }, { secrets_revision: 0 }, { secrets_revision: "1" },
    { static_patterns: ["../x"] }, { unknown: 1 },
  ]) {
    const answer = await patch("strict", body);
    assert.equal(answer.status, 422, `${JSON.stringify(body)}: ${answer.text}`);
  }
  assert.equal((await patch("strict", [])).status, 422);
  assert.equal((await patch("nobody", {})).status, 404);
  const { headers, json } = await stack.api("GET", "functions/strict/settings");
  assert.equal(json.version, 1);
  assert.equal((await patch("strict", { platform: [] }, { headers: { "if-match": headers.etag } })).status, 200);
  assert.equal((await patch("strict", { platform: null }, { headers: { "if-match": headers.etag } })).status, 412);
});
