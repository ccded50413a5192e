// A PostgreSQL cluster and `functions-admin serve` of a test's own, spoken to in FastCGI without a web server between, so that a
// test decides what REMOTE_ADDR and every header are. Both live below one temporary folder and end with stop().
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const top = fileURLToPath(new URL("../..", import.meta.url));
export const build = process.env.BUILD_DIR ?? join(top, "build");
export const program = join(build, "functions-admin");

// PostgreSQL refuses to run as root, so root lends its processes to nobody.
const nobody = { uid: 65534, gid: 65534 };
export const asUser = process.getuid() === 0 ? nobody : {};

function postgresBin() {
  const base = "/usr/lib/postgresql";
  const found = existsSync(base) ? readdirSync(base).map(Number).sort((a, b) => b - a)[0] : undefined;
  return found === undefined ? "" : join(base, String(found), "bin/");
}

function run(command, args, options = {}) {
  const done = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28, ...options });
  if (done.error) throw done.error;
  return done;
}

// Asks until `ask` gives something, or the time is over.
export async function until(what, ask, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`timed out: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const base64url = (value) => Buffer.from(value).toString("base64url");

// A JWT of Supabase's kind, signed with HS256.
export function jwt(secret, claims, header = { alg: "HS256", typ: "JWT" }) {
  const unsigned = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`;
  return `${unsigned}.${createHmac("sha256", secret).update(unsigned).digest("base64url")}`;
}

/* ---- FastCGI (version 1): one request a connection. ---- */

function record(type, content) {
  const head = Buffer.alloc(8);
  head.writeUInt8(1, 0);
  head.writeUInt8(type, 1);
  head.writeUInt16BE(1, 2);
  head.writeUInt16BE(content.length, 4);
  return Buffer.concat([head, content]);
}

function pair(name, value) {
  const length = (s) => {
    const n = Buffer.byteLength(s);
    if (n < 128) return Buffer.from([n]);
    const out = Buffer.alloc(4);
    out.writeUInt32BE((n | 0x80000000) >>> 0);
    return out;
  };
  return Buffer.concat([length(name), length(value), Buffer.from(name), Buffer.from(value)]);
}

function stream(type, data) {
  const records = [];
  for (let at = 0; at < data.length; at += 65528) records.push(record(type, data.subarray(at, at + 65528)));
  return Buffer.concat([...records, record(type, Buffer.alloc(0))]);
}

function parse(raw) {
  let at = 0;
  const out = [];
  while (at + 8 <= raw.length) {
    const length = raw.readUInt16BE(at + 4);
    if (raw[at + 1] === 6) out.push(raw.subarray(at + 8, at + 8 + length));
    at += 8 + length + raw[at + 6];
  }
  const text = Buffer.concat(out);
  const split = text.indexOf("\r\n\r\n");
  assert.ok(split >= 0, `no answer: ${text.toString("latin1")}`);
  const headers = {};
  for (const line of text.subarray(0, split).toString("latin1").split("\r\n")) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const body = text.subarray(split + 4);
  return { status: Number.parseInt(headers.status, 10), headers, body, text: body.toString("utf8"), json: () => JSON.parse(body.toString("utf8")) };
}

export function ask(socket, method, path, { headers = {}, body = "", address = "127.0.0.1" } = {}) {
  const data = Buffer.from(body);
  const params = { REQUEST_METHOD: method, REQUEST_URI: path, QUERY_STRING: path.split("?")[1] ?? "", REMOTE_ADDR: address, CONTENT_LENGTH: data.length ? String(data.length) : "" };
  for (const [name, value] of Object.entries(headers)) {
    const variable = name.toUpperCase().replaceAll("-", "_");
    params[variable === "CONTENT_TYPE" ? variable : `HTTP_${variable}`] = value;
  }
  const request = Buffer.concat([
    record(1, Buffer.from([0, 1, 0, 0, 0, 0, 0, 0])),
    stream(4, Buffer.concat(Object.entries(params).map(([name, value]) => pair(name, value)))),
    stream(5, data),
  ]);
  return new Promise((resolve, reject) => {
    const connection = connect(socket);
    const chunks = [];
    connection.setTimeout(60000, () => connection.destroy(new Error(`no answer to ${method} ${path}`)));
    connection.on("data", (chunk) => chunks.push(chunk));
    connection.on("error", reject);
    connection.on("close", () => {
      try {
        resolve(parse(Buffer.concat(chunks)));
      } catch (error) {
        reject(error);
      }
    });
    connection.write(request);
  });
}

/* ---- The processes. ---- */

