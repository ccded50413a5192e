// The schema: from several processes at once, as a role that is no superuser, without a right for the API's roles, and equal
// to sql/schema.sql. `UPDATE=1 node --test tests/integration/migrate.test.mjs` writes that file anew.
// (Debian 12 has PostgreSQL 15 only; the SQL keeps to what 15, 16 and 17 have in common.)
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { BINARY, makeService, ROOT, startPostgres } from '../lib/service.mjs';

let postgres;
before(async () => { postgres = await startPostgres({ bare: true }); });
after(() => postgres?.remove());

const MIGRATIONS = fs.readdirSync(path.join(ROOT, 'sql/migrations')).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort();
const NEWEST = Number(MIGRATIONS.at(-1).slice(0, 4));
const applied = (service) => service.sql('SELECT name FROM functions_admin.schema_migrations ORDER BY version').split('\n');

function fresh(options = {}) {
  return makeService(postgres, { migrate: false, ...options });
}

test('every migration file is in the program, and each has a number of its own', async () => {
  const service = fresh();
  assert.equal(new Set(MIGRATIONS.map((name) => name.slice(0, 4))).size, MIGRATIONS.length);
  assert.equal(service.run('migrate').status, 0);
  assert.deepEqual(applied(service), MIGRATIONS);
  await service.remove();
});

test('six processes at once apply each migration once', async () => {
  const service = fresh();
  const ends = await Promise.all(Array.from({ length: 6 }, () => new Promise((resolve) => {
    const child = spawn(BINARY, ['migrate', '--json', '--config', service.config], { env: { PATH: process.env.PATH } });
    let out = '', errors = '';
    child.stdout.on('data', (text) => { out += text; });
    child.stderr.on('data', (text) => { errors += text; });
    child.on('close', (code) => resolve({ code, out, errors }));
  })));
  for (const end of ends) assert.equal(end.code, 0, end.errors);
  assert.deepEqual(ends.map((end) => JSON.parse(end.out).applied).sort((a, b) => a - b), [0, 0, 0, 0, 0, MIGRATIONS.length]);
  assert.deepEqual(applied(service), MIGRATIONS);
  assert.equal(service.sql('SELECT count(*) FROM functions_admin.projects'), '1');
  await service.remove();
});

test('again is nothing; --status tells, and its exit status says whether there is something to do', async () => {
  const service = fresh();
  const before = service.run('migrate', ['--status']);
  assert.equal(before.status, 1);
  assert.equal(service.sql(`SELECT count(*) FROM pg_namespace WHERE nspname = 'functions_admin'`), '0', '--status changes nothing');
  assert.equal(service.run('migrate').status, 0);
  const again = service.run('migrate', ['--json']);
  assert.deepEqual(JSON.parse(again.stdout), { schema: NEWEST, needed: NEWEST, applied: 0 });
  const after = service.run('migrate', ['--status']);
  assert.deepEqual([after.status, after.stdout.includes('up to date')], [0, true]);
  await service.remove();
});

test('a database with another form of a migration is refused, and left as it is', async () => {
  const service = fresh();
  assert.equal(service.run('migrate').status, 0);
  service.sql(`UPDATE functions_admin.schema_migrations SET checksum = sha256('other') WHERE version = 1`);
  const refused = service.run('migrate');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /Migration 0001_functions\.sql was applied in another form/);
  assert.match(refused.stderr, /HINT: /);
  await service.remove();
});

test('the program does not serve over an older schema', async () => {
  const service = fresh();
  await service.start({ ready: false });
  assert.notEqual(await service.ended(), 0);
  assert.match(service.log, /schema is at 0, this program needs/);
  assert.match(service.log, /HINT: Run: functions-admin migrate/);
  await service.remove();
});

test('it needs no superuser: everything belongs to the role postgres', async () => {
  const service = fresh();
  assert.equal(service.run('migrate').status, 0);
  assert.equal(service.sql(`SELECT rolsuper FROM pg_roles WHERE rolname = 'postgres'`), 'f');
  assert.equal(service.sql(`SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'functions_admin'::regnamespace`), 'postgres');
  await service.remove();
});

