// Access tokens by API and by command: what they may, what they may not give away, and when they end.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { jwt, startStack, temporaryFolder } from "./service.mjs";

let stack;
let root; // the secret key: everything, without an end
before(async () => {
  stack = await startStack({ trusted_proxies: "127.0.0.1" });
  root = stack.keys.secret_key;
  for (const slug of ["ci-one", "ci-two", "shop"]) assert.equal((await stack.deploy(slug)).status, 200);
});
after(async () => stack?.stop());

const functions = (suffix = "") => `/v1/projects/${stack.ref}/functions${suffix}`;
const slugs = (answer) => answer.json.map((f) => f.slug).sort();
function refused(answer, status, code) {
  assert.deepEqual([answer.status, answer.json.code], [status, code], answer.text);
}

describe("making tokens", () => {
  test("a token is shown once, and stored as a hash", async () => {
    const made = await stack.token({ name: "shown once", scopes: ["functions:read"] });
    assert.match(made.token, /^sbp_[0-9a-f]{40}$/);
    const listed = (await stack.as(root, "GET", "/v1/access-tokens")).json.data.find((t) => t.id === made.id);
    assert.equal(listed.token, undefined);
    assert.equal(listed.name, "shown once");
    assert.equal(stack.psql(`SELECT count(*) FROM functions_admin.access_tokens t WHERE t::text LIKE '%${made.token.slice(4)}%'`), "0");
    assert.equal((await stack.as(made.token, "GET", functions())).status, 200);
  });

  test("what makes no token is refused", async () => {
    const cases = [
      [{ scopes: ["functions:read"] }, "invalid"],
      [{ name: "x", scopes: [] }, "no_scopes"],
      [{ name: "x", scopes: ["functions:*"] }, "unknown_scope"],
      [{ name: "x", scopes: ["functions:read"], slugs: ["a b"] }, "invalid_slug_pattern"],
      [{ name: "x", scopes: ["functions:read"], networks: ["10.0.0.1/8"] }, "invalid_network"],
      [{ name: "x", scopes: ["functions:read"], networks: ["example.com"] }, "invalid_network"],
      [{ name: "x", scopes: ["functions:read"], expires_at: "tomorrow" }, "invalid_expiry"],
      [{ name: "x", scopes: ["functions:read"], expires_at: "2020-01-01T00:00:00Z" }, "invalid_expiry"],
    ];
    for (const [body, code] of cases) refused(await stack.as(root, "POST", "/v1/access-tokens", body), 422, code);
  });

  test("expires_at is kept, and ends the token", async () => {
    const later = await stack.token({ scopes: ["functions:read"], expires_at: "2099-05-06T07:08:09+02:00" });
    assert.equal(later.expires_at, "2099-05-06T05:08:09.000Z");
    const soon = await stack.token({ scopes: ["functions:read"], expires_at: new Date(Date.now() + 60000).toISOString() });
    assert.equal((await stack.as(soon.token, "GET", functions())).status, 200);
    stack.psql(`UPDATE functions_admin.access_tokens SET expires_at = now() - interval '1 second' WHERE id = '${soon.id}'`);
    refused(await stack.as(soon.token, "GET", functions()), 401, "unauthorized");
  });

  test("a key that expires beyond all dates makes tokens that expire on the last one", async () => {
    for (const exp of [253402300800, 10 ** 15, 4 * 10 ** 18]) {
      const key = jwt(stack.keys.jwt_secret, { role: "service_role", exp: 0 }).split(".");
      // As text: not every such number is one that JavaScript can write.
      const payload = Buffer.from(`{"role":"service_role","exp":${BigInt(exp)}}`).toString("base64url");
      const signature = createHmac("sha256", stack.keys.jwt_secret).update(`${key[0]}.${payload}`).digest("base64url");
      const made = await stack.as(`${key[0]}.${payload}.${signature}`, "POST", "/v1/access-tokens", { name: "far", scopes: ["functions:read"] });
      assert.deepEqual([made.status, made.json.expires_at], [201, "9999-12-31T23:59:59.000Z"], made.text);
      assert.equal((await stack.as(made.json.token, "GET", functions())).status, 200);
    }
  });

  test("an answer that is kept for an Idempotency-Key is its caller's alone: the keys of two projects have the same names", async () => {
    const folder = temporaryFolder();
    await stack.service.stop();
    stack.service.writeConfig({ sandbox_paths: folder });
    const created = stack.command(["project", "create", "--name", "Other", "--functions-dir", folder, "--json"]);
    assert.equal(created.status, 0, created.stderr);
    const other = JSON.parse(created.stdout);
    await stack.service.start();
    const body = { name: "ci", scopes: ["functions:read"] };
    const make = (key) => stack.as(key, "POST", "/v1/access-tokens", body, { headers: { "idempotency-key": "ci-1" } });
    const [first, again] = [await make(stack.keys.service_role_key), await make(stack.keys.service_role_key)];
    assert.deepEqual([first.status, again.status, again.headers["idempotent-replayed"]], [201, 201, "true"]);
    assert.equal(again.json.token, first.json.token);
    for (const [own, theirs] of [[stack.keys.service_role_key, other.keys.service_role_key], [stack.keys.secret_key, other.keys.secret_key]]) {
      const [mine, yours] = [await make(own), await make(theirs)];
      assert.deepEqual([mine.status, yours.status, yours.headers["idempotent-replayed"]], [201, 201, undefined], yours.text);
      assert.notEqual(yours.json.id, mine.json.id);
      assert.equal(yours.json.project, other.ref);
    }
  });

  test("nobody gives away what they do not have", async () => {
    const soon = new Date(Date.now() + 600000).toISOString();
    const admin = await stack.token({ scopes: ["tokens:admin", "functions:read"], slugs: ["ci-*"], networks: ["10.0.0.0/8"], expires_at: soon });
    const by = (body) => stack.as(admin.token, "POST", "/v1/access-tokens", { name: "child", scopes: ["functions:read"], ...body }, { address: "10.1.1.1" });
    refused(await by({ scopes: ["functions:write"] }), 403, "scope_not_held");
    refused(await by({ slugs: ["*"] }), 403, "bounds_not_held");
    refused(await by({ slugs: ["ci-one", "shop"] }), 403, "bounds_not_held");
    refused(await by({ networks: ["0.0.0.0/0"] }), 403, "network_not_held");
    refused(await by({ expires_at: "2099-01-01T00:00:00Z" }), 403, "expiry_not_held");
    const child = (await by({})).json;
    assert.deepEqual([child.slugs, child.networks, child.expires_at], [["ci-*"], ["10.0.0.0/8"], soon]);
    const tighter = (await by({ slugs: ["ci-o*"], networks: ["10.2.0.0/16"] })).json;
    assert.deepEqual([tighter.slugs, tighter.networks], [["ci-o*"], ["10.2.0.0/16"]]);
  });
});

