// What an operator meets: doctor, configuration errors, commands and their exit codes, sockets, signals, memory, logs, and
// a database that goes away.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { request } from '../lib/fastcgi.mjs';
import { BINARY, freePort, makeService, NOBODY_ELSE, REF, run, SECRETS, SERVICE_ROLE, startNginx, startPostgres, startRuntime, until } from '../lib/service.mjs';

const SANITIZED = /sanitize/.test(spawnSync('sh', ['-c', `strings -n 8 "$1" | grep -m1 __asan_init && echo sanitize`, 'sh', BINARY], { encoding: 'utf8' }).stdout);
const asRoot = process.getuid() === 0;
let postgres;
before(async () => { postgres = await startPostgres(); });
after(() => postgres?.remove());

async function withService(options, fn) {
  const service = makeService(postgres, options);
  try { await fn(service); } finally { await service.remove(); }
}

describe('commands', () => {
  test('--version, --help, and usage errors', () => {
    assert.match(run(['--version']).stdout, /^functions-admin \d+\.\d+\.\d+\n$/);
    const help = run(['--help']);
    assert.equal(help.status, 0);
    for (const line of help.stdout.matchAll(/^ {2}(\w+) /gm)) {
      const own = run([line[1], '--help']);
      assert.deepEqual([own.status, own.stderr], [0, ''], line[1]);
      assert.match(own.stdout, new RegExp(`^Usage: functions-admin ${line[1]}`));
    }
    for (const args of [[], ['nonsense'], ['--nonsense']]) {
      const wrong = run(args);
      assert.deepEqual([wrong.status, wrong.stdout], [2, ''], args.join(' '));
      assert.match(wrong.stderr, /Usage:/);
    }
    for (const args of [['serve', '--nonsense'], ['migrate', 'nonsense'], ['doctor', '--nonsense=1'], ['routes', 'nonsense'], ['token'], ['token', 'nonsense']]) {
      const wrong = run(args, { env: { FUNCTIONS_ADMIN_PROJECT_REF: REF } });
      assert.equal(wrong.status, 2, `${args.join(' ')}: ${wrong.stderr}`);
      assert.match(wrong.stderr, /^functions-admin: .+\nHINT: .+\n$/, args.join(' '));
    }
  });

  test('token: created once, listed without its text, revoked; a database out of reach is exit code 3', async () => {
    await withService({}, async (service) => {
      const made = service.run('token', ['create', '--name', 'deploy from CI', '--scope', 'functions:read', '--scope', 'functions:write', '--slug', 'ci-*', '--expires-in', '30']);
      assert.equal(made.status, 0, made.stderr);
      assert.match(made.stdout, /^sbp_[0-9a-f]{40}\n$/, 'on standard output the token alone, for scripts');
      assert.match(made.stderr, /once only/);
      const list = service.run('token', ['list', '--json']);
      const [token] = JSON.parse(list.stdout);
      assert.deepEqual([token.name, token.scopes, token.slugs], ['deploy from CI', ['functions:read', 'functions:write'], ['ci-*']]);
      assert.ok(!list.stdout.includes(made.stdout.trim()));
      assert.ok(!service.sql('SELECT * FROM functions_admin.access_tokens').includes(made.stdout.trim().slice(4)), 'only its hash is stored');
      assert.match(service.run('token', ['list']).stdout, /deploy from CI +active/);
      assert.equal(service.run('token', ['revoke', token.id]).status, 0);
      assert.match(service.run('token', ['list']).stdout, /deploy from CI +revoked/);
      for (const [args, status, says] of [
        [['create', '--scope', 'functions:read'], 2, /--name/], [['create', '--name', 'x'], 2, /--scope/], [['create', '--name', 'x', '--scope', 'all'], 2, /no scope "all"/],
        [['create', '--name', 'x', '--scope', 'functions:read', '--expires-in', 'soon'], 2, /days/], [['create', '--name', 'x', '--scope', 'functions:read', '--project', 'zzzzzzzzzzzzzzzzzzzz'], 5, /Project not found/],
        [['revoke'], 2, /id/], [['revoke', '00000000-0000-4000-8000-000000000000'], 5, /not found/i], [['revoke', 'nonsense'], 5, /not found/i],
      ]) {
        const wrong = service.run('token', args);
        assert.equal(wrong.status, status, `${args.join(' ')}: ${wrong.stderr}`);
        assert.match(wrong.stderr, says);
      }
      service.writeConfig({ database_url: 'postgresql://postgres@/nowhere?host=/nowhere' });
      const away = service.run('token', ['list']);
      assert.equal(away.status, 3);
      assert.match(away.stderr, /database cannot be reached/i);
    });
  });
});

