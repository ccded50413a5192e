// The database role that `serve` works under: it may do what the service needs, and nothing that would undo the audit log or
// change the schema. That it is enough is what all other tests show: it is the default.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { makeService, startPostgres } from '../lib/service.mjs';

const ROLE = 'functions_admin_service';
let postgres, service;
before(async () => {
  postgres = await startPostgres();
  service = await makeService(postgres).start();
});
after(async () => {
  await service?.remove();
  await postgres?.remove();
});

const as = (text) => service.sql(`SET ROLE ${ROLE}; ${text}`, 'postgres');
const finding = (of = service, args = []) => JSON.parse(of.run('doctor', ['--json', ...args]).stdout).checks.find((c) => c.check === 'db_role');

test('the program takes it on every connection', async () => {
  assert.equal((await service.deploy('hello', 'export default 1')).status, 201);
  // Whose rights count is known to the session alone; a trigger tells.
  service.sql(`CREATE TABLE public.witness (role text, session text);
    GRANT INSERT ON public.witness TO PUBLIC;
    CREATE FUNCTION public.witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.witness VALUES (current_user, session_user); RETURN NULL; END $$;
    CREATE TRIGGER witness AFTER INSERT ON functions_admin.audit_log EXECUTE FUNCTION public.witness()`, 'supabase_admin');
  const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => service.deploy(`f${i}`, 'export default 1')));
  assert.deepEqual([...new Set(answers.map((a) => a.status))], [201]);
  assert.equal(service.sql('SELECT DISTINCT role, session FROM public.witness'), `${ROLE}|postgres`);
  service.sql('DROP TRIGGER witness ON functions_admin.audit_log; DROP FUNCTION public.witness(); DROP TABLE public.witness');
  assert.doesNotMatch(service.log, /not there to be taken/);
});

describe('what it may not', () => {
  for (const [what, text] of [
    ['change an entry of the audit log', `UPDATE functions_admin.audit_log SET actor = 'nobody'`],
    ['remove one', 'DELETE FROM functions_admin.audit_log'],
    ['empty it', 'TRUNCATE functions_admin.audit_log'],
    ['lock its entries', 'SELECT FROM functions_admin.audit_log FOR UPDATE'],
    ['make a checkpoint, which allows removing', `INSERT INTO functions_admin.audit_checkpoints (chain, seq, hash, mac) VALUES ('', 9, sha256(''), sha256(''))`],
    ['remove a head', 'DELETE FROM functions_admin.audit_heads'],
    ['switch triggers off', 'ALTER TABLE functions_admin.audit_log DISABLE TRIGGER ALL'],
    ['run without triggers', 'SET session_replication_role = replica'],
    ['drop a table', 'DROP TABLE functions_admin.audit_log'],
    ['make a table', 'CREATE TABLE functions_admin.mine (x int)'],
    ['make a function', `CREATE FUNCTION functions_admin.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`],
    ['replace one', `CREATE OR REPLACE FUNCTION functions_admin.event_drop(day date) RETURNS void LANGUAGE sql AS ''`],
    ['drop a partition by itself', `DROP TABLE functions_admin.function_events`],
    ['change what is deployed', `UPDATE functions_admin.edge_function_versions SET name = 'x'`],
    ['change a file', `UPDATE functions_admin.blob_chunks SET data = ''`],
    ['change the history', `UPDATE functions_admin.releases SET created_by = 'x'`],
    ['remove a project', 'DELETE FROM functions_admin.projects'],
    ['say that a migration ran', `UPDATE functions_admin.schema_migrations SET name = 'x'`],
    ['make roles', 'CREATE ROLE other'],
    ['act as the owner of a table', `ALTER TABLE functions_admin.audit_log OWNER TO ${ROLE}`],
  ]) test(what, () => assert.throws(() => as(text), /permission denied|must be owner/));
});

test('a day of the event log can be made and dropped, and nothing else through that', () => {
  as(`SELECT functions_admin.event_partition('2001-02-03')`);
  const there = () => service.sql(`SELECT to_regclass('functions_admin.function_events_20010203') IS NOT NULL`);
  assert.equal(there(), 't');
  assert.throws(() => as('SELECT * FROM functions_admin.function_events_20010203'), /permission denied/, 'days are read through the whole');
  as(`SELECT functions_admin.event_drop('2001-02-03')`);
  assert.equal(there(), 'f');
  as(`SELECT functions_admin.event_partition('2001-02-03')`);
  as(`SELECT functions_admin.event_shed('2001-02-03', true)`);
  assert.equal(there(), 'f');
  const definer = service.sql(`SELECT proname || ' ' || coalesce(array_to_string(proconfig, ';'), '') FROM pg_proc WHERE pronamespace = 'functions_admin'::regnamespace AND prosecdef ORDER BY 1`);
  assert.equal(definer, 'event_drop search_path=pg_catalog, pg_temp\nevent_partition search_path=pg_catalog, pg_temp\nevent_shed search_path=pg_catalog, pg_temp', 'no other SECURITY DEFINER function; pinned search_path');
});

