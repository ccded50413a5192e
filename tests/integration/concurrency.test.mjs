// Many at once, and killed in the middle: the database, the manifest, the stub, the releases and the runtime's answer agree
// on one version, always.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { makeService, startPostgres, startRuntime, until } from '../lib/service.mjs';

const CYCLES = 20;
let postgres;
before(async () => { postgres = await startPostgres(); });
after(() => postgres?.remove());

async function withService(options, fn) {
  const service = makeService(postgres, options);
  const runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  try {
    await fn(service, runtime);
  } finally {
    await service.remove().finally(() => runtime.stop());
  }
}

test('16 deploys of one function at once: distinct versions, all of them good, and one last', async () => {
  await withService({}, async (service, runtime) => {
    await service.start();
    for (let round = 0; round < 4; round++) {
      const answers = await Promise.all(Array.from({ length: 16 }, (_, i) => service.deploy('one', `round ${round}, deploy ${i}`)));
      for (const a of answers) assert.equal(a.status, 201, a.text);
      assert.equal(new Set(answers.map((a) => a.json.version)).size, 16, 'distinct versions');
      assert.equal(new Set(answers.map((a) => a.json.id)).size, 1, 'of one function');
      for (const a of answers) assert.equal(a.headers['x-deploy-result'], 'verified');
      await agree(service, runtime, ['one']);
    }
    assert.equal((await service.deploy('one', 'alone')).status, 201);
    await service.settled();
    assert.equal(fs.readdirSync(path.join(service.functionsDir, '.releases/one')).length, 5, 'old releases leave the disk');
    assert.equal(service.sql(`SELECT DISTINCT status FROM functions_admin.edge_function_deployments`), 'verified');
  });
});

test('deploys of distinct functions, deletes and renames at once', async () => {
  await withService({}, async (service, runtime) => {
    const slugs = Array.from({ length: 24 }, (_, i) => `f${i}`);
    await service.start();
    const made = await Promise.all(slugs.map((slug) => service.deploy(slug, `source of ${slug}`)));
    for (const a of made) assert.equal(a.status, 201, a.text);
    await agree(service, runtime, slugs);
    const mixed = await Promise.all(slugs.map((slug, i) => (
      i % 3 === 0 ? service.ask('DELETE', service.functions(`/${slug}`))
        : i % 3 === 1 ? service.ask('PATCH', service.functions(`/${slug}`), { json: { name: `Name of ${slug}`, verify_jwt: false } })
          : service.deploy(slug, `new source of ${slug}`))));
    for (const a of mixed) assert.ok([200, 201].includes(a.status), a.text);
    await agree(service, runtime, slugs);
    assert.equal(Object.keys(service.manifest().functions).length, 16);
  });
});

test('one function created many times at once exists once; the others are told so', async () => {
  await withService({}, async (service, runtime) => {
    await service.start();
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => service.ask('POST', service.functions(), { json: { slug: 'new', name: 'new', body: `body ${i}` } })));
    const created = answers.filter((a) => a.status === 201);
    assert.equal(created.length, 1, answers.map((a) => a.status).join(' '));
    for (const a of answers.filter((x) => x.status !== 201)) assert.deepEqual([a.status, a.json.code], [409, 'duplicate_slug']);
    await agree(service, runtime, ['new']);
    assert.equal((await (await runtime.call('new')).text()), `body ${answers.findIndex((a) => a.status === 201)}`);
  });
});

test('what a slow deploy has staged is not tidied away by faster ones', async () => {
  await withService({ options: { max_disk_releases: '1' } }, async (service, runtime) => {
    await service.start();
    const hold = runtime.hold('one');
    const slow = service.deploy('one', 'slow');
    await hold.reached;
    for (let i = 0; i < 4; i++) assert.equal((await service.deploy('one', `fast ${i}`)).status, 201);
    hold.release();
    const answer = await slow;
    assert.deepEqual([answer.status, answer.json.version], [201, 1], answer.text);
    await agree(service, runtime, ['one']);
    assert.equal(await (await runtime.call('one')).text(), 'slow', 'activated last, so it is what serves');
  });
});

test(`killed ${CYCLES} times in a loop of deploys, and started again: nothing half done is visible`, async () => {
  await withService({}, async (service, runtime) => {
    const slugs = ['one', 'two', 'three'], files = (text) => ({ 'index.ts': text, 'lib/a.ts': 'a'.repeat(70_000), 'lib/b.ts': text });
    let number = 0, answered = 0;
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      await service.start();
      await agree(service, runtime, slugs);
      await service.settled();
      assert.equal(service.sql(`SELECT count(*) FROM functions_admin.edge_function_deployments WHERE status IN ('pending', 'staged', 'booted')`), '0', 'what was unfinished has failed');
      for (const slug of fs.readdirSync(path.join(service.functionsDir, '.releases')))
        for (const release of fs.readdirSync(path.join(service.functionsDir, '.releases', slug)))
          for (const file of ['index.ts', 'boot.ts', 'source/index.ts', 'source/lib/a.ts']) assert.ok(fs.existsSync(path.join(service.functionsDir, '.releases', slug, release, file)), `${slug}/${release} is whole: ${file}`);
      // Killed after so many answers, at a moment in between that differs from cycle to cycle.
      const stopAfter = 1 + (cycle % 5), ended = service.ended();
      let here = 0, dead = false;
      const client = async (slug) => {
        while (!dead) {
          const text = `deploy ${number++} of ${slug}`;
          const answer = await (cycle % 4 === 3 && number % 5 === 0 ? service.ask('DELETE', service.functions(`/${slug}`)) : service.deploy(slug, files(text))).catch(() => null);
          if (answer === null) return;
          assert.ok([200, 201, 404].includes(answer.status), answer.text);
          answered++;
          if (++here >= stopAfter && !dead) {
            dead = true;
            setTimeout(() => service.child.kill('SIGKILL'), (cycle * 7) % 23);
          }
        }
      };
      await Promise.all(slugs.map(client));
      await ended;
    }
    await service.start();
    await agree(service, runtime, slugs);
    assert.ok(answered >= CYCLES);
    assert.equal((await service.deploy('one', 'at last')).status, 201);
    await agree(service, runtime, slugs);
  });
});

test('an upload that runs when the program is asked to stop is finished, and a new one is not taken', async () => {
  await withService({}, async (service, runtime) => {
    await service.start();
    const hold = runtime.hold('slow');
    const slow = service.deploy('slow', 'slowly');
    await hold.reached;
    service.child.kill('SIGTERM');
    await until('it says so', () => service.log.includes('stopping'));
    const late = service.ask('GET', '/healthz').then((a) => a.status, () => 'refused');
    hold.release();
    const answer = await slow;
    assert.deepEqual([answer.status, answer.headers['x-deploy-result']], [201, 'verified']);
    assert.equal(await service.ended(), 0);
    assert.ok(['refused', 503].includes(await late), `a late request: ${await late}`);
    assert.ok(!fs.existsSync(service.socket), 'the socket is gone');
    await service.start();
    await agree(service, runtime, ['slow']);
  });
});
