// The endpoints below /_internal: for functions-admin and for health checks, not for callers.
import type { Counts } from "./counts.ts";
import { checkVersion, isFunctionName, type State, type Version } from "./manifest.ts";
import { sameText } from "./auth.ts";
import { json } from "./reply.ts";
import { BOOT_HEADER, copyRequest, fileUrl, type Workers } from "./worker.ts";

/** A function that does not listen by then is taken for one that never will. */
const BOOT_TIMEOUT_MS = 20_000;

// deno-lint-ignore no-explicit-any
declare const EdgeRuntime: any;

export class Internal {
  constructor(
    readonly state: State,
    readonly workers: Workers,
    readonly counts: Counts,
    readonly tokenFromEnv: string | undefined,
  ) {}

  async handle(request: Request, path: string): Promise<Response> {
    // Says nothing but that the main service runs, and container health checks know no token.
    if (path === "/_internal/health") return json(200, { message: "ok" });
    if (!this.#isTrusted(request)) {
      return json(403, { code: "FORBIDDEN", message: "This endpoint is for functions-admin only." });
    }
    switch (`${request.method} ${path}`) {
      case "GET /_internal/metric":
        return json(200, await EdgeRuntime.getRuntimeMetrics());
      case "GET /_internal/generation": {
        const { project, generation } = this.state.manifest;
        return json(200, { project, generation, secrets_revision: this.state.secrets.revision });
      }
      case "GET /_internal/counts":
        return json(200, { counts: this.counts.all() });
      case "POST /_internal/boot":
        return await this.#boot(request);
      default:
        return json(404, { code: "NOT_FOUND", message: "There is no such internal endpoint." });
    }
  }

  /** Read on each use: the file may be written after the runtime was started, and these calls are few. */
  #token(): string {
    if (this.tokenFromEnv) return this.tokenFromEnv;
    try {
      return Deno.readTextFileSync(`${this.state.folder}/.functions-admin/runtime-token`).trim();
    } catch {
      return "";
    }
  }

  #isTrusted(request: Request): boolean {
    const token = this.#token();
    return token !== "" && sameText(request.headers.get("x-functions-admin-token") ?? "", token);
  }

  async #boot(request: Request): Promise<Response> {
    let slug: string, version: Version;
    try {
      const body = await request.json();
      slug = String(body.slug);
      if (!isFunctionName(slug)) throw new TypeError("slug is not a function's name");
      version = checkVersion(body.version);
    } catch (error) {
      return json(400, { code: "BAD_REQUEST", message: `The boot request is not usable: ${(error as Error).message}` });
    }

    const started = performance.now();
    try {
      const check = await this.#probe(request, slug, version);
      return json(200, { ok: true, check, boot_ms: Math.round(performance.now() - started) });
    } catch (error) {
      const { name, message } = error as Error;
      // Named as its author named it: the path of a release on this host tells a caller nothing.
      const folder = fileUrl(`${this.state.folder}/${version.path}`);
      const told = String(message).replaceAll(`${folder}/source/`, "").replaceAll(`${folder}/`, "");
      return json(200, { ok: false, error: { name: String(name), message: told } });
    }
  }

  /**
   * Creating the worker loads and links the module graph; the request proves that it evaluates and
   * listens. A server that did not come from Deno.serve sees the request itself: it is therefore an
   * OPTIONS, which HTTP defines as safe, and the check is reported as the weaker one.
   */
  async #probe(request: Request, slug: string, version: Version): Promise<"full" | "weak"> {
    const probe = copyRequest(request, {
      method: "OPTIONS",
      headers: { [BOOT_HEADER]: await this.workers.bootSecret(this.workers.servicePath(version)) },
    }, new URL(`/${slug}`, request.url).href);

    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new Error(
          `the function did not listen for requests within ${BOOT_TIMEOUT_MS / 1000} seconds. ` +
            "HINT: call Deno.serve at the top level of the entrypoint.",
        );
        error.name = "BootTimeout";
        reject(error);
      }, BOOT_TIMEOUT_MS);
    });
    try {
      const response = await Promise.race([this.workers.call(slug, version, probe), late]);
      const answered = response.headers.get(BOOT_HEADER) === "answered";
      await response.body?.cancel();
      return answered ? "full" : "weak";
    } finally {
      clearTimeout(timer);
    }
  }
}
