// Every route × every kind of credential, compared with the written table in matrix.txt. A route without a row there fails; the
// failure prints the row as it was observed, to be read with care and then added.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHmac, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { BINARY, jwt, startStack } from "./service.mjs";

const scopes = ["functions:read", "functions:write", "secrets:read", "secrets:write", "audit:read", "tokens:admin", "projects:admin"];

// What the codes of refusals mean; whatever else is answered was let in.
const refusals = {
  unauthorized: "u", token_malformed: "u", token_signature: "u", token_expired: "u", token_not_yet_valid: "u",
  insufficient_role: "f", missing_scope: "f", slug_not_allowed: "f", network_not_allowed: "f",
  project_not_found: "n",
};

let stack;
let columns; // name → headers and address
before(async () => {
  stack = await startStack();
  const { jwt_secret: secret, service_role_key: service, anon_key: anon, secret_key, publishable_key } = stack.keys;
  const other = "zyxwvutsrqponmlkjihg";
  stack.psql(`INSERT INTO functions_admin.projects (ref, name) VALUES ('${other}', 'other')`);
  const bearer = (credential, address) => ({ headers: { authorization: `Bearer ${credential}` }, address });
  const all = async (fields) => bearer((await stack.token({ scopes, ...fields })).token);
  const ended = await stack.token({ scopes });
  stack.psql(`UPDATE functions_admin.access_tokens SET expires_at = now() - interval '1 second' WHERE id = '${ended.id}'`);
  const revoked = await stack.token({ scopes });
  await stack.as(service, "DELETE", `/v1/access-tokens/${revoked.id}`);
  const claims = { role: "service_role", exp: 4102444800 };
  const unsigned = Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url") + "." + Buffer.from(JSON.stringify(claims)).toString("base64url");
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const confused = `${Buffer.from('{"alg":"RS256","typ":"JWT"}').toString("base64url")}.${unsigned.split(".")[1]}`;
  columns = {
    nothing: { headers: {} },
    "no scheme": { headers: { authorization: service } },
    basic: { headers: { authorization: `Basic ${Buffer.from(`service_role:${service}`).toString("base64")}` } },
    nonsense: bearer("nonsense"),
    "unknown token": bearer(`sbp_${"0".repeat(40)}`),
    "expired token": bearer(ended.token),
    "revoked token": bearer(revoked.token),
    "consumer headers": { headers: { "X-Consumer-Username": "service_role", "X-Credential-Username": "service_role" } },
    "alg none": bearer(`${unsigned}.`),
    "alg none, signed": bearer(`${unsigned}.${createHmac("sha256", secret).update(unsigned).digest("base64url")}`),
    "wrong secret": bearer(jwt("x".repeat(32), claims)),
    "foreign RS256": bearer(`${confused}.${sign("sha256", Buffer.from(confused), rsa.privateKey).toString("base64url")}`),
    "expired JWT": bearer(jwt(secret, { role: "service_role", exp: 1 })),
    "future JWT": bearer(jwt(secret, { role: "service_role", nbf: 4102444800 })),
    "JWT without role": bearer(jwt(secret, { exp: 4102444800 })),
    anon: bearer(anon),
    authenticated: bearer(jwt(secret, { role: "authenticated", exp: 4102444800 })),
    publishable: { headers: { apikey: publishable_key } },
    "other secret key": { headers: { apikey: `${secret_key}x` } },
    "good apikey, bad bearer": { headers: { apikey: service, authorization: "Bearer nonsense" } },
    "service_role": bearer(service),
    "service_role as apikey": { headers: { apikey: service } },
    "secret key": { headers: { apikey: secret_key } },
    "token, all scopes": await all({}),
    ...Object.fromEntries(await Promise.all(scopes.map(async (scope) => [scope, bearer((await stack.token({ scopes: [scope] })).token)]))),
    "this project": await all({ project: "default" }),
    "other project": await all({ project: other }),
    "slug hello": await all({ slugs: ["hel*"] }),
    "slug other": await all({ slugs: ["ci-*"] }),
    "other network": { ...(await all({ networks: ["192.0.2.0/24"] })), address: "198.51.100.1" },
  };
});
after(async () => stack?.stop());

async function cell(method, path, { headers, address }) {
  const sent = ["POST", "PUT", "PATCH"].includes(method) ? { "content-type": "application/json" } : {};
  const real = path.replace("{ref}", "default").replace("{slug}", "hello").replace("{n}", "1").replace(/\{\w+\}/g, () => randomUUID());
  const answer = await stack.ask(method, real, { headers: { ...sent, ...headers }, address });
  let code;
  try {
    code = answer.json.code;
  } catch {
    code = undefined;
  }
  assert.notEqual(answer.status, 500, `${method} ${path}: ${answer.text}\n${stack.log()}`);
  return refusals[code] ?? ([401, 403].includes(answer.status) ? "?" : "+");
}

// matrix.txt: lines of comment (#), then "cells METHOD path", one cell a column, in the order above; dots part groups.
function written() {
  const rows = readFileSync(new URL("matrix.txt", import.meta.url), "utf8").split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(rows.map((row) => [row.slice(row.indexOf(" ") + 1), row.slice(0, row.indexOf(" ")).replaceAll(".", "")]));
}

test("every route answers every credential as written", { timeout: 120000 }, async () => {
  const listed = spawnSync(BINARY, ["routes", "--json"], { encoding: "utf8" });
  assert.equal(listed.status, 0, listed.stderr);
  const routes = JSON.parse(listed.stdout).map((row) => `${row.method} ${row.path}`);
  const expected = written();
  const names = Object.keys(columns);
  const wrong = [];
  for (const route of routes) {
    const [method, path] = route.split(" ");
    const cells = await Promise.all(Object.values(columns).map((credential) => cell(method, path, credential)));
    const seen = cells.join("");
    const row = expected.get(route);
    if (row === undefined) wrong.push(`no row for: ${seen} ${route}`);
    else if (row !== seen) {
      const differences = names.filter((_, i) => row[i] !== seen[i]);
      wrong.push(`${row} is written, seen is\n${seen} ${route}\n  differs for: ${differences.join("; ")}`);
    }
    expected.delete(route);
  }
  for (const route of expected.keys()) wrong.push(`a row for a route that does not exist: ${route}`);
  assert.equal(wrong.length, 0, `\n${wrong.join("\n")}`);
});