describe('configuration', () => {
  const cases = [
    [{ project_ref: 'Short' }, 'project_ref', /20/], [{ project_ref: null }, 'project_ref'], [{ listen: 'nonsense' }, 'listen'], [{ listen: `unix:/${'x'.repeat(120)}` }, 'listen'], [{ listen_mode: '999' }, 'listen_mode'],
    [{ workers: '0' }, 'workers'], [{ workers: 'many' }, 'workers'], [{ jwt_secret: 'short' }, 'jwt_secret'], [{ master_key: 'xyz' }, 'master_key'], [{ master_key: null }, 'master_key'], [{ jwks: '{' }, 'jwks'],
    [{ max_file_bytes: '1T' }, 'max_file_bytes'], [{ boot_timeout: 'long' }, 'boot_timeout'], [{ log_level: 'loud' }, 'log_level'], [{ log_format: 'xml' }, 'log_format'], [{ public_url: 'supabase' }, 'public_url'],
    [{ functions_dir: 'relative' }, 'functions_dir'], [{ base_path: 'x' }, 'base_path'], [{ nonsense: '1' }, 'nonsense'], [{ postgres_port: '70000', database_url: null }, 'postgres_port'],
  ];
  test('a wrong or missing value stops the start: the option, what is wrong, a hint, exit code 2, and no secret', async () => {
    await withService({ migrate: false }, async (service) => {
      const good = { ...service.options };
      for (const [change, name] of cases) {
        for (const key of Object.keys(service.options)) delete service.options[key];
        service.writeConfig({ ...good, ...change });
        const wrong = service.run('serve');
        assert.equal(wrong.status, 2, `${JSON.stringify(change)}: ${wrong.stderr}`);
        assert.match(wrong.stderr, new RegExp(`^functions-admin: .*\\b${name}\\b`, 'm'), JSON.stringify(change));
        assert.match(wrong.stderr, /\nHINT: .+\n$/, JSON.stringify(change));
        for (const secret of [...Object.values(SECRETS), 'short-secret']) assert.ok(!wrong.stderr.includes(secret));
      }
    });
  });

  test('file, then environment, then flag; Supabase names; _FILE', async () => {
    await withService({}, async (service) => {
      const get = (env, args = []) => JSON.parse(service.run('doctor', ['--json', ...args], { env }).stdout).checks.find((c) => c.check === 'listen').message;
      assert.match(get({}), new RegExp(service.socket));
      assert.match(get({ FUNCTIONS_ADMIN_LISTEN: '127.0.0.1:1' }), /127\.0\.0\.1:1/);
      assert.match(get({ FUNCTIONS_ADMIN_LISTEN: '127.0.0.1:1' }, ['--listen', '127.0.0.1:2']), /127\.0\.0\.1:2/);
      const file = path.join(service.folder, 'secret');
      fs.writeFileSync(file, 'short\n', { mode: 0o600 });
      service.writeConfig({ jwt_secret: null });
      for (const env of [{ JWT_SECRET: 'short' }, { JWT_SECRET_FILE: file }]) {
        const wrong = run(['serve', '--config', service.config], { env });
        assert.equal(wrong.status, 2);
        assert.match(wrong.stderr, /jwt_secret/);
      }
      const flag = service.run('serve', ['--jwt-secret', 'x'.repeat(40)]);
      assert.equal(flag.status, 2, 'a secret is never a process argument');
      assert.ok(!flag.stderr.includes('x'.repeat(40)));
    });
  });

  test('a configuration file that is not there', () => {
    const wrong = run(['serve', '--config', '/nowhere/fa.conf']);
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /\/nowhere\/fa\.conf/);
  });
});

