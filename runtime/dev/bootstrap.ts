// What runs first in a worker's process: makes it a place like a user worker of the edge runtime, then
// loads the function. It is configured by one line on its standard input.
// deno-lint-ignore-file no-explicit-any
type Config = {
  nonce: string;
  entrypoint: string;
  env: [string, string][];
  scratch: string;
  statics: string[];
  usesNodeHttp: boolean;
};

const deno = Deno as any;
const { core, Console } = deno[deno.internal];
const exit = Deno.exit;
const input = new Uint8Array(65536);

/** The line may be as long as a thousand secrets: it is put together once. */
async function readConfig(): Promise<Config> {
  const parts: string[] = [];
  const decoder = new TextDecoder();
  do {
    const count = await Deno.stdin.read(input);
    if (count === null) exit(0);
    parts.push(decoder.decode(input.subarray(0, count!), { stream: true }));
  } while (!parts.at(-1)!.endsWith("\n"));
  return JSON.parse(parts.join(""));
}

/** The pipe ends with the process that started us. Waiting for that must not keep a finished worker alive. */
async function endWithParent() {
  const end = core.read(0, input);
  core.unrefOpPromise(end);
  if (await end === 0) exit(0);
  endWithParent();
}

const config = await readConfig();
endWithParent();

const encoder = new TextEncoder();
function send(message: unknown) {
  const bytes = encoder.encode(config.nonce + JSON.stringify(message) + "\n");
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
// Called by the module between this one and the function; gone before the function is evaluated.
(globalThis as any).__linked = () => {
  delete (globalThis as any).__linked;
  send({ type: "linked" });
};

// Deno reads the environment's certificate settings with its first client: that is now, before they go.
Deno.createHttpClient({}).close();
for (const name of Object.keys(Deno.env.toObject())) Deno.env.delete(name);
for (const [name, value] of config.env) Deno.env.set(name, value);

const LEVELS = ["Debug", "Info", "Warning", "Error"];
globalThis.console = new Console((msg: string, level: number) => send({ type: "log", msg, level: LEVELS[level] ?? "Info" }));

// ---- Listening: whatever address a function asks for, its requests come through the pool.

const serve = Deno.serve;
const listen = Deno.listen;
const announce = (port: number) => send({ type: "listening", port });
const LOCAL = { hostname: "127.0.0.1", port: 0 };

deno.serve = (first: any, second?: any) => {
  const handler = [first, second, first?.handler].find((each) => typeof each === "function");
  if (!handler) throw new TypeError("A handler function must be provided.");
  const onError = typeof first === "object" && typeof first.onError === "function" ? first.onError : undefined;
  return serve({
    ...LOCAL,
    onError: onError ?? ((error) => {
      console.error(error);
      return new Response("Internal Server Error", { status: 500 });
    }),
    onListen: ({ port }) => {
      announce(port);
      if (typeof first === "object") first.onListen?.({ hostname: "0.0.0.0", port: 9999 });
    },
  }, async (request, info) => {
    const response = await handler(request, info);
    if (response instanceof Response) return response;
    console.error(new TypeError("the handler did not answer with a Response"));
    return new Response("Bad Gateway", { status: 502 });
  });
};
deno.listen = (options: any) => {
  const listener = listen({ ...options, ...LOCAL });
  announce((listener.addr as Deno.NetAddr).port);
  return listener;
};
if (config.usesNodeHttp) {
  const { Server } = await import("node:http");
  const listenNode = Server.prototype.listen as any;
  (Server.prototype as any).listen = function (this: any, ...args: any[]) {
    const listening = args.findLast((each) => typeof each === "function");
    return listenNode.call(this, LOCAL.port, LOCAL.hostname, () => {
      announce(this.address().port);
      listening?.call(this);
    });
  };
}

// ---- Files: a user worker reads its static files and has a /tmp of its own, nothing else.

let isEvaluating = true;
const statics = config.statics.map((source) => new RegExp(source));

function place(path: string | URL, isWrite: boolean): string {
  const text = path instanceof URL ? decodeURIComponent(path.pathname) : path;
  const absolute = new URL(text.startsWith("/") ? `file://${text}` : `file:///tmp/${text}`).pathname;
  const plain = decodeURIComponent(absolute);
  if (plain === config.scratch || plain.startsWith(config.scratch + "/")) return plain;
  if (plain === "/tmp" || plain.startsWith("/tmp/")) return config.scratch + plain.slice("/tmp".length);
  if (isWrite) throw new Deno.errors.PermissionDenied(`only /tmp can be written: ${text}`);
  if (statics.some((pattern) => pattern.test(plain))) return plain;
  throw new Deno.errors.NotFound(`No such file or directory (os error 2): ${text}`);
}

const READS = ["open", "stat", "lstat", "realPath", "readFile", "readTextFile", "readDir"];
const WRITES = ["create", "remove", "writeFile", "writeTextFile", "mkdir"];
const TEMPORARY = ["makeTempDir", "makeTempFile"];
const OTHERS = [
  "chmod", "chown", "copyFile", "readLink", "rename", "truncate", "symlink", "link", "utime",
];

for (const name of [...READS, ...WRITES, ...TEMPORARY]) {
  const isWrite = WRITES.includes(name);
  for (const variant of [name, `${name}Sync`]) {
    const original = deno[variant];
    const isSync = variant !== name;
    const late = isSync && !["readFileSync", "readTextFileSync", "realPathSync"].includes(variant);
    if (!original) continue;
    const guarded = (...args: any[]) => {
      if (late && !isEvaluating) {
        throw new Deno.errors.PermissionDenied(`Deno.${variant} is blocklisted on the current context`);
      }
      if (TEMPORARY.includes(name)) return original({ ...args[0], dir: config.scratch });
      const [path, ...rest] = args;
      const writes = isWrite || (name === "open" && (rest[0]?.write || rest[0]?.append || rest[0]?.create));
      return original(place(path, writes), ...rest);
    };
    // A refusal of an asynchronous call is a rejected promise; readDir gives an iterable, not a promise.
    deno[variant] = isSync || name === "readDir" ? guarded : async (...args: any[]) => await guarded(...args);
  }
}
for (const name of [...OTHERS, ...OTHERS.map((each) => `${each}Sync`), "chdir", "openSync", "createSync"]) {
  deno[name] = () => {
    throw new Deno.errors.PermissionDenied(`Deno.${name} is blocklisted`);
  };
}
deno.cwd = () => "";
for (const name of ["exit", "kill", "addSignalListener", "removeSignalListener"]) deno[name] = () => {};

(globalThis as any).EdgeRuntime = { waitUntil: (promise: Promise<unknown>) => promise };

// ---- Loading. The wrapper's first import is evaluated once all is loaded and linked, before the function.

const linked = "data:application/javascript,__linked();";
const wrapper = `import "${linked}"; import * as main from ${JSON.stringify(config.entrypoint)}; export default main;`;

const OWN_FRAMES = /\n\s+at [^\n]*bootstrap\.ts:[^\n]*/g;

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `Uncaught ${Deno.inspect(error)}`;
  return (error.stack ?? `${error.name}: ${error.message}`).replace(OWN_FRAMES, "");
}

globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  send({ type: "exception", message: `event loop error: ${describe(event.reason)}` });
  exit(1);
});
globalThis.addEventListener("error", (event) => {
  event.preventDefault();
  send({ type: "exception", message: `event loop error: ${describe(event.error)}` });
  exit(1);
});

try {
  const main = (await import(`data:application/javascript,${encodeURIComponent(wrapper)}`)).default;
  isEvaluating = false;
  // A default export with `fetch` is served; another value is none of the runtime's business.
  if (Object.hasOwn(main, "default") && Object.hasOwn(main.default, "fetch")) {
    if (typeof main.default.fetch !== "function") {
      throw new TypeError("Invalid type for fetch: must be a function with a single or no parameter");
    }
    Deno.serve({ handler: (request: Request) => main.default.fetch(request) } as any);
  }
} catch (error) {
  const isLinked = !("__linked" in globalThis);
  send(isLinked ? { type: "exception", message: describe(error) } : { type: "not linked", message: describe(error) });
  exit(1);
}