class Stack {
  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), "fa-security-"));
    chmodSync(this.dir, 0o755);
    this.ref = "abcdefghijklmnopqrst";
    this.keys = {
      jwt_secret: randomBytes(32).toString("hex"),
      master_key: randomBytes(32).toString("hex"),
      secret_key: `sb_secret_${randomBytes(16).toString("hex")}`,
      publishable_key: `sb_publishable_${randomBytes(16).toString("hex")}`,
      postgres_password: randomBytes(16).toString("hex"),
    };
    this.keys.anon_key = jwt(this.keys.jwt_secret, { role: "anon", exp: 4102444800 });
    this.keys.service_role_key = jwt(this.keys.jwt_secret, { role: "service_role", exp: 4102444800 });
    this.socket = join(this.folder("run"), "s");
    this.children = [];
    this.options = {};
    // A test that dies must not leave a server behind.
    process.on("exit", () => this.children.forEach((child) => child.exitCode === null && child.kill("SIGKILL")));
  }

  path(name) {
    return join(this.dir, name);
  }

  folder(name) {
    const path = this.path(name);
    mkdirSync(path, { mode: 0o700 });
    if (asUser.uid !== undefined) chownSync(path, asUser.uid, asUser.gid);
    return path;
  }

  startPostgres() {
    const bin = postgresBin();
    const data = this.folder("pg");
    const socket = this.folder("pgs");
    const password = this.path("password");
    writeFileSync(password, this.keys.postgres_password, { mode: 0o644 });
    const made = run(`${bin}initdb`, ["-D", data, "-U", "postgres", "-A", "scram-sha-256", `--pwfile=${password}`, "-E", "UTF8", "--locale=C", "--no-sync"], { ...asUser, cwd: "/" });
    rmSync(password);
    assert.equal(made.status, 0, made.stderr);
    this.postgres = this.spawn("postgres", `${bin}postgres`, ["-D", data, "-k", socket, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60"], { ...asUser, cwd: "/" });
    this.pgHost = socket;
    return until("PostgreSQL answers", () => this.psql("SELECT 1", [], true) === "1");
  }

  // The result of SQL, unaligned, without headers.
  psql(sql, args = [], quiet = false) {
    const done = run(`${postgresBin()}psql`, ["-X", "-h", this.pgHost, "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-Atq", "-F", "|", ...args, "-f", "-"], {
      input: sql,
      env: { ...process.env, PGPASSWORD: this.keys.postgres_password },
    });
    if (done.status !== 0 && !quiet) throw new Error(done.stderr);
    return done.status === 0 ? done.stdout.trimEnd() : undefined;
  }

  spawn(name, command, args, options) {
    const log = openSync(this.path(`${name}.log`), "a");
    const child = spawn(command, args, { stdio: ["ignore", log, log], ...options });
    child.done = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
    this.children.push(child);
    return child;
  }

  log(name = "serve") {
    return readFileSync(this.path(`${name}.log`), "utf8");
  }

  // The configuration file; options override the usual ones, null leaves one out.
  configure(options = {}) {
    Object.assign(this.options, options);
    const all = {
      listen: `unix:${this.socket}`,
      workers: 4,
      project_ref: this.ref,
      postgres_host: this.pgHost,
      functions_dir: this.functionsDir,
      spool_dir: this.path("run"),
      log_level: "debug",
      ...this.keys,
      ...this.options,
    };
    const text = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name} = ${value}\n`).join("");
    this.config = this.path("functions-admin.conf");
    writeFileSync(this.config, text, { mode: 0o600 });
    if (asUser.uid !== undefined) chownSync(this.config, asUser.uid, asUser.gid);
  }

  // A command of the program, as the service's user.
  command(args, options = {}) {
    return run(program, [args[0], "--config", this.config, ...args.slice(1)], { cwd: "/", ...asUser, ...options });
  }

  async startService(options = {}) {
    this.functionsDir ??= this.folder("functions");
    this.configure(options);
    const migrated = this.command(["migrate"]);
    assert.equal(migrated.status, 0, migrated.stderr);
    this.service = this.spawn("serve", program, ["serve", "--config", this.config], { cwd: "/", ...asUser });
    try {
      await until("the service answers", async () => {
        if (this.service.exitCode !== null) throw new Error(`serve ended:\n${this.log()}`);
        return existsSync(this.socket) && (await this.ask("GET", "/readyz").catch(() => undefined))?.status === 200;
      });
    } catch (error) {
      throw new Error(`${error.message}\n${this.log()}`);
    }
  }

  async stopService() {
    this.service.kill("SIGTERM");
    return await this.service.done;
  }

  ask(method, path, options) {
    return ask(this.socket, method, path, options);
  }

  // With a credential, and a JSON body where there is one.
  as(credential, method, path, body, options = {}) {
    const headers = { Authorization: `Bearer ${credential}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...options.headers };
    return this.ask(method, path, { ...options, headers, body: body === undefined ? "" : JSON.stringify(body) });
  }

  // An access token by the API: {id, token, …}.
  async token(fields) {
    const answer = await this.as(this.keys.service_role_key, "POST", "/v1/access-tokens", { name: "test", ...fields });
    assert.equal(answer.status, 201, answer.text);
    return answer.json();
  }

  // A deployed function of one file.
  async deploy(slug, code = 'Deno.serve(() => new Response("hello"));\n', credential = this.keys.service_role_key) {
    return await this.as(credential, "POST", "/v1/functions", { name: slug, files: [{ name: "index.ts", content: code }] });
  }

  async stop() {
    for (const child of this.children.reverse()) {
      if (child.exitCode === null && child.signalCode === null) child.kill(child === this.postgres ? "SIGINT" : "SIGTERM");
      await child.done;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

// A cluster with a service in it.
export async function startStack(options = {}) {
  const stack = new Stack();
  try {
    await stack.startPostgres();
    await stack.startService(options);
    return stack;
  } catch (error) {
    await stack.stop();
    throw error;
  }
}
