// A short life of the program under valgrind: no error, and nothing lost at its end.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { BINARY, makeService, multipart, ROOT, startPostgres, startRuntime } from '../lib/service.mjs';

const has = spawnSync('valgrind', ['--version']).status === 0;
const sanitized = fs.readFileSync(BINARY).includes('__asan_init');

test('valgrind finds nothing', { skip: (!has && 'valgrind is not installed') || (sanitized && 'the program has sanitizers, which valgrind cannot run') }, async () => {
  const postgres = await startPostgres();
  // valgrind does not know the system calls of Landlock.
  const service = makeService(postgres, { options: { sandbox: 'auto', workers: '2' }, wrapper: ['valgrind', '--quiet', '--error-exitcode=99', '--leak-check=full', '--show-leak-kinds=definite', '--errors-for-leak-kinds=definite'] });
  const runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url, boot_timeout: '60s', request_timeout: '60s' });
  try {
    await service.start();
    assert.equal((await service.deploy('one', { 'index.ts': 'one', 'lib/large.bin': Buffer.alloc(1_500_000, 1) })).status, 201);
    const bundled = await service.deploy('two', 'two', { query: '&bundleOnly=true' });
    assert.equal((await service.ask('PUT', service.functions(), { json: [bundled.json] })).status, 200);
    const ezbr = fs.readFileSync(path.join(ROOT, 'tests/fixtures/eszip/hello.ezbr'));
    assert.equal((await service.ask('POST', service.functions('?slug=three&entrypoint_path=file:///src/index.ts'), { body: ezbr, headers: { 'content-type': 'application/vnd.denoland.eszip' } })).status, 201);
    for (const target of [service.functions(), service.functions('/one'), service.functions('/one/body'), '/v1/functions', '/metrics', '/readyz', '/v1/openapi.json', '/v1/projects/default/api-keys'])
      assert.equal((await service.ask('GET', target)).status, 200, target);
    assert.equal((await service.ask('PATCH', service.functions('/two'), { json: { name: 'Two', verify_jwt: false } })).status, 200);
    assert.equal((await service.ask('DELETE', service.functions('/two'))).status, 200);
    assert.equal((await service.deploy('bad', 'BOOT_FAILS')).status, 422);
    const broken = multipart('{"entrypoint_path":', { '../x': 'x' });
    assert.ok((await service.ask('POST', service.functions('/deploy?slug=bad'), { body: broken.body.subarray(0, 150), headers: { 'content-type': broken.type } })).status < 500);
    assert.equal((await service.ask('GET', service.functions(), { headers: { authorization: 'Bearer a.b.c' } })).status, 401);
    service.child.kill('SIGHUP');
    assert.equal(await service.stop(), 0);
    assert.doesNotMatch(service.log, /^==\d+==/m);
  } finally {
    await service.remove();
    await runtime.stop();
    await postgres.remove();
  }
});
