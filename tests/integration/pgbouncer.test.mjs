// The program through a real PgBouncer: a good part of the API, with fewer connections to the server than it has workers.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { missing, startPgbouncer } from '../lib/pgbouncer.mjs';
import { makeService, startPostgres, startRuntime, until } from '../lib/service.mjs';

const skip = missing();
let postgres;
before(async () => { if (!skip) postgres = await startPostgres(); });
after(() => postgres?.remove());

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

/** What one client does with a project of its own functions. */
async function useTheApi(service, runtime, slug) {
  const ask = async (status, method, target, more) => {
    const answer = await service.ask(method, target, more);
    assert.equal(answer.status, status, answer.text);
    return answer;
  };
  const functions = (rest = '') => service.functions(rest);
  const one = await service.deploy(slug, `${slug} one`, { headers: { 'idempotency-key': `${slug}-1` } });
  assert.deepEqual([one.status, one.headers['x-deploy-result']], [201, 'verified'], one.text);
  const again = await service.deploy(slug, `${slug} one`, { headers: { 'idempotency-key': `${slug}-1` } });
  assert.deepEqual([again.status, again.text, again.headers['idempotent-replayed']], [201, one.text, 'true']);
  const reused = await service.deploy(slug, `${slug} other`, { headers: { 'idempotency-key': `${slug}-1` } });
  assert.deepEqual([reused.status, reused.json.code], [422, 'idempotency_key_reused']);
  const two = await service.deploy(slug, `${slug} two`);
  assert.deepEqual([two.status, two.json.version], [201, 2]);
  assert.equal((await ask(200, 'GET', functions())).json.find((f) => f.slug === slug).version, 2);
  assert.deepEqual((await ask(200, 'GET', functions(`/${slug}/versions`))).json.data.map((v) => v.version), [2, 1]);
  await ask(200, 'POST', functions(`/${slug}/rollback`), { json: { version: 1 } });
  assert.equal(await (await runtime.call(slug)).text(), `${slug} one`);
  await ask(200, 'PATCH', functions(`/${slug}/settings`), { json: { limits: { memory_mb: 100 } } });
  assert.equal((await ask(200, 'GET', functions(`/${slug}/settings`))).json.effective.limits.memory_mb, 100);

  const secrets = functions(`/${slug}/secrets`);
  await ask(201, 'POST', secrets, { json: [{ name: 'KEY', value: slug }] });
  assert.deepEqual((await ask(200, 'GET', secrets)).json.filter((s) => s.name === 'KEY').map((s) => s.value), [sha256(slug)]);

  const token = (await ask(201, 'POST', '/v1/access-tokens', { json: { name: slug, scopes: ['functions:read'], slugs: [slug] } })).json;
  const as = { headers: { authorization: `Bearer ${token.token}` } };
  assert.deepEqual((await ask(200, 'GET', functions(), as)).json.map((f) => f.slug), [slug]);
  await ask(200, 'DELETE', `/v1/access-tokens/${token.id}`);
  await ask(401, 'GET', functions(), as);

  const boot = await service.deploy(slug, 'BOOT_FAILS');
  assert.deepEqual([boot.status, boot.json.code], [422, 'boot_failed']);
  const { json } = await ask(200, 'GET', functions(`/${slug}/deployments`));
  assert.deepEqual([json.data[0].status, json.data[0].error.code], ['failed', 'boot_failed']);
}

/** The program behind a PgBouncer in this mode. */
async function withPooler({ mode, size, options = {} }, fn) {
  const pooler = await startPgbouncer(postgres, { mode, size });
  const service = makeService(postgres);
  const runtime = await startRuntime(service.functionsDir);
  try {
    service.writeConfig({ runtime_url: runtime.url, database_url: pooler.url(service.database), ...options });
    await fn({ pooler, service, runtime });
  } finally {
    await service.remove();
    await runtime.stop();
    await pooler.stop();
  }
}

const SLUGS = Array.from({ length: 10 }, (_, i) => `f${i}`);
const cleanLog = (service) => assert.doesNotMatch(service.log, /"level":"error"|ERROR| error |database: /);

