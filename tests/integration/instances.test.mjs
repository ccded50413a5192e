// Several processes over one database, each with a folder of its own: nobody ends the deployments of one that lives, and
// those of one that is gone do not stay open.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { request } from '../lib/fastcgi.mjs';
import { makeService, REF, SERVICE_ROLE, startPostgres, startRuntime, until } from '../lib/service.mjs';

// In ./check a part of the 10,000 that --long takes.
const READS = process.env.FA_LONG ? 10_000 : 2_000;

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

describe('Idempotency-Key', () => {
  const KEY = { 'idempotency-key': 'once' }, SOURCE = "Deno.serve(() => new Response('kept'))";
  const ask = (service, text = SOURCE) => service.deploy('kept', text, { headers: KEY });
  const inProgress = (answer) => assert.deepEqual([answer.status, answer.json.code], [409, 'request_in_progress'], answer.text);
  const claims = (service) => service.sql('SELECT instance_id FROM functions_admin.idempotency_keys WHERE claim IS NOT NULL').split('\n').filter(Boolean);
  const versions = (service) => service.sql('SELECT count(*) FROM functions_admin.edge_function_versions');
  /** The deploy of the key, waiting in its boot. */
  async function begun(service, runtime) {
    const hold = runtime.hold('kept');
    const answer = ask(service).catch(() => null);
    await hold.reached;
    return { release: hold.release, answer };
  }

  test('two processes: what one carries out the other does not, and gives its answer', async () => {
    await withTwo(async (first, second, runtime) => {
      await first.start();
      await second.start();
      const held = await begun(first, runtime);
      inProgress(await ask(second));
      inProgress(await ask(first));
      held.release();
      const made = await held.answer;
      assert.equal(made.status, 201, made.text);
      for (const service of [first, second]) {
        const again = await ask(service);
        assert.deepEqual([again.status, again.text, again.headers['idempotent-replayed']], [201, made.text, 'true']);
        const other = await ask(service, 'other');
        assert.deepEqual([other.status, other.json.code], [422, 'idempotency_key_reused']);
      }
      assert.deepEqual([versions(first), claims(first)], ['1', []]);
    });
  });

  test('many at once, half of them at each: one is carried out', async () => {
    await withTwo(async (first, second) => {
      await first.start();
      await second.start();
      const answers = await Promise.all(Array.from({ length: 16 }, (_, i) => ask(i % 2 ? first : second)));
      const done = answers.filter((a) => a.status === 201);
      for (const answer of answers) if (answer.status !== 201) inProgress(answer);
      assert.equal(done.filter((a) => !a.headers['idempotent-replayed']).length, 1);
      assert.deepEqual([new Set(done.map((a) => a.text)).size, versions(first)], [1, '1']);
    });
  });

  test('a killed process keeps its keys as long as its word stands; then they are free', async () => {
    await withTwo(async (first, second, runtime) => {
      await first.start();
      await second.start();
      const held = await begun(first, runtime);
      await first.stop('SIGKILL');
      held.release();
      await held.answer;
      inProgress(await ask(second));
      const [gone] = claims(first);
      first.sql(`UPDATE functions_admin.instances SET alive_until = now() WHERE id = '${gone}'`); // instead of waiting for it
      const taken = await ask(second);
      assert.deepEqual([taken.status, taken.headers['idempotent-replayed']], [201, undefined], taken.text);
      assert.equal((await ask(second)).headers['idempotent-replayed'], 'true');
      assert.deepEqual(claims(first), []);
    });
  });

  test('one that starts again on its folder frees those that it left, at once and for all', async () => {
    await withTwo(async (first, second, runtime) => {
      await first.start();
      await second.start();
      const held = await begun(first, runtime);
      await first.stop('SIGKILL');
      held.release();
      await held.answer;
      assert.equal(claims(first).length, 1);
      await first.start();
      const taken = await ask(second);
      assert.deepEqual([taken.status, taken.headers['idempotent-replayed']], [201, undefined], taken.text);
    });
  });

  test('a process that was taken for dead does not put its answer over the other one', async () => {
    await withTwo(async (first, second, runtime) => {
      await first.start();
      await second.start();
      const held = await begun(first, runtime);
      first.sql(`DELETE FROM functions_admin.instances WHERE id = '${claims(first)[0]}'`);
      const taken = await ask(second);
      assert.equal(taken.status, 201, taken.text);
      held.release();
      await held.answer;
      assert.match(first.log, /taken for gone/);
      const again = await ask(first);
      assert.deepEqual([again.status, again.text, again.headers['idempotent-replayed']], [201, taken.text, 'true']);
    });
  });

  test('a key that cannot be given up when a request has failed is given up later', async () => {
    await withTwo(async (first) => {
      await first.start();
      first.sql(`CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
        CREATE TRIGGER refuse BEFORE DELETE ON functions_admin.idempotency_keys FOR EACH ROW EXECUTE FUNCTION public.refuse()`);
      const failed = await ask(first, 'BOOT_FAILS');
      assert.deepEqual([failed.status, failed.json.code], [422, 'boot_failed']);
      inProgress(await ask(first));
      first.sql('DROP TRIGGER refuse ON functions_admin.idempotency_keys; DROP FUNCTION public.refuse()');
      await until('the sweep gives it up', () => claims(first).length === 0);
      assert.equal((await ask(first)).status, 201);
    });
  });
});

