// The main service of functions-admin for supabase/edge-runtime: decides, for each call, which version of
// which function answers it, and who may call. docs/runtime.md explains it.
import { Verifier } from "./auth.ts";
import { Counts } from "./counts.ts";
import { platformValues } from "./env.ts";
import { Internal } from "./internal.ts";
import { isFunctionName, State, type Version } from "./manifest.ts";
import { json, notFound, workerFailure } from "./reply.ts";
import { choose } from "./traffic.ts";
import { copyRequest, Workers } from "./worker.ts";
import { batchesFor } from "./batches.ts";

/** Ours, and of no concern to functions; a caller must not reach a worker with the boot header. */
const isPrivate = (name: string) => name.startsWith("x-functions-admin-") || name === "sb-api-key";
const OVERRIDE = "x-functions-admin-version";

const env = Deno.env.toObject();

// The runtime cannot load an entrypoint through a symbolic link, so the folder is resolved once.
function functionsFolder(): string {
  const folder = env.FUNCTIONS_ADMIN_FUNCTIONS_DIR || "/home/deno/functions";
  try {
    return Deno.realPathSync(folder);
  } catch {
    return folder.replace(/\/+$/, "");
  }
}

const state = new State(functionsFolder(), env.FUNCTIONS_ADMIN_SECRETS_DIR || undefined);
const verifier = new Verifier(env);
const workers = new Workers(state, platformValues(env));
const calls = batchesFor(env, functionsFolder());
const counts = new Counts();
const internal = new Internal(state, workers, counts, env.FUNCTIONS_ADMIN_RUNTIME_TOKEN);

function toFunction(request: Request): Request {
  // Each step of an iterator over headers sorts them anew; forEach sorts them once.
  const names: string[] = [];
  request.headers.forEach((_, name) => {
    if (isPrivate(name)) names.push(name);
  });
  if (names.length === 0) return request;

  const headers = new Headers(request.headers);
  for (const name of names) headers.delete(name);
  // deno-lint-ignore no-explicit-any
  const init: any = { method: request.method, headers, body: request.body, signal: request.signal, duplex: "half" };
  return copyRequest(request, init);
}

async function route(request: Request): Promise<Response> {
  state.look();
  const { pathname } = new URL(request.url);
  if (pathname === "/_internal" || pathname.startsWith("/_internal/")) {
    return await internal.handle(request, pathname);
  }

  const slug = pathname.split("/")[1] ?? "";
  if (slug === "") {
    return json(400, { code: "BAD_REQUEST", message: "The path does not name a function.", msg: "missing function name in request" });
  }
  const deployed = isFunctionName(slug) ? state.manifest.functions.get(slug) : undefined;
  if (!deployed) return notFound(isFunctionName(slug) ? slug : slug.slice(0, 128));

  let version: Version | null | undefined = null;
  const wanted = request.headers.get(OVERRIDE);
  if (wanted !== null && await verifier.isOperator(request)) {
    version = deployed.versions.find((each) => String(each.version) === wanted);
    if (!version) {
      return json(404, {
        code: "NOT_FOUND",
        message: `Version ${wanted.slice(0, 20)} of "${slug}" is not on this host. ` +
          "HINT: only versions that have a traffic entry, which may be 0 percent, can be chosen.",
      });
    }
  }
  version ??= choose(deployed, request.headers);
  if (!version) return notFound(slug);

  if (version.verify_jwt) {
    const refusal = await verifier.check(request);
    if (refusal) return named(refusal, slug, version);
  }
  const at = Date.now(), started = performance.now();
  let response: Response;
  try {
    response = await workers.call(slug, version, toFunction(request));
  } catch (error) {
    console.error(`${slug}; version=${version.version}: ${(error as Error)?.name}: ${(error as Error)?.message}`);
    response = workerFailure(error);
  }
  // The path is left out: its query may hold what no log should.
  const { status } = response;
  counts.add(slug, version.version, status);
  calls.add({
    at, slug, version: version.version, kind: "call", level: status >= 500 ? "error" : "info",
    message: `${request.method} ${status}`, status, ms: Math.round(performance.now() - started),
  });
  return named(response, slug, version);
}

function named(response: Response, slug: string, version: Version): Response {
  const value = `${slug}; version=${version.version}`;
  try {
    response.headers.set("x-edge-function", value);
    return response;
  } catch {
    // An upgraded connection's response is fixed, and must stay the object that it is.
    return response;
  }
}

Deno.serve({
  handler: route,
  onError: (error) => {
    console.error(`request failed: ${(error as Error)?.name}: ${(error as Error)?.message}`);
    return workerFailure(error);
  },
});
