// The program with PostgreSQL and nothing else: what the tests of the API itself need. A runtime, where one is wanted, is
// a few lines of JavaScript that read the manifest as the real one does. (stack.mjs starts the whole thing instead.)
//
// FA_BINARY names another build of the program, one with sanitizers for example; what a sanitizer reports fails the test.
import { spawn, spawnSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createSyncFn } from 'synckit';
import { request } from './fastcgi.mjs';
import { kept } from './kept.mjs';
import { know, knowTokens, searchCores, searchFolders, searchProcess, searchText } from './leaks.mjs';
import { conforms } from './openapi.mjs';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const BINARY = path.resolve(process.env.FA_BINARY ?? path.join(ROOT, 'build/functions-admin'));
export const REF = 'abcdefghijklmnopqrst';
const root = process.getuid() === 0;
const NOBODY = 65534;

/** Waits until `condition` gives something; fails with `what` after the deadline. */
export async function until(what, condition, milliseconds = 30_000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${milliseconds} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// What is left when the process ends, whatever ends it: a deadline, Ctrl-C, a test that threw.
const folders = new Set(), children = new Set();
process.on('exit', () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill(child.spawnargs.some((word) => word.endsWith('/postgres')) ? 'SIGQUIT' : 'SIGKILL');
  for (const folder of folders) try { fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }); } catch { /* somebody still writes there */ }
});
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) process.once(signal, () => process.exit(code));

