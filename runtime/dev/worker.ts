// One user worker: a Deno process of its own, which this side starts, talks to, and ends.
import { InvalidWorkerCreation, InvalidWorkerResponse, WorkerRequestCancelled } from "./errors.ts";
import { unpack } from "./eszip.ts";
import { report } from "./events.ts";
import { globToRegExp, prepare, type Prepared } from "./service.ts";

export type CreateOptions = {
  servicePath: string;
  memoryLimitMb?: number | null;
  workerTimeoutMs?: number | null;
  cpuTimeHardLimitMs?: number | null;
  envVars?: [string, string][];
  forceCreate?: boolean;
  noNpm?: boolean;
  allowRemoteModules?: boolean;
  importMapPath?: string | null;
  context?: { importMapPath?: string | null };
  maybeEszip?: Uint8Array | null;
  maybeEntrypoint?: string | null;
  maybeModuleCode?: string | null;
  staticPatterns?: string[];
};

type Hooks = { onFree(): void; onGone(): void };
type Reason = "EventLoopCompleted" | "WallClockTime" | "CPUTime" | "EarlyDrop" | "TerminationRequested";

const BOOTSTRAP = new URL("./bootstrap.ts", import.meta.url);
const FOLDER = new URL(".", import.meta.url).pathname;

/** What Deno itself needs to find its cache, certificates and registry; workers do not see it. */
const FOR_DENO = /^(HOME|PATH|XDG_CACHE_HOME|DENO_.*|SSL_CERT_.*|NPM_CONFIG_REGISTRY|(HTTPS?|NO)_PROXY|(https?|no)_proxy)$/;

function deferred<T>() {
  const both = Promise.withResolvers<T>();
  // Nobody may be waiting when a worker ends; that is no unhandled rejection.
  both.promise.catch(() => {});
  return both;
}

export class Worker {
  static received = 0;
  static handled = 0;

  readonly id = crypto.randomUUID();
  isFree = true;
  isRetired = false;
  requests = 0;

  readonly #linked = deferred<void>();
  readonly #listening = deferred<number>();
  readonly #ended = deferred<never>();
  readonly #started = performance.now();
  readonly #scratch: string;
  readonly #timers: ReturnType<typeof setTimeout>[] = [];
  #process: Deno.ChildProcess | null = null;
  #client: Deno.HttpClient | null = null;
  #exception: string | null = null;
  #reason: Reason | null = null;

  constructor(readonly options: CreateOptions, scratch: string, readonly hooks: Hooks) {
    this.#scratch = `${scratch}/${this.id}`;
    Deno.mkdirSync(`${this.#scratch}/tmp`, { recursive: true });
    this.#run().catch((error) => this.#over(new InvalidWorkerCreation(`worker boot error: ${error.message}`)));
  }

  /** Resolves when the module graph is loaded and linked; evaluation goes on from there. */
  linked(): Promise<void> {
    return this.#linked.promise;
  }

