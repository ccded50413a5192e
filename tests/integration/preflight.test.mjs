// The operator's own check of uploads (preflight_command).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { makeService, SECRETS, startPostgres } from '../lib/service.mjs';

let postgres;
before(async () => { postgres = await startPostgres(); });
after(() => postgres?.remove());

async function withCommand(script, fn, options = {}) {
  // The strict sandbox starts no programs.
  const service = makeService(postgres, { options: { sandbox: 'auto', ...options } });
  const command = path.join(service.folder, 'preflight');
  if (script !== null) fs.writeFileSync(command, script, { mode: 0o755 });
  service.writeConfig({ preflight_command: command });
  try {
    await service.start();
    await fn(service);
  } finally { await service.remove(); }
}
const refuses = async (service, status, code, files = { 'src/index.ts': 'export {}' }) => {
  const before = service.state();
  const answer = await service.deploy('checked', files);
  assert.deepEqual([answer.status, answer.json.code], [status, code], answer.text);
  await service.settled();
  assert.deepEqual(service.state(), before, 'nothing is stored or written');
  return answer.json;
};

test('it sees the upload and decides; what it says is the answer, as one line of text', () =>
  withCommand('#!/bin/sh\n[ "$#" = 1 ] || exit 9\nif grep -rn FORBIDDEN . ; then printf "\\033[31mno\\t such thing\\n\\n"; exit 1; fi\ncat "$1" >/dev/null\n', async (service) => {
    assert.equal((await service.deploy('checked', { 'src/index.ts': 'export {}' })).status, 201);
    const refused = await refuses(service, 422, 'preflight_failed', { 'src/index.ts': 'FORBIDDEN', 'src/b.ts': '' });
    assert.equal(refused.message, 'The preflight check refuses the upload: ./src/index.ts:1:FORBIDDEN [31mno such thing');
  }));

test('it has neither our environment, nor our files, nor the network', async () => {
  const server = net.createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    await withCommand(`#!/bin/bash\nenv | sort\nls -l /proc/self/fd | wc -l\n(exec 3<>/dev/tcp/127.0.0.1/${server.address().port}) 2>&1 && echo CONNECTED\nexit 1\n`, async (service) => {
      const { message } = await refuses(service, 422, 'preflight_failed');
      assert.ok(!message.includes('CONNECTED') && /Permission denied/.test(message), message);
      for (const secret of Object.values(SECRETS)) assert.ok(!message.includes(secret));
      assert.match(message, /HOME=\/nonexistent LANG=C\.UTF-8 NO_COLOR=1/);
      assert.ok(!/FUNCTIONS_ADMIN|PGPASS/.test(message));
    });
  } finally { server.close(); }
});

test('one that takes too long is ended, with all that it has started', () =>
  withCommand('#!/bin/sh\nsleep 300 &\necho $! >"$(dirname "$0")/sleeper"\nwait\n', async (service) => {
    await refuses(service, 422, 'preflight_timeout');
    const sleeper = Number(fs.readFileSync(path.join(service.folder, 'sleeper'), 'utf8'));
    assert.ok(!fs.existsSync(`/proc/${sleeper}`) || /^State:\tZ/m.test(fs.readFileSync(`/proc/${sleeper}/status`, 'utf8')));
  }, { preflight_timeout: '1s' }));

test('one that is not there refuses every upload, and says what is wrong', () =>
  withCommand(null, async (service) => {
    const { hint } = await refuses(service, 503, 'preflight_unavailable');
    assert.match(hint, /preflight_command/);
  }));

test('it does not go together with the strict sandbox', async () => {
  const service = makeService(postgres, { options: { preflight_command: '/bin/true', sandbox: 'on' } });
  service.writeConfig();
  try {
    const done = service.run('serve');
    assert.deepEqual([done.status, /sandbox = on and preflight_command do not go together\nHINT: /.test(done.stderr)], [2, true], done.stderr);
  } finally { await service.remove(); }
});