const without = () => service.sql(`SELECT coalesce(string_agg(relname, ' '), '') FROM pg_class WHERE relnamespace = 'functions_admin'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition AND NOT has_table_privilege('${ROLE}', oid, 'SELECT')`);
test('no table is without rights for it: a migration that adds one adds its line to sql/service_role.sql', () => {
  assert.equal(without(), '', 'HINT: add the table to sql/service_role.sql with the rights that serve needs');
  service.sql('CREATE TABLE functions_admin.forgotten (x int)', 'postgres');
  assert.equal(without(), 'forgotten', 'this test would see it');
  service.sql('DROP TABLE functions_admin.forgotten', 'postgres');
});

test('doctor tells the role, and what it may that it should not; migrate sets the rights anew', () => {
  assert.deepEqual([finding().verdict, /serve works as functions_admin_service, with no right but/.test(finding().message)], ['ok', true]);
  service.sql(`GRANT DELETE ON functions_admin.audit_log TO ${ROLE}; GRANT CREATE ON SCHEMA functions_admin TO ${ROLE}`, 'postgres');
  assert.equal(finding().verdict, 'warning');
  assert.match(finding().message, /it may make tables in functions_admin, it may change the audit log$/);
  assert.equal(service.run('migrate').status, 0);
  assert.equal(finding().verdict, 'ok');
  assert.throws(() => as('DELETE FROM functions_admin.audit_log'), /permission denied/);
  assert.match(finding(service, ['--db-role', '']).message, /^it is empty: serve has all rights of postgres/);
  service.writeConfig({ db_role: '' });
  assert.match(finding().message, /^it is empty: serve has all rights of postgres/);
  service.writeConfig({ db_role: null });
  assert.equal(finding().verdict, 'ok');
});

test('a login of its own with that role alone serves, and finds nothing to migrate', async () => {
  service.sql(`CREATE ROLE functions_login LOGIN; GRANT ${ROLE} TO functions_login`, 'supabase_admin');
  const own = makeService(postgres);
  own.writeConfig({ database_url: postgres.url(own.database, 'functions_login') });
  const again = own.run('migrate');
  assert.deepEqual([again.status, again.stderr], [0, '']);
  await own.start();
  for (const slug of ['hello', 'again']) assert.equal((await own.deploy(slug, 'export default 1')).status, 201);
  assert.equal(finding(own).verdict, 'ok');
  assert.notEqual(own.run('audit', ['prune', '--keep-days', '0']).status, 0, 'pruning the audit log is the owner\'s');
  await own.remove();
});

describe('where the role cannot be made', () => {
  let poor, other;
  before(async () => {
    // A cluster of its own: roles are the cluster's. The owner may make none here.
    other = await startPostgres({ bare: true });
    other.sql('postgres', 'ALTER ROLE postgres NOCREATEROLE');
    poor = makeService(other, { migrate: false });
  });
  after(async () => {
    await poor?.remove();
    await other?.remove();
  });

  test('migrate says so and succeeds, serve works with the rights of who connects and says so', async () => {
    const done = poor.run('migrate');
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stdout, /^note: postgres cannot take the role functions_admin_service/m);
    await poor.start();
    assert.equal((await poor.deploy('hello', 'export default 1')).status, 201);
    assert.equal(poor.log.split('the role functions_admin_service is not there to be taken').length, 2, 'once');
    assert.equal(finding(poor).verdict, 'warning');
    await poor.stop();
  });

  test("what doctor's hint says mends it", async () => {
    const statements = finding(poor).hint.match(/CREATE ROLE.*?; GRANT.*?;/)[0];
    poor.sql(statements, 'supabase_admin');
    const done = poor.run('migrate');
    assert.deepEqual([done.status, /note:/.test(done.stdout)], [0, false]);
    assert.equal(finding(poor).verdict, 'ok');
    poor.clearLog();
    await poor.start();
    assert.doesNotMatch(poor.log, /not there to be taken/);
    await poor.stop();
  });
});
