// What ./check prints of a step that failed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
let dir;
before(() => { dir = fs.mkdtempSync(path.join(os.tmpdir(), 'fa-check-')); });
after(() => fs.rmSync(dir, { recursive: true, force: true }));

function report(text) {
  fs.writeFileSync(path.join(dir, 'log'), text);
  const done = spawnSync('bash', ['-euo', 'pipefail', '-c', '. scripts/check-steps.sh; failure_report "$1"', 'bash', path.join(dir, 'log')], { cwd: ROOT, encoding: 'utf8' });
  assert.equal(done.stderr, '');
  assert.equal(done.status, 0);
  return done.stdout;
}

function runTests(source, ...options) {
  const file = path.join(dir, 'a.test.mjs');
  fs.writeFileSync(file, `import assert from 'node:assert/strict';\nimport { describe, test } from 'node:test';\n${source}`);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return spawnSync(process.execPath, ['--test', ...options, file], { encoding: 'utf8', env }).stdout;
}

const CASCADE = `
test('is well', () => {});
describe('a suite', () => {
  test('the cause', () => assert.deepEqual({ word: 'what came' }, { word: 'what was wanted' }));
  for (let i = 0; i < 40; i++) test('a consequence ' + i, () => { throw new Error('gone since'); });
});`;

describe('a step that failed', () => {
  test('is told with the first failure in full, however many follow', () => {
    const said = report(runTests(CASCADE, '--test-reporter=spec'));
    const [first, rest] = said.split('\n\n');
    assert.match(first, /^the first failure:\ntest at .*a\.test\.mjs:\d+:\d+\n✖ the cause .*\n.*AssertionError/);
    assert.match(first, /what came/);
    assert.match(first, /what was wanted/);
    assert.doesNotMatch(first, /gone since/);
    assert.match(rest, /✖ a consequence 3 /);
    assert.ok(said.split('\n').length < 110, `${said.split('\n').length} lines`);
  });

  test('is told so from TAP, and from a log that was cut off', () => {
    const whole = report(runTests(CASCADE, '--test-reporter=tap'));
    assert.match(whole, /^the first failure:\n +not ok 1 - the cause\n[^]*what was wanted/);
    assert.doesNotMatch(whole.split('\n\n')[0], /gone since/);
    const spec = runTests(CASCADE, '--test-reporter=spec').split('✖ failing tests:')[0];
    assert.match(report(spec), /^the first failure:\n +✖ the cause/);
    assert.match(report('ok 1 - a\nnot ok 2 - b\n# b.c:7: 1 != 2\nok 3 - c\n'), /^the first failure:\nnot ok 2 - b\n# b\.c:7: 1 != 2\n\n/);
  });

  test('is told with its end where no test of it failed', () => {
    const said = report(`${'compiling\n'.repeat(100)}a.c:1: error: no such thing\nmake: *** [all] Error 1\n`);
    assert.match(said, /^a\.c:1: error: no such thing\n…\n/);
    assert.match(said, /make: \*\*\* \[all\] Error 1\n$/);
    assert.equal(said.split('\n').length, 53);
  });
});
