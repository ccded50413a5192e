// A whole functions-admin for a test: PostgreSQL, the program, nginx with the development gateway and an edge runtime, started by
// ./quickstart in a folder and on a port of their own. A stack starts in about two seconds. When a test of the process fails, the
// last lines of all logs are printed at its end.
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import "node:test";
import pg from "pg";
import { kept } from "./kept.mjs";
import { know, searchCores, searchFolders, searchProcess, seen } from "./leaks.mjs";

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const MODULES = path.join(ROOT, "tests/node_modules");
const QUICKSTART = path.join(ROOT, "quickstart");
const FIRST_START = ["quickstart", "scripts/packages.sh", "scripts/secrets.sh", "scripts/processes.sh", "scripts/cluster.sh"];
export const MCP_SERVER = path.join(MODULES, "@supabase/mcp-server-supabase/dist/cli.js");
/** The Supabase CLI in the two versions that every client test runs. */
export const CLI_VERSIONS = {
  "3.1.0": path.join(MODULES, "supabase/dist/supabase.js"),
  "2.122.1": path.join(MODULES, "supabase-2/dist/supabase.js"),
};

const [NEWEST_CLI] = Object.keys(CLI_VERSIONS);
/** For what the short run tries with the newest version only. */
export const onlyNewest = (version) => ({ skip: version !== NEWEST_CLI && !process.env.FA_LONG && "./check --long tries every version" });

/** Waits until `condition` gives something true, and returns that. */
export async function until(what, condition, deadlineMs = 15_000) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Runs a command to its end; `input` goes to its standard input. Never throws for an exit code. */
export function run(command, args, { cwd, env, input = "", timeoutMs = 120_000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ["pipe", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    let stdout = "", stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => stdout += text);
    child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? signal, stdout, stderr });
    });
  });
}

/** One HTTP request; the URL's path goes out exactly as given (`..` and `%2e` included). */
export async function request(url, { method = "GET", headers = {}, body } = {}) {
  const { origin, port, hostname } = new URL(url);
  const sent = { ...headers };
  let bytes;
  if (body instanceof FormData) {
    const form = new Response(body);
    bytes = Buffer.from(await form.arrayBuffer());
    sent["content-type"] ??= form.headers.get("content-type");
  } else if (typeof body === "string" || body instanceof Uint8Array) {
    bytes = Buffer.from(body);
  } else if (body !== undefined) {
    bytes = Buffer.from(JSON.stringify(body));
    sent["content-type"] ??= "application/json";
  }
  if (bytes) sent["content-length"] ??= bytes.length;
  return await new Promise((resolve, reject) => {
    const out = http.request({ hostname, port, method, path: url.slice(origin.length) || "/", headers: sent, agent: false });
    // nginx may answer and close before it has read the whole body; the answer counts, then.
    let answered = false;
    out.on("error", (error) => answered || reject(error));
    out.on("response", async (response) => {
      answered = true;
      const chunks = [];
      try {
        for await (const chunk of response) chunks.push(chunk);
      } catch (error) {
        reject(error);
        return;
      }
      const all = Buffer.concat(chunks), text = all.toString();
      let json;
      try {
        json = JSON.parse(text);
      } catch { /* not JSON: the caller looks at text or bytes */ }
      try {
        seen(method, url.slice(origin.length), bytes, { status: response.statusCode, text });
      } catch (error) {
        reject(error);
        return;
      }
      resolve({ status: response.statusCode, headers: response.headers, text, json, bytes: all });
    });
    out.end(bytes);
  });
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** When a process began, in the kernel's ticks: tells it from a later one with its number. undefined: it has ended. */
export function startTime(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
    return stat[0] === "Z" ? undefined : stat[19];
  } catch {
    return undefined;
  }
}

const running = new Set();
let farewell = "";

// Registered after node:test's own handler (it is imported above), which sets the exit code of a process with a failed test.
process.on("exit", () => {
  for (const stack of running) {
    farewell += stack.log();
    stack.destroy();
  }
  if (process.exitCode) fs.writeSync(2, farewell);
});
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) process.once(signal, () => process.exit(code));

/**
 * Starts a stack. `options` are lines of functions-admin's configuration ({ max_files: 10 }), `binary` another functions-admin
 * than the one that quickstart builds, `sample` whether quickstart's sample function is deployed. The program is in its strict
 * sandbox; a test that switches it off says why.
 */
