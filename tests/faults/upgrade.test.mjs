// From the schema of each earlier migration, with data in it, to now; a migration that is interrupted at each of its statements; a later
// schema under this program, and an earlier program beside this one; and a backup that is made while others deploy.
//
// FA_OLD_BINARY names an earlier build of the program, for the part that needs one.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { isDeepStrictEqual, promisify } from 'node:util';
import { agree } from '../lib/agree.mjs';
import { randomNumbers } from './cycle.mjs';
import { counting } from './report.mjs';
import { betweenStatements } from './statements.mjs';
import { BINARY, REF, ROOT, makeService, startPostgres, startRuntime, temporaryFolder, until } from '../lib/service.mjs';

const counts = counting('upgrade.test.mjs');
const FOLDER = path.join(ROOT, 'sql/migrations');
const MIGRATIONS = fs.readdirSync(FOLDER).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort();
const NEWEST = MIGRATIONS.length, SLUGS = ['one', 'two'];
const LONG = Boolean(process.env.FA_LONG);
let postgres;

before(async () => { postgres = await startPostgres(); });
after(async () => {
  await postgres?.remove();
});

/** A service with a runtime, started, or not yet. */
async function served(server, { url, options = {}, wrapper = [], start = true } = {}) {
  const service = makeService(server, { migrate: false, options, wrapper }), runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url, ...(url ? { database_url: url } : {}) });
  if (!url && start) assert.equal(service.run('migrate').status, 0);
  if (start) await service.start();
  return { service, runtime, async end() { await service.remove(); await runtime.stop(); } };
}

const columnsOf = (database) => {
  const tables = {};
  const rows = postgres.sql(database, `SELECT c.relname, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'functions_admin'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    AND c.relname <> 'schema_migrations' ORDER BY c.relname, a.attnum;`);
  for (const row of rows.split('\n')) { const [table, name, type] = row.split('|'); (tables[table] ??= []).push({ name, type }); }
  return tables;
};

