// From a version in the manifest to a worker of the edge runtime.
import type { Secrets, State, Version } from "./manifest.ts";
import { functionEnv, revisionOf } from "./env.ts";
import { allowsRemote, checkImports } from "./imports.ts";
import { CannotBoot } from "./reply.ts";
import { hash } from "./traffic.ts";

export const BOOT_HEADER = "x-functions-admin-boot";

/** The values of Supabase's own main service for self-hosting. */
const MEMORY_MB = 150;
const WALL_MS = 60_000;
const CPU_SOFT_MS = 10_000;
const CPU_HARD_MS = 20_000;

/** Bundles are kept in memory, since the runtime wants the bytes with each call. */
const BUNDLE_CACHE_BYTES = 128 * 1024 * 1024;

type Worker = { fetch(request: Request): Promise<Response> };
// deno-lint-ignore no-explicit-any
declare const EdgeRuntime: any;

/** What is worked out once for a version of the manifest and a revision of the secrets. */
type Plan = { revision: number; servicePath: string; options: Promise<Record<string, unknown>> | null };

export class Workers {
  readonly #bundles = new Map<string, Uint8Array>();
  readonly #plans = new WeakMap<Version, Plan>();
  readonly #bootKey = crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, false, ["sign"]);

  constructor(readonly state: State, readonly platform: Record<string, string>) {}

  /**
   * The runtime keeps its workers by the service path, so that names all that a running worker cannot
   * change: the release, and a hash of its settings and of the revision of its secrets. A change of any of
   * them is a new worker on the next call, under every policy. (`forceCreate` would leave the old one in turn.)
   */
  #plan(version: Version, secrets: Secrets): Plan {
    const known = this.#plans.get(version);
    if (known?.revision === secrets.revision) return known;
    const { path, entrypoint, import_map, static_patterns, limits, imports, platform } = version;
    const settings = [entrypoint, import_map, static_patterns, limits, imports, platform, revisionOf(version, secrets)];
    const key = hash(JSON.stringify(settings)).toString(16).padStart(8, "0");
    const servicePath = `${this.state.folder}/${path}@${key}`;
    const plan = { revision: secrets.revision, servicePath, options: null };
    this.#plans.set(version, plan);
    return plan;
  }

  servicePath(version: Version): string {
    return this.#plan(version, this.state.secrets).servicePath;
  }

  async #create(slug: string, version: Version): Promise<Worker> {
    const secrets = this.state.secrets;
    const plan = this.#plan(version, secrets);
    // What was missing may be there with the next call: only an answer is kept, not a failure.
    plan.options ??= this.#optionsFor(slug, version, secrets, plan.servicePath)
      .catch((error) => {
        plan.options = null;
        throw error;
      });
    const options = await plan.options;
    return await EdgeRuntime.userWorkers.create(
      version.kind === "eszip" ? { ...options, maybeEszip: this.#bundle(version) } : options,
    );
  }

  /** A secret for one worker, which no other worker can know or compute. */
  async bootSecret(servicePath: string): Promise<string> {
    const mac = await crypto.subtle.sign("HMAC", await this.#bootKey, new TextEncoder().encode(servicePath));
    return Array.from(new Uint8Array(mac), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  async #optionsFor(slug: string, version: Version, secrets: Secrets, servicePath: string) {
    const folder = `${this.state.folder}/${version.path}`;
    const isSource = version.kind === "source";
    const importMapPath = isSource && version.import_map ? `${folder}/${version.import_map}` : null;
    const env = functionEnv(slug, version, secrets, this.platform);
    // A bundle has no boot.ts that would take the secret away again, and is checked without it.
    if (isSource) env.FUNCTIONS_ADMIN_BOOT_SECRET = await this.bootSecret(servicePath);
    readRelease(() => checkImports(folder, version));

    const limits = version.limits ?? {};
    return {
      servicePath,
      memoryLimitMb: limits.memory_mb ?? MEMORY_MB,
      workerTimeoutMs: limits.wall_ms ?? WALL_MS,
      cpuTimeSoftLimitMs: limits.cpu_soft_ms ?? CPU_SOFT_MS,
      cpuTimeHardLimitMs: limits.cpu_hard_ms ?? CPU_HARD_MS,
      noModuleCache: false,
      // Only keeps the runtime from looking for a package.json in the folders above the release.
      noNpm: true,
      allowRemoteModules: allowsRemote(version),
      // Where the import map is told has changed between releases of the runtime: both are filled.
      importMapPath,
      context: { useReadSyncFileAPI: true, importMapPath },
      envVars: Object.entries(env),
      forceCreate: false,
      customModuleRoot: "",
      decoratorType: "tc39",
      maybeEntrypoint: isSource ? fileUrl(`${folder}/index.ts`) : version.entrypoint,
      staticPatterns: isSource ? (version.static_patterns ?? []).map((pattern) => `${folder}/${pattern}`) : [],
    };
  }

  #bundle(version: Version): Uint8Array {
    const path = `${this.state.folder}/${version.path}/bundle.eszip`;
    let bytes = this.#bundles.get(path);
    // The order of the map is the order of use: the first is the one longest not called.
    if (bytes) this.#bundles.delete(path);
    else bytes = readRelease(() => Deno.readFileSync(path));
    this.#bundles.set(path, bytes);
    let total = 0;
    for (const bundle of this.#bundles.values()) total += bundle.length;
    for (const [oldest, bundle] of this.#bundles) {
      if (total <= BUNDLE_CACHE_BYTES || oldest === path) break;
      this.#bundles.delete(oldest);
      total -= bundle.length;
    }
    // The runtime may take the buffer itself: it gets a copy.
    return bytes.slice();
  }

  /** Hands a request to a worker; a worker that retired in between is asked for again. */
  async call(slug: string, version: Version, request: Request): Promise<Response> {
    for (let attempt = 1;; attempt++) {
      try {
        const worker = await this.#create(slug, version);
        return await worker.fetch(request);
      } catch (error) {
        const retired = (error as Error | null)?.name === "WorkerAlreadyRetired";
        // A body that was begun cannot be sent twice.
        if (!retired || attempt === 5 || request.bodyUsed) throw error;
      }
    }
  }
}

/** A release that is not where the manifest says is a version that cannot boot. */
function readRelease<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof CannotBoot) throw error;
    throw new CannotBoot(`the release cannot be read (${(error as Error).name})`);
  }
}

export function fileUrl(path: string): string {
  return new URL(`file://${path.split("/").map(encodeURIComponent).join("/")}`).href;
}

/** The runtime ties a request to its connection with a tag, which a copy must be given. */
export function copyRequest(request: Request, init: RequestInit, url = request.url): Request {
  const copy = new Request(url, init);
  EdgeRuntime.applySupabaseTag?.(request, copy);
  return copy;
}