describe('doctor', () => {
  const doctor = (service, args = [], how = {}) => {
    const done = service.run('doctor', ['--json', ...args], how);
    const doc = JSON.parse(done.stdout);
    const text = service.run('doctor', args, how);
    assert.equal(text.status, done.status);
    assert.equal(done.status, doc.healthy ? 0 : 1);
    for (const check of doc.checks) {
      assert.ok(['ok', 'warning', 'wrong'].includes(check.verdict));
      if (check.verdict !== 'ok') assert.ok(check.hint, `${check.check}: a finding has a hint`);
      if (check.verdict !== 'ok') assert.match(text.stdout, /HINT: /);
    }
    for (const secret of [...Object.values(SECRETS), SERVICE_ROLE]) assert.ok(!(done.stdout + text.stdout).includes(secret));
    return Object.fromEntries(doc.checks.map((c) => [c.check, c]));
  };

  test('all is well while it runs', async () => {
    await withService({}, async (service) => {
      const runtime = await startRuntime(service.functionsDir);
      service.writeConfig({ runtime_url: runtime.url });
      await service.start();
      // The runtime lives in this process, so the commands that ask it must not block it.
      const done = await new Promise((resolve) => {
        const child = spawn(BINARY, ['doctor', '--json', '--config', service.config], { env: { PATH: process.env.PATH } });
        let out = '';
        child.stdout.on('data', (text) => { out += text; });
        child.on('close', (code) => resolve({ code, doc: JSON.parse(out) }));
      });
      await service.stop();
      await runtime.stop();
      assert.deepEqual(done.doc.checks.filter((c) => c.verdict !== 'ok'), []);
      assert.equal(done.code, 0);
    });
  });

  test('each thing that can be wrong, with a hint', async () => {
    await withService({}, async (service) => {
      assert.equal(doctor(service).listen.verdict, 'warning', 'not running');
      assert.equal(doctor(service).runtime.verdict, 'warning', 'no runtime configured');
      const url = service.options.database_url;
      service.writeConfig({ database_url: 'postgresql://postgres@/nowhere?host=/nowhere' });
      const away = doctor(service).database;
      assert.deepEqual([away.verdict, /postgres_host/.test(away.hint)], ['wrong', true]);
      service.writeConfig({ database_url: url, workers: 'many' });
      assert.deepEqual([doctor(service).configuration.verdict, /workers/.test(doctor(service).configuration.message)], ['wrong', true]);
      service.writeConfig({ workers: '4' });
      service.writeConfig({ functions_dir: path.join(service.folder, 'missing') });
      assert.deepEqual([doctor(service).functions_dir.verdict, /No such file/.test(doctor(service).functions_dir.message)], ['wrong', true]);
      fs.writeFileSync(path.join(service.folder, 'file'), '');
      service.writeConfig({ functions_dir: path.join(service.folder, 'file') });
      assert.equal(doctor(service).functions_dir.verdict, 'wrong');
      service.writeConfig({ functions_dir: service.functionsDir, jwt_secret: null, master_key: null });
      assert.equal(doctor(service).configuration.verdict, 'wrong');
      service.writeConfig({ ...SECRETS, runtime_url: 'http://127.0.0.1:9' });
      assert.equal(doctor(service).runtime.verdict, 'wrong', 'nobody answers there');
    });
    await withService({ migrate: false }, async (service) => {
      const schema = doctor(service).schema;
      assert.deepEqual([schema.verdict, schema.hint], ['wrong', 'Run: functions-admin migrate']);
    });
  });

  test('the API asks the service itself: what is wrong is a finding, and the answer is still there', async (t) => {
    await withService({}, async (service) => {
      const ask = async (headers) => {
        const answer = await service.ask('GET', `/v1/projects/${REF}/doctor`, { headers });
        assert.equal(answer.status, 200);
        for (const secret of [...Object.values(SECRETS), SERVICE_ROLE]) assert.ok(!answer.text.includes(secret));
        for (const check of answer.json.checks) assert.equal(check.verdict !== 'ok', 'hint' in check, check.check);
        return { healthy: answer.json.healthy, ...Object.fromEntries(answer.json.checks.map((c) => [c.check, c])) };
      };
      const verdicts = (found) => Object.fromEntries(Object.entries(found).map(([name, c]) => [name, c.verdict ?? c]));
      const runtime = await startRuntime(service.functionsDir);
      t.after(() => runtime.stop());
      service.writeConfig({ runtime_url: runtime.url });
      await service.start();
      assert.equal((await service.deploy('hello', 'one')).status, 201);
      assert.deepEqual(verdicts(await ask()), { healthy: true, gateway: 'ok', database: 'ok', db_role: 'ok', functions_dir: 'ok', drift: 'ok', runtime: 'ok', generation: 'ok' });
      const through = await ask({ 'x-forwarded-for': '198.51.100.4' });
      assert.deepEqual([through.gateway.verdict, through.healthy, /trusted_proxies/.test(through.gateway.hint)], ['warning', true, true]);
      const file = path.join(service.functionsDir, '.functions-admin/manifest.json'), manifest = fs.readFileSync(file, 'utf8');
      fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(manifest), generation: 99 }));
      const ahead = (await ask()).generation;
      assert.deepEqual([ahead.verdict, ahead.message], ['warning', 'the runtime serves generation 99, the database is at 1']);
      fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(manifest), project: 'zzzzzzzzzzzzzzzzzzzz' }));
      const foreign = await ask();
      assert.deepEqual([foreign.runtime.verdict, foreign.healthy], ['wrong', false]);
      fs.writeFileSync(file, manifest);
      await runtime.stop();
      assert.deepEqual([(await ask()).runtime.verdict, (await ask()).healthy], ['wrong', false]);
      fs.renameSync(service.functionsDir, `${service.functionsDir}.away`);
      const folder = (await ask()).functions_dir;
      fs.renameSync(`${service.functionsDir}.away`, service.functionsDir);
      assert.deepEqual([folder.verdict, /No such file/.test(folder.message)], ['wrong', true]);
      await service.stop();
      service.writeConfig({ trusted_proxies: '192.0.2.7', db_role: 'pg_read_all_data' });
      await service.start();
      const now = await ask({ 'x-forwarded-for': '198.51.100.4' });
      assert.deepEqual([now.gateway.verdict, /came from 198\.51\.100\.4$/.test(now.gateway.message)], ['ok', true]);
      assert.equal(now.db_role.verdict, 'warning');
    });
  });

  test('a folder of another user', { skip: !asRoot && 'needs root, to be another user' }, async () => {
    await withService({}, async (service) => {
      fs.chmodSync(service.config, 0o644);
      const folder = doctor(service, [], { as: NOBODY_ELSE }).functions_dir;
      assert.deepEqual([folder.verdict, /not writable for uid 65534/.test(folder.message), /chown/.test(folder.hint)], ['wrong', true, true]);
    });
  });
});