describe("using tokens", () => {
  test("a token works from its networks only, behind a trusted proxy too", async () => {
    const made = await stack.token({ scopes: ["functions:read"], networks: ["192.0.2.0/24", "2001:db8::/32"] });
    const from = (address, headers) => stack.as(made.token, "GET", functions(), undefined, { address, headers });
    assert.equal((await from("192.0.2.9")).status, 200);
    assert.equal((await from("2001:db8::7")).status, 200);
    refused(await from("192.0.3.9"), 403, "network_not_allowed");
    assert.equal((await from("127.0.0.1", { "X-Forwarded-For": "192.0.2.77" })).status, 200);
    refused(await from("127.0.0.1", { "X-Forwarded-For": "192.0.2.77, 198.51.100.1" }), 403, "network_not_allowed");
    // Not a trusted proxy: what it says about others is worth nothing.
    refused(await from("198.51.100.1", { "X-Forwarded-For": "192.0.2.77" }), 403, "network_not_allowed");
  });

  test("the last use is recorded", async () => {
    const made = await stack.token({ scopes: ["functions:read"] });
    const used = async () => (await stack.as(root, "GET", "/v1/access-tokens")).json.data.find((t) => t.id === made.id).last_used_at;
    assert.equal(await used(), undefined);
    await stack.as(made.token, "GET", functions());
    assert.ok(Math.abs(Date.parse(await used()) - Date.now()) < 60000);
  });

  test("slug-bound tokens see and touch only their functions", async () => {
    const { token } = await stack.token({ scopes: ["functions:read", "functions:write"], slugs: ["ci-*"] });
    assert.deepEqual(slugs(await stack.as(token, "GET", functions())), ["ci-one", "ci-two"]);
    assert.deepEqual(slugs(await stack.as(token, "GET", "/v1/functions")), ["ci-one", "ci-two"]);
    assert.equal((await stack.as(token, "GET", functions("/ci-one"))).status, 200);
    for (const path of [functions("/shop"), functions("/shop/body"), "/v1/functions/shop"])
      refused(await stack.as(token, "GET", path), 403, "slug_not_allowed");
    for (const path of [functions("/shop"), "/v1/functions/shop"]) refused(await stack.as(token, "DELETE", path), 403, "slug_not_allowed");
    refused(await stack.deploy("shop", "export {}", token), 403, "slug_not_allowed");
    refused(await stack.as(token, "POST", functions(), { slug: "shop2", name: "x", body: "export {}" }), 403, "slug_not_allowed");
    refused(await stack.as(token, "PATCH", functions("/shop"), { name: "x" }), 403, "slug_not_allowed");
    refused(await stack.as(token, "POST", functions("/deploy?slug=shop"), {}), 403, "slug_not_allowed");
    assert.equal((await stack.deploy("ci-three", 'Deno.serve(() => new Response("3"));', token)).status, 200);
  });

  test("a bulk change with one function too many changes nothing", async () => {
    const { token } = await stack.token({ scopes: ["functions:write"], slugs: ["ci-*"] });
    const body = [{ slug: "ci-one", version: 1, name: "taken over" }, { slug: "shop", version: 1, name: "taken over" }];
    refused(await stack.as(token, "PUT", functions(), body), 403, "slug_not_allowed");
    for (const slug of ["ci-one", "shop"]) assert.equal((await stack.as(root, "GET", functions(`/${slug}`))).json.name, slug);
  });

  test("bound tokens get no keys that open everything", async () => {
    const reveal = async (fields) => {
      const { token } = await stack.token({ scopes: ["projects:admin"], ...fields });
      const answer = await stack.as(token, "GET", `/v1/projects/${stack.ref}/api-keys?reveal=true`);
      assert.equal(answer.status, 200);
      return answer.text.includes(stack.keys.service_role_key);
    };
    assert.equal(await reveal({}), true);
    assert.equal(await reveal({ slugs: ["ci-*"] }), false);
    assert.equal(await reveal({ networks: ["127.0.0.0/8"] }), false);
    assert.equal(await reveal({ scopes: ["functions:write", "tokens:admin"] }), false);
  });
});

