// Functions that somebody put into the folder by hand, and hands that edit what was deployed.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { makeFolder, startRuntime as startEdge, STOCK_SERVICE } from '../lib/runtime.mjs';
import { BINARY, makeService, REF, startPostgres, startRuntime, until } from '../lib/service.mjs';

let postgres;
before(async () => { postgres = await startPostgres(); });
after(() => postgres?.remove());

const sha = (text) => createHash('sha256').update(text).digest('hex');
const write = (folder, files) => {
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), content);
  }
};
async function withService(options, fn) {
  const service = makeService(postgres, { options });
  try {
    await fn(service);
  } finally { await service.remove(); }
}
/** A command while this process serves it through nginx: not waited for synchronously. */
const program = (service, command, args) => new Promise((resolve) => {
  const child = spawn(BINARY, [command, ...args, '--config', service.config], { env: { PATH: process.env.PATH } });
  let stdout = '', stderr = '';
  child.stdout.on('data', (text) => { stdout += text; });
  child.stderr.on('data', (text) => { stderr += text; });
  child.on('close', (code) => resolve({ code, stdout, stderr }));
});
const HAND_MADE = {
  'main/index.ts': 'Deno.serve(() => new Response("main"));',
  'README.md': 'notes',
  '_shared/cors.ts': 'export const cors = { "access-control-allow-origin": "*" };',
  '_shared/data.json': '{"read": "at run time"}',
  '_unused/old.ts': 'export {};',
  'hello/index.ts': 'import { cors } from "../_shared/cors.ts";\nDeno.serve(() => new Response("hello", { headers: cors }));\n',
  'hello/deno.json': '{ "imports": { "x": "./lib/x.ts" } }',
  'hello/lib/x.ts': 'export const x = 1;',
  'hello/.env.local': 'SECRET=do-not-store-me',
  'hello/node_modules/pkg/index.js': 'module.exports = 1;',
  'mapped/index.ts': 'import { cors } from "shared/cors.ts";\nDeno.serve(() => new Response(JSON.stringify(cors)));\n',
  'mapped/import_map.json': '{ "imports": { "shared/": "../_shared/" } }',
  'broken/index.ts': 'import { gone } from "./gone.ts";\nDeno.serve(() => new Response(gone));\n',
  'bad name/index.ts': 'Deno.serve(() => new Response("x"));',
  'nothing/readme.txt': 'no entry point here',
};
const files = (folder) => fs.readdirSync(folder, { recursive: true }).filter((name) => !name.startsWith('.functions-admin') && fs.lstatSync(path.join(folder, name)).isFile()).sort();
/** All that lies there, links and the service's own included, with what would tell of any touch. */
const everything = (folder) => fs.readdirSync(folder, { recursive: true }).sort().map((name) => {
  const { mode, ino, size, mtimeNs, ctimeNs } = fs.lstatSync(path.join(folder, name), { bigint: true });
  return [name, mode, ino, size, mtimeNs, ctimeNs].join(' ');
});
/** Root without the right to read everything: files without any mode bits are closed to it, as they are to others. */
const AS_OTHERS = process.getuid() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--'] : [];
const content = (folder) => Object.fromEntries(files(folder).map((name) => [name, sha(fs.readFileSync(path.join(folder, name)))]));

