// After a change the folder is brought up to date from what changed alone. What it shows then must be, byte by byte, what a start
// shows, which reads everything.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { REF, makeService, startPostgres } from '../lib/service.mjs';

let postgres, service;
before(async () => {
  postgres = await startPostgres();
  // One worker: the connections that it uses are open after the first change, and from then on what changed is enough.
  service = await makeService(postgres, { options: { workers: 1, boot_check: 'off' } }).start();
});
after(async () => {
  await service?.remove();
  await postgres?.remove();
});

const manifest = () => fs.readFileSync(path.join(service.functionsDir, '.functions-admin/manifest.json'), 'utf8');
const stubs = () => Object.fromEntries(fs.readdirSync(service.functionsDir).filter((name) => name[0] !== '.').sort().map((name) => [name, service.stub(name)]));
const ask = async (method, rest, json) => {
  const answer = await service.ask(method, rest.startsWith('/v1') ? rest : service.functions(rest), json === undefined ? {} : { json });
  assert.ok(answer.status < 300, `${method} ${rest}: ${answer.status} ${answer.text}`);
  return answer;
};
const deploy = async (slug, text) => assert.equal((await service.deploy(slug, { 'index.ts': `// ${text}` })).status, 201);
const release = async () => (await ask('GET', `/v1/projects/${REF}/releases`)).json.data[0].id;

const steps = {
  'three functions': async () => { for (const slug of ['one', 'three', 'two']) await deploy(slug, 'first'); },
  'a new version': () => deploy('two', 'second'),
  'a rollback': () => ask('POST', '/two/rollback', {}),
  'a function before all others': () => deploy('a', 'first'),
  'a split': async () => { await deploy('one', 'second'); await ask('PUT', '/one/traffic', [{ version: 1, percent: 90 }, { version: 2, percent: 10 }]); },
  'another function changes beside the split': () => deploy('three', 'second'),
  'the end of the split': () => deploy('one', 'third'),
  'a function is deleted': () => ask('DELETE', '/two'),
  'and one made anew under its slug': () => deploy('two', 'anew'),
  'deleted again and the older one restored': async () => { await ask('DELETE', '/two'); await ask('POST', '/two/restore', {}); },
  'settings of one function': () => ask('PATCH', '/a/settings', { verify_jwt: false }),
  'settings of all': () => ask('PATCH', `/v1/projects/${REF}/function-defaults`, { limits: { memory_mb: 100 } }),
  'several at once': async () => {
    const versions = {};
    for (const slug of ['a', 'one']) {
      assert.equal((await service.deploy(slug, { 'index.ts': '// bundled' }, { query: '&bundleOnly=true' })).status, 201);
      versions[slug] = (await ask('GET', `/${slug}/versions`)).json.data[0].version;
    }
    await ask('PUT', '', Object.entries(versions).map(([slug, version]) => ({ slug, version })));
  },
  'the release undone': async () => ask('POST', `/v1/projects/${REF}/releases/${await release()}/rollback`, {}),
  'all deleted but one': async () => { for (const slug of ['a', 'one', 'three']) await ask('DELETE', `/${slug}`); },
};
for (const [what, step] of Object.entries(steps))
  test(what, async () => {
    await step();
    const seen = [manifest(), stubs()];
    await service.stop();
    await service.start();
    assert.deepEqual([manifest(), stubs()], seen);
  });

test('what no release tells of is not read again', async () => {
  for (const [slug, text] of [['one', 'first'], ['one', 'second'], ['two', 'fourth']]) await deploy(slug, text);
  service.sql(`UPDATE functions_admin.edge_functions SET active_version = 1 WHERE slug = 'one' AND deleted_at IS NULL`);
  await deploy('two', 'fifth');
  assert.notEqual(service.manifest().functions.one.versions[0].version, 1);
  await service.stop();
  await service.start();
  assert.equal(service.manifest().functions.one.versions[0].version, 1);
});