describe('the process', () => {
  test('a second one on the same folder is refused, and told which one holds it', async () => {
    await withService({}, async (service) => {
      await service.start();
      const second = service.run('serve', ['--listen', `unix:${service.socket}.2`]);
      assert.equal(second.status, 1);
      assert.match(second.stderr, new RegExp(`in use by another functions-admin \\(pid ${service.pid} on `));
      assert.match(second.stderr, /HINT: /);
      const socket = makeService(postgres, { options: { listen: `unix:${service.socket}` } });
      const third = socket.run('serve');
      assert.equal(third.status, 1);
      assert.match(third.stderr, /another process listens on/);
      await socket.remove();
      assert.equal((await service.ask('GET', '/healthz')).status, 200, 'the first one is not disturbed');
    });
  });

  test('the socket has the mode that was asked for; one that a killed process left is replaced', async () => {
    await withService({ options: { listen_mode: '0660' } }, async (service) => {
      await service.start();
      assert.equal(fs.statSync(service.socket).mode & 0o777, 0o660);
      await service.stop('SIGKILL');
      assert.ok(fs.existsSync(service.socket));
      await service.start();
      assert.equal((await service.ask('GET', '/healthz')).status, 200);
      await service.stop();
      assert.ok(!fs.existsSync(service.socket));
    });
  });

  test('private files are private', async () => {
    await withService({}, async (service) => {
      await service.start();
      assert.equal((await service.deploy('one', 'x')).status, 201);
      const mode = (name) => fs.statSync(path.join(service.functionsDir, name)).mode & 0o777;
      assert.equal(mode('.functions-admin/runtime-token'), 0o600);
      assert.equal(mode('.functions-admin/staging'), 0o700);
      assert.equal(mode('.functions-admin/manifest.json'), 0o644);
      assert.equal(mode('one'), 0o755);
    });
  });

  test('TCP', async () => {
    await withService({}, async (service) => {
      const port = await freePort();
      service.writeConfig({ listen: `127.0.0.1:${port}` });
      await service.start();
      service.address = { host: '127.0.0.1', port };
      assert.equal((await service.ask('GET', '/v1/projects')).status, 200);
      assert.equal((await service.deploy('one', 'x'.repeat(200_000))).status, 201);
    });
  });

  test('a socket that was inherited: fd:N, and as systemd passes it', async () => {
    // Opens the socket, gives it the number 3, and becomes the program, as a service manager does. (Node would accept from it.)
    const opener = `use Socket; use POSIX; socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die; unlink $ARGV[0]; bind($s, sockaddr_un(shift)) or die; listen($s, 16) or die;
      POSIX::dup2(fileno($s), 3) if fileno($s) != 3; fcntl($s, 2, 0) if fileno($s) == 3; if (shift eq 'systemd') { $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; } exec @ARGV;`;
    await withService({}, async (service) => {
      for (const [how, listen] of [['plain', 'fd:3'], ['systemd', 'unix:/nowhere/else.sock']]) {
        const child = spawn('perl', ['-e', opener, service.socket, how, BINARY, 'serve', '--config', service.config, '--listen', listen], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH } });
        let log = '';
        child.stderr.setEncoding('utf8').on('data', (text) => { log += text; });
        try {
          await until(`it serves (${how})`, () => { if (child.exitCode !== null) throw new Error(log); return log.includes('serving project'); }, 10_000);
          assert.equal((await request(service.socket, { path: '/healthz' })).status, 200, how);
        } finally {
          child.kill('SIGTERM');
        }
        assert.equal((await once(child, 'exit'))[0], 0, log);
        assert.ok(fs.existsSync(service.socket), "a socket that is not the program's own stays");
      }
      const none = service.run('serve', ['--listen', 'fd:9']);
      assert.equal(none.status, 2);
      assert.match(none.stderr, /descriptor 9 is no listening socket/);
    });
  });

  test('SIGHUP reads the log options anew, and keeps what it has where they are wrong', async () => {
    await withService({ options: { log_level: 'warn' } }, async (service) => {
      await service.start({ ready: false });
      await until('it answers', () => service.ask('GET', '/healthz').then((a) => a.status === 200, () => false));
      assert.doesNotMatch(service.log, /GET \/healthz/);
      service.writeConfig({ log_level: 'info', log_format: 'json' });
      service.child.kill('SIGHUP');
      await until('it says so', () => /reload: log_level info/.test(service.log));
      await service.ask('GET', '/healthz');
      const line = await until('the request is logged', () => service.log.split('\n').find((l) => l.includes('GET /healthz')));
      assert.equal(JSON.parse(line).level, 'info');
      service.writeConfig({ log_level: 'warn', log_format: 'text' });
      service.child.kill('SIGHUP');
      await until('the log is quiet', async () => {
        const from = service.log.length;
        await service.ask('GET', '/healthz');
        return service.log.length === from;
      });
      service.writeConfig({ log_level: 'loud' });
      service.child.kill('SIGHUP');
      await until('it complains', () => /nothing was changed/.test(service.log));
      assert.equal((await service.ask('GET', '/healthz')).status, 200);
    });
  });

  /** In kB. */
  const resident = (service) => Number(/VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${service.pid}/status`, 'utf8'))[1]);

  test('at rest it holds less than 20 MB', { skip: SANITIZED && 'a sanitizer takes memory of its own' }, async () => {
    await withService({}, async (service) => {
      await service.start();
      for (let i = 0; i < 20; i++) assert.equal((await service.deploy(`f${i}`, 'x'.repeat(100_000))).status, 201);
      assert.equal((await service.deploy('large', { 'index.ts': 'x', 'data.bin': Buffer.alloc(15_000_000, 7) })).status, 201);
      await Promise.all(Array.from({ length: 100 }, () => service.ask('GET', service.functions())));
      assert.ok(resident(service) < 20_000, `${resident(service)} kB are resident, after work`);
    });
  });

  test('documents of a megabyte leave no memory behind', { skip: SANITIZED && 'a sanitizer takes memory of its own' }, async () => {
    await withService({}, async (service) => {
      await service.start();
      const headers = { accept: 'application/json, text/event-stream', 'content-type': 'application/json', 'mcp-protocol-version': '2025-11-25' };
      for (let i = 0; i < 4; i++)
        await Promise.all(Array.from({ length: 4 }, async (_, client) => {
          const files = Array.from({ length: 50 }, (_, k) => ({ name: k === 0 ? 'index.ts' : `part-${k}.ts`, content: `// ${i}\n`.padEnd(20_000, 'x\n') }));
          const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'deploy_edge_function', arguments: { name: `f${client}`, entrypoint_path: 'index.ts', files } } };
          assert.equal((await service.ask('POST', '/mcp', { headers, body: JSON.stringify(call) })).json.result.isError, false);
        }));
      assert.ok(resident(service) < 45_000, `${resident(service)} kB are resident after deploys by MCP`);
      await until('the next sweep gives it back', () => resident(service) < 25_000);
    });
  });

  test('no secret is in a log, whatever was asked', async () => {
    await withService({ options: { log_level: 'debug' } }, async (service) => {
      await service.start();
      const token = service.run('token', ['create', '--name', 'x', '--scope', 'functions:read']).stdout.trim();
      for (const credential of [token, SERVICE_ROLE, SECRETS.secret_key, SECRETS.publishable_key, `${SERVICE_ROLE}x`]) {
        await service.ask('GET', service.functions(`?apikey=${credential}`), { headers: { authorization: null } });
        await service.ask('GET', service.functions(), { headers: { authorization: `Bearer ${credential}` } });
        await service.ask('GET', `/v1/nothing/${'x'}`, { headers: { apikey: credential, authorization: null } });
      }
      await service.ask('GET', '/v1/projects/default/api-keys?reveal=true');
      await service.ask('POST', service.functions(), { json: '{"body":"hunter2-in-broken-json' });
      await service.stop();
      for (const secret of [token, SERVICE_ROLE, 'hunter2', ...Object.values(SECRETS)]) assert.ok(!service.log.includes(secret.slice(-30)), secret);
      const cmdline = run(['--version']);
      assert.equal(cmdline.status, 0);
    });
  });
});

