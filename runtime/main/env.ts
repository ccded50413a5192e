// The environment of a function: what the platform gives, what the operator set, and nothing of the
// container's own. JWT_SECRET and the runtime token can therefore not be read by any function.
import type { Secrets, Version } from "./manifest.ts";
import { parseJwks } from "./auth.ts";
import { CannotBoot } from "./reply.ts";

/** What a version may be denied by its `platform` list. SUPABASE_URL is no credential: all get it. */
const CREDENTIALS = [
  "SUPABASE_ANON_KEY",
  "SUPABASE_SERVICE_ROLE_KEY",
  "SUPABASE_DB_URL",
  "SUPABASE_PUBLISHABLE_KEY",
  "SUPABASE_PUBLISHABLE_KEYS",
  "SUPABASE_SECRET_KEY",
  "SUPABASE_SECRET_KEYS",
  "SUPABASE_JWKS",
];

export function platformValues(env: Record<string, string>): Record<string, string> {
  const values: Record<string, string> = {};
  for (const name of ["SUPABASE_URL", ...CREDENTIALS]) if (env[name]) values[name] = env[name];

  // Supabase hands out the keys as an object of named keys; self-hosted ones are configured singly.
  for (const name of ["SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY"]) {
    if (values[name] && !values[`${name}S`]) values[`${name}S`] = JSON.stringify({ default: values[name] });
  }

  // The set may hold the shared secret as an `oct` key, and private halves: functions get public keys.
  const keys = parseJwks(values.SUPABASE_JWKS).flatMap(({ kty, crv, x, y, n, e, kid, alg, use }) =>
    kty === "EC" || kty === "RSA" ? [{ kty, crv, x, y, n, e, kid, alg, use }] : []
  );
  delete values.SUPABASE_JWKS;
  if (keys.length) values.SUPABASE_JWKS = JSON.stringify({ keys });
  return values;
}

export function revisionOf(version: Version, secrets: Secrets): number {
  return version.secrets_revision ?? secrets.revision;
}

/** A name that the platform uses cannot be taken by a secret. */
function operatorValues(values: Record<string, string> | undefined): [string, string][] {
  return Object.entries(values ?? {}).filter(([name]) => !/^(SUPABASE|FUNCTIONS_ADMIN)_/.test(name));
}

export function functionEnv(
  slug: string,
  version: Version,
  secrets: Secrets,
  platform: Record<string, string>,
): Record<string, string> {
  const allowed = version.platform;
  const given = Object.entries(platform).filter(([name]) =>
    !allowed || !CREDENTIALS.includes(name) || allowed.includes(name)
  );
  const pin = version.secrets_revision;
  const set = pin === undefined || pin === secrets.revision ? secrets : secrets.pinned?.[pin];
  // Running with other values than the pinned ones would be a silent lie.
  if (!set) throw new CannotBoot(`revision ${pin} of the secrets is not on this host`);

  return Object.fromEntries([
    ...operatorValues(set.project),
    ...operatorValues(set.functions?.[slug]),
    ...given,
    ["SUPABASE_FUNCTION_SLUG", slug],
    ["SUPABASE_FUNCTION_VERSION", String(version.version)],
  ]);
}
