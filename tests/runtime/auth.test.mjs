// verify_jwt: what passes, and each way in which a token is refused.
import assert from "node:assert/strict";
import { createSign, createHmac, generateKeyPairSync, sign } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { encode, FunctionsFolder, hs256, startRuntime } from "../lib/runtime.mjs";

const SECRET = "a-secret-of-at-least-thirty-two-characters";
const now = Math.floor(Date.now() / 1000);
const claims = { role: "anon", exp: now + 600 };

const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ec2 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
const jwk = (pair, more) => ({ ...pair.publicKey.export({ format: "jwk" }), ...more });
const JWKS = {
  keys: [
    jwk(ec, { kid: "ec", alg: "ES256", use: "sig" }),
    jwk(ec2, { kid: "ec2" }),
    jwk(p384, { kid: "p384" }),
    jwk(rsa, { kid: "rsa", alg: "RS256" }),
    jwk(weak, { kid: "weak" }),
    jwk(stranger, { kid: "enc", use: "enc" }),
    { kty: "oct", k: encode(SECRET), kid: "shared" },
  ],
};

function es256(body, pair, header = {}) {
  const signed = `${encode({ alg: "ES256", ...header })}.${encode(body)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), { key: pair.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}
function rs256(body, pair, header = {}) {
  const signed = `${encode({ alg: "RS256", ...header })}.${encode(body)}`;
  return `${signed}.${createSign("RSA-SHA256").update(signed).sign(pair.privateKey, "base64url")}`;
}

describe("verify_jwt", () => {
  const functions = new FunctionsFolder();
  let runtime;
  before(async () => {
    functions.deploy("closed", 1, `Deno.serve((r) => new Response("in " + r.headers.get("sb-api-key")));`, { verify_jwt: true });
    functions.deploy("open", 1, `Deno.serve(() => new Response("in"));`, { verify_jwt: false });
    runtime = await startRuntime({
      functionsDir: functions.folder,
      env: { JWT_SECRET: SECRET, SUPABASE_JWKS: JSON.stringify(JWKS), SUPABASE_SECRET_KEY: "sb_secret_x", SUPABASE_PUBLISHABLE_KEY: "sb_publishable_x" },
    });
  });
  after(async () => {
    await runtime?.stop();
    functions.remove();
  });

  const call = (headers, method = "GET", slug = "closed") => fetch(`${runtime.url}/${slug}`, { method, headers });

  async function refused(headers, code, message = "Invalid JWT") {
    const response = await call(headers);
    assert.equal(response.status, 401);
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.equal(response.headers.get("sb-error-code"), code);
    assert.deepEqual(await response.json(), { code, message, msg: message });
  }
  const bearer = (token) => ({ authorization: `Bearer ${token}` });

  const good = {
    "HS256": () => hs256(claims, SECRET),
    "HS256 without exp": () => hs256({ role: "anon" }, SECRET),
    "HS256 that is valid since now": () => hs256({ ...claims, nbf: now - 1 }, SECRET),
    "ES256 by kid": () => es256(claims, ec, { kid: "ec" }),
    "ES256 by another kid": () => es256(claims, ec2, { kid: "ec2" }),
    "RS256 by kid": () => rs256(claims, rsa, { kid: "rsa" }),
    "RS256 without kid, where one key fits": () => rs256(claims, rsa),
  };
  for (const [name, token] of Object.entries(good)) {
    it(`passes ${name}`, async () => assert.equal((await call(bearer(token()))).status, 200));
  }

  const LEGACY = "UNAUTHORIZED_LEGACY_JWT", ASYMMETRIC = "UNAUTHORIZED_ASYMMETRIC_JWT";
  const FORMAT = "UNAUTHORIZED_INVALID_JWT_FORMAT", ALGORITHM = "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM";
  const pem = ec.publicKey.export({ format: "pem", type: "spki" });
  const forged = {
    "HS256 with another secret": [() => hs256(claims, "another"), LEGACY],
    "HS256 signed with the public key (PEM)": [() => hs256(claims, pem), LEGACY],
    "HS256 signed with the public key (JWK)": [() => hs256(claims, JSON.stringify(JWKS.keys[0]), { kid: "ec" }), LEGACY],
    "an expired HS256": [() => hs256({ ...claims, exp: now - 1 }, SECRET), LEGACY],
    "an HS256 that is not valid yet": [() => hs256({ ...claims, nbf: now + 600 }, SECRET), LEGACY],
    "exp as a text": [() => hs256({ exp: String(now + 600) }, SECRET), LEGACY],
    "a critical extension": [() => hs256(claims, SECRET, { crit: ["x"], x: 1 }), LEGACY],
    "an empty signature": [() => hs256(claims, SECRET).replace(/\.[^.]*$/, "."), FORMAT, "Invalid JWT format"],
    "another body under the signature": [() => {
      const [header, , signature] = hs256(claims, SECRET).split(".");
      return `${header}.${encode({ ...claims, role: "service_role" })}.${signature}`;
    }, LEGACY],
    "an expired ES256": [() => es256({ exp: now - 1 }, ec, { kid: "ec" }), ASYMMETRIC],
    "ES256 by a key that is not in the set": [() => es256(claims, stranger, { kid: "ec" }), ASYMMETRIC],
    "ES256 with an unknown kid": [() => es256(claims, ec, { kid: "nobody" }), ASYMMETRIC],
    "ES256 without kid, where two keys fit": [() => es256(claims, ec), ASYMMETRIC],
    "ES256 that names the RSA key": [() => es256(claims, ec, { kid: "rsa" }), ASYMMETRIC],
    "ES256 that names the shared secret": [() => es256(claims, ec, { kid: "shared" }), ASYMMETRIC],
    "ES256 with a key for encryption": [() => es256(claims, stranger, { kid: "enc" }), ASYMMETRIC],
    "ES256 with a P-384 key": [() => es256(claims, p384, { kid: "p384" }), ASYMMETRIC],
    "RS256 with a 1024 bit key": [() => rs256(claims, weak, { kid: "weak" }), ASYMMETRIC],
    "RS256 that names the EC key": [() => rs256(claims, rsa, { kid: "ec" }), ASYMMETRIC],
    "alg none": [() => `${encode({ alg: "none" })}.${encode(claims)}.AA`, ALGORITHM, "Unsupported JWT algorithm none"],
    "HS512": [() => {
      const signed = `${encode({ alg: "HS512" })}.${encode(claims)}`;
      return `${signed}.${createHmac("sha512", SECRET).update(signed).digest("base64url")}`;
    }, ALGORITHM, "Unsupported JWT algorithm HS512"],
    "hs256 in small letters": [() => hs256(claims, SECRET, { alg: "hs256" }), ALGORITHM, "Unsupported JWT algorithm hs256"],
    "no alg": [() => hs256(claims, SECRET, { alg: undefined }), FORMAT, "Invalid JWT format"],
    "two parts": [() => "a.b", FORMAT, "Invalid JWT format"],
    "four parts": [() => `${hs256(claims, SECRET)}.x`, FORMAT, "Invalid JWT format"],
    "padding": [() => `${hs256(claims, SECRET)}=`, FORMAT, "Invalid JWT format"],
    "the plain base64 alphabet": [() => hs256(claims, SECRET).replace(/.$/, "+"), FORMAT, "Invalid JWT format"],
    "a body that is an array": [() => hs256([1], SECRET), FORMAT, "Invalid JWT format"],
    "a body that is not JSON": [() => `${encode({ alg: "HS256" })}.${encode("x")}.AA`, FORMAT, "Invalid JWT format"],
    "a secret key in place of a token": [() => "sb_secret_x", FORMAT, "Invalid JWT format"],
    "a publishable key in place of a token": [() => "sb_publishable_x", FORMAT, "Invalid JWT format"],
  };
  for (const [name, [token, code, message]] of Object.entries(forged)) {
    it(`refuses ${name}`, async () => await refused(bearer(token()), code, message));
  }

  it("refuses bits beyond the signature's last byte", async () => {
    const token = hs256(claims, SECRET);
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const last = alphabet.indexOf(token.at(-1));
    await refused(bearer(token.slice(0, -1) + alphabet[last ^ 1]), FORMAT, "Invalid JWT format");
  });

  it("refuses a call without a token", async () => {
    await refused({}, "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header");
    await refused({ apikey: "sb_secret_x" }, "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header");
  });
  it("refuses another scheme, and spaces", async () => {
    const token = hs256(claims, SECRET);
    for (const authorization of [`Basic ${token}`, token, `bearer ${token}`, `Bearer  ${token}`, `Bearer ${token} x`]) {
      await refused({ authorization }, FORMAT, "Invalid JWT format");
    }
  });
  it("takes the token that the gateway exchanged an opaque key for, and keeps it from the function", async () => {
    const token = hs256(claims, SECRET);
    for (const headers of [{ "sb-api-key": `Bearer ${token}` }, { ...bearer("sb_publishable_x"), "sb-api-key": token }]) {
      const response = await call(headers);
      assert.equal(response.status, 200);
      assert.equal(await response.text(), "in null");
    }
    await refused({ ...bearer("sb_publishable_x"), "sb-api-key": hs256(claims, "another") }, LEGACY);
    await refused({ ...bearer(hs256(claims, "another")), "sb-api-key": token }, LEGACY);
  });
  it("never asks OPTIONS for a token", async () => assert.equal((await call({}, "OPTIONS")).status, 200));
  it("asks nothing where verify_jwt is off", async () => {
    assert.equal((await call({}, "GET", "open")).status, 200);
    assert.equal((await call(bearer("nonsense"), "GET", "open")).status, 200);
  });
});

describe("verify_jwt without keys", () => {
  it("refuses every token", async () => {
    const functions = new FunctionsFolder();
    functions.deploy("closed", 1, `Deno.serve(() => new Response("in"));`, { verify_jwt: true });
    const runtime = await startRuntime({ functionsDir: functions.folder, env: { SUPABASE_JWKS: "not json" } });
    try {
      for (const token of [hs256(claims, ""), hs256(claims, SECRET), es256(claims, ec), rs256(claims, rsa)]) {
        assert.equal((await fetch(`${runtime.url}/closed`, { headers: bearerOf(token) })).status, 401);
      }
    } finally {
      await runtime.stop();
      functions.remove();
    }
  });
  const bearerOf = (token) => ({ authorization: `Bearer ${token}` });
});
