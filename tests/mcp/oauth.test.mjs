// Users of Supabase Auth at the MCP endpoint: what tells a client where to sign in, straight and through nginx and the gateway, and
// which of the tokens that are signed as they should be are let in.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import http from "node:http";
import { after, before, test } from "node:test";
import { discoverOAuthProtectedResourceMetadata, extractWWWAuthenticateParams, UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { checkResourceAllowed } from "@modelcontextprotocol/sdk/shared/auth-utils.js";
import { ANON, hour, jwt, makeService, run, SECRETS, SERVICE_ROLE, startNginx, startPostgres } from "../lib/service.mjs";

const ISSUER = "https://supabase.example/auth/v1", RESOURCE = "https://supabase.example/functions-admin/mcp";
const METADATA = "https://supabase.example/.well-known/oauth-protected-resource/functions-admin/mcp";
const ALICE = "5b0ad7b8-1c0e-4d2f-9a39-0d6f2d1f1a55", BOB = "9d1f6e0e-2f7e-4a53-8f4e-3f4b7f0b6c11", EVE = "e0000000-0000-4000-8000-000000000000";
const CLIENT = "9a8b7c6d-5e4f-4a2b-8c0d-9e8f7a6b5c4d";
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }), stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });

const b64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
/** A token as Supabase Auth's OAuth server makes it, with the audience that a hook there has set. */
function user(more = {}, key = ec) {
  const claims = { iss: ISSUER, sub: ALICE, aud: RESOURCE, role: "authenticated", client_id: CLIENT, email: "alice@example.com", exp: hour(), iat: hour() - 3600, ...more };
  for (const name of Object.keys(claims)) if (claims[name] === null) delete claims[name];
  const text = `${b64({ alg: "ES256", typ: "JWT", kid: "auth" })}.${b64(claims)}`;
  return `${text}.${sign("sha256", Buffer.from(text), { key: key.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

let postgres, service, plain, nginx;
before(async () => {
  postgres = await startPostgres();
  const jwks = JSON.stringify({ keys: [{ ...ec.publicKey.export({ format: "jwk" }), use: "sig", alg: "ES256", kid: "auth" }] });
  service = makeService(postgres, { options: { jwks, oauth_issuer: ISSUER, oauth_users: `${ALICE}, ${BOB}` } });
  plain = makeService(postgres, { options: { jwks } });
  await service.start();
  await plain.start();
  nginx = await startNginx(service);
  await service.deploy("hello", "x");
});
after(async () => {
  await nginx?.stop();
  await service?.remove();
  await plain?.remove();
  await postgres?.remove();
});

const message = (name, args = {}) => ({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } });
const ask = (token, json = message("list_edge_functions"), { at = service, headers = {}, target = "/mcp" } = {}) =>
  at.ask("POST", target, { json, headers: { accept: "application/json, text/event-stream", authorization: token && `Bearer ${token}`, ...headers } });

test("the metadata says where to sign in: straight, and through nginx and the gateway", async () => {
  const ways = { program: service.ask, site: nginx.site, gateway: nginx.gateway };
  for (const [way, get] of Object.entries(ways)) {
    for (const target of ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/functions-admin/mcp"]) {
      const answer = await get("GET", target, { headers: { authorization: null } });
      assert.equal(answer.status, 200, `${way} ${target}: ${answer.text}`);
      assert.deepEqual(answer.json, { resource: RESOURCE, resource_name: "Edge functions of a self-hosted Supabase", authorization_servers: [ISSUER], bearer_methods_supported: ["header"] });
      assert.equal(answer.headers["access-control-allow-origin"], "*");
      // The gateway may have filled in a key; the answer is everybody's all the same.
      assert.equal((await get("GET", target, { headers: { apikey: ANON, authorization: "Basic eA==" } })).status, 200);
    }
    for (const target of ["/.well-known/oauth-protected-resource/functions-admin", "/.well-known/oauth-protected-resource/functions-admin/v1", "/.well-known/oauth-protected-resourceX", "/.well-known/oauth-authorization-server"])
      assert.equal((await get("GET", target, { headers: { authorization: null } })).status, 404, `${way} ${target}`);
    assert.equal((await get("POST", "/.well-known/oauth-protected-resource", { headers: { authorization: null }, json: {} })).status, 405, way);
  }
});

test("a 401 of the endpoint, and of nothing else, names that document; the official client finds its way", async () => {
  const challenge = `resource_metadata="${METADATA}"`;
  for (const [token, wanted] of [[null, `Bearer ${challenge}`], ["nonsense", `Bearer error="invalid_token", ${challenge}`], [user({ exp: hour() - 7200 }), `Bearer error="invalid_token", ${challenge}`]]) {
    const answer = await ask(token);
    assert.deepEqual([answer.status, answer.headers["www-authenticate"]], [401, wanted]);
    assert.equal((await service.ask("GET", "/v1/projects", { headers: { authorization: token && `Bearer ${token}` } })).headers["www-authenticate"], "Bearer");
  }
  // As the SDK's own transport does it, over the gateway.
  const fetchHere = async (url, { headers, method } = {}) => {
    const at = new URL(url);
    assert.equal(at.origin, "https://supabase.example");
    const answer = await nginx.gateway(method ?? "GET", at.pathname, { headers: { authorization: null, ...Object.fromEntries(new Headers(headers)) }, ...(method === "POST" && { json: message("list_edge_functions") }) });
    return new Response(answer.text, { status: answer.status, headers: answer.headers });
  };
  const { resourceMetadataUrl } = extractWWWAuthenticateParams(await fetchHere(RESOURCE, { method: "POST" }));
  assert.equal(resourceMetadataUrl.href, METADATA);
  for (const options of [{ resourceMetadataUrl }, {}]) {
    const found = await discoverOAuthProtectedResourceMetadata(RESOURCE, options, fetchHere);
    assert.deepEqual(found.authorization_servers, [ISSUER]);
    assert.ok(checkResourceAllowed({ requestedResource: RESOURCE, configuredResource: found.resource }));
  }
});

test("a listed user comes in, with the rights that the options give and no others", async () => {
  for (const token of [user(), user({ sub: BOB }), user({ aud: ["other", RESOURCE] }), user({ role: null }), jwt({ iss: ISSUER, sub: ALICE, aud: RESOURCE, client_id: CLIENT, exp: hour() }, SECRETS.jwt_secret)]) {
    const answer = await ask(token);
    assert.deepEqual(answer.json.result.structuredContent.functions.map(({ slug }) => slug), ["hello"], answer.text);
  }
  const deploy = message("deploy_edge_function", { name: "mine", files: [{ name: "index.ts", content: "x" }] });
  assert.match((await ask(user(), deploy)).json.result.content[0].text, /lacks the scope functions:write/);
  assert.match((await ask(user(), message("list_secrets"))).json.result.content[0].text, /lacks the scope secrets:read/);

  await service.stop();
  service.writeConfig({ oauth_scopes: "functions:read, functions:write" });
  await service.start();
  const answer = await ask(user(), deploy, { headers: { "mcp-session-id": `${"0".repeat(32)}-${Buffer.from("claude").toString("hex")}` } });
  assert.equal(answer.json.result.isError, false, answer.text);
  assert.equal(service.sql("SELECT actor || '|' || coalesce(token_id::text, '') FROM functions_admin.audit_log WHERE action = 'function.deploy' AND target = 'mine'"), `user ${ALICE} through MCP (claude)|`);
  assert.match((await ask(user(), message("list_secrets"))).json.result.content[0].text, /lacks the scope secrets:read/);
  assert.match((await ask(user(), message("list_edge_functions", { project_id: "zyxwvutsrqponmlkjihg" }))).json.result.content[0].text, /Project not found/);
});

test("nobody else: another issuer or audience, no client, no end, expired, another key, not on the list", async () => {
  const refused = {
    "another issuer": [401, "token_issuer", user({ iss: "https://evil.example/auth/v1" })], "the issuer with a slash": [401, "token_issuer", user({ iss: `${ISSUER}/` })],
    "no issuer": [401, "token_issuer", user({ iss: null })], "an issuer in a list": [401, "token_issuer", user({ iss: [ISSUER] })],
    "Supabase Auth's usual audience": [401, "token_audience", user({ aud: "authenticated" })], "no audience": [401, "token_audience", user({ aud: null })],
    "an audience that begins like ours": [401, "token_audience", user({ aud: `${RESOURCE}/x` })], "audiences of others": [401, "token_audience", user({ aud: ["authenticated", 1, null, {}] })], "an audience that is an object": [401, "token_audience", user({ aud: { 0: RESOURCE } })],
    "a session of an app": [401, "token_client", user({ client_id: null })], "no end": [401, "token_endless", user({ exp: null })],
    expired: [401, "token_expired", user({ exp: hour() - 7200 })], "not yet valid": [401, "token_not_yet_valid", user({ nbf: hour() })],
    "another key": [401, "token_signature", user({}, stranger)], "claims that were changed": [401, "token_signature", user({ sub: EVE }).replace(/\.[^.]+\./, `.${user().split(".")[1]}.`)],
    "not on the list": [403, "user_not_listed", user({ sub: EVE })], "the email of one who is": [403, "user_not_listed", user({ sub: EVE, email: "alice@example.com", user_metadata: { sub: ALICE }, app_metadata: { role: "service_role" } })],
    "no subject": [403, "user_not_listed", user({ sub: null })], "an empty subject": [403, "user_not_listed", user({ sub: "" })], "a list of subjects": [403, "user_not_listed", user({ sub: `${ALICE}, ${BOB}` })], "part of a subject": [403, "user_not_listed", user({ sub: ALICE.slice(0, 8) })],
    "the anon key": [401, "token_issuer", ANON],
  };
  for (const [what, [status, code, token]] of Object.entries(refused)) {
    const answer = await ask(token);
    assert.deepEqual([answer.status, answer.json.code], [status, code === "token_signature" || status === 403 || answer.json.code !== "unauthorized" ? code : "unauthorized"], `${what}: ${answer.text}`);
    assert.equal(answer.headers["www-authenticate"] !== undefined, status === 401, what);
  }
  // A user's token opens the endpoint alone, as Authorization alone.
  for (const [method, target] of [["GET", "/v1/projects"], ["GET", service.functions()], ["GET", "/v1/session"]])
    assert.equal((await service.ask(method, target, { headers: { authorization: `Bearer ${user()}` } })).status, 403, target);
  assert.equal((await ask(null, undefined, { headers: { apikey: user() } })).status, 403);
  assert.equal((await ask(null, undefined, { target: `/mcp?apikey=${user()}` })).status, 403);
  // And the other credentials are what they were.
  for (const token of [SERVICE_ROLE, SECRETS.secret_key]) assert.equal((await ask(token)).status, 200);
});

test("oauth_audience says otherwise, knowingly", async () => {
  await service.stop();
  service.writeConfig({ oauth_audience: "authenticated" });
  await service.start();
  try {
    assert.equal((await ask(user({ aud: "authenticated" }))).status, 200);
    for (const [token, code] of [[user(), "token_audience"], [user({ aud: "authenticated", client_id: null }), "token_client"], [user({ aud: "authenticated", sub: EVE }), "user_not_listed"]])
      assert.equal((await ask(token)).json.code, code);
  } finally {
    await service.stop();
    service.writeConfig({ oauth_audience: null });
    await service.start();
  }
});

test("without the option nothing is there, and no user comes in", async () => {
  for (const target of ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/functions-admin/mcp"])
    assert.deepEqual([(await plain.ask("GET", target)).status, (await plain.ask("GET", target)).json.code], [404, "oauth_not_set_up"]);
  assert.deepEqual([(await ask(user(), undefined, { at: plain })).status, (await ask(user(), undefined, { at: plain })).json.code], [403, "insufficient_role"]);
  const answer = await ask(null, undefined, { at: plain });
  assert.deepEqual([answer.status, answer.headers["www-authenticate"]], [401, "Bearer"]);
});

test("options that cannot be meant are refused at the start", () => {
  for (const [options, says] of [
    [{ oauth_issuer: "supabase.example" }, /oauth_issuer.*does not begin with http/], [{ oauth_users: "alice@example.com" }, /oauth_users.*no user's id/], [{ oauth_users: ALICE.toUpperCase() }, /no user's id/],
    [{ oauth_issuer: ISSUER, oauth_scopes: "functions:everything" }, /no scope "functions:everything"/], [{ oauth_issuer: ISSUER, oauth_scopes: "functions:read, events:write" }, /no scope "events:write"/],
    [{ oauth_issuer: ISSUER, public_url: null }, /oauth_issuer is set, and public_url is not/],
  ]) {
    const other = makeService(postgres, { options, migrate: false });
    const done = run(["serve", "--config", other.config]);
    assert.notEqual(done.status, 0);
    assert.match(done.stderr, says, JSON.stringify(options));
  }
});

test("the official client signs its user in: discovery, registration, code, token, tools", async () => {
  const used = [];
  const read = async (req) => { let text = ""; for await (const chunk of req) text += chunk; return text; };
  let origin, issuer, verifierHash;
  // As much of an authorization server as a sign-in needs; whoever asks for consent gets it.
  const server = http.createServer(async (req, res) => {
    const at = new URL(req.url, issuer), json = (value, status = 200) => res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    used.push(`${req.method} ${at.pathname}`);
    if (at.pathname === "/.well-known/oauth-authorization-server/auth/v1")
      return json({ issuer, authorization_endpoint: `${issuer}/oauth/authorize`, token_endpoint: `${issuer}/oauth/token`, registration_endpoint: `${issuer}/oauth/clients/register`, response_types_supported: ["code"], grant_types_supported: ["authorization_code"], code_challenge_methods_supported: ["S256"], token_endpoint_auth_methods_supported: ["none"] });
    if (at.pathname === "/auth/v1/oauth/clients/register") return json({ ...JSON.parse(await read(req)), client_id: CLIENT }, 201);
    if (at.pathname === "/auth/v1/oauth/authorize") {
      assert.equal(at.searchParams.get("resource"), `${origin}/functions-admin/mcp`);
      verifierHash = at.searchParams.get("code_challenge");
      return res.writeHead(302, { location: `${at.searchParams.get("redirect_uri")}?code=the-code` }).end();
    }
    if (at.pathname === "/auth/v1/oauth/token") {
      const form = new URLSearchParams(await read(req));
      assert.equal(createHash("sha256").update(form.get("code_verifier")).digest("base64url"), verifierHash);
      assert.equal(form.get("code"), "the-code");
      return json({ access_token: user({ iss: issuer, aud: form.get("resource") }), token_type: "bearer", expires_in: 3600 });
    }
    json({}, 404);
  });
  const door = http.createServer((req, res) => {
    const out = http.request({ socketPath: `${nginx.dir}/gateway.sock`, method: req.method, path: req.url, headers: req.headers }, (answer) => { res.writeHead(answer.statusCode, answer.headers); answer.pipe(res); });
    out.on("error", () => res.destroy());
    req.pipe(out);
  });
  for (const each of [server, door]) await new Promise((resolve) => each.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${door.address().port}`;
  issuer = `http://127.0.0.1:${server.address().port}/auth/v1`;
  await service.stop();
  service.writeConfig({ public_url: origin, oauth_issuer: issuer });
  await service.start();
  const kept = {};
  let code;
  const authProvider = {
    redirectUrl: "http://127.0.0.1:9/callback", clientMetadata: { client_name: "agent", redirect_uris: ["http://127.0.0.1:9/callback"], token_endpoint_auth_method: "none" },
    clientInformation: () => kept.client, saveClientInformation: (value) => { kept.client = value; }, tokens: () => kept.tokens, saveTokens: (value) => { kept.tokens = value; },
    codeVerifier: () => kept.verifier, saveCodeVerifier: (value) => { kept.verifier = value; },
    redirectToAuthorization: async (url) => { code = new URL((await fetch(url, { redirect: "manual" })).headers.get("location")).searchParams.get("code"); },
  };
  const url = new URL(`${origin}/functions-admin/mcp`);
  try {
    const first = new StreamableHTTPClientTransport(url, { authProvider });
    await assert.rejects(new Client({ name: "agent", version: "1" }).connect(first), UnauthorizedError);
    await first.finishAuth(code);
    const client = new Client({ name: "agent", version: "1" });
    await client.connect(new StreamableHTTPClientTransport(url, { authProvider }));
    assert.equal((await client.callTool({ name: "list_edge_functions", arguments: {} })).structuredContent.functions[0].slug, "hello");
    await client.close();
    assert.deepEqual([...new Set(used)], ["GET /.well-known/oauth-authorization-server/auth/v1", "POST /auth/v1/oauth/clients/register", "GET /auth/v1/oauth/authorize", "POST /auth/v1/oauth/token"]);
  } finally {
    for (const each of [server, door]) { each.close(); each.closeAllConnections(); }
    await service.stop();
    service.writeConfig({ public_url: "https://supabase.example", oauth_issuer: ISSUER });
    await service.start();
  }
});