export function temporaryFolder(prefix = 'fa-test-') {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), prefix));
  fs.chmodSync(folder, 0o755);
  folders.add(folder);
  return folder;
}

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
export function jwt(claims, secret, header = {}) {
  const signed = `${encode({ alg: 'HS256', typ: 'JWT', ...header })}.${encode(claims)}`;
  const token = `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  if (claims.role !== 'anon') know('a JWT', token.slice(signed.length - 20));
  return token;
}
export const hour = () => Math.floor(Date.now() / 1000) + 3600;

// ---- PostgreSQL

const ask = createSyncFn(new URL('sql-worker.mjs', import.meta.url));

function postgresBin() {
  const on = (process.env.PATH ?? '').split(':').concat(fs.existsSync('/usr/lib/postgresql') ? fs.readdirSync('/usr/lib/postgresql').sort().reverse().map((v) => `/usr/lib/postgresql/${v}/bin`) : []);
  const found = on.find((folder) => ['initdb', 'postgres', 'psql', 'pg_dump'].every((name) => fs.existsSync(path.join(folder, name))));
  if (!found) throw new Error('initdb and psql were not found. HINT: install the Debian package postgresql.');
  return found;
}

// Roles as Supabase has them, and in template1 the default privileges that every database here is to have.
const CLUSTER = ['CREATE ROLE postgres LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS;',
  ...['anon', 'authenticated'].map((role) => `CREATE ROLE ${role} NOLOGIN NOINHERIT;`), 'CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;',
  ...['supabase_admin', 'postgres'].flatMap((role) => ['TABLES', 'SEQUENCES', 'FUNCTIONS'].map((what) =>
    `ALTER DEFAULT PRIVILEGES FOR ROLE ${role} GRANT ALL ON ${what} TO anon, authenticated, service_role;`))].join('\n');

/** The database of a cluster that is as `migrate` leaves it, for the project, the role and the key that most services of tests have. */
const MIGRATED = 'migrated';
const isAsMigrated = (options) => !Object.keys(options).some((name) => /^(project_|db_|database_|master_key)/.test(name));

function initCluster(bin, data, as, env) {
  const ran = (name, args, more) => {
    const done = spawnSync(path.join(bin, name), args, { ...as, env, cwd: path.dirname(data), encoding: 'utf8', ...more });
    if (done.status !== 0 || /ERROR/.test(done.stderr)) throw new Error(`${name}: ${done.error ?? done.stderr}`);
  };
  ran('initdb', ['-D', data, '-U', 'supabase_admin', '--auth=trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync']);
  ran('postgres', ['--single', '-F', '-D', data, 'template1'], { input: CLUSTER });
}

/**
 * A private cluster, shaped like Supabase's: supabase_admin is the superuser, `postgres` is not, the API's roles exist and
 * the default privileges grant to them. One for a test file; each service gets a database of its own. `environment` is for the
 * server's process. `standbyOf` makes it a streaming replica of another one, until it is promoted. `at` is a host of nodes/network.mjs
 * where it listens as well, by TCP. On a `bare` one nobody has run `migrate` before.
 */
export async function startPostgres({ environment = {}, standbyOf, at, bare = false } = {}) {
  const bin = postgresBin(), folder = temporaryFolder('fa-pg-'), data = path.join(folder, 'data'), log = path.join(folder, 'log');
  const as = root ? { uid: Number(spawnSync('id', ['-u', 'postgres'], { encoding: 'utf8' }).stdout) || NOBODY, gid: Number(spawnSync('id', ['-g', 'postgres'], { encoding: 'utf8' }).stdout) || NOBODY } : {};
  if (root) fs.chownSync(folder, as.uid, as.gid);
  const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', HOME: folder };
  // Who enters a network must be root, and is somebody else from then on.
  const inside = (name, args) => at ? [[...at.enter.slice(0, -1), `--setuid=${as.uid}`, `--setgid=${as.gid}`, '--', name, ...args], {}] : [[name, ...args], as];
  if (standbyOf) {
    const [words, who] = inside(path.join(bin, 'pg_basebackup'), ['-D', data, '-h', standbyOf.address ?? standbyOf.folder, '-U', 'supabase_admin', '-R', '-X', 'stream', '-c', 'fast', '--no-sync']);
    const made = spawnSync(words[0], words.slice(1), { ...who, env, cwd: folder, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`pg_basebackup: ${made.stderr}`);
  }
  let child, ending;
  const over = () => child.exitCode !== null || child.signalCode !== null;
  const told = (what) => `PostgreSQL (${child.pid}, ${data}) ${what}. The end of its log:\n${fs.readFileSync(log, 'utf8').slice(-4000)}`;
  const ended = () => told(`has ended: ${child.signalCode ?? `exit status ${child.exitCode}`}`);
  const server = {
    folder, bin, bare, address: at?.address,
    get pid() { return child.pid; },
    get running() { return !over(); },
    /** What became of a server that nobody has stopped, for the message of a test that needed it; empty while it runs. */
    lost() {
      if (ending === child) return '';
      if (over()) return `\n${ended()}`;
      return fs.existsSync(path.join(folder, '.s.PGSQL.5432')) ? '' : `\n${told('runs, and its socket is gone')}`;
    },
    async start() {
      const out = fs.openSync(log, 'a');
      const [words, who] = inside(path.join(bin, 'postgres'), ['-D', data, '-k', folder, '-h', at?.address ?? '', '-c', 'fsync=off', '-c', 'max_connections=200', '-c', 'shared_buffers=32MB', '-c', 'wal_retrieve_retry_interval=100ms']);
      child = spawn(words[0], words.slice(1), { ...who, env: { ...env, ...environment }, cwd: folder, stdio: ['ignore', out, out] });
      fs.closeSync(out);
      children.add(child);
      await until('PostgreSQL answers', () => {
        if (over()) throw new Error(ended());
        // Its first line is the process, its eighth what it is ready for; one that was killed has left it behind.
        let lines = [];
        try { lines = fs.readFileSync(path.join(data, 'postmaster.pid'), 'utf8').split('\n'); } catch { /* not written yet */ }
        return Number(lines[0]) === child.pid && /^(ready|standby) *$/.test(lines[7] ?? '');
      }, 120_000).catch((error) => { throw over() ? error : new Error(told(`does not take connections: ${error.message}`)); });
      // At once, since the test that needs it next may fail in any way.
      const mine = child;
      mine.once('exit', () => { if (ending !== mine) console.error(`${new Date().toISOString()} ${ended()}`); });
    },
    async stop(signal = 'SIGINT') {
      if (over()) return;
      ending = child;
      child.kill(signal);
      await once(child, 'exit');
    },
    async remove() {
      await server.stop('SIGQUIT');
      // Rows of all databases, with those that were removed, the write-ahead log, the server's log.
      searchFolders([folder]);
      fs.rmSync(folder, { recursive: true, force: true });
    },
    /** The rows of one statement, or of several in one transaction, as text; throws what PostgreSQL says. */
    sql(database, text, user = 'supabase_admin') {
      try { return ask(server.url(database, user), text); } catch (error) {
        error.message += server.lost();
        throw error;
      }
    },
    /** Gives up the connections that sql() has kept. */
    hangUp: () => ask(),
    createDatabase(name = `t_${randomBytes(6).toString('hex')}`, template = 'template1') {
      server.sql('postgres', `CREATE DATABASE ${name} OWNER postgres TEMPLATE ${template}`);
      return name;
    },
    url: (database, user = 'postgres') => `postgresql://${user}@/${database}?host=${encodeURIComponent(folder)}`,
  };
  if (!standbyOf) {
    const version = spawnSync(path.join(bin, 'postgres'), ['--version'], { encoding: 'utf8' }).stdout;
    const cluster = kept('clusters', BINARY, [version, CLUSTER, REF, SECRETS.master_key]);
    if (!cluster.copyTo(data)) {
      initCluster(bin, data, as, env);
      await server.start();
      await makeService(server, { database: server.createDatabase(MIGRATED) }).remove();
      await server.stop();
      cluster.keep(data);
    }
    if (at) fs.appendFileSync(path.join(data, 'pg_hba.conf'), ['all', 'replication'].map((what) => `host ${what} all ${at.subnet} trust\n`).join(''));
  }
  await server.start();
  if (bare) for (const text of [`DROP DATABASE ${MIGRATED}`, 'DROP ROLE functions_admin_service']) server.sql('postgres', text);
  return server;
}