  get #metadata() {
    return { service_path: this.options.servicePath, execution_id: this.id };
  }

  async #run() {
    const { options } = this;
    const unpacked = options.maybeEszip
      ? await unpack(options.maybeEszip, options.maybeEntrypoint ?? "", `${this.#scratch}/eszip`)
      : null;
    const service = unpacked ?? prepare(options);
    const nonce = crypto.randomUUID();
    this.#process = this.#spawn(service);

    const writer = this.#process.stdin.getWriter();
    const config = {
      nonce,
      entrypoint: service.entrypoint,
      env: [...options.envVars ?? [], ["SB_EXECUTION_ID", this.id]],
      scratch: `${this.#scratch}/tmp`,
      statics: (options.staticPatterns ?? []).map((pattern) => globToRegExp(pattern).source),
      usesNodeHttp: service.usesNodeHttp,
    };
    await writer.write(new TextEncoder().encode(JSON.stringify(config) + "\n"));
    // Held open: its end tells the process that we are gone, however we went.
    writer.releaseLock();

    const read = this.#read(this.#process.stdout, nonce);
    const status = await this.#process.status;
    await read;
    this.#over(this.#causeOfEnd(status));
  }

  #spawn(service: Prepared): Deno.ChildProcess {
    const { options } = this;
    const cpuSeconds = Math.ceil((options.cpuTimeHardLimitMs || 0) / 1000);
    const env = Object.fromEntries(Object.entries(Deno.env.toObject()).filter(([name]) => FOR_DENO.test(name)));
    return new Deno.Command("/bin/sh", {
      args: [
        // The kernel holds the limit of processor time, even for a process that outlives us.
        "-c",
        `${cpuSeconds ? `ulimit -t ${cpuSeconds}; ` : ""}exec "$0" "$@"`,
        Deno.execPath(),
        "run",
        "--quiet",
        "--no-prompt",
        "--no-lock",
        "--unstable-no-legacy-abort",
        ...service.config ? [`--config=${service.config}`] : ["--no-config"],
        ...service.importMap ? [`--import-map=${service.importMap}`] : [],
        ...options.allowRemoteModules === false ? ["--no-remote"] : [],
        "--allow-net",
        "--allow-env",
        "--allow-import",
        "--allow-sys=hostname",
        `--allow-read=${[service.root, this.#scratch, FOLDER].join(",")}`,
        `--allow-write=${this.#scratch}`,
        `--v8-flags=--max-old-space-size=${options.memoryLimitMb || 150}`,
        BOOTSTRAP.pathname,
      ],
      clearEnv: true,
      // A network with a certificate authority of its own has told the system about it, not Deno.
      env: { DENO_TLS_CA_STORE: "system,mozilla", ...env, DENO_NO_PACKAGE_JSON: "1", DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", TMPDIR: this.#scratch },
      cwd: this.#scratch,
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
  }

  /** Messages are lines that begin with the worker's nonce; what else it prints is not for us. */
  async #read(stdout: ReadableStream<Uint8Array>, nonce: string) {
    let rest = "";
    for await (const text of stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (line.startsWith(nonce)) this.#message(JSON.parse(line.slice(nonce.length)));
    }
  }

  // deno-lint-ignore no-explicit-any
  #message(message: any) {
    switch (message.type) {
      case "linked":
        this.#setClocks();
        report("Boot", { boot_time: Math.round(performance.now() - this.#started) }, this.#metadata);
        this.#linked.resolve();
        break;
      case "listening":
        this.#client = Deno.createHttpClient({
          // The URL of a request stays what the caller sent; only the connection goes to the worker.
          proxy: { transport: "tcp", hostname: "127.0.0.1", port: message.port },
        });
        this.#listening.resolve(message.port);
        break;
      case "not linked":
        report("BootFailure", { msg: message.message }, this.#metadata);
        this.#linked.reject(
          new InvalidWorkerCreation(`worker boot error: failed to bootstrap runtime: failed to create the graph: ${message.message}`),
        );
        break;
      case "exception":
        this.#exception = message.message;
        break;
      case "log":
        report("Log", { msg: message.msg, level: message.level }, this.#metadata);
        break;
    }
  }

  /** At half of its time a worker takes nothing new, at the end it is stopped. */
  #setClocks() {
    const wall = this.options.workerTimeoutMs ?? 60_000;
    if (wall === 0) return;
    this.#timers.push(
      setTimeout(() => this.retire("WallClockTime"), wall / 2),
      setTimeout(() => this.retire("WallClockTime", true), wall),
    );
  }

  /** No new requests; ended at once when it has none, or when `now`. */
  retire(reason: Reason, now = false) {
    this.isRetired = true;
    if (now || this.requests === 0) {
      this.#reason ??= reason;
      try {
        this.#process?.kill("SIGKILL");
      } catch { /* it has ended by itself */ }
    }
  }

  #causeOfEnd(status: Deno.CommandStatus): Error {
    if (this.#exception) {
      report("UncaughtException", { exception: this.#exception, cpu_time_used: 0 }, this.#metadata);
      return new InvalidWorkerResponse(this.#exception);
    }
    // A signal that we did not send is the kernel's or V8's: processor time or memory.
    const reason = this.#reason ?? (status.signal || status.code > 128 ? "CPUTime" : "EventLoopCompleted");
    report("Shutdown", { reason, cpu_time_used: 0, memory_used: { total: 0, heap: 0, external: 0 } }, this.#metadata);
    return reason === "EventLoopCompleted"
      ? new InvalidWorkerResponse("the function ended without listening for requests")
      : new WorkerRequestCancelled("request has been cancelled by supervisor");
  }

  #over(error: Error) {
    this.isRetired = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#linked.reject(error instanceof InvalidWorkerCreation ? error : new InvalidWorkerCreation(`worker boot error: ${error.message}`));
    this.#listening.reject(error);
    this.#ended.reject(error);
    this.#client?.close();
    try {
      Deno.removeSync(this.#scratch, { recursive: true });
    } catch { /* a file that is still open elsewhere keeps it; the next clean-up of the temp folder takes it */ }
    this.hooks.onGone();
  }

  async fetch(request: Request, original: Request, signal?: AbortSignal): Promise<Response> {
    Worker.received++;
    this.requests++;
    let isOver = false;
    const over = () => {
      if (isOver) return;
      isOver = true;
      Worker.handled++;
      this.requests--;
      if (this.isRetired && this.requests === 0) this.retire("EarlyDrop");
      this.hooks.onFree();
    };
    try {
      signal?.throwIfAborted();
      const port = await Promise.race([this.#listening.promise, this.#ended.promise]);
      if (request.headers.get("upgrade")?.toLowerCase() === "websocket") {
        return await this.#webSocket(request, original, port, over);
      }
      const response = await Promise.race([
        fetch(request.url, {
          method: request.method,
          headers: request.headers,
          body: request.body,
          redirect: "manual",
          client: this.#client!,
          signal,
          // deno-lint-ignore no-explicit-any
        } as any),
        this.#ended.promise,
      ]);
      return this.#forward(response, over);
    } catch (error) {
      over();
      // The connection breaks a moment before the end of the process is known, which has the reason.
      if (error instanceof TypeError && !signal?.aborted) {
        const soon = new Promise<void>((resolve) => setTimeout(resolve, 500));
        await Promise.race([this.#ended.promise, soon]);
        throw new InvalidWorkerResponse(error.message);
      }
      throw error;
    }
  }

  /** The request is over when its body has been read, not when its headers came. */
  #forward(response: Response, over: () => void): Response {
    const { status, statusText, headers } = response;
    if (!response.body || [204, 205, 304].includes(status)) {
      over();
      return new Response(null, { status, statusText, headers });
    }
    const reader = response.body.getReader();
    const body = new ReadableStream({
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        over();
      },
      async cancel(reason) {
        over();
        await reader.cancel(reason);
      },
    });
    return new Response(body, { status, statusText, headers });
  }

  async #webSocket(request: Request, original: Request, port: number, over: () => void): Promise<Response> {
    const url = new URL(request.url);
    const protocols = request.headers.get("sec-websocket-protocol")?.split(",").map((each) => each.trim()) ?? [];
    const headers = new Headers(request.headers);
    for (const name of [...headers.keys()]) {
      if (/^(connection|upgrade|host|sec-websocket-.*)$/.test(name)) headers.delete(name);
    }
    const inner = new WebSocket(`ws://127.0.0.1:${port}${url.pathname}${url.search}`, {
      protocols,
      headers,
      // deno-lint-ignore no-explicit-any
    } as any);
    inner.binaryType = "arraybuffer";
    const refused = await new Promise<boolean>((resolve) => {
      inner.onopen = () => resolve(false);
      inner.onerror = () => resolve(true);
    });
    if (refused) {
      over();
      return new Response("Bad Gateway", { status: 502 });
    }
    const { socket: outer, response } = Deno.upgradeWebSocket(original, inner.protocol ? { protocol: inner.protocol } : {});
    outer.binaryType = "arraybuffer";
    const early: (string | ArrayBuffer)[] = [];
    inner.onmessage = ({ data }) => outer.readyState === WebSocket.OPEN ? outer.send(data) : early.push(data);
    outer.onopen = () => early.forEach((data) => outer.send(data));
    outer.onmessage = ({ data }) => inner.readyState === WebSocket.OPEN && inner.send(data);
    const end = (other: WebSocket) => ({ code, reason }: CloseEvent) => {
      over();
      if (other.readyState <= WebSocket.OPEN) other.close(code === 1000 || code >= 3000 ? code : 1000, reason);
    };
    inner.onclose = end(outer);
    outer.onclose = end(inner);
    inner.onerror = outer.onerror = () => {};
    return response;
  }
}