test(`what one has answered the other one shows: ${READS} reads after writes`, async () => {
  const first = makeService(postgres), second = makeService(postgres, { migrate: false });
  const LANES = 8;
  let reads = 0, writes = 0;
  try {
    second.writeConfig({ database_url: first.options.database_url });
    for (const service of [first, second]) await service.start();
    const digest = (text) => createHash('sha256').update(text).digest('hex');
    const ask = async (service, method, path, { json, token = SERVICE_ROLE } = {}) => {
      const body = json === undefined ? '' : JSON.stringify(json);
      return request(service.socket, { method, path, body, headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) } });
    };
    /** One client, with a function, a secret and tokens of its own: writes to one process and at once reads from the other. */
    async function lane(i) {
      const slug = `f${i}`, functions = (rest = '') => `/v1/projects/${REF}/functions${rest}`;
      assert.equal((await first.deploy(slug, slug)).status, 201);
      for (let round = 0; reads < READS; round++) {
        const [to, from] = (i + round) % 2 ? [first, second] : [second, first];
        const write = async (status, method, path, json) => {
          const answer = await ask(to, method, path, { json });
          assert.equal(answer.status, status, answer.text);
          writes++;
          return answer;
        };
        const read = async (path, seen, token) => {
          const answer = await ask(from, 'GET', path, { token });
          assert.deepEqual(seen(answer), true, `round ${round} of ${slug}: ${path} is ${answer.status} ${answer.text}`);
          reads++;
        };
        const name = `name ${round}`, memory = 64 + round % 64, value = `value ${round}`;
        await write(200, 'PATCH', functions(`/${slug}`), { name });
        await read(functions(), (a) => a.json.find((f) => f.slug === slug).name === name);
        await read(functions(`/${slug}`), (a) => a.json.name === name);
        const { json: changed } = await write(200, 'PATCH', functions(`/${slug}/settings`), { limits: { memory_mb: memory } });
        await read(functions(`/${slug}/settings`), (a) => a.json.effective.limits.memory_mb === memory);
        await read(functions(`/${slug}/versions`), (a) => a.json.data[0].version === changed.version);
        await write(201, 'POST', functions(`/${slug}/secrets`), [{ name: 'KEY', value }]);
        await read(functions(`/${slug}/secrets`), (a) => a.json.find((s) => s.name === 'KEY').value === digest(value));
        const { json: token } = await write(201, 'POST', '/v1/access-tokens', { name: slug, scopes: ['functions:read'] });
        const withToken = [functions(), functions(`/${slug}`), functions(`/${slug}/settings`), '/v1/session'];
        for (const path of withToken) await read(path, (a) => a.status === 200, token.token);
        await write(200, 'DELETE', `/v1/access-tokens/${token.id}`);
        for (const path of withToken) await read(path, (a) => a.status === 401, token.token);
      }
    }
    await Promise.all(Array.from({ length: LANES }, (_, i) => lane(i)));
    assert.ok(reads >= READS && writes > READS / 3, `${reads} reads after ${writes} writes`);
  } finally {
    for (const service of [first, second]) await service.remove();
  }
});

test('rate limits: each process counts for itself, so two grant twice as much and not more', async () => {
  await withTwo(async (first, second) => {
    for (const service of [first, second]) {
      service.writeConfig({ rate_limit: 'on', rate_write: '5' });
      await service.start();
    }
    const answers = [];
    for (let i = 0; i < 14; i++) answers.push(await (i % 2 ? first : second).ask('DELETE', first.functions('/nothing')));
    assert.deepEqual(answers.map((a) => a.status), [...Array(10).fill(404), ...Array(4).fill(429)]);
  });
});

test('a program from before the claims, on the newest schema: its statements work, and it does not carry out what a newer one does', async () => {
  await withTwo(async (first, _, runtime) => {
    await first.start();
    const hold = runtime.hold('kept');
    const deploy = () => first.deploy('kept', 'kept', { headers: { 'idempotency-key': 'claimed' } });
    const running = deploy();
    await hold.reached;
    const who = first.sql('SELECT principal FROM functions_admin.idempotency_keys');
    // As the program asked until migration 12; what is found and has another request's digest is refused (422).
    const find = (key) => first.sql(`SELECT length(request), status::int4, length(answer) FROM functions_admin.idempotency_keys WHERE principal = '${who}' AND key = '${key}' AND created_at > now() - interval '24 hours'`);
    const insert = (key) => first.sql(`INSERT INTO functions_admin.idempotency_keys (principal, key, request, status, answer) VALUES ('${who}', '${key}', sha256('request'), 201::int4, 'sealed')
      ON CONFLICT (principal, key) DO UPDATE SET request = EXCLUDED.request, status = EXCLUDED.status, answer = EXCLUDED.answer, created_at = now()`);
    assert.equal(find('claimed'), '0|0|0');
    hold.release();
    assert.equal((await running).status, 201);
    assert.match(find('claimed'), /^32\|201\|/);
    insert('of-the-old-one');
    assert.equal(find('of-the-old-one'), '32|201|6');
    const reused = await first.deploy('kept', 'kept', { headers: { 'idempotency-key': 'of-the-old-one' } });
    assert.deepEqual([reused.status, reused.json.code], [422, 'idempotency_key_reused']);
  });
});