describe('session mode', { skip }, () => {
  test('the API, by ten clients at once and fewer connections than workers, after a migration through it', async () => {
    await withPooler({ mode: 'session', size: 3, options: { db_connections: '3' } }, async ({ pooler, service, runtime }) => {
      const before = service.run('migrate');
      assert.equal(before.status, 0, before.stderr);
      await service.start();
      await Promise.all(SLUGS.map((slug) => useTheApi(service, runtime, slug)));
      await agree(service, runtime, SLUGS);
      cleanLog(service);
      // What was set for a session of ours ends with it.
      await service.stop();
      assert.equal(pooler.sql(service.database, 'SHOW search_path'), '"$user", public');
      assert.equal(pooler.sql(service.database, 'SELECT current_user'), 'postgres');
    });
  });

  test('one connection is enough, also for all releases at once after a lost folder', async () => {
    await withPooler({ mode: 'session', size: 1, options: { db_connections: '1' } }, async ({ service, runtime }) => {
      await service.start();
      await Promise.all(SLUGS.map((slug) => useTheApi(service, runtime, slug)));
      await service.stop();
      for (const name of fs.readdirSync(service.functionsDir)) fs.rmSync(path.join(service.functionsDir, name), { recursive: true });
      await service.start();
      await agree(service, runtime, SLUGS);
      cleanLog(service);
    });
  });
});