describe('import', () => {
  test('a dry run says what would be taken, what not and why, and changes nothing; the import keeps everything', () => withService({ max_file_bytes: 4096 }, async (service) => {
    write(service.functionsDir, HAND_MADE);
    write(service.functionsDir, { 'hello/huge.bin': Buffer.alloc(5000) });
    fs.symlinkSync('/etc/passwd', path.join(service.functionsDir, 'hello/passwd.txt'));
    fs.symlinkSync('hello', path.join(service.functionsDir, 'linked'));
    await service.start();
    const before = content(service.functionsDir), untouched = everything(service.functionsDir), rows = service.sql('SELECT count(*) FROM functions_admin.edge_functions');

    const dry = service.run('import', ['--dry-run', '--json']);
    assert.equal(dry.status, 1, dry.stderr);
    const plan = JSON.parse(dry.stdout), item = (name) => plan.items.find((each) => each.name === name);
    assert.deepEqual([plan.dry_run, plan.imported, plan.refused], [true, 2, 2]);
    assert.deepEqual([item('hello').outcome, item('hello').entrypoint_path, item('hello').import_map_path, item('hello').files], ['planned', 'hello/index.ts', 'hello/deno.json', 5]);
    assert.deepEqual(item('hello').left_out.map(({ path: name }) => name), ['hello/.env.local', 'hello/huge.bin', 'hello/node_modules', 'hello/passwd.txt']);
    assert.match(item('hello').left_out[3].reason, /symbolic link/);
    assert.match(item('hello').left_out[1].reason, /max_file_bytes/);
    assert.deepEqual([item('mapped').outcome, item('mapped').import_map_path, item('mapped').files], ['planned', 'mapped/import_map.json', 4]);
    assert.match(item('broken').reason, /broken\/index\.ts, line 1: the import "\.\/gone\.ts" is not among/);
    assert.equal(item('bad name').outcome, 'refused');
    for (const [name, why] of [['main', /main service/], ['README.md', /not a directory/], ['_shared', /shared/], ['nothing', /no index\.ts/], ['linked', /symbolic link/]]) {
      assert.equal(item(name).outcome, 'skipped', name);
      assert.match(item(name).reason, why);
    }
    assert.deepEqual(everything(service.functionsDir), untouched, 'nothing on disk has changed');
    assert.equal(service.sql('SELECT count(*) FROM functions_admin.edge_functions'), rows);
    const said = service.run('import', ['--dry-run']).stdout;
    assert.match(said, /^planned {3}hello: 5 files, \d+ bytes, entry hello\/index\.ts, import map hello\/deno\.json$/m);
    assert.match(said, /left out hello\/\.env\.local: it holds secrets/);
    assert.match(said, /^would be imported: 2; refused: 2$/m);

    const done = service.run('import', ['--no-verify-jwt', '--message', 'as found']);
    assert.equal(done.status, 1, done.stderr);
    assert.match(done.stdout, /^imported: 2; refused: 2$/m);
    const hello = (await service.ask('GET', service.functions('/hello'))).json;
    assert.deepEqual([hello.version, hello.verify_jwt, hello.import_map], [1, false, true]);
    assert.equal(service.sql(`SELECT source, message FROM functions_admin.edge_function_versions WHERE function_id = '${hello.id}'`), 'import|as found');
    assert.equal(service.sql(`SELECT path FROM functions_admin.edge_function_files WHERE function_id = '${hello.id}' ORDER BY path`), '_shared/cors.ts\n_shared/data.json\nhello/deno.json\nhello/index.ts\nhello/lib/x.ts');
    const stub = fs.readFileSync(path.join(service.functionsDir, 'hello/index.ts'), 'utf8');
    assert.match(stub, /^\/\/ Written by functions-admin/);
    const kept = fs.readdirSync(path.join(service.functionsDir, '.functions-admin/adopted')).find((name) => name.startsWith('hello-'));
    const old = path.join(service.functionsDir, '.functions-admin/adopted', kept);
    assert.equal(fs.readFileSync(path.join(old, '.env.local'), 'utf8'), 'SECRET=do-not-store-me');
    assert.equal(fs.readlinkSync(path.join(old, 'passwd.txt')), '/etc/passwd');
    assert.ok(!service.sql('SELECT encode(data, \'escape\') FROM functions_admin.blob_chunks').includes('do-not-store-me'));
    for (const name of ['_shared/cors.ts', 'main/index.ts', 'broken/index.ts', 'README.md']) assert.equal(sha(fs.readFileSync(path.join(service.functionsDir, name))), before[name], name);
    assert.match(service.sql(`SELECT actor, action, target FROM functions_admin.audit_log WHERE action = 'function.deploy' AND target = 'hello'`), /^token functions-admin import by command line \(\w+\)\|function\.deploy\|hello$/);
    assert.equal(service.sql(`SELECT count(*) FROM functions_admin.access_tokens WHERE name LIKE 'functions-admin import%' AND revoked_at IS NULL`), '0', 'the tokens of the calls are gone');

    // Again: what is managed is no longer looked at.
    const again = JSON.parse(service.run('import', ['--json']).stdout);
    assert.deepEqual([again.imported, again.items.some(({ name }) => name === 'hello')], [0, false]);
    const none = service.run('import', ['hello']);
    assert.deepEqual([none.status, /no "hello"/.test(none.stderr)], [5, true], none.stderr);
    // And from then on it is a function like any other.
    const deployed = await service.deploy('hello', 'Deno.serve(() => new Response("two"))');
    assert.deepEqual([deployed.status, deployed.json.version], [201, 2]);
  }));

  test('what may not be read, and links, are left out by name; who imports one of them is refused by that name', async () => {
    const service = makeService(postgres, { wrapper: AS_OTHERS });
    const closed = (name) => fs.chmodSync(path.join(service.functionsDir, name), 0);
    try {
      write(service.functionsDir, {
        '_shared/open.ts': 'export const open = 1;', '_shared/closed.ts': 'export const closed = 1;',
        'partly/index.ts': 'import { open } from "../_shared/open.ts";\nDeno.serve(() => new Response(String(open)));\n', 'partly/notes.txt': 'x', 'partly/inner/a.txt': 'x',
        'needs-closed/index.ts': 'import "../_shared/closed.ts";\n', 'needs-link/index.ts': 'import "./link.ts";\n',
        'closed-entry/index.ts': 'export {};\n', 'closed-folder/index.ts': 'export {};\n',
      });
      fs.symlinkSync('../_shared/open.ts', path.join(service.functionsDir, 'needs-link/link.ts'));
      for (const name of ['_shared/closed.ts', 'partly/notes.txt', 'partly/inner', 'closed-entry/index.ts', 'closed-folder']) closed(name);
      await service.start();
      const run = async (json) => Object.fromEntries((await service.ask('POST', service.functions('/import'), { json })).json.items.map((item) => [item.name, item]));
      const before = everything(service.functionsDir);
      for (const dry_run of [true, false]) {
        const items = await run({ dry_run });
        if (dry_run) assert.deepEqual(everything(service.functionsDir), before);
        assert.deepEqual([items.partly.outcome, items.partly.files], [dry_run ? 'planned' : 'imported', 2]);
        assert.deepEqual(items.partly.left_out.map(({ path: name, reason }) => [name, /may not be read by the user/.test(reason)]), [['partly/inner', true], ['partly/notes.txt', true]]);
        assert.deepEqual(items._shared.left_out.map(({ path: name }) => name), ['_shared/closed.ts']);
        for (const [name, outcome, reason] of [
          ['needs-closed', 'refused', /index\.ts, line 1: the import "\.\.\/_shared\/closed\.ts" is not among/], ['needs-link', 'refused', /index\.ts, line 1: the import "\.\/link\.ts" is not among/],
          ['closed-entry', 'skipped', /no index\.ts that can be read/], ['closed-folder', 'skipped', /a directory that may not be read by the user/],
        ]) {
          assert.equal(items[name].outcome, outcome, name);
          assert.match(items[name].reason, reason, name);
        }
      }
    } finally {
      spawnSync('chmod', ['-R', 'u+rwX', service.functionsDir]);
      await service.remove();
    }
  });

  test('under a stock main service every call is answered, also while the directory is taken over', () => withService({}, async (service) => {
    const stock = makeFolder();
    let runtime, calling = true;
    try {
      write(stock, { 'index.ts': STOCK_SERVICE });
      write(service.functionsDir, { '_shared/word.ts': 'export const word = "hello";', 'hello/index.ts': 'import { word } from "../_shared/word.ts";\nDeno.serve(() => new Response(word));\n' });
      await service.start();
      // Each call reads the folder anew.
      runtime = await startEdge({ functionsDir: service.functionsDir, mainService: stock, policy: 'oneshot' });
      const answers = [];
      const caller = (async () => {
        while (calling) answers.push(await (await fetch(`${runtime.url}/hello`)).text());
      })();
      await until('it answers', () => answers.length > 0);
      const imported = await service.ask('POST', service.functions('/import'), { json: {} });
      assert.deepEqual([imported.status, imported.json.imported], [200, 1], imported.text);
      const then = answers.length;
      // One call may have begun before the import ended.
      await until('the release answers', () => answers.length >= then + 2, 60_000);
      calling = false;
      await caller;
      assert.deepEqual([...new Set(answers)], ['hello']);
      assert.match(fs.readFileSync(path.join(service.functionsDir, 'hello/index.ts'), 'utf8'), /Written by functions-admin/);
    } finally {
      calling = false;
      await runtime?.stop();
      fs.rmSync(stock, { recursive: true, force: true });
    }
  }));

  test('an import that does not boot is refused, and the directory stays as it was', async () => {
    const service = makeService(postgres, {});
    let runtime;
    try {
      runtime = await startRuntime(service.functionsDir);
      service.writeConfig({ runtime_url: runtime.url });
      write(service.functionsDir, { 'good/index.ts': 'Deno.serve(() => new Response("good"))', 'throws/index.ts': 'throw new Error("BOOT_FAILS");' });
      await service.start();
      const answer = await service.ask('POST', service.functions('/import'), { json: {} });
      assert.equal(answer.status, 200);
      const outcome = Object.fromEntries(answer.json.items.map((each) => [each.name, each.outcome]));
      assert.deepEqual([outcome.good, outcome.throws], ['imported', 'refused']);
      assert.match(answer.json.items.find(({ name }) => name === 'throws').reason, /BOOT_FAILS was found/);
      assert.equal(fs.readFileSync(path.join(service.functionsDir, 'throws/index.ts'), 'utf8'), 'throw new Error("BOOT_FAILS");');
      assert.equal((await service.ask('GET', service.functions('/throws'))).status, 404);
    } finally {
      await service.remove();
      await runtime?.stop();
    }
  });

  test('refusals: wrong types, a name that is no slug, a token for other functions, a service that does not run', () => withService({}, async (service) => {
    write(service.functionsDir, { 'hello/index.ts': 'Deno.serve(() => new Response("x"))' });
    const stopped = service.run('import', []);
    assert.deepEqual([stopped.status, /start functions-admin serve/.test(stopped.stderr)], [3, true], stopped.stderr);
    await service.start();
    for (const [json, status] of [[{ dry_run: 'yes' }, 422], [{ name: '../etc' }, 422], [{ name: 'absent' }, 404], [[], 422], [{ message: 'two\nlines' }, 422]])
      assert.equal((await service.ask('POST', service.functions('/import'), { json })).status, status, JSON.stringify(json));
    const made = service.run('token', ['create', '--name', 'ci', '--scope', 'functions:read', '--scope', 'functions:write', '--slug', 'ci-*']);
    const bound = await service.ask('POST', service.functions('/import'), { json: {}, headers: { authorization: `Bearer ${made.stdout.trim()}` } });
    assert.deepEqual([bound.status, bound.json.items], [200, []], 'it sees only its functions');
    assert.ok(fs.existsSync(path.join(service.functionsDir, 'hello/index.ts')));
    assert.equal(service.sql('SELECT count(*) FROM functions_admin.edge_functions'), '0');
  }));
});

