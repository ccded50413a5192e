// JSON Web Tokens with WebCrypto alone, so that a closed network needs no module from elsewhere.
// HS256 with JWT_SECRET, ES256 and RS256 with the public keys of SUPABASE_JWKS; nothing else verifies.
import { json } from "./reply.ts";

type Jwk = JsonWebKey & { kid?: string };
type Claims = Record<string, unknown>;
type Key = { kid?: string; key: CryptoKey };
type Verified = { claims: Claims } | { code: string; message: string };

/** How many verified tokens are remembered, and of what length; others are verified each time. */
const MOST_REMEMBERED = 1000;
const LONGEST_REMEMBERED = 4096;

const BASE64URL = /^[A-Za-z0-9_-]+$/;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** RFC 7515: no padding, no other alphabet, and (RFC 4648 3.5) no bits set beyond the last byte. */
function decodeBase64url(text: string): Uint8Array<ArrayBuffer> {
  if (!BASE64URL.test(text) || text.length % 4 === 1) throw new TypeError("not base64url");
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  if (btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "") !== text) {
    throw new TypeError("not canonical base64url");
  }
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function decodeObject(text: string): Record<string, unknown> {
  const value = JSON.parse(utf8.decode(decodeBase64url(text)));
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError("not an object");
  return value;
}

export function parseJwks(text: string | undefined): Jwk[] {
  try {
    const keys = JSON.parse(text ?? "").keys;
    return Array.isArray(keys) ? keys.filter((key) => typeof key === "object" && key !== null) : [];
  } catch {
    return [];
  }
}

/** Equal in a time that depends on the lengths only. */
export function sameText(a: string, b: string): boolean {
  const left = new TextEncoder().encode(a), right = new TextEncoder().encode(b);
  let difference = left.length ^ right.length;
  for (let i = 0; i < left.length; i++) difference |= left[i] ^ (right[i % (right.length || 1)] ?? 0);
  return difference === 0;
}

const refuse = (code: string, message = "Invalid JWT") => ({ code, message });
const BAD_FORMAT = refuse("UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT format");

export class Verifier {
  readonly #secret: Promise<CryptoKey> | null;
  readonly #ec: Promise<Key[]>;
  readonly #rsa: Promise<Key[]>;
  readonly #opaque: string[];
  readonly #remembered = new Map<string, Claims>();