describe('a database that goes away', () => {
  test('503 with Retry-After, what is deployed keeps being served, and it heals by itself', async () => {
    const own = await startPostgres();
    const service = makeService(own);
    const runtime = await startRuntime(service.functionsDir);
    service.writeConfig({ runtime_url: runtime.url });
    await service.start();
    const nginx = await startNginx(service, { runtime: runtime.url.slice(7) });
    try {
      assert.equal((await service.deploy('one', 'served')).status, 201);
      const served = async () => assert.equal((await nginx.gateway('GET', '/functions/v1/one')).text, 'served');
      await served();
      await own.stop('SIGINT');
      for (const [method, target, how] of [['GET', service.functions()], ['GET', '/v1/projects'], ['GET', '/readyz'], ['DELETE', service.functions('/one')]]) {
        const answer = await service.ask(method, target, how);
        assert.equal(answer.status, 503, `${method} ${target}: ${answer.text}`);
        assert.ok(Number(answer.headers['retry-after']) > 0);
        assert.equal(answer.json.code, 'database_unavailable');
      }
      const upload = await service.deploy('two', 'x');
      assert.deepEqual([upload.status, service.stub('two')], [503, null]);
      assert.equal((await service.ask('GET', '/healthz')).status, 200, 'alive, but not ready');
      assert.equal((await nginx.site('GET', service.functions())).status, 503);
      await served();
      assert.equal(service.stub('one') !== null, true, 'nothing was removed');
      await own.start();
      await until('it is ready again', async () => (await service.ask('GET', '/readyz')).status === 200);
      assert.equal((await service.ask('GET', service.functions())).json.length, 1);
      assert.equal((await service.deploy('two', 'healed')).status, 201);
      // Restarted while connections lie idle in the pool: the next request must not see it.
      await own.stop('SIGINT');
      await own.start();
      await until('reads work', async () => (await service.ask('GET', service.functions())).status === 200);
      assert.equal((await service.deploy('two', 'again')).status, 201);
      await served();
    } finally {
      await nginx.stop();
      await service.remove();
      await runtime.stop();
      await own.remove();
    }
  });
});
