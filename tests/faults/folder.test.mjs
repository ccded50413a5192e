// Somebody works in the functions folder while we do: what was removed is made again, what was put in the place of something of ours
// is refused and not followed, and two programs never work in one folder.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { begin } from '../lib/fastcgi.mjs';
import { counting } from './report.mjs';
import { REF, SERVICE_ROLE, makeService, multipart, startPostgres, startRuntime, temporaryFolder, until } from '../lib/service.mjs';

const BACK = 'it is put back; database, manifest, folder and answer agree', LOCKED = 'one is refused, and told who has it';
const counts = counting('folder.test.mjs');
const SLUGS = ['one', 'two'];
let postgres, service, runtime, number = 0;

before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres);
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  await service.start();
  for (const slug of SLUGS) assert.equal((await deploy(slug)).status, 201);
});
after(async () => {
  await service?.remove();
  await runtime?.stop();
  await postgres?.remove();
});

const at = (...names) => path.join(service.functionsDir, ...names);
/** Also where the program puts something into it meanwhile, which rmSync's own retries do not take away. */
function remove(...names) {
  for (let left = 20;; left--) try { return fs.rmSync(at(...names), { recursive: true, force: true }); } catch (error) { if (error.code !== 'ENOTEMPTY' || left === 0) throw error; }
}
const deploy = (slug) => service.deploy(slug, `// ${slug} ${number++}`);
const good = (answer) => assert.deepEqual([answer.status, answer.headers['x-deploy-result']], [201, 'verified'], `${answer.text}\n${service.log.slice(-2000)}`);
async function whole() {
  await service.settled();
  await agree(service, runtime, SLUGS);
  for (const [name, mode] of [['runtime-token', 0o600], ['events-token', 0o600], ['instance', 0o600], ['lock', 0o600], ['staging', 0o700]])
    assert.equal(fs.statSync(at('.functions-admin', name)).mode & 0o777, mode, name);
}

const REMOVED = {
  'the staging area': () => remove('.functions-admin/staging'),
  'the lock': () => remove('.functions-admin/lock'),
  'the manifest': () => remove('.functions-admin/manifest.json'),
  'the tokens': () => { remove('.functions-admin/runtime-token'); remove('.functions-admin/events-token'); },
  'all that is ours but releases and stubs': () => remove('.functions-admin'),
  'all releases': () => remove('.releases'),
  'every stub': () => { for (const slug of SLUGS) remove(slug); remove('.releases'); },
  'everything': () => { for (const name of fs.readdirSync(service.functionsDir)) remove(name); },
};