export async function startStack({ policy = "per_worker", options = {}, binary = process.env.FA_BINARY, sample = false } = {}) {
  // The real edge runtime gives its functions a /tmp of their own and would not see a folder below ours.
  const home = fs.mkdtempSync(path.join(process.env.TMPDIR ?? "/var/tmp", "functions-admin-stack-"));
  // Quickstart's processes, another user's where root runs the tests, go through it.
  fs.chmodSync(home, 0o711);
  const place = path.join(home, "home"), optionsFile = path.join(home, "options.conf");
  // Not the caller's FA_ names and keys; what finds programs, caches and proxies stays.
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(FA_|SUPABASE_|NODE_TEST|NODE_OPTIONS|DENO_)/.test(name)));
  let isFirst = false;
  const quickstartEnv = () => ({
    ...inherited, FA_HOME: place, FA_PORT: String(port), FA_POLICY: policy, FA_OPTIONS: isFirst ? "" : optionsFile,
    ...(binary ? { FA_BINARY: binary } : {}), ...(sample && !isFirst ? {} : { FA_SAMPLE: "no" }),
  });
  options = { sandbox: "on", ...options };
  const writeOptions = () => fs.writeFileSync(optionsFile, Object.entries(options).map(([name, value]) => `${name} = ${value}\n`).join(""), { mode: 0o600 });
  const quickstart = async (...args) => {
    const done = await run("bash", [QUICKSTART, ...args], { cwd: ROOT, env: quickstartEnv(), timeoutMs: 180_000 });
    if (done.code !== 0) throw new Error(`./quickstart ${args.join(" ")} ended with ${done.code}: ${done.stderr}${done.stdout}${log()}`);
    return done.stdout;
  };
  const logFile = (name) => path.join(place, "log", `${name}.log`);
  const log = () => ["postgres", "runtime", "nginx", "functions-admin"].map((name) => {
    let text = "";
    try {
      text = fs.readFileSync(logFile(name), "utf8").trimEnd().split("\n").slice(-60).join("\n");
    } catch { /* it has not come so far */ }
    return `\n---- ${name}.log\n${text}\n`;
  }).join("");
  const destroy = () => {
    spawnSync("bash", [QUICKSTART, "reset"], { cwd: ROOT, env: quickstartEnv(), stdio: ["ignore", "ignore", "pipe"] });
    fs.rmSync(home, { recursive: true, force: true });
  };

  let port;
  // Another program may take the port before nginx does.
  const up = async (attempts = 3) => {
    port = await freePort();
    try { await quickstart("up", "--detach", "--no-install"); } catch (error) {
      if (attempts === 1 || !/Port \d+ is in use/.test(error.message)) throw error;
      await up(attempts - 1);
    }
  };
  writeOptions();
  running.add({ log, destroy });
  const self = [...running].at(-1);
  // As its first start leaves it: with a cluster, keys, and what Deno has compiled. What a project is called is said then, and once.
  const begun = binary && !options.project_name && kept("homes", binary, FIRST_START.map((file) => fs.readFileSync(path.join(ROOT, file))));
  if (begun && !begun.copyTo(place)) {
    isFirst = true;
    await up();
    await quickstart("down");
    isFirst = false;
    // Of where it lay and what it said nothing is to stay.
    for (const name of ["run", "log"]) fs.rmSync(path.join(place, name), { recursive: true });
    begun.keep(place);
  }
  await up();
  const env = Object.fromEntries((await quickstart("env")).trimEnd().split("\n").map((line) => {
    const at = line.indexOf("=");
    return [line.slice(0, at), line.slice(at + 1)];
  }));
  const ref = env.PROJECT_REF;
  const conf = (name) => path.join(place, "conf", name);
  for (const [, name, value] of fs.readFileSync(conf("secrets.env"), "utf8").matchAll(/^([A-Z_]+)=(.+)$/gm)) {
    if (!/^(PROJECT_REF|ANON_KEY|PUBLISHABLE_KEY|DASHBOARD_USERNAME)$/.test(name)) know(name, value.replace(/^sbp_/, ""));
  }
  // What belongs where only its user reads: the keys' own files, and the secrets' one.
  const meant = (file, name) => file.startsWith(conf("")) || file === path.join(place, "pg/passfile")
    || (path.dirname(file).endsWith("/.functions-admin") && (path.basename(file) === "secrets.json" ? name.startsWith("the secret ") : path.basename(file) === "runtime-token" && name === "RUNTIME_TOKEN"));
  /** Nothing of the stack's keys, of its tokens and of its functions' secrets may have left its place. */
  const search = () => {
    for (const name of ["functions-admin", "nginx", "postgres"]) if (stack.pid(name)) searchProcess(stack.pid(name));
    searchCores(place);
    searchFolders([place], meant);
  };

  const withToken = (headers = {}, token) => token === null ? headers : { authorization: `Bearer ${token}`, ...headers };
  let pool;
  const closing = [];

  const stack = {
    home: place,
    env,
    ref,
    functionsDir: env.FUNCTIONS_DIR,

    /** The Management API. A path without a leading slash is below the project: api("GET", "functions"). token: null sends none. */
    api(method, target, { headers, body, token = env.ACCESS_TOKEN } = {}) {
      const url = target.startsWith("/") ? env.API_URL + target : `${env.API_URL}/v1/projects/${ref}/${target}`;
      return request(url, { method, headers: withToken(headers, token), body });
    },

    /** The flat API where its own client looks for it: flat("GET", "/functions"). */
    flat(method, target, { headers, body, token = env.SERVICE_ROLE_KEY } = {}) {
      return request(`${env.FUNCTIONS_URL}/supabase-function-manager${target}`, { method, headers: withToken(headers, token), body });
    },

    /** Calls a function through the gateway, as its users do. */
    call(slug, { method = "GET", path: below = "", headers, body, token = env.ANON_KEY } = {}) {
      return request(`${env.FUNCTIONS_URL}/${slug}${below}`, { method, headers: withToken(headers, token), body });
    },

    /** A multipart deploy as the CLI sends it, without the CLI's second of start-up. `files` maps paths to content. */
    deploy(slug, files, { bundleOnly = false, query = "", token, headers, ...metadata } = {}) {
      if (typeof files === "string") files = { [`supabase/functions/${slug}/index.ts`]: files };
      const form = new FormData();
      for (const [name, content] of Object.entries(files)) form.append("file", new Blob([content]), name);
      form.append("metadata", JSON.stringify({ entrypoint_path: Object.keys(files)[0], name: slug, ...metadata }));
      return stack.api("POST", `functions/deploy?slug=${slug}${bundleOnly ? "&bundleOnly=true" : ""}${query}`, { body: form, token, headers });
    },

    /** The Supabase CLI with the stack's profile and token, and a home of its own. */
    cli(args, { version = "3.1.0", cwd = home, env: more = {}, input, timeoutMs } = {}) {
      const cliHome = path.join(home, "cli-home");
      fs.mkdirSync(cliHome, { recursive: true });
      return run(process.execPath, [CLI_VERSIONS[version], ...args, "--profile", env.CLI_PROFILE], {
        cwd, input, timeoutMs,
        env: {
          PATH: process.env.PATH, HOME: cliHome, LANG: "C.UTF-8", DO_NOT_TRACK: "1", SUPABASE_TELEMETRY_DISABLED: "1",
          SUPABASE_ACCESS_TOKEN: env.ACCESS_TOKEN, ...more,
        },
      });
    },

    /** A client connected to a Supabase MCP server of its own. */
    async mcp({ token = env.ACCESS_TOKEN, args = [] } = {}) {
      // Read where it is used: that takes as long as all else here together.
      const [{ Client }, { StdioClientTransport }] = await Promise.all([import("@modelcontextprotocol/sdk/client/index.js"), import("@modelcontextprotocol/sdk/client/stdio.js")]);
      const client = new Client({ name: "functions-admin-tests", version: "1.0.0" });
      await client.connect(new StdioClientTransport({
        command: process.execPath,
        args: [MCP_SERVER, "--api-url", env.API_URL, "--project-ref", ref, "--features", "functions", ...args],
        env: { PATH: process.env.PATH, HOME: home, SUPABASE_ACCESS_TOKEN: token },
        stderr: "ignore",
      }));
      closing.push(() => client.close());
      return client;
    },

    /** Rows of a query, as the role that the program itself has. */
    async sql(text, params = []) {
      if (!pool) {
        pool = new pg.Pool({ connectionString: env.DATABASE_URL, max: 4 });
        // A connection that PostgreSQL closes while idle is replaced at the next query.
        pool.on("error", () => {});
      }
      return (await pool.query(text, params)).rows;
    },

    /** A throwaway folder that goes with the stack. */
    folder(name = "work") {
      return fs.mkdtempSync(path.join(home, `${name}-`));
    },

    /** Process id of postgres, runtime, functions-admin, nginx; undefined where it does not run. */
    pid(name) {
      try {
        const [pid, started] = fs.readFileSync(path.join(place, "run", `${name}.pid`), "utf8").trim().split(" ");
        return startTime(pid) === started ? Number(pid) : undefined;
      } catch {
        return undefined;
      }
    },

    /** kill -9 of the program, or of another of the four. */
    async killProgram(name = "functions-admin") {
      const pid = stack.pid(name);
      if (pid === undefined) throw new Error(`${name} does not run`);
      process.kill(pid, "SIGKILL");
      await until(`${name} is gone`, () => stack.pid(name) === undefined);
    },

    /** Starts the program, after a kill or with other options or another binary, and waits until it is ready. */
    async startProgram({ options: changed, binary: other } = {}) {
      if (changed) Object.assign(options, changed);
      if (other) binary = other;
      writeOptions();
      await quickstart("restart");
    },

    /** Ends it gracefully and starts it again. */
    restartProgram(changes) {
      return stack.startProgram(changes);
    },

    /** The last lines of all logs; log(name) is the whole of one. */
    log: (name) => name ? fs.readFileSync(logFile(name), "utf8") : log(),

    async stop() {
      if (!running.delete(self)) return;
      for (const close of closing) await close().catch(() => {});
      await pool?.end().catch(() => {});
      farewell += log();
      try {
        search();
      } finally {
        destroy();
      }
    },
  };
  return stack;
}
