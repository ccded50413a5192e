// The program through a real PgBouncer: a good part of the API, with fewer connections to the server than it has workers.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { missing, startPgbouncer } from '../lib/pgbouncer.mjs';
import { makeService, REF, startPostgres, startRuntime } from '../lib/service.mjs';

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
  const service = makeService(postgres, { options });
  const runtime = await startRuntime(service.functionsDir);
  try {
    service.writeConfig({ runtime_url: runtime.url, database_url: pooler.url(service.database) });
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
});
