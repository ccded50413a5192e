// Starts the edge runtime (a real `edge-runtime` on PATH, else the stand-in) on a free port, and makes
// functions folders as functions-admin makes them. Used by every test that needs functions to run.
import { spawn } from "node:child_process";
import { createHash, createHmac, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const MAIN_SERVICE = path.join(ROOT, "runtime/main");
const SHIM = path.join(ROOT, "runtime/shim");

/** A main service like Supabase's own, which knows nothing but a folder for each name. */
export const STOCK_SERVICE = `
Deno.serve(async (request) => {
  const name = new URL(request.url).pathname.split("/")[1];
  try {
    const worker = await EdgeRuntime.userWorkers.create({
      servicePath: Deno.env.get("FUNCTIONS_ADMIN_FUNCTIONS_DIR") + "/" + name,
      memoryLimitMb: 150,
      workerTimeoutMs: 60000,
      noModuleCache: false,
      importMapPath: null,
      envVars: Object.entries(Deno.env.toObject()),
    });
    return await worker.fetch(request);
  } catch (error) {
    return Response.json({ msg: error.toString() }, { status: 500 });
  }
});`;

function onPath(name) {
  return (process.env.PATH ?? "").split(":").map((folder) => path.join(folder, name)).find((file) => {
    try {
      fs.accessSync(file, fs.constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const real = onPath("edge-runtime");
/** Whether the program under test is the stand-in: some of what it says is worded differently. */
export const isStandIn = !real;
export const program = real ?? path.join(ROOT, "runtime/dev/edge-runtime");

/** A throwaway folder. Not below /tmp: the real runtime gives its services a /tmp of their own. */
export function makeFolder() {
  return fs.mkdtempSync("/var/tmp/functions-admin-test-");
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts the runtime over a functions folder and resolves when it answers. `env` adds to an environment
 * that has nothing from the caller's but what finds programs and caches. stop() ends it and is waited for.
 */
export async function startRuntime({ functionsDir, policy = "per_worker", env = {}, mainService = MAIN_SERVICE, args = [] }) {
  const token = randomBytes(16).toString("hex");
  const port = real ? await freePort() : 0;
  const passed = Object.fromEntries(
    Object.entries(process.env).filter(([name]) =>
      /^(PATH|HOME|DENO|DENO_.*|NPM_CONFIG_REGISTRY|SSL_CERT_.*|npm_config_registry|https?_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY)$/.test(name)
    ),
  );
  const child = spawn(program, [
    "start", "--main-service", mainService, "--policy", policy, "--ip", "127.0.0.1", "--port", String(port), ...args,
  ], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...passed,
      FUNCTIONS_ADMIN_FUNCTIONS_DIR: functionsDir,
      FUNCTIONS_ADMIN_RUNTIME_TOKEN: token,
      ...env,
    },
  });

  let log = "", announce;
  const announced = new Promise((resolve) => announce = resolve);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      log += text;
      const ready = /listening on (http:\/\/[^\s]+)/i.exec(log);
      if (ready) announce(ready[1]);
    });
  }
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  if (real) announce(`http://127.0.0.1:${port}`);

  const deadline = Date.now() + 30_000;
  const failed = ended.then((code) => {
    throw new Error(`the runtime ended (${code}) before it was ready:\n${log}`);
  });
  failed.catch(() => {});
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the runtime was not ready in 30 seconds:\n${log}`)), 30_000);
  });
  const url = await Promise.race([announced, failed, late]);
  for (;;) {
    try {
      await (await fetch(`${url}/_internal/health`)).arrayBuffer();
      break;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`the runtime does not answer: ${error}\n${log}`);
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 20)), failed]);
    }
  }
  clearTimeout(timer);

  return {
    url,
    token,
    pid: child.pid,
    log: () => log,
    ended,
    stop: async () => {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Writes a file as functions-admin does: whole, then renamed into place. */
export function replaceFile(file, content, mode = 0o644) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.${randomBytes(6).toString("hex")}`;
  fs.writeFileSync(temporary, content, { mode });
  fs.renameSync(temporary, file);
}

/** A functions folder that is written the way functions-admin writes it. */
export class FunctionsFolder {
  #generation = 0;
  functions = {};

  constructor(folder = makeFolder()) {
    this.folder = folder;
    this.activate();
  }

  /** Stages a release and returns its manifest entry; nothing serves it until it is activated. */
  stage(slug, version, files, more = {}) {
    if (typeof files === "string") files = { "index.ts": files };
    const digest = createHash("sha256").update(JSON.stringify(files)).digest("hex").slice(0, 12);
    const release = `.releases/${slug}/${version}-${digest}`;
    const to = path.join(this.folder, release);
    const { entrypoint = "source/index.ts", ...rest } = more;
    for (const [name, content] of Object.entries(files)) {
      fs.mkdirSync(path.dirname(path.join(to, "source", name)), { recursive: true });
      fs.writeFileSync(path.join(to, "source", name), content);
    }
    const shim = fs.readFileSync(path.join(SHIM, "index.ts.in"), "utf8");
    fs.writeFileSync(path.join(to, "index.ts"), shim.replace("@ENTRYPOINT@", JSON.stringify(`./${entrypoint}`)));
    fs.copyFileSync(path.join(SHIM, "boot.ts"), path.join(to, "boot.ts"));
    const config = fs.readFileSync(path.join(SHIM, "deno.json.in"), "utf8");
    fs.writeFileSync(
      path.join(to, "deno.json"),
      rest.import_map ? config.replace("@IMPORT_MAP@", JSON.stringify(`./${rest.import_map}`)) : '{ "lock": false }\n',
    );
    return { version, percent: 100, kind: "source", path: release, entrypoint, verify_jwt: false, ...rest };
  }

  stageBundle(slug, version, bytes, entrypoint, more = {}) {
    const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
    const release = `.releases/${slug}/${version}-${digest}`;
    const to = path.join(this.folder, release);
    fs.mkdirSync(to, { recursive: true });
    fs.writeFileSync(path.join(to, "bundle.eszip"), bytes);
    fs.copyFileSync(path.join(SHIM, "eszip.ts"), path.join(to, "index.ts"));
    return { version, percent: 100, kind: "eszip", path: release, entrypoint, verify_jwt: false, ...more };
  }

  /** Replaces the manifest; `functions` maps a slug to its versions, or to a whole entry. */
  activate(functions = {}) {
    for (const [slug, entry] of Object.entries(functions)) {
      if (entry === null) delete this.functions[slug];
      else {
        this.functions[slug] = Array.isArray(entry)
          ? { id: `id-of-${slug}`, versions: entry }
          : entry.versions ? { id: `id-of-${slug}`, ...entry } : { id: `id-of-${slug}`, versions: [entry] };
      }
    }
    this.#generation++;
    replaceFile(
      path.join(this.folder, ".functions-admin/manifest.json"),
      JSON.stringify({ format: 1, project: "abcdefghijklmnopqrst", generation: this.#generation, functions: this.functions }),
    );
    return this.#generation;
  }

  deploy(slug, version, files, more) {
    this.activate({ [slug]: this.stage(slug, version, files, more) });
  }

  secrets(value) {
    replaceFile(path.join(this.folder, ".functions-admin/secrets.json"), JSON.stringify(value), 0o600);
  }

  remove() {
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

export const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** An HS256 token; `header` replaces parts of its header. */
export function hs256(claims, secret, header = {}) {
  const signed = `${encode({ alg: "HS256", typ: "JWT", ...header })}.${encode(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** Asks the runtime to boot a version that is staged. */
export async function boot(runtime, slug, version, token = runtime.token) {
  const response = await fetch(`${runtime.url}/_internal/boot`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-functions-admin-token": token },
    body: JSON.stringify({ slug, version }),
  });
  return { status: response.status, body: await response.json() };
}