describe('from the schema of an earlier migration, with data in it', () => {
  const files = temporaryFolder('fa-donor-');
  let donor, tables, token, sources, generation;

  before(async () => {
    fs.chmodSync(files, 0o777);
    donor = await served(postgres);
    const { service } = donor, made = async (asked, status) => { const answer = await asked; assert.equal(answer.status, status, answer.text); };
    await made(service.deploy('one', '// one, first'), 201);
    await made(service.deploy('one', '// one, second'), 201);
    await made(service.deploy('two', { 'index.ts': '// two', 'lib/a.ts': '// a' }, { metadata: { verify_jwt: false } }), 201);
    await made(service.deploy('two', { 'index.ts': '// two again', 'lib/a.ts': '// a' }), 201);
    await made(service.ask('POST', service.functions('/two/rollback'), { json: {} }), 200);
    await made(service.deploy('gone', '// gone'), 201);
    await made(service.ask('DELETE', service.functions('/gone')), 200);
    await made(service.ask('POST', `/v1/projects/${REF}/secrets`, { json: [{ name: 'KEPT', value: 'a value' }] }), 201);
    const created = service.run('token', ['create', '--name', 'kept', '--scope', 'functions:read']);
    assert.equal(created.status, 0, created.stderr);
    token = created.stdout.trim();
    sources = Object.fromEntries(SLUGS.map((slug) => [slug, fs.readFileSync(path.join(service.functionsDir, slug, 'source/index.ts'), 'utf8')]));
    generation = service.sql('SELECT generation FROM functions_admin.projects');
    await service.stop();
    tables = columnsOf(service.database);
    // The events' partitions are of days; the tables of what only a running process needs stay out.
    for (const name of ['function_events', 'instances']) delete tables[name];
    postgres.sql(service.database, Object.keys(tables).map((t) => `COPY (SELECT ${tables[t].map((c) => c.name).join(', ')} FROM functions_admin.${t}) TO '${files}/${t}';\n`).join(''));
  });
  after(() => donor?.end());

  /** A database at this level, with what of the data it has room for. */
  function atLevel(service, level) {
    const sum = (name) => createHash('sha256').update(fs.readFileSync(path.join(FOLDER, name))).digest('hex');
    postgres.sql(service.database, `CREATE SCHEMA functions_admin; CREATE TABLE functions_admin.schema_migrations (version integer PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
      ${MIGRATIONS.slice(0, level).map((name, i) => `BEGIN;\n${fs.readFileSync(path.join(FOLDER, name), 'utf8')}\nINSERT INTO functions_admin.schema_migrations VALUES (${i + 1}, '${name}', '\\x${sum(name)}');\nCOMMIT;\n`).join('')}`, 'postgres');
    const there = columnsOf(service.database);
    postgres.sql(service.database, `SET session_replication_role = replica; SET search_path = functions_admin;\n${Object.keys(there).filter((t) => tables[t] && (t !== 'audit_log' || level >= 3)).map((t) => {
      const both = there[t].filter((c) => tables[t].some((d) => d.name === c.name));
      return `CREATE TEMP TABLE copied (${tables[t].map((c) => `${c.name} text`).join(', ')});\nCOPY pg_temp.copied FROM '${files}/${t}';\nDELETE FROM functions_admin.${t};
        INSERT INTO functions_admin.${t} (${both.map((c) => c.name).join(', ')}) OVERRIDING SYSTEM VALUE SELECT ${both.map((c) => `${c.name}::${c.type}`).join(', ')} FROM pg_temp.copied;\nDROP TABLE pg_temp.copied;\n`;
    }).join('')}
      SELECT setval(pg_get_serial_sequence(attrelid::regclass::text, attname), 1000) FROM pg_attribute WHERE attidentity <> '' AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'functions_admin'::regnamespace AND NOT relispartition);`);
  }

  for (let level = 1; level < NEWEST; level++)
    test(`${level}: it is served as it was, and goes on`, { skip: !LONG && ![1, NEWEST >> 1, NEWEST - 1].includes(level) && './check --long takes every one' }, counts.of('upgrade from the schema of an earlier migration, with data', 'served as it was, and goes on', async (times) => {
      const at = await served(postgres, { start: false }), { service, runtime } = at;
      try {
        atLevel(service, level);
        assert.equal(service.run('migrate', ['--status']).status, 1);
        const migrated = service.run('migrate', ['--json']);
        assert.equal(migrated.status, 0, migrated.stderr);
        assert.equal(JSON.parse(migrated.stdout).applied, NEWEST - level);
        await service.start();
        assert.equal(service.sql('SELECT generation FROM functions_admin.projects'), generation, 'nothing was activated');
        await agree(service, runtime, SLUGS);
        for (const slug of SLUGS) assert.equal(await (await runtime.call(slug)).text(), sources[slug]);
        const list = await service.ask('GET', service.functions(), { headers: { authorization: `Bearer ${token}` } });
        assert.equal(list.status, 200, 'an access token goes on working');
        assert.deepEqual(list.json.map((f) => [f.slug, f.version, f.verify_jwt]).sort(), [['one', 2, true], ['two', 1, false]]);
        const secrets = await service.ask('GET', `/v1/projects/${REF}/secrets`);
        assert.deepEqual(secrets.json.map((s) => s.name), level >= 4 ? ['KEPT'] : []);
        if (level >= 4) assert.match(fs.readFileSync(path.join(service.functionsDir, '.functions-admin/secrets.json'), 'utf8'), /a value/);
        assert.equal((await service.deploy('one', '// one, third')).json.version, 3);
        assert.equal((await service.ask('POST', service.functions('/one/rollback'), { json: { version: 1 } })).status, 200);
        assert.equal((await service.deploy('gone', '// here again')).status, 201);
        await agree(service, runtime, [...SLUGS, 'gone']);
        // No release had tokens without an audit log; here the first token that is made begins its chain.
        if (level < 3) assert.equal(service.run('token', ['create', '--name', 'new', '--scope', 'functions:read']).status, 0);
        const verified = service.run('audit', ['verify']);
        assert.equal(verified.status, 0, verified.stdout + verified.stderr);
      } finally { await at.end(); }
    }));

  describe('a migration is interrupted at each of its statements', { timeout: 3_600_000 }, () => {
    const folder = temporaryFolder('fa-between-'), DATABASE = 'interrupted';
    const HARMS = {
      'the server refuses it': { statement: "DO $$ BEGIN RAISE 'refused by the test'; END $$", status: 1, says: /refused by the test/ },
      'the connection is lost': { statement: 'SELECT pg_terminate_backend(pg_backend_pid())', status: 3, says: /The database cannot be reached/ },
      'kill -9 of the server process': { statement: "COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID'", status: 3, says: /The database cannot be reached/ },
      'kill -9 of the program': { statement: 'SELECT pg_advisory_xact_lock(1)', killed: true },
    };
    const names = Object.keys(HARMS), seed = Number(process.env.SEED ?? randomInt(2 ** 31)), next = randomNumbers(seed);
    let service, proxy, plain;

    before(async () => {
      console.log(`SEED=${seed} repeats this run`);
      service = makeService(postgres, { migrate: false });
      plain = service.database;
      fs.chmodSync(folder, 0o777);
      proxy = await betweenStatements(postgres, folder);
      service.writeConfig({ database_url: `postgresql://postgres@/${DATABASE}?host=${encodeURIComponent(folder)}` });
      postgres.sql('postgres', 'GRANT pg_execute_server_program TO postgres;');
    });
    after(async () => {
      proxy?.close();
      await service?.remove();
    });

    function copy(template, name) {
      postgres.sql('postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      postgres.sql('postgres', `CREATE DATABASE ${name} TEMPLATE ${template} OWNER postgres`);
    }
    /** The lines of all that a database holds: its schema, rights and rows, without when each migration was applied, and who a new project is. */
    function whole(database = DATABASE) {
      const done = spawnSync(path.join(postgres.bin, 'pg_dump'), ['-h', postgres.folder, '-U', 'supabase_admin', database], { encoding: 'utf8', maxBuffer: 1 << 28 });
      assert.equal(done.status, 0, done.stderr);
      return done.stdout.split('\n').filter((line) => line && !/^--|^\\(un)?restrict /.test(line)).map((line) => line
        .replace(/^(\d+\t\d{4}_\w+\.sql\t\S+)\t.*/, '$1').replace(new RegExp(`^${REF}\\t.*\\t0\\t0\\t0\\t.*`), REF)).sort();
    }
    /** The program, beside which the proxy goes on. */
    const migrate = (args = [], place = undefined, statement = undefined, begun = undefined) => new Promise((resolve) => {
      proxy.begin(place, statement);
      const child = execFile(BINARY, ['migrate', '--json', '--config', service.config, ...args], { env: { PATH: process.env.PATH } }, (error, stdout, stderr) => resolve({ status: child.exitCode, signal: child.signalCode, stdout, stderr }));
      begun?.(child);
    });
    /** The server is at the statement when the program is killed, and goes on when nobody waits for it any more. */
    async function kill(place, statement) {
      const client = new pg.Client({ connectionString: postgres.url(DATABASE, 'supabase_admin') });
      await client.connect();
      try {
        await client.query('SELECT pg_advisory_lock(1)');
        const reached = async () => (await client.query("SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted")).rowCount > 0;
        return await migrate([], place, statement, (child) => { until('the server is at the statement', reached).finally(() => child.kill('SIGKILL')); });
      } finally { await client.end(); }
    }
    /** The server takes connections, and has none that does something to the database. */
    const quiet = () => until('the server is quiet', async () => {
      postgres.hangUp();
      const client = new pg.Client({ connectionString: postgres.url('postgres', 'supabase_admin') });
      client.on('error', () => {});
      try {
        await client.connect();
        return (await client.query('SELECT FROM pg_stat_activity WHERE datname = $1', [DATABASE])).rowCount === 0;
      } catch { return false; } finally { await client.end().catch(() => {}); }
    });

    /** What a migration from this level does when nothing happens to it: its places up to the first commit, and what is there before, then, and at its end. */
    async function known(level) {
      postgres.sql(plain, 'DROP SCHEMA IF EXISTS functions_admin CASCADE;');
      if (level > 0) atLevel(service, level);
      copy(plain, 'level');
      copy('level', DATABASE);
      const done = await migrate(), { places } = proxy, final = whole();
      assert.equal(done.status, 0, done.stderr);
      const following = fs.readFileSync(level + 1 < NEWEST ? path.join(FOLDER, MIGRATIONS[level + 1]) : path.join(ROOT, 'sql/service_role.sql'), 'utf8');
      // What a new session is told comes first.
      const first = places.findIndex(({ script }) => script.includes('pg_advisory_lock')), end = places.findIndex(({ script }) => script === following);
      assert.ok(0 < first && first < end);
      copy('level', DATABASE);
      assert.match((await migrate([], end, HARMS['the server refuses it'].statement)).stderr, HARMS['the server refuses it'].says);
      return { level, first, end: level < NEWEST ? end : places.length, places, old: whole('level'), new: whole(), final, tried: [] };
    }

    /** The level that is there as a whole, and whether all is as before. */
    function left(at, where) {
      const there = whole(), is = (other) => isDeepStrictEqual(there, other);
      if (is(at.old)) return { level: at.level, untouched: true };
      if (is(at.new) || is(at.final)) return { level: Math.min(at.level + 1, NEWEST), there };
      // Before the first migration their list is made.
      assert.equal(at.level, 0, `neither old nor new: ${where}`);
      assert.equal(postgres.sql(DATABASE, "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = to_regnamespace('functions_admin') AND relkind IN ('r', 'p');"), 'schema_migrations', where);
      assert.equal(postgres.sql(DATABASE, 'SELECT count(*) FROM functions_admin.schema_migrations;'), '0', where);
      return { level: 0, there };
    }

    async function again(at, level, where) {
      const status = await migrate(['--status']);
      assert.deepEqual([status.status, JSON.parse(status.stdout).schema], [level < NEWEST ? 1 : 0, level], where);
      const done = await migrate();
      assert.equal(done.status, 0, `${where}\n${done.stderr}`);
      assert.equal(JSON.parse(done.stdout).applied, NEWEST - level, where);
      assert.deepEqual(whole(), at.final, `as if nothing had been: ${where}`);
    }

    /** Harms the migration at each of these places; where that leaves all as it was, the next one meets the same database. */
    async function interrupt(at, places, name) {
      const harm = HARMS[name];
      let where, state = {};
      for (const place of places) {
        const held = counts.trying(`a migration is interrupted at a statement: ${name}`, 'old or new as a whole, with all data; migrated again it is as if nothing had been'), { script, end } = at.places[place];
        where = `from ${at.level}, ${name}, place ${place} of ${at.end}, behind ${script.slice(0, end).slice(-200)}`;
        if (!state.untouched) copy('level', DATABASE);
        const cut = await (harm.killed ? kill(place, harm.statement) : migrate([], place, harm.statement));
        if (harm.killed) assert.equal(cut.signal, 'SIGKILL', where);
        else assert.ok(cut.status === harm.status && harm.says.test(cut.stderr), `${where}\n${cut.status} ${cut.stderr}`);
        await quiet();
        state = left(at, where);
        // From there it was migrated again already, or not yet.
        if (!state.untouched && !at.tried.some((there) => isDeepStrictEqual(there, state.there))) {
          await again(at, state.level, where);
          at.tried.push(state.there);
        }
        held();
      }
      if (state.untouched) await again(at, state.level, where);
    }

    for (let level = 0; level <= NEWEST; level++) {
      const newest = level === NEWEST - 1, what = level < NEWEST ? MIGRATIONS[level] : 'the rights of the service';
      test(what, { skip: !LONG && !newest && './check --long takes every one' }, async () => {
        const at = await known(level), every = Array.from({ length: at.end - at.first }, (_, i) => at.first + i);
        // In the short run each place once, whatever happens there.
        const turns = LONG ? names.map((name) => [name, every]) : names.map((name, i) => [name, every.filter((place) => place % names.length === i)]);
        for (const [name, places] of turns) await interrupt(at, places, name);
        console.log(`${what}: ${every.length} places`);
      });
    }

    test('one of the others, at places by chance', { skip: LONG && 'all were taken' }, async () => {
      const at = await known(Math.floor(next() * (NEWEST - 1)));
      for (const name of names) await interrupt(at, [at.first + Math.floor(next() * (at.end - at.first))], name);
    });
  });
});

describe('two versions of the program over one database', () => {
  test('the schema of a later release: the program that runs goes on, and starts, and migrate takes nothing back', counts.of('the schema of a later release under this program', 'goes on, starts, takes no rights away', async (times) => {
    const at = await served(postgres), { service, runtime } = at;
    try {
      assert.equal((await service.deploy('one', '// one')).status, 201);
      postgres.sql(service.database, `BEGIN; ALTER TABLE functions_admin.edge_functions ADD COLUMN later text NOT NULL DEFAULT 'later'; ALTER TABLE functions_admin.edge_function_versions ADD COLUMN later jsonb;
        CREATE TABLE functions_admin.later (id bigint PRIMARY KEY); GRANT SELECT ON functions_admin.later TO functions_admin_service;
        INSERT INTO functions_admin.schema_migrations VALUES (${NEWEST + 1}, '${String(NEWEST + 1).padStart(4, '0')}_later.sql', sha256('later')); COMMIT;`, 'postgres');
      // Prepared statements meet tables that have changed.
      for (const text of ['// two', '// three']) assert.equal((await service.deploy('one', text)).status, 201);
      assert.equal((await service.ask('POST', service.functions('/one/rollback'), { json: {} })).status, 200);
      assert.equal((await service.ask('GET', '/readyz')).status, 200);
      const status = service.run('migrate', ['--status']);
      assert.deepEqual([status.status, service.run('migrate').status], [0, 0], status.stdout);
      assert.equal(service.sql(`SELECT has_table_privilege('functions_admin_service', 'functions_admin.later', 'SELECT')`), 't');
      await service.stop();
      await service.start();
      assert.equal((await service.deploy('one', '// four')).status, 201);
      await agree(service, runtime, ['one']);
    } finally { await at.end(); }
  }));

  const old = process.env.FA_OLD_BINARY;
  test('an earlier program beside this one, over the schema of this one', { skip: !old && 'FA_OLD_BINARY names no earlier build' }, counts.of('an earlier program beside this one', 'both deploy, nothing disagrees', async (times) => {
    const now = await served(postgres);
    const earlier = await served(postgres, { url: now.service.options.database_url, options: { db_role: null }, wrapper: ['sh', '-c', 'exec "$FA_OLD_BINARY" "$@"'], start: false });
    try {
      earlier.service.sql = now.service.sql;
      await earlier.service.start({ env: { FA_OLD_BINARY: path.resolve(old) } });
      let number = 0;
      await Promise.all([now, earlier].flatMap(({ service }, i) => ['one', 'two', `own-${i}`].map(async (slug) => {
        for (let n = 0; n < 10; n++) {
          const answer = await service.deploy(slug, `// ${slug} ${number++}`);
          assert.ok([201, 409].includes(answer.status), answer.text);
        }
      })));
      for (const { service } of [now, earlier, now]) assert.equal((await service.deploy('one', `// ${number++}`)).status, 201);
      for (const { service, runtime } of [now, earlier]) {
        // Each learns of what the other has activated at its next sweep.
        await until('the folder shows what is active', () => service.manifest().generation === Number(service.sql('SELECT generation FROM functions_admin.projects')));
        await agree(service, runtime, ['one', 'two', 'own-0', 'own-1']);
      }
      assert.equal(now.service.run('audit', ['verify']).status, 0);
    } finally {
      await earlier.end();
      await now.end();
    }
  }));
});

test('a dump made during deploys, restored in another server before an empty folder: all is served, the audit chain is whole', counts.of('a dump made during deploys, restored elsewhere before an empty folder', 'all is served, the audit chain is whole', async (times) => {
  const at = await served(postgres), other = await startPostgres();
  let there;
  try {
    const slugs = Array.from({ length: 6 }, (_, i) => `f${i}`);
    let over = false, number = 0, changes = 0;
    for (const slug of slugs) assert.equal((await at.service.deploy(slug, `// ${slug}`)).status, 201);
    const load = [
      ...slugs.slice(0, 3).map(async (slug) => { while (!over) { assert.equal((await at.service.deploy(slug, { 'index.ts': `// ${slug} ${number++}`, 'lib.ts': `// ${number}`.repeat(500) })).status, 201); changes++; } }),
      (async () => { while (!over) { assert.equal((await at.service.ask('DELETE', at.service.functions('/f5'))).status, 200); assert.equal((await at.service.deploy('f5', `// ${number++}`)).status, 201); changes++; } })(),
      (async () => { while (!over) { const answer = await at.service.ask('POST', `/v1/projects/${REF}/secrets`, { json: [{ name: 'COUNT', value: `${number++}` }] }); assert.equal(answer.status, 201); changes++; } })(),
    ];
    await until('there is a load', () => changes > 10);
    const before = changes;
    const { stdout: dump } = await promisify(execFile)(path.join(postgres.bin, 'pg_dump'), ['--no-owner', '--no-privileges', '-n', 'functions_admin', postgres.url(at.service.database)], { maxBuffer: 1 << 28 });
    assert.ok(changes > before, 'others worked meanwhile');
    over = true;
    await Promise.all(load);
    there = await served(other, { start: false });
    const restored = spawnSync(path.join(other.bin, 'psql'), ['-X', '-q', '-v', 'ON_ERROR_STOP=1', other.url(there.service.database)], { input: dump, encoding: 'utf8', maxBuffer: 1 << 28 });
    assert.equal(restored.status, 0, restored.stderr);
    assert.equal(there.service.run('migrate').status, 0, 'rights are not in such a dump');
    // The server's default privileges have handed out what was restored.
    for (const [role, rights] of [['anon', 'f'], ['authenticated', 'f'], ['functions_admin_service', 't']])
      assert.equal(there.service.sql(`SELECT bool_or(has_table_privilege('${role}', oid, 'SELECT')) FROM pg_class WHERE relnamespace = 'functions_admin'::regnamespace AND relkind IN ('r', 'p')`), rights, role);
    await there.service.start();
    const list = (await there.service.ask('GET', there.service.functions())).json.map((f) => f.slug);
    assert.ok(list.length >= 5 && slugs.slice(0, 5).every((slug) => list.includes(slug)), `${list}`);
    await agree(there.service, there.runtime, slugs);
    const verified = there.service.run('audit', ['verify']);
    assert.equal(verified.status, 0, verified.stdout + verified.stderr);
    assert.match(fs.readFileSync(path.join(there.service.functionsDir, '.functions-admin/secrets.json'), 'utf8'), /COUNT/);
    for (const slug of slugs) assert.equal((await there.service.deploy(slug, `// ${slug}, after the restore`)).status, 201);
    await agree(there.service, there.runtime, slugs);
    await agree(at.service, at.runtime, slugs);
  } finally {
    await there?.end();
    await other.remove();
    await at.end();
  }
}));