describe('drift', () => {
  const release = (service, slug) => {
    const dir = path.join(service.functionsDir, '.releases', slug);
    return path.join(dir, fs.readdirSync(dir).sort()[0], 'source');
  };
  test('an edited file is found, shown as a diff, kept over deploys, reverted or accepted', () => withService({ max_disk_releases: 1 }, async (service) => {
    await service.start();
    await service.deploy('edited', { 'index.ts': 'Deno.serve(() => new Response("one"))\n', 'lib.ts': 'export {}\n' });
    await service.deploy('intact', 'Deno.serve(() => new Response("intact"))');
    const clean = service.run('drift', []);
    assert.deepEqual([clean.status, clean.stdout], [0, 'everything is on disk as it was deployed\n'], clean.stderr);
    const source = release(service, 'edited');
    fs.writeFileSync(path.join(source, 'index.ts'), 'Deno.serve(() => new Response("by hand"))\n');
    fs.writeFileSync(path.join(source, 'extra.ts'), 'export const extra = 1;\n');
    fs.rmSync(path.join(source, 'lib.ts'));

    await until('the service has found it by itself', () => /edited: version 1 was changed on disk/.test(service.log), 90_000);
    assert.ok(!service.log.includes('intact: version 1 was changed'));
    const shown = await service.ask('GET', `/v1/projects/${service.ref ?? 'default'}/drift`);
    assert.deepEqual(shown.json.drift.map(({ slug, version, stub_changed, files }) => [slug, version, stub_changed, files.map((f) => `${f.change} ${f.path}`)]),
      [['edited', 1, false, ['added extra.ts', 'modified index.ts', 'removed lib.ts']]]);
    const said = service.run('drift', ['edited']);
    assert.equal(said.status, 1);
    assert.match(said.stdout, /^-Deno\.serve\(\(\) => new Response\("one"\)\)\n\+Deno\.serve\(\(\) => new Response\("by hand"\)\)$/m);
    assert.match(service.run('doctor', []).stdout, /^warning {2}drift +1 functions on disk are not what was deployed$/m);

    // A deploy does not lose the edit, although only one release is kept on disk.
    assert.equal((await service.deploy('edited', 'Deno.serve(() => new Response("two"))')).status, 201);
    assert.equal(fs.readFileSync(path.join(source, 'index.ts'), 'utf8'), 'Deno.serve(() => new Response("by hand"))\n');
    await service.ask('POST', service.functions('/edited/rollback'), { json: { version: 1 } });

    const reverted = service.run('drift', ['revert', 'edited']);
    assert.deepEqual([reverted.status, reverted.stdout], [0, 'edited: version 1 is on disk again as it was deployed\n'], reverted.stderr);
    assert.deepEqual(files(source), ['index.ts', 'lib.ts']);
    assert.equal(fs.readFileSync(path.join(source, 'index.ts'), 'utf8'), 'Deno.serve(() => new Response("one"))\n');
    assert.equal(service.run('drift', []).status, 0);
    assert.match(service.run('doctor', []).stdout, /^ok {7}drift/m);

    fs.writeFileSync(path.join(source, 'index.ts'), 'Deno.serve(() => new Response("mended"))\n');
    const accepted = service.run('drift', ['accept', 'edited', '--message', 'mended at night']);
    assert.equal(accepted.status, 0, accepted.stderr);
    const f = (await service.ask('GET', service.functions('/edited'))).json;
    assert.equal(f.version, 3);
    assert.equal(service.sql(`SELECT source, message FROM functions_admin.edge_function_versions WHERE function_id = '${f.id}' AND version = 3`), 'drift|mended at night');
    assert.equal(fs.readFileSync(path.join(source, 'index.ts'), 'utf8'), 'Deno.serve(() => new Response("one"))\n', 'version 1 has its own bytes again');
    assert.equal(service.run('drift', []).status, 0);
    // What is not there at all was not edited.
    const newest = path.join(service.functionsDir, '.releases/edited');
    for (const name of fs.readdirSync(newest)) if (name.startsWith('3-')) fs.rmSync(path.join(newest, name), { recursive: true });
    assert.equal(service.run('drift', []).status, 0);
    assert.equal((await service.ask('POST', service.functions('/edited/drift/accept'), { json: {} })).status, 409);
    assert.equal((await service.ask('POST', service.functions('/edited/drift/revert'), { json: {} })).status, 200);
    assert.ok(fs.readdirSync(newest).some((name) => name.startsWith('3-')), 'it is built anew');
    for (const action of ['accept', 'revert']) {
      const refused = await service.ask('POST', service.functions(`/edited/drift/${action}`), { json: {} });
      assert.deepEqual([refused.status, refused.json.code], [409, 'no_drift']);
    }
  }));

  test('a stub that was replaced is put back, and what replaced it is kept; a link in a release is never followed', () => withService({}, async (service) => {
    await service.start();
    await service.deploy('stub', 'Deno.serve(() => new Response("one"))');
    fs.writeFileSync(path.join(service.functionsDir, 'stub/index.ts'), 'Deno.serve(() => new Response("mine"))');
    const shown = await service.ask('GET', `/v1/projects/${service.ref ?? 'default'}/drift?slug=stub`);
    assert.deepEqual(shown.json.drift.map(({ stub_changed, files }) => [stub_changed, files]), [[true, []]]);
    const accept = await service.ask('POST', service.functions('/stub/drift/accept'), { json: {} });
    assert.deepEqual([accept.status, accept.json.code], [409, 'only_the_stub']);
    assert.equal((await service.ask('POST', service.functions('/stub/drift/revert'), { json: {} })).status, 200);
    assert.match(fs.readFileSync(path.join(service.functionsDir, 'stub/index.ts'), 'utf8'), /Written by functions-admin/);
    const kept = path.join(service.functionsDir, '.functions-admin/adopted');
    assert.equal(fs.readFileSync(path.join(kept, fs.readdirSync(kept)[0], 'index.ts'), 'utf8'), 'Deno.serve(() => new Response("mine"))');

    fs.symlinkSync('/etc/passwd', path.join(release(service, 'stub'), 'passwd.txt'));
    const linked = await service.ask('GET', `/v1/projects/${service.ref ?? 'default'}/drift`);
    assert.deepEqual(linked.json.drift[0].files.map(({ change, path: name, binary, diff }) => [change, name, binary, diff]), [['added', 'passwd.txt', true, undefined]]);
    const refused = await service.ask('POST', service.functions('/stub/drift/accept'), { json: {} });
    assert.deepEqual([refused.status, refused.json.code], [422, 'not_a_file']);
  }));

  test('a look while a deployment goes from the database to the folder does not take it for a change', () => withService({ max_disk_releases: 1 }, async (service) => {
    await service.start();
    for (let i = 0; i < 20; i++) await service.deploy(`looked-at-${i}`, 'Deno.serve(() => new Response("quiet"))');
    let deploying = true;
    const look = async () => {
      while (deploying) {
        const seen = await service.ask('GET', '/v1/projects/default/drift');
        assert.deepEqual([seen.status, seen.json.drift], [200, []], seen.text);
      }
    };
    const deploy = async () => {
      try {
        for (let i = 0; i < 40; i++) assert.equal((await service.deploy('z-deployed', `Deno.serve(() => new Response("${i}"))`)).status, 201);
      } finally { deploying = false; }
    };
    await Promise.all([deploy(), look(), look(), look()]);
    assert.ok(!service.log.includes('was changed on disk'), service.log);
  }));
});

