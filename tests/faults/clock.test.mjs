// The wall clock jumps, the program's, the database's, or both: what has expired is refused as long as it has, everything else goes
// on, and nothing is half done. (Clocks that only go forward do not jump: deadlines, limits and heartbeats go by those.)
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { agree } from '../lib/agree.mjs';
import { counting } from './report.mjs';
import { ROOT, SECRETS, hour, jwt, makeService, startPostgres, startRuntime, temporaryFolder } from '../lib/service.mjs';

const GOES_ON = 'deploys end as they would, database, manifest, folder and answer agree, the audit chain is whole';
const counts = counting('clock.test.mjs');
const HOUR = 3_600, DAY = 24 * HOUR, SLUG = 'clock';
const authorization = `Bearer ${SECRETS.secret_key}`;
const folder = temporaryFolder();
let postgres, service, runtime, number = 0;

/** A clock of its own for one process: environment() is what the process needs, jump(seconds) sets how far off it is. */
function clock(name) {
  const file = path.join(folder, name);
  const jump = (seconds) => { const bytes = Buffer.alloc(8); bytes.writeBigInt64LE(BigInt(seconds)); const fd = fs.openSync(file, fs.existsSync(file) ? 'r+' : 'w'); fs.writeSync(fd, bytes, 0, 8, 0); fs.closeSync(fd); };
  jump(0);
  return { jump, environment: { LD_PRELOAD: path.join(folder, 'clock.so'), FA_CLOCK: file } };
}
const ours = clock('ours'), theirs = clock('theirs');