// ---- The program

export const SECRETS = {
  jwt_secret: 'a-jwt-secret-of-more-than-thirty-two-bytes-0123456789',
  secret_key: 'sb_secret_0123456789abcdefABCDEF_test',
  publishable_key: 'sb_publishable_0123456789abcdefABCDEF_test',
  master_key: '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff',
  runtime_token: 'runtime-token-0123456789abcdef0123456789abcdef',
};
for (const [name, value] of Object.entries(SECRETS)) if (name !== 'publishable_key') know(name, value);
// Long runs take longer than an hour.
const day = hour() + 23 * 3600;
export const SERVICE_ROLE = jwt({ role: 'service_role', iss: 'supabase', exp: day }, SECRETS.jwt_secret);
export const ANON = jwt({ role: 'anon', iss: 'supabase', exp: day }, SECRETS.jwt_secret);

const REPORT = /ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error:|ERROR SUMMARY: [1-9]/;
const REAL = { ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0:exitcode=99', UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1' };

/** Fails where a sanitizer has written into this text. */
export function checkReports(text) {
  if (REPORT.test(text)) throw new Error(`a sanitizer reports:\n${text}`);
}

/** Runs a command of the program to its end: {status, stdout, stderr}. */
export function run(args, { env = {}, input = '', cwd, as = {} } = {}) {
  const done = spawnSync(BINARY, args, { env: { PATH: process.env.PATH, ...REAL, ...env }, input, encoding: 'utf8', cwd, ...as });
  checkReports(done.stderr ?? '');
  if (args[0] === 'token') knowTokens(done.stdout ?? '');
  searchText(`what ${args[0]} says`, done.stderr ?? '');
  return done;
}

export const NOBODY_ELSE = root ? { uid: NOBODY, gid: NOBODY } : {};

/**
 * A folder with its own database, functions folder, configuration file and key values; nothing runs yet.
 * `options` are options of the program; null takes one away. The strict sandbox is on: what works here works in it, and a test
 * that switches it off says why. `command` is serve or agent; `database` that of another service.
 */