describe('pull', () => {
  test('copies every function from another Management API, and names the secrets that are to be set', async () => {
    const other = makeService(postgres, {}), service = makeService(postgres, {});
    const api = http.createServer(async (req, res) => {
      const answer = await other.ask(req.method, req.url, { headers: { authorization: req.headers.authorization, accept: req.headers.accept } });
      res.writeHead(answer.status, { 'content-type': answer.headers['content-type'] });
      res.end(answer.body);
    });
    try {
      await other.start();
      await service.start();
      await new Promise((resolve) => api.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${api.address().port}`;
      await other.deploy('one', { 'supabase/functions/one/index.ts': 'import "../_shared/x.ts";\nDeno.serve(() => new Response("1"))', 'supabase/functions/_shared/x.ts': 'export {};', 'supabase/functions/one/deno.json': '{}' }, { metadata: { entrypoint_path: 'supabase/functions/one/index.ts', import_map_path: 'supabase/functions/one/deno.json', verify_jwt: false, name: 'Number one' } });
      await other.deploy('two', 'Deno.serve(() => new Response("2"))');
      await other.ask('POST', `/v1/projects/${REF}/secrets`, { json: [{ name: 'STRIPE_KEY', value: 'not-copied' }] });
      const token = other.run('token', ['create', '--name', 'reader', '--scope', 'functions:read', '--scope', 'secrets:read']).stdout.trim();
      const file = path.join(service.functionsDir, '../pull-token');
      fs.writeFileSync(file, `${token}\n`, { mode: 0o600 });
      const args = ['--from', `${url}/`, '--ref', REF, '--token-file', file];
      const dry = await program(service, 'pull', [...args, '--dry-run']);
      assert.deepEqual([dry.code, dry.stdout], [0, 'would copy one: 3 files\nwould copy two: 1 file\nsecrets to set here (supabase secrets set): STRIPE_KEY\n'], dry.stderr);
      assert.equal(service.sql('SELECT count(*) FROM functions_admin.edge_functions'), '0');
      const done = await program(service, 'pull', args);
      assert.deepEqual([done.code, done.stdout], [0, 'copied one: 3 files, version 1 here\ncopied two: 1 file, version 1 here\nsecrets to set here (supabase secrets set): STRIPE_KEY\n'], done.stderr);
      const digests = (from) => from.sql("SELECT f.slug, f.name, v.verify_jwt, v.entrypoint_path, v.import_map_path, encode(v.digest, 'hex') FROM functions_admin.edge_functions f JOIN functions_admin.edge_function_versions v ON v.function_id = f.id ORDER BY 1");
      assert.equal(digests(service), digests(other), 'the same bytes and settings');
      fs.writeFileSync(file, 'sbp_0000000000000000000000000000000000000000');
      const refused = await program(service, 'pull', args);
      assert.deepEqual([refused.code, /answers 401.*\nHINT: Has the access token/.test(refused.stderr)], [4, true], refused.stderr);
      for (const wrong of [['--from', 'ftp://x', '--ref', REF], ['--from', 'http://elsewhere.example', '--ref', REF, '--token-file', file], ['--from', 'http://127.0.0.1.example', '--ref', REF, '--token-file', file], ['--from', url], ['--from', url, '--ref', '../x'], ['--from', url, '--ref', REF, '--token-file', '/nonexistent'], ['--from', url, '--ref', REF]])
        assert.equal((await program(service, 'pull', wrong)).code, 2, wrong.join(' '));
    } finally {
      api.close();
      await other.remove();
      await service.remove();
    }
  });
});