before(async () => {
  const made = spawnSync('cc', ['-std=c17', '-O1', '-fPIC', '-shared', '-o', path.join(folder, 'clock.so'), path.join(ROOT, 'tests/faults/clock.c'), '-ldl'], { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  postgres = await startPostgres({ environment: theirs.environment });
  service = makeService(postgres);
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  await service.start({ env: ours.environment });
});
after(async () => {
  await service?.remove();
  await runtime?.stop();
  await postgres?.remove();
});

const deploy = (more = {}) => service.deploy(SLUG, `// ${number++}`, { headers: { authorization, ...more } });
const list = (credential) => service.ask('GET', service.functions(), { headers: { authorization: `Bearer ${credential}` } });
const databaseNow = () => Number(service.sql('SELECT extract(epoch FROM now())::int8'));

async function goesOn(what) {
  const answer = await deploy();
  assert.deepEqual([answer.status, answer.headers['x-deploy-result']], [201, 'verified'], `${what}: ${answer.text}\n${service.log.slice(-2000)}`);
  assert.equal((await service.ask('GET', '/readyz')).status, 200);
}

test('both clocks are the ones that this moves', async () => {
  ours.jump(DAY);
  theirs.jump(-DAY);
  const now = Date.now() / 1000;
  assert.ok(Math.abs(databaseNow() + DAY - now) < HOUR);
  service.clearLog();
  await service.stop();
  await service.start({ env: ours.environment });
  const said = Date.parse(/^\S*(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)/m.exec(service.log)[1] + 'Z') / 1000;
  assert.ok(Math.abs(said - DAY - now) < HOUR, service.log);
  ours.jump(0);
  theirs.jump(0);
});

test('deploys go on through jumps of either clock, and the audit chain is whole', counts.of('the wall clock of the program, of the database, or of both jumps by hours and days', GOES_ON, async (times) => {
  for (const [us, them] of [[HOUR, 0], [-HOUR, 0], [0, HOUR], [0, -HOUR], [2 * DAY, 2 * DAY], [-2 * DAY, -2 * DAY], [400 * DAY, 0], [0, 400 * DAY], [0, 0]]) {
    times();
    ours.jump(us);
    theirs.jump(them);
    await goesOn(`${us} and ${them} seconds`);
  }
  await agree(service, runtime, [SLUG]);
  const versions = service.sql('SELECT count(DISTINCT version), max(version) FROM functions_admin.edge_function_versions').split('|');
  assert.equal(versions[0], versions[1], 'every version is there');
  const verified = service.run('audit', ['verify']);
  assert.equal(verified.status, 0, verified.stdout + verified.stderr);
}));

test('the clock jumps while a version boots: the deploy ends as it would', counts.of('the clock jumps while a version boots', GOES_ON, async (times) => {
  for (const [us, them] of [[HOUR, HOUR], [-HOUR, -HOUR], [0, HOUR], [HOUR, 0]]) {
    times();
    const hold = runtime.hold(SLUG), answer = deploy();
    await hold.reached;
    ours.jump(us);
    theirs.jump(them);
    assert.equal((await list(SECRETS.secret_key)).status, 200);
    hold.release();
    assert.equal((await answer).status, 201, (await answer).text);
    ours.jump(0);
    theirs.jump(0);
  }
  await agree(service, runtime, [SLUG]);
}));

test('a JWT is refused while the clock says so, also when it was proved before, and taken again', counts.of('the clock jumps over the end of a JWT, and back', 'refused while the clock says so', async (times) => {
  const token = jwt({ role: 'service_role', iss: 'supabase', exp: hour() }, SECRETS.jwt_secret);
  const young = jwt({ role: 'service_role', iss: 'supabase', nbf: hour(), exp: hour() + HOUR }, SECRETS.jwt_secret);
  const status = async (credential) => { const answer = await list(credential); return [answer.status, answer.status === 200 ? undefined : answer.json.code]; };
  assert.deepEqual([await status(token), await status(young)], [[200, undefined], [401, 'token_not_yet_valid']]);
  ours.jump(HOUR + 120);
  assert.deepEqual([await status(token), await status(young)], [[401, 'token_expired'], [200, undefined]]);
  ours.jump(0);
  assert.deepEqual(await status(token), [200, undefined]);
}));

test("an access token ends by the database's clock; the answer to an Idempotency-Key is kept for a day of that", counts.of('the clock jumps over the end of an access token and of an Idempotency-Key, and back', 'refused while the clock says so', async (times) => {
  const made = service.run('token', ['create', '--name', 'a day', '--scope', 'functions:read', '--expires-in', '1']);
  assert.equal(made.status, 0, made.stderr);
  const token = made.stdout.trim(), key = { 'idempotency-key': '"jump"' };
  const same = () => service.deploy('once', '// once', { headers: { authorization, ...key } });
  const first = await same();
  assert.deepEqual([first.status, (await same()).headers['idempotent-replayed']], [201, 'true']);
  assert.equal((await list(token)).status, 200);
  theirs.jump(2 * DAY);
  assert.equal((await list(token)).status, 401);
  const later = await same();
  assert.deepEqual([later.status, later.json.version, later.headers['idempotent-replayed']], [201, first.json.version, undefined], 'the same content makes no version');
  theirs.jump(0);
  assert.equal((await list(token)).status, 200);
  await agree(service, runtime, [SLUG, 'once']);
}));

test("functions' logs are taken whatever the day", counts.of('the clock jumps by days between logs', 'they are stored', async (times) => {
  const token = fs.readFileSync(path.join(service.functionsDir, '.functions-admin/events-token'), 'utf8');
  let batch = 1;
  for (const days of [0, 3, -3, 0]) {
    times();
    ours.jump(days * DAY);
    const at = Date.now() + days * DAY * 1000;
    const answer = await service.ask('POST', `/v1/projects/${service.options.project_ref}/events`, {
      headers: { authorization: `Bearer ${token}` },
      json: { source: '33333333-3333-4333-8333-333333333333', batch: batch++, events: [{ at, slug: SLUG, version: 1, kind: 'log', level: 'info', message: `jump ${days}`, execution_id: '44444444-4444-4444-8444-444444444444' }] },
    });
    assert.deepEqual([answer.status, answer.text], [201, '{"stored":1}']);
  }
  assert.equal(service.sql("SELECT count(*) FROM functions_admin.function_events WHERE message LIKE 'jump %'"), '4');
}));