export function makeService(postgres, { options = {}, migrate = true, wrapper = [], command = 'serve', database } = {}) {
  const folder = temporaryFolder('fa-svc-');
  const functionsDir = path.join(folder, 'functions');
  const socket = path.join(folder, 'fa.sock'), isMigrated = migrate && database === undefined && !postgres.bare && isAsMigrated(options);
  database ??= postgres.createDatabase(undefined, isMigrated ? MIGRATED : undefined);
  fs.mkdirSync(functionsDir);
  const all = {
    listen: `unix:${socket}`, listen_mode: '0666', database_url: postgres.url(database), project_ref: REF, functions_dir: functionsDir,
    spool_dir: folder, workers: '8', rate_limit: 'dry', allow_root: 'on', sandbox: 'on', anon_key: ANON, service_role_key: SERVICE_ROLE, public_url: 'https://supabase.example', ...SECRETS, ...options,
  };
  const config = path.join(folder, 'fa.conf');
  let child, log = '', ended, given = '';

  // The configuration, and what only the runtime's user reads.
  const meant = (file, name) => file === config || Object.entries(all).some(([option, value]) => option.endsWith('_file') && value === file)
    || (path.dirname(file).endsWith('/.functions-admin') && (path.basename(file) === 'secrets.json' ? name.startsWith('the secret ') : path.basename(file) === 'runtime-token' && name === 'runtime_token'));
  const service = {
    folder, functionsDir, database, socket, config, options: all,
    get log() { return log; },
    get pid() { return child.pid; },
    get child() { return child; },
    writeConfig(more = {}) {
      Object.assign(all, more);
      for (const [name, value] of Object.entries(all)) if (/secret|_key|_token|password/.test(name) && !/_(file|command)$|anon|publishable/.test(name) && value) for (const each of String(value).split(', ')) know(name, each);
      fs.writeFileSync(config, Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name} = ${value}\n`).join(''), { mode: 0o600 });
    },
    run: (command, args = [], how = {}) => run([command, '--config', config, ...args], how),
    sql: (text, user) => postgres.sql(database, text, user),
    /** Starts the program, which is to serve `within` so many milliseconds. */
    async start({ args = [], env = {}, stdio = ['ignore', 'pipe', 'pipe'], as = {}, ready = true, within = 30_000 } = {}) {
      const words = [...wrapper, BINARY, command, '--config', config, ...args];
      child = spawn(words[0], words.slice(1), { stdio, env: { PATH: process.env.PATH, ...REAL, ...env }, ...as });
      const mine = child, from = log.length;
      given = JSON.stringify(env);
      children.add(mine);
      mine.once('exit', () => children.delete(mine));
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { log += text; });
      ended = new Promise((resolve) => mine.once('close', (code, signal) => resolve(code ?? signal)));
      if (ready) {
        await until('the program serves', () => {
          if (mine.exitCode !== null || mine.signalCode !== null) throw new Error(`the program ended (${mine.exitCode ?? mine.signalCode}):\n${log}${postgres.lost()}`);
          return log.includes(command === 'serve' ? 'serving project' : 'node of project', from);
        }, within);
      }
      return service;
    },
    /** Ends the program and gives its exit code; a sanitizer's report fails. */
    async stop(signal = 'SIGTERM') {
      if (!child) return undefined;
      searchProcess(child.pid, given);
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      const code = await ended;
      checkReports(log);
      // The service's role lacks a right that something needs (sql/service_role.sql).
      searchText('the log', log);
      if (/database: .*permission denied/.test(log)) throw new Error(`a right is missing:\n${log}`);
      if (signal === 'SIGTERM' && code !== 0) throw new Error(`the program's exit code is ${code}:\n${log}`);
      return code;
    },
    ended: () => ended,
    clearLog() { log = ''; },
    async remove() {
      if (child && child.exitCode === null && child.signalCode === null) await service.stop();
      searchCores(folder, process.cwd());
      searchFolders([folder], meant);
      fs.rmSync(folder, { recursive: true, force: true });
    },
    // ---- Requests, straight at the program. The service_role key goes along unless headers say otherwise. Every answer is held
    // against the OpenAPI description.
    async ask(method, target, { headers = {}, json, ...more } = {}) {
      const all = { authorization: `Bearer ${SERVICE_ROLE}`, ...headers };
      for (const name of Object.keys(all)) if (all[name] === null) delete all[name];
      if (json !== undefined) {
        more.body = typeof json === 'string' ? json : JSON.stringify(json);
        all['content-type'] ??= 'application/json';
      }
      const answer = await request(service.address ?? socket, { method, path: target, headers: all, ...more });
      conforms(method, target, answer);
      return answer;
    },
    functions: (rest = '') => `/v1/projects/${REF}/functions${rest}`,
    deploy(slug, files, { metadata = {}, query = '', ...more } = {}) {
      if (typeof files === 'string') files = { 'index.ts': files };
      const form = multipart({ ...Object.fromEntries(Object.entries({ entrypoint_path: Object.keys(files)[0], name: slug, ...metadata }).filter(([, v]) => v !== undefined)) }, files);
      return service.ask('POST', service.functions(`/deploy?slug=${slug}${query}`), { ...more, body: form.body, headers: { 'content-type': form.type, ...more.headers } });
    },
    // ---- What is stored and what lies on disk
    manifest: () => JSON.parse(fs.readFileSync(path.join(functionsDir, '.functions-admin/manifest.json'), 'utf8')),
    staging: () => fs.readdirSync(path.join(functionsDir, '.functions-admin/staging')),
    stub: (slug) => { try { return fs.readFileSync(path.join(functionsDir, slug, 'index.ts'), 'utf8'); } catch { return null; } },
    /** A request's temporary files go when its answer is on the way, which may be a moment after the answer is here. */
    settled: () => until('the staging area is empty', () => service.staging().length === 0),
    /**
     * Everything that a refused request must leave as it is: row counts (the audit log aside), the folder's tree, the manifest. Its copy
     * is written by the sweep, when that comes; the row of its own node a moment after the start.
     */
    state() {
      // The days of the log are made and dropped by the sweep; what is in them is counted through their parent.
      const tables = service.sql(`SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'functions_admin'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'audit_log'`).split(' ');
      const counts = service.sql(tables.map((t) => `SELECT '${t}', count(*) FROM functions_admin.${t}${t === 'nodes' ? ` WHERE kind <> 'serve'` : ''}`).join(' UNION ALL ') + ' ORDER BY 1');
      return { counts, tree: tree(functionsDir).filter((line) => !line.startsWith('.functions-admin/manifest.kept.json ')), manifest: fs.readFileSync(path.join(functionsDir, '.functions-admin/manifest.json'), 'utf8'), staging: service.staging() };
    },
  };
  service.writeConfig();
  if (migrate && !isMigrated) {
    const done = service.run('migrate');
    if (done.status !== 0) throw new Error(`migrate: ${done.stderr}`);
  }
  return service;
}