describe("ending tokens", () => {
  test("revocation works on the next request", async () => {
    const made = await stack.token({ scopes: ["functions:read"] });
    assert.equal((await stack.as(made.token, "GET", functions())).status, 200);
    assert.equal((await stack.as(root, "DELETE", `/v1/access-tokens/${made.id}`)).status, 200);
    refused(await stack.as(made.token, "GET", functions()), 401, "unauthorized");
    refused(await stack.as(root, "DELETE", `/v1/access-tokens/${made.id}`), 404, "token_not_found");
    refused(await stack.as(root, "POST", `/v1/access-tokens/${made.id}/rotate`), 404, "token_not_found");
    refused(await stack.as(root, "DELETE", "/v1/access-tokens/nonsense"), 404, "token_not_found");
  });

  test("rotation gives a new token and ends the old one", async () => {
    const made = await stack.token({ scopes: ["functions:read"], slugs: ["ci-*"] });
    const rotated = (await stack.as(root, "POST", `/v1/access-tokens/${made.id}/rotate`)).json;
    assert.deepEqual([rotated.id, rotated.name, rotated.slugs], [made.id, made.name, made.slugs]);
    assert.notEqual(rotated.token, made.token);
    refused(await stack.as(made.token, "GET", functions()), 401, "unauthorized");
    assert.equal((await stack.as(rotated.token, "GET", functions())).status, 200);
  });

  test("nobody rotates a token into one that is more than their own", async () => {
    const strong = await stack.token({ name: "strong", scopes: ["functions:write", "tokens:admin"] });
    const ci = await stack.token({ name: "ci", scopes: ["functions:read"], slugs: ["ci-*"] });
    const admin = await stack.token({ name: "admin", scopes: ["tokens:admin"] });
    const bound = await stack.token({ name: "bound", scopes: ["tokens:admin", "functions:read"], slugs: ["ci-*"] });
    const rotate = (who, id) => stack.as(who.token, "POST", `/v1/access-tokens/${id}/rotate`);
    refused(await rotate(admin, strong.id), 403, "scope_not_held");
    refused(await rotate(bound, strong.id), 404, "token_not_found");
    refused(await rotate(bound, admin.id), 404, "token_not_found");
    refused(await stack.as(bound.token, "DELETE", `/v1/access-tokens/${strong.id}`), 404, "token_not_found");
    assert.equal((await stack.as(strong.token, "GET", "/v1/access-tokens")).status, 200);
    assert.equal((await rotate(bound, ci.id)).status, 200);
    const names = (await stack.as(bound.token, "GET", "/v1/access-tokens")).json.data.filter((t) => !t.revoked_at).map((t) => t.name);
    assert.ok(names.includes("ci") && names.includes("bound"));
    assert.ok(!names.includes("strong") && !names.includes("admin"));
  });
});