describe('removed', () => {
  for (const [what, harm] of Object.entries(REMOVED))
    test(`${what}: the next deploy finds it and puts it back`, counts.of(`removed from the functions folder: ${what}`, BACK, async (times) => {
      const token = fs.readFileSync(at('.functions-admin/runtime-token'), 'utf8');
      harm();
      good(await deploy('one'));
      await whole();
      assert.equal(fs.readFileSync(at('.functions-admin/runtime-token'), 'utf8'), token, 'the runtime knows this one');
    }));

  test('everything, and nobody deploys: the sweep puts it back', counts.of('everything removed from the functions folder, and nobody deploys', BACK, async (times) => {
    REMOVED.everything();
    await until('it is back', () => agree(service, runtime, SLUGS).then(() => true, () => false));
    await whole();
  }));

  test('in the middle of an upload: a clear refusal, and the next one works', counts.of('the staging area removed in the middle of an upload', 'refused, the next one works, nothing disagrees', async (times) => {
    for (const name of ['.functions-admin/staging', '.functions-admin']) {
      const form = multipart({ entrypoint_path: 'index.ts', name: 'one' }, { 'lib/a.ts': '// a', 'index.ts': `// cut ${number++}`, 'lib/b/c.ts': '// c' });
      const cut = form.body.indexOf('index.ts"\r\n');
      const held = begin(service.socket, {
        method: 'POST', path: service.functions('/deploy?slug=one'), headers: { authorization: `Bearer ${SERVICE_ROLE}`, 'content-type': form.type },
        body: form.body.subarray(0, cut), contentLength: form.body.length, hold: true,
      });
      await until('a file is staged', () => fs.readdirSync(at('.functions-admin/staging')).length > 0);
      const before = service.manifest();
      remove(name);
      held.send(form.body.subarray(cut));
      held.finish();
      const answer = await held.response;
      assert.equal(answer.status, 503, answer.text);
      assert.equal(JSON.parse(answer.text).code, 'folder_changed');
      good(await deploy('two'));
      assert.deepEqual(service.manifest().functions.one, before.functions.one);
      await whole();
    }
  }));

  test('while a version boots: what is activated is shown', counts.of('the folder emptied while a version boots', BACK, async (times) => {
    for (const harm of [REMOVED['all releases'], REMOVED['all that is ours but releases and stubs'], REMOVED.everything]) {
      times();
      const hold = runtime.hold('one'), answer = deploy('one');
      await hold.reached;
      harm();
      hold.release();
      // The stand-in reads what it boots after that, and does not find it: a version that does not boot.
      assert.ok([201, 422, 503].includes((await answer).status), (await answer).text);
      good(await deploy('one'));
      await whole();
    }
  }));

  test('a part of a stub: the next deploy fills it; a directory with anything else in it is not touched', counts.of('a part of a stub removed', BACK, async (times) => {
    const parts = fs.readdirSync(at('one')).sort();
    assert.deepEqual(parts, ['deno.json', 'index.ts', 'source']);
    for (const gone of [['index.ts'], ['index.ts', 'deno.json'], ['index.ts', 'source'], parts]) {
      times();
      for (const name of gone) remove('one', name);
      good(await deploy('one'));
      await whole();
    }
    for (const [name, text] of [['deno.json', '{"imports": {}}'], ['mine.ts', '// mine']]) {
      fs.mkdirSync(at('theirs'));
      fs.writeFileSync(at('theirs', name), text);
      const answer = await deploy('theirs');
      assert.deepEqual([answer.status, answer.json.code], [409, 'not_managed'], answer.text);
      assert.deepEqual([fs.readdirSync(at('theirs')), fs.readFileSync(at('theirs', name), 'utf8')], [[name], text]);
      remove('theirs');
    }
  }));

  test('again and again, during deploys', counts.of('the folder emptied again and again, during deploys', BACK, async (times) => {
    let over = false;
    const seen = {};
    const deploying = [...SLUGS, 'one'].map(async (slug) => {
      while (!over) {
        const answer = await deploy(slug);
        // A version that boots while its release is taken away does not boot, without a manifest the runtime serves nothing, and a stub
        // of which a part is removed already is not ours.
        assert.ok([201, 422, 503].includes(answer.status) || answer.json.code === 'not_managed', `${answer.text}\n${service.log.slice(-3000)}`);
        seen[answer.status] = (seen[answer.status] ?? 0) + 1;
      }
    });
    for (const ends of deploying) ends.catch(() => { over = true; });
    const harms = Object.values(REMOVED);
    // Until one comes through, on a slow machine with more time between the harms.
    for (let i = 0; !over && (i < 32 || (!seen[201] && i < 150)); i++) {
      times();
      // Deploys may make what this removes, meanwhile.
      try { harms[i % harms.length](); } catch (error) { assert.ok(['ENOTEMPTY', 'ENOENT'].includes(error.code), error.message); }
      await new Promise((resolve) => { setTimeout(resolve, i < 32 ? (i * 7) % 31 : 10 * i); });
    }
    over = true;
    await Promise.all(deploying);
    assert.ok(seen[201] > 0, JSON.stringify(seen));
    for (const slug of SLUGS) good(await deploy(slug));
    await whole();
    assert.equal(service.run('audit', ['verify']).status, 0);
  }));
});

describe('edited', () => {
  test('the manifest: it says again what the database says', counts.of('the manifest edited', BACK, async (times) => {
    const manifest = service.manifest();
    fs.writeFileSync(at('.functions-admin/manifest.json'), JSON.stringify({ ...manifest, functions: {} }));
    good(await deploy('two'));
    await whole();
  }));

  test('the lock: it still is one', counts.of('the lock edited', 'a second program is refused', async (times) => {
    fs.writeFileSync(at('.functions-admin/lock'), 'nonsense');
    const second = service.run('serve', ['--listen', `unix:${service.socket}.2`]);
    assert.deepEqual([second.status, /in use by another functions-admin \(nonsense\)/.test(second.stderr)], [1, true], second.stderr);
    good(await deploy('two'));
    await whole();
  }));
});