/** Every path below a folder, with what it is and how large. */
export function tree(folder, at = '') {
  return fs.readdirSync(path.join(folder, at), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((entry) => {
    const name = path.join(at, entry.name);
    if (entry.isDirectory()) return [`${name}/`, ...tree(folder, name)];
    return [entry.isSymbolicLink() ? `${name} -> ${fs.readlinkSync(path.join(folder, name))}` : `${name} ${fs.statSync(path.join(folder, name)).size}`];
  });
}

/** A deploy's form. `metadata` may be a string; files are [name, content] pairs or an object. */
export function multipart(metadata, files, { boundary = `b${randomBytes(8).toString('hex')}` } = {}) {
  const part = (head, content) => Buffer.concat([Buffer.from(`--${boundary}\r\n${head}\r\n\r\n`), Buffer.from(content), Buffer.from('\r\n')]);
  const parts = (Array.isArray(files) ? files : Object.entries(files)).map(([name, content]) =>
    Buffer.concat([Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="`), Buffer.from(name), Buffer.from('"\r\nContent-Type: application/octet-stream\r\n\r\n'), Buffer.from(content), Buffer.from('\r\n')]));
  if (metadata !== undefined) parts.push(part('Content-Disposition: form-data; name="metadata"', typeof metadata === 'string' ? metadata : JSON.stringify(metadata)));
  return { type: `multipart/form-data; boundary=${boundary}`, boundary, body: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]) };
}

// ---- A runtime in a few lines

/**
 * Answers as runtime/main does: boots a staged version (one whose source has BOOT_FAILS does not), tells the manifest's
 * generation, and serves a function by giving back its source (with status 500 where that has SMOKE_FAILS). `hold(slug)` makes the next boot of a slug wait.
 * It listens at a port of its own, or at `socket`.
 */
export async function startRuntime(functionsDir, { token = SECRETS.runtime_token, socket } = {}) {
  const held = new Map();
  const manifest = () => JSON.parse(fs.readFileSync(path.join(functionsDir, '.functions-admin/manifest.json'), 'utf8'));
  const secretsRevision = () => { try { return JSON.parse(fs.readFileSync(path.join(functionsDir, '.functions-admin/secrets.json'), 'utf8')).revision; } catch { return 0; } };
  const source = (version) => fs.readFileSync(path.join(functionsDir, version.path, version.kind === 'eszip' ? 'bundle.eszip' : version.entrypoint), 'utf8');
  const server = http.createServer(async (req, res) => {
    const answer = (status, value) => { res.writeHead(status, { 'content-type': 'application/json' }); res.end(JSON.stringify(value)); };
    const url = new URL(req.url, 'http://runtime');
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    try {
      if (!url.pathname.startsWith('/_internal/')) {
        const entry = manifest().functions[url.pathname.slice(1)];
        if (!entry) return answer(404, { message: 'Function not found' });
        const text = source(entry.versions[0]);
        res.writeHead(text.includes('SMOKE_FAILS') ? 500 : 200, { 'x-edge-function': `${url.pathname.slice(1)}; version=${entry.versions[0].version}` });
        return res.end(text);
      }
      if (req.headers['x-functions-admin-token'] !== token) return answer(403, {});
      if (self.bootsNothing && url.pathname === '/_internal/boot') return answer(200, { ok: false, error: { name: 'Error', message: 'this runtime boots nothing' } });
      if (url.pathname === '/_internal/generation') { const m = manifest(); return answer(200, { project: m.project, generation: m.generation, secrets_revision: self.secretsRevision ?? secretsRevision() }); }
      if (url.pathname === '/_internal/boot') {
        const { slug, version } = JSON.parse(Buffer.concat(chunks));
        const hold = held.get(slug);
        if (hold) { held.delete(slug); hold.reached(); await hold.released; }
        const text = source(version);
        return text.includes('BOOT_FAILS') ? answer(200, { ok: false, error: { name: 'SyntaxError', message: 'BOOT_FAILS was found' } }) : answer(200, { ok: true, check: 'full', boot_ms: 1 });
      }
      return answer(404, {});
    } catch (error) { return answer(200, { ok: false, error: { name: error.name, message: error.message } }); }
  });
  // Closed by nobody but the client: a connection that is closed here while it is asked there is an answer lost.
  server.keepAliveTimeout = 0;
  server.listen(socket ?? { port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const url = socket ? undefined : `http://127.0.0.1:${server.address().port}`;
  const self = {
    url,
    /** What it says to use, where that shall not be what the file says. */
    secretsRevision: undefined,
    call: (slug) => fetch(`${url}/${slug}`),
    bootsNothing: false,
    hold(slug) {
      let reached, release;
      const hold = { wasReached: new Promise((resolve) => { reached = resolve; }), released: new Promise((resolve) => { release = resolve; }) };
      held.set(slug, { ...hold, reached });
      return { reached: hold.wasReached, release };
    },
    stop: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }),
  };
  return self;
}

// ---- nginx

/** nginx with the project's own configuration in front of a service, and its gateway. Asked through `site` and `gateway`. */
export async function startNginx(service, { runtime = '127.0.0.1:9' } = {}) {
  const dir = temporaryFolder('fa-nginx-');
  const values = {
    STATE_DIR: dir, LOG_DIR: dir, WORKERS: 1, FASTCGI: `unix:${service.socket}`, LISTEN: `unix:${dir}/site.sock`, OPS_LISTEN: `unix:${dir}/ops.sock`,
    GATEWAY_ADDRESS: 'unix:', RATE: '5000r/s', BURST: 5000, GATEWAY_LISTEN: `unix:${dir}/gateway.sock`, SITE: `unix:${dir}/site.sock`, RUNTIME: runtime,
    KEY_AUTH: 'anonymous', SERVICE_ROLE_KEY: SERVICE_ROLE, ANON_KEY: ANON, SECRET_KEY: SECRETS.secret_key, PUBLISHABLE_KEY: SECRETS.publishable_key,
  };
  // What no test here depends on has some value.
  for (const file of fs.readdirSync(path.join(ROOT, 'nginx')))
    for (const [, name] of fs.readFileSync(path.join(ROOT, 'nginx', file), 'utf8').matchAll(/@([A-Z_]+)@/g)) if (name !== 'CONF_DIR') values[name] ??= 'unused';
  const rendered = spawnSync(path.join(ROOT, 'scripts/render'), [dir, '-'], { input: Object.entries(values).map(([n, v]) => `${n}=${v}\n`).join(''), encoding: 'utf8' });
  if (rendered.status !== 0) throw new Error(rendered.stderr);
  fs.writeFileSync(path.join(dir, 'dashboard.htpasswd'), '', { mode: 0o600 });
  if (root) for (const name of ['', ...fs.readdirSync(dir)]) fs.chownSync(path.join(dir, name), NOBODY, NOBODY);
  const child = spawn('nginx', ['-e', `${dir}/nginx.log`, '-p', dir, '-c', `${dir}/nginx.conf`], { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: `${process.env.PATH}:/usr/sbin` }, ...NOBODY_ELSE });
  let errors = '';
  children.add(child);
  child.stderr.setEncoding('utf8').on('data', (text) => { errors += text; });
  await until('nginx listens', () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${errors}`);
    return fs.existsSync(`${dir}/gateway.sock`) && fs.existsSync(`${dir}/site.sock`);
  });
  const ask = (socketPath) => (method, target, { headers = {}, body, json } = {}) => new Promise((resolve, reject) => {
    const all = { host: 'supabase.example', authorization: `Bearer ${SERVICE_ROLE}`, ...headers };
    for (const name of Object.keys(all)) if (all[name] === null) delete all[name];
    if (json !== undefined) { body = JSON.stringify(json); all['content-type'] ??= 'application/json'; }
    if (body !== undefined) all['content-length'] ??= Buffer.byteLength(body);
    const req = http.request({ socketPath, method, path: target, headers: all, agent: false, timeout: 60_000 });
    let answered = false;
    req.on('response', (res) => {
      const chunks = [];
      answered = true;
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('end', () => {
        const whole = Buffer.concat(chunks), text = whole.toString();
        resolve({ status: res.statusCode, headers: res.headers, body: whole, text, get json() { return JSON.parse(text); } });
      });
    });
    req.on('timeout', () => req.destroy(new Error('nginx did not answer')));
    // nginx may answer and close before it has read the whole body; the answer counts then.
    req.on('error', (error) => setImmediate(() => { if (!answered) reject(error); }));
    req.end(body);
  });
  return {
    dir,
    site: ask(`${dir}/site.sock`),
    gateway: ask(`${dir}/gateway.sock`),
    log: () => fs.readdirSync(dir).filter((name) => name.endsWith('.log')).map((name) => fs.readFileSync(path.join(dir, name), 'utf8')).join('') + errors,
    async stop() {
      if (child.exitCode === null) { child.kill('SIGTERM'); await once(child, 'exit'); }
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A port of the loopback address that was free a moment ago. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