  constructor(env: Record<string, string>) {
    const jwks = parseJwks(env.SUPABASE_JWKS);
    this.#secret = env.JWT_SECRET
      ? crypto.subtle.importKey(
        "raw",
        new TextEncoder().encode(env.JWT_SECRET),
        { name: "HMAC", hash: "SHA-256" },
        false,
        ["verify"],
      )
      : null;
    // A key is imported for exactly one algorithm, the one its type and curve allow: a public key can
    // therefore never be taken for a shared secret, whatever a token's header says.
    this.#ec = importAll(
      jwks.filter((key) => key.kty === "EC" && key.crv === "P-256" && (key.alg ?? "ES256") === "ES256"),
      { name: "ECDSA", namedCurve: "P-256" },
    );
    this.#rsa = importAll(
      jwks.filter((key) => key.kty === "RSA" && (key.alg ?? "RS256") === "RS256"),
      { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    );
    this.#opaque = [env.SUPABASE_SECRET_KEY, ...secretValues(env.SUPABASE_SECRET_KEYS)].filter((key) => !!key);
  }

  /** Keys stay the same as long as the service runs, so that a good signature stays good; the times of a token count anew. */
  async verify(token: string): Promise<Verified> {
    const claims = this.#remembered.get(token);
    if (claims && inTime(claims)) return { claims };
    const result = await this.#verify(token);
    if ("claims" in result && token.length <= LONGEST_REMEMBERED) {
      this.#remembered.set(token, result.claims);
      if (this.#remembered.size > MOST_REMEMBERED) this.#remembered.delete(this.#remembered.keys().next().value!);
    }
    return result;
  }

  async #verify(token: string): Promise<Verified> {
    const parts = token.split(".");
    let header: Record<string, unknown>, claims: Claims, signature: Uint8Array<ArrayBuffer>;
    try {
      if (parts.length !== 3) return BAD_FORMAT;
      header = decodeObject(parts[0]);
      claims = decodeObject(parts[1]);
      signature = decodeBase64url(parts[2]);
    } catch {
      return BAD_FORMAT;
    }

    const signed = new TextEncoder().encode(`${parts[0]}.${parts[1]}`);
    switch (header.alg) {
      case "HS256": {
        const failure = refuse("UNAUTHORIZED_LEGACY_JWT");
        if (!this.#secret || !isPlain(header) || !inTime(claims)) return failure;
        return await crypto.subtle.verify("HMAC", await this.#secret, signature, signed) ? { claims } : failure;
      }
      case "ES256":
      case "RS256": {
        const failure = refuse("UNAUTHORIZED_ASYMMETRIC_JWT");
        const key = select(await (header.alg === "ES256" ? this.#ec : this.#rsa), header.kid);
        if (!key || !isPlain(header) || !inTime(claims)) return failure;
        const algorithm = header.alg === "ES256" ? { name: "ECDSA", hash: "SHA-256" } : "RSASSA-PKCS1-v1_5";
        return await crypto.subtle.verify(algorithm, key, signature, signed) ? { claims } : failure;
      }
      default:
        return typeof header.alg === "string"
          ? refuse("UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM", `Unsupported JWT algorithm ${header.alg}`)
          : BAD_FORMAT;
    }
  }

  /** The answer for a request that may not pass, or null. OPTIONS is a preflight and carries no token. */
  async check(request: Request): Promise<Response | null> {
    if (request.method === "OPTIONS") return null;
    const token = presented(request);
    const result = typeof token === "string" ? await this.verify(token) : token;
    if ("claims" in result) return null;
    return json(401, { code: result.code, message: result.message, msg: result.message }, {
      "sb-error-code": result.code,
      "access-control-expose-headers": "sb-error-code",
    });
  }

  /** Does the caller hold a service_role token or a secret key? That may choose a version. */
  async isOperator(request: Request): Promise<boolean> {
    for (const credential of [bearer(request), request.headers.get("apikey")]) {
      if (!credential) continue;
      if (this.#opaque.some((key) => sameText(credential, key))) return true;
      const result = await this.verify(credential);
      if ("claims" in result && result.claims.role === "service_role") return true;
    }
    return false;
  }
}

function bearer(request: Request): string | null {
  const parts = (request.headers.get("authorization") ?? "").split(" ");
  return parts.length === 2 && parts[0] === "Bearer" && parts[1] ? parts[1] : null;
}

/**
 * The token that counts. The runtime never takes an opaque `sb_…` key for a token: the gateway puts the
 * token that belongs to such a key into `sb-api-key`, and then that one is verified.
 */
function presented(request: Request): string | { code: string; message: string } {
  const fromGateway = request.headers.get("sb-api-key")?.replace(/^Bearer /, "").trim();
  if (!request.headers.get("authorization") && !fromGateway) {
    return refuse("UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header");
  }
  const token = bearer(request);
  return (!token || token.startsWith("sb_") ? fromGateway : token) || BAD_FORMAT;
}

async function importAll(jwks: Jwk[], algorithm: RsaHashedImportParams | EcKeyImportParams): Promise<Key[]> {
  const keys: Key[] = [];
  for (const jwk of jwks) {
    if (jwk.use !== undefined && jwk.use !== "sig") continue;
    try {
      // Only the public members: a set that carries private ones still verifies, and no more than that.
      const { kty, crv, x, y, n, e } = jwk;
      const key = await crypto.subtle.importKey("jwk", { kty, crv, x, y, n, e }, algorithm, false, ["verify"]);
      const bits = (key.algorithm as RsaKeyAlgorithm).modulusLength;
      if (bits === undefined || bits >= 2048) keys.push({ kid: jwk.kid, key });
    } catch {
      console.error("SUPABASE_JWKS: a key is not usable and is left out");
    }
  }
  return keys;
}

/** By `kid` where the token names one; without, only where there is nothing to choose. */
function select(keys: Key[], kid: unknown): CryptoKey | undefined {
  const candidates = kid === undefined ? keys : keys.filter((key) => key.kid === kid);
  return candidates.length === 1 ? candidates[0].key : undefined;
}

/** RFC 7515 4.1.11: an extension that is marked critical and not understood invalidates the token. */
function isPlain(header: Record<string, unknown>): boolean {
  return header.crit === undefined && (header.b64 ?? true) === true;
}

function inTime({ exp, nbf }: Claims): boolean {
  const now = Date.now() / 1000;
  if (exp !== undefined && !(typeof exp === "number" && exp > now)) return false;
  return nbf === undefined || (typeof nbf === "number" && nbf <= now);
}

/** SUPABASE_SECRET_KEYS is an object of named keys; some write an array. */
function secretValues(text: string | undefined): string[] {
  try {
    return Object.values(JSON.parse(text ?? "")).filter((value) => typeof value === "string");
  } catch {
    return [];
  }
}
