// quickstart's own HMAC and JWTs against Node's.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const library = fileURLToPath(new URL('../../scripts/secrets.sh', import.meta.url));
const bash = (script, input, ...args) => spawnSync('bash', ['--norc', '-euo', 'pipefail', '-c', `. "$0"; ${script}`, library, ...args], { input });

test('hmac_sha256 agrees with Node for keys of 1 to 64 characters and any bytes', () => {
  for (const key of ['k', 'a'.repeat(32), '%s\\x00 key with signs "\'$`', '0123456789abcdef'.repeat(4)]) {
    const message = Buffer.from([0, 1, 10, 37, 92, 255, ...Buffer.from('text')]);
    const done = bash('hmac_sha256 "$1"', message, key);
    assert.equal(done.stdout.toString('hex'), createHmac('sha256', key).update(message).digest('hex'), key);
  }
});

test('supabase_jwt makes a key that verifies, with role and a life of ten years', () => {
  const secret = 'f'.repeat(64);
  const [header, payload, signature] = bash('supabase_jwt service_role "$1"', '', secret).stdout.toString().split('.');
  assert.equal(signature, createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url'));
  assert.deepEqual(JSON.parse(Buffer.from(header, 'base64url')), { alg: 'HS256', typ: 'JWT' });
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  assert.equal(claims.role, 'service_role');
  assert.equal(claims.exp - claims.iat, 10 * 365 * 86400);
});

test('random_letters gives exactly that many lower-case letters, each time others', () => {
  const [one, two] = [bash('random_letters 20', '').stdout.toString(), bash('random_letters 20', '').stdout.toString()];
  assert.match(one, /^[a-z]{20}$/);
  assert.notEqual(one, two);
});
