// Several processes over one database, each with a folder of its own: nobody ends the deployments of one that lives, and
// those of one that is gone do not stay open.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { makeService, startPostgres, startRuntime, until } from '../lib/service.mjs';

let postgres;
before(async () => { postgres = await startPostgres(); });
after(() => postgres?.remove());

/** Two programs, not started yet, that serve the same project from one database. */
async function withTwo(fn) {
  const started = [], runtimes = [];
  try {
    const first = makeService(postgres), second = makeService(postgres, { migrate: false });
    started.push(first, second);
    for (const service of started) {
      const runtime = await startRuntime(service.functionsDir);
      runtimes.push(runtime);
      service.writeConfig({ runtime_url: runtime.url, database_url: first.options.database_url });
    }
    await fn(first, second, ...runtimes);
  } finally {
    for (const service of started) await service.remove();
    for (const runtime of runtimes) await runtime.stop();
  }
}

const deployments = (service, slug) => service.sql(`SELECT d.status, coalesce(d.error_code, ''), d.finished_at IS NOT NULL
  FROM functions_admin.edge_function_deployments d JOIN functions_admin.edge_functions f ON f.id = d.function_id
  WHERE f.slug = '${slug}' ORDER BY d.created_at`).split('\n');
const instances = (service) => service.sql('SELECT id FROM functions_admin.instances ORDER BY id').split('\n').filter(Boolean);
const instanceOf = (service, slug) => service.sql(`SELECT d.instance_id FROM functions_admin.edge_function_deployments d
  JOIN functions_admin.edge_functions f ON f.id = d.function_id WHERE f.slug = '${slug}' ORDER BY d.created_at DESC LIMIT 1`);

/** A deploy that waits in its boot: `answer` is null where the program dies meanwhile. */
async function inBoot(service, runtime, slug) {
  const hold = runtime.hold(slug);
  const answer = service.deploy(slug, `Deno.serve(() => new Response('${slug}'))`).catch(() => null);
  await hold.reached;
  return { release: hold.release, answer };
}

const swept = (service) => service.log.includes('1 deployments that were left unfinished have failed');
const OPEN = ['pending||f'], ABANDONED = ['failed|abandoned|t'];

test('a second process that starts, sweeps and stops leaves the deploy of the first one alone', async () => {
  await withTwo(async (first, second, runtime) => {
    await first.start();
    const held = await inBoot(first, runtime, 'slow');
    await second.start();
    assert.deepEqual(deployments(first, 'slow'), OPEN);
    assert.equal(instances(first).length, 2);
    // Rows of a process that never was show that both have swept.
    const other = await second.deploy('other', 'other');
    assert.equal(other.status, 201, other.text);
    await until('both have swept', () => {
      if (deployments(first, 'other').at(-1) !== OPEN[0])
        first.sql(`INSERT INTO functions_admin.edge_function_deployments (id, function_id, version, status, created_by, request_id, instance_id)
          SELECT gen_random_uuid(), id, 1, 'pending', 'test', 'test', gen_random_uuid() FROM functions_admin.edge_functions WHERE slug = 'other'`);
      return swept(first) && swept(second);
    });
    assert.deepEqual(deployments(first, 'slow'), OPEN);
    assert.equal(await second.stop(), 0);
    assert.deepEqual(instances(first), [instanceOf(first, 'slow')], 'who ends in order is gone at once');
    held.release();
    const answer = await held.answer;
    assert.deepEqual([answer.status, answer.headers['x-deploy-result']], [201, 'verified']);
    assert.deepEqual(deployments(first, 'slow'), ['verified||t']);
  });
});

test('a killed process that starts again on its folder ends what it left, at once', async () => {
  await withTwo(async (first, second, runtime) => {
    await first.start();
    const held = await inBoot(first, runtime, 'cut');
    await first.stop('SIGKILL');
    held.release();
    assert.equal(await held.answer, null);
    assert.equal(first.sql('SELECT count(*) FROM functions_admin.instances WHERE alive_until > now()'), '1', 'its word still stands');
    await second.start();
    assert.deepEqual(deployments(first, 'cut'), OPEN, 'another folder is no proof that it is gone');
    await first.start();
    assert.deepEqual(deployments(first, 'cut'), ABANDONED);
    assert.equal((await first.deploy('cut', 'again')).status, 201);
    await agree(first, runtime, ['cut']);
  });
});

test('a killed process that stays away: another one ends what it left, once its word has run out', async () => {
  await withTwo(async (first, second, runtime) => {
    await first.start();
    await second.start();
    const held = await inBoot(first, runtime, 'lost');
    const gone = instanceOf(first, 'lost');
    await first.stop('SIGKILL');
    held.release();
    await held.answer;
    assert.deepEqual(deployments(first, 'lost'), OPEN);
    assert.equal(first.sql(`SELECT alive_until <= now() + interval '30 seconds' FROM functions_admin.instances WHERE id = '${gone}'`), 't', 'the time is bounded');
    // Instead of waiting for it.
    first.sql(`UPDATE functions_admin.instances SET alive_until = now() WHERE id = '${gone}'`);
    await until("the second one's sweep", () => deployments(first, 'lost')[0] === ABANDONED[0]);
    await until('its log says so', () => swept(second));
  });
});

test('a process that was taken for dead does not activate what has failed meanwhile', async () => {
  await withTwo(async (first, second, runtime) => {
    await first.start();
    assert.equal((await first.deploy('undead', 'one')).status, 201);
    const held = await inBoot(first, runtime, 'undead');
    first.sql(`DELETE FROM functions_admin.instances WHERE id = '${instanceOf(first, 'undead')}'`);
    await second.start();
    assert.deepEqual(deployments(first, 'undead'), ['verified||t', ...ABANDONED]);
    const before = first.manifest();
    held.release();
    const answer = await held.answer;
    assert.deepEqual([answer.status, answer.json.code], [409, 'abandoned']);
    assert.match(answer.json.hint, /Deploy again/);
    assert.deepEqual(deployments(first, 'undead'), ['verified||t', ...ABANDONED]);
    assert.deepEqual(first.manifest(), before);
    await agree(first, runtime, ['undead']);
    assert.equal((await first.deploy('undead', 'three')).status, 201);
  });
});

test('a deployment of an older program has no instance: it is left alone for an hour', async () => {
  await withTwo(async (first) => {
    await first.start();
    assert.equal((await first.deploy('old', 'old')).status, 201);
    await first.stop();
    for (const age of ['59 minutes', '61 minutes'])
      first.sql(`INSERT INTO functions_admin.edge_function_deployments (id, function_id, version, status, created_by, request_id, created_at)
        SELECT gen_random_uuid(), id, 1, 'staged', 'test', 'test', now() - interval '${age}' FROM functions_admin.edge_functions`);
    await first.start();
    assert.deepEqual(deployments(first, 'old').sort(), [ABANDONED[0], 'staged||f', 'verified||t']);
  });
});