describe('replaced by a link, or by a file', () => {
  for (const name of ['.releases', '.functions-admin', '.functions-admin/staging', '.releases/one'])
    for (const what of ['link', 'file'])
      test(`${name} by a ${what}: refused and not followed, right again without it`, counts.of(`replaced by a ${what}: ${name}`, 'refused and not followed, right again without it', async (times) => {
        const elsewhere = temporaryFolder(), moved = path.join(temporaryFolder(), 'moved');
        if (process.getuid() === 0) fs.chmodSync(elsewhere, 0o777);
        fs.renameSync(at(name), moved);
        if (what === 'link') fs.symlinkSync(elsewhere, at(name));
        else fs.writeFileSync(at(name), 'a file');
        const generation = service.sql('SELECT generation FROM functions_admin.projects');
        for (let i = 0; i < 3; i++) {
          const answer = await deploy('one');
          assert.deepEqual([answer.status, answer.json.code], [503, 'folder_changed'], answer.text);
        }
        assert.deepEqual(fs.readdirSync(elsewhere), []);
        if (what === 'file') assert.equal(fs.readFileSync(at(name), 'utf8'), 'a file');
        assert.equal(service.sql('SELECT generation FROM functions_admin.projects'), generation, 'nothing was activated');
        assert.equal((await service.ask('GET', service.functions())).status, 200);
        fs.rmSync(at(name));
        good(await deploy('one'));
        await whole();
      }));

  test('the whole folder: refused until it is back, or the program is started again', counts.of('the whole functions folder exchanged', 'refused until it is back or the program is started again', async (times) => {
    const moved = `${service.functionsDir}.moved`;
    fs.renameSync(service.functionsDir, moved);
    fs.mkdirSync(service.functionsDir);
    const refused = await deploy('one');
    assert.deepEqual([refused.status, refused.json.code], [503, 'folder_changed'], refused.text);
    assert.match(refused.json.hint, /restart/);
    assert.deepEqual(fs.readdirSync(service.functionsDir), []);
    fs.rmdirSync(service.functionsDir);
    fs.renameSync(moved, service.functionsDir);
    good(await deploy('one'));
    await whole();
    fs.renameSync(service.functionsDir, moved);
    fs.mkdirSync(service.functionsDir);
    await service.stop();
    await service.start();
    good(await deploy('one'));
    await whole();
  }));
});

describe('two programs, one folder', () => {
  const named = (of) => new RegExp(`in use by another functions-admin \\(pid ${of.pid} on ${os.hostname()}, since \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ, for project ${of.options.project_ref}\\)`);
  const other = () => makeService(postgres, { options: { project_ref: 'zyxwvutsrqponmlkjihg', functions_dir: service.functionsDir } });

  test('of another project and database: refused, and told who has it', counts.of('two programs, one folder', LOCKED, async (times) => {
    const second = other();
    try {
      const refused = second.run('serve');
      assert.equal(refused.status, 1);
      assert.match(refused.stderr, named(service));
      await whole();
    } finally { await second.remove(); }
  }));

  test('with the lock taken away: whoever locked last has the folder, and the first one says so', counts.of('two programs, one folder, and the lock taken away', LOCKED, async (times) => {
    const second = other();
    try {
      remove('.functions-admin/lock');
      await second.start();
      const refused = await deploy('one');
      assert.deepEqual([refused.status, refused.json.code], [409, 'folder_locked'], refused.text);
      assert.match(refused.json.message, named(second));
      await second.stop();
      // The second has cleared away what its database does not know.
      good(await deploy('one'));
      await until('all of it is back', () => agree(service, runtime, SLUGS).then(() => true, () => false));
      await whole();
    } finally { await second.remove(); }
  }));

  const unshared = process.getuid() === 0 && spawnSync('unshare', ['--uts', 'hostname', 'other-host']).status === 0;
  test('on another host, where the filesystem shares its locks: the host is named', { skip: !unshared && 'needs root, to be another host' }, counts.of('two programs, one folder, on two hosts', LOCKED, async (times) => {
    const away = makeService(postgres, { wrapper: ['unshare', '--uts', 'sh', '-c', 'hostname other-host && exec "$0" "$@"'] });
    try {
      await away.start();
      const here = makeService(postgres, { options: { functions_dir: away.functionsDir, project_ref: REF } });
      const refused = here.run('serve');
      assert.equal(refused.status, 1);
      assert.match(refused.stderr, /\(pid \d+ on other-host, since /);
      await here.remove();
    } finally { await away.remove(); }
  }));
});

test('a release and a stub that are missing are put back by the sweep', { skip: !process.env.FA_LONG && 'the sweep looks at every release once a minute; ./check --long' }, async () => {
  remove('one');
  remove('.releases/two');
  await until('they are back', () => agree(service, runtime, SLUGS).then(() => true, () => false), 150_000);
});