describe("the command", () => {
  const token = (...args) => stack.command(["token", ...args]);

  test("create, list, rotate, revoke", async () => {
    const made = token("create", "--name", "by command", "--scope", "functions:read", "--network", "127.0.0.0/8", "--slug", "ci-*", "--json");
    assert.equal(made.status, 0, made.stderr);
    const first = JSON.parse(made.stdout);
    assert.deepEqual([first.networks, first.slugs], [["127.0.0.0/8"], ["ci-*"]]);
    assert.equal((await stack.as(first.token, "GET", functions())).status, 200);
    const rotated = token("rotate", first.id, "--json");
    assert.equal(rotated.status, 0, rotated.stderr);
    refused(await stack.as(first.token, "GET", functions()), 401, "unauthorized");
    assert.equal((await stack.as(JSON.parse(rotated.stdout).token, "GET", functions())).status, 200);
    assert.match(token("list").stdout, /by command/);
    assert.equal(token("revoke", first.id).status, 0);
    refused(await stack.as(JSON.parse(rotated.stdout).token, "GET", functions()), 401, "unauthorized");
    assert.equal(token("revoke", first.id).status, 5);
  });

  test("wrong words are refused", () => {
    for (const [args, status] of [
      [["create", "--name", "x", "--scope", "functions:read", "--network", "here"], 1],
      [["create", "--name", "x", "--scope", "functions:read", "--slug", "a b"], 1],
      [["create", "--name", "x", "--scope", "all"], 2],
      [["rotate"], 2],
    ]) {
      const done = token(...args);
      assert.equal(done.status, status, done.stderr);
      assert.match(done.stderr, /^functions-admin: /);
    }
  });
});