test("the API's roles have no right to anything in it, whatever the cluster's default privileges give", async () => {
  const service = fresh();
  assert.equal(service.sql(`SELECT count(*) > 0 FROM pg_default_acl`), 't', 'the defaults do grant, as in Supabase');
  service.sql(`CREATE TABLE public.witness (x int)`, 'supabase_admin');
  assert.equal(service.sql(`SELECT has_table_privilege('anon', 'public.witness', 'SELECT')`), 't');
  assert.equal(service.run('migrate').status, 0);
  // One kind of object at a time: has_sequence_privilege() fails for what is no sequence, so it must not be asked about that.
  const having = (role, table, of, check) => service.sql(`SELECT coalesce(string_agg(name, ' '), '') FROM (SELECT CASE WHEN ${of} THEN ${check.replace('ROLE', `'${role}'`)} END has, ${table === 'pg_proc' ? 'proname' : 'relname'} name FROM ${table}) x WHERE has`);
  for (const role of ['anon', 'authenticated']) {
    for (const right of ['USAGE', 'CREATE']) assert.equal(service.sql(`SELECT has_schema_privilege('${role}', 'functions_admin', '${right}')`), 'f', `${role}: ${right}`);
    for (const right of ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
      assert.equal(having(role, 'pg_class', `relnamespace = 'functions_admin'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')`, `has_table_privilege(ROLE, oid, '${right}')`), '', `${role}: ${right}`);
    assert.equal(having(role, 'pg_class', `relnamespace = 'functions_admin'::regnamespace AND relkind = 'S'`, `has_sequence_privilege(ROLE, oid, 'USAGE')`), '', role);
    assert.equal(having(role, 'pg_proc', `pronamespace = 'functions_admin'::regnamespace`, `has_function_privilege(ROLE, oid, 'EXECUTE')`), '', role);
    assert.throws(() => service.sql(`SET ROLE ${role}; SELECT * FROM functions_admin.access_tokens`), /permission denied for schema/);
  }
  assert.equal(service.sql(`SELECT count(*) FROM pg_class WHERE relnamespace = 'functions_admin'::regnamespace AND relacl::text ~ '[{,]=[a-zA-Z]'`), '0', 'nothing for PUBLIC');
  assert.equal(service.sql(`SELECT count(*) FROM pg_proc WHERE pronamespace = 'functions_admin'::regnamespace AND (proacl IS NULL OR proacl::text ~ '[{,]=[a-zA-Z]')`), '0', 'no function for PUBLIC');
  await service.remove();
});

/** pg_dump's text without what differs from one run or minor version to the next. */
function dump(service) {
  const done = spawnSync(path.join(postgres.bin, 'pg_dump'), ['-s', '-n', 'functions_admin', '--no-owner', '--no-privileges', '-h', postgres.folder, '-U', 'postgres', service.database], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  const statements = done.stdout.split('\n').filter((line) => !/^(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict)/.test(line)).join('\n').replace(/\n{3,}/g, '\n\n').trim();
  return `-- What the migrations make, by pg_dump. Not run by anything: for reading. Written anew by:\n--   UPDATE=1 node --test tests/integration/migrate.test.mjs\n\n${statements}\n`;
}

test('sql/schema.sql is what the migrations make', async () => {
  const service = fresh(), file = path.join(ROOT, 'sql/schema.sql');
  assert.equal(service.run('migrate').status, 0);
  const text = dump(service);
  if (process.env.UPDATE) fs.writeFileSync(file, text);
  // pg_dump words some things differently from one major version to the next; the file is made with 15.
  if (service.sql('SHOW server_version_num').startsWith('15')) assert.equal(fs.readFileSync(file, 'utf8'), text, 'sql/schema.sql is out of date. HINT: UPDATE=1 node --test tests/integration/migrate.test.mjs');
  await service.remove();
});