describe('transaction mode', { skip }, () => {
  const OWN = { db_pooling: 'transaction' };

  test('the API, by ten clients at once, fewer connections to the server than workers', async () => {
    await withPooler({ mode: 'transaction', size: 3, options: OWN }, async ({ pooler, service, runtime }) => {
      await service.start();
      await Promise.all(SLUGS.map((slug) => useTheApi(service, runtime, slug)));
      await agree(service, runtime, SLUGS);
      cleanLog(service);
      const servers = pooler.show('SERVERS').filter((row) => row.includes(service.database));
      assert.ok(servers.length > 0 && servers.length <= 3, `${servers.length} connections to the server`);
      assert.ok(pooler.show('CLIENTS').filter((row) => row.includes(service.database)).length > 3, 'and more to the pooler');
      // Nothing of ours stays in the sessions that others get as well.
      assert.equal(pooler.sql(service.database, 'SHOW search_path'), '"$user", public');
      assert.equal(pooler.sql(service.database, 'SHOW statement_timeout'), '0');
      assert.equal(pooler.sql(service.database, 'SELECT current_user'), 'postgres');
      assert.equal(pooler.sql(service.database, 'SELECT count(*) FROM pg_prepared_statements'), '0');
    });
  });

  test('what others leave in a session has no power over us: search_path, temporary tables, role, time zone', async () => {
    await withPooler({ mode: 'transaction', size: 1, options: OWN }, async ({ pooler, service, runtime }) => {
      await service.start();
      assert.equal((await service.deploy('hello', 'hello')).status, 201);
      const there = service.sql('SELECT count(*) FROM functions_admin.audit_log');
      service.sql('GRANT pg_read_all_settings TO postgres', 'supabase_admin');
      // The session that all get: what stands in for functions, operators, types, catalogs.
      pooler.sql(service.database, `CREATE SCHEMA evil;
        CREATE TABLE evil.witness (what text);
        GRANT ALL ON SCHEMA evil TO PUBLIC; GRANT ALL ON evil.witness TO PUBLIC;
        CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.witness VALUES ('now'); RETURN pg_catalog.now(); END $$;
        CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.witness VALUES ('='); RETURN true; END $$;
        CREATE OPERATOR evil.= (FUNCTION = evil.eq, LEFTARG = text, RIGHTARG = text);
        CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.witness VALUES ('set_config'); RETURN ''; END $$;
        CREATE TEMP TABLE pg_roles (oid oid, rolname name); CREATE TEMP TABLE pg_namespace (oid oid, nspname name);
        SET search_path = evil, pg_catalog; SET timezone = 'Asia/Tokyo'; SET statement_timeout = '7min'; SET ROLE pg_read_all_settings`);
      await service.stop();
      await service.start(); // connections are made anew over that session
      assert.equal(pooler.sql(service.database, 'SHOW search_path'), 'evil, pg_catalog', 'it is that session');
      assert.equal((await service.deploy('hello', 'again')).status, 201);
      await useTheApi(service, runtime, 'other');
      assert.equal(service.sql('SELECT count(*) FROM evil.witness'), '0');
      assert.ok(Number(service.sql('SELECT count(*) FROM functions_admin.audit_log')) > Number(there));
      cleanLog(service);
    });
  });

  test('the role of the service is taken in each transaction, and its deadline holds', async () => {
    await withPooler({ mode: 'transaction', size: 3, options: { ...OWN, request_timeout: '2s' } }, async ({ service }) => {
      service.sql(`CREATE TABLE public.witness (role text, timeout text, zone text); GRANT INSERT ON public.witness TO PUBLIC;
        CREATE FUNCTION public.witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          INSERT INTO public.witness VALUES (current_user, pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('timezone')); RETURN NULL; END $$;
        CREATE TRIGGER witness AFTER INSERT ON functions_admin.audit_log EXECUTE FUNCTION public.witness()`, 'supabase_admin');
      await service.start();
      for (const slug of ['a', 'b']) assert.equal((await service.deploy(slug, slug)).status, 201);
      assert.equal(service.sql('SELECT DISTINCT role, timeout, zone FROM public.witness'), 'functions_admin_service|2s|UTC');
      service.sql(`CREATE OR REPLACE FUNCTION public.witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(60); RETURN NULL; END $$`, 'supabase_admin');
      const late = await service.ask('POST', '/v1/access-tokens', { json: { name: 'late', scopes: ['functions:read'] } });
      assert.deepEqual([late.status, late.json.code], [503, 'database_timeout'], late.text);
      service.sql('DROP TRIGGER witness ON functions_admin.audit_log', 'supabase_admin');
    });
  });

  test('another server behind the pooler: nothing of the old one is remembered', async () => {
    await withPooler({ mode: 'transaction', size: 2, options: OWN }, async ({ service }) => {
      await service.start();
      assert.equal((await service.deploy('one', 'one')).status, 201);
      const list = async () => {
        const answer = await service.ask('GET', service.functions());
        assert.equal(answer.status, 200, answer.text);
        return answer.json.map((f) => f.name);
      };
      assert.deepEqual([await list(), await list()], [['one'], ['one']]);
      await postgres.stop();
      await postgres.start();
      // As in a backup of another moment: the same revision, other content.
      service.sql(`SET session_replication_role = replica; UPDATE functions_admin.edge_functions SET name = 'restored'`, 'supabase_admin');
      // The first answer after the outage is the new server's.
      const first = await until('it answers again', async () => {
        const answer = await service.ask('GET', service.functions());
        return answer.status === 200 && answer;
      });
      assert.equal(first.json[0].name, 'restored');
    });
  });

  test('without the option a pooler in this mode does not serve, and the log shows why', async () => {
    await withPooler({ mode: 'transaction', size: 3 }, async ({ service }) => {
      await service.start({ ready: false });
      await until('the log shows it', async () => {
        await Promise.all(Array.from({ length: 8 }, () => service.ask('GET', service.functions()).catch(() => null)));
        return /error .*database: .*prepared statement "\w+" (already exists|does not exist)/.test(service.log);
      });
    });
  });

  test('migrate says what it needs instead; --status and the commands work', async () => {
    await withPooler({ mode: 'transaction', size: 2, options: OWN }, async ({ pooler, service }) => {
      const refused = service.run('migrate');
      assert.equal(refused.status, 2);
      assert.match(refused.stderr, /migrate needs a session of the server, and db_pooling = transaction gives none\nHINT: Run it with db_pooling = session/);
      assert.match(service.run('migrate', ['--status']).stdout, /up to date/);
      const made = service.run('token', ['create', '--name', 'by-command', '--scope', 'functions:read']);
      assert.equal(made.status, 0, made.stderr);
      const doctor = JSON.parse(service.run('doctor', ['--json']).stdout).checks;
      assert.equal(doctor.find((c) => c.check === 'db_role').verdict, 'ok');
      // What the hint says.
      const direct = service.run('migrate', ['--db-pooling', 'session'], { env: { FUNCTIONS_ADMIN_DATABASE_URL: postgres.url(service.database) } });
      assert.equal(direct.status, 0, direct.stderr);
      assert.equal(pooler.sql(service.database, 'SELECT 1'), '1');
    });
  });
});
