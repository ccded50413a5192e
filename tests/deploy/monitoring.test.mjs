// What /metrics says, that it follows what happens, that alert rules and dashboard name only what is there, and the log level that
// changes while the program runs. promtool checks all of it where Debian's package prometheus is installed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import YAML from 'yaml';
import { makeService, REF, ROOT, startPostgres, startRuntime, until } from '../lib/service.mjs';

const read = (name) => fs.readFileSync(path.join(ROOT, 'deploy/monitoring', name), 'utf8');
const promtool = spawnSync('promtool', ['--version']).status === 0;
let postgres, runtime, service;
before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres, { options: { request_timeout: '2s' } });
  runtime = await startRuntime(service.functionsDir);
  service.writeConfig({ runtime_url: runtime.url });
  await service.start();
});
after(async () => {
  await service?.remove();
  await runtime?.stop();
  await postgres?.remove();
});

const scrape = async () => (await service.ask('GET', '/metrics', { headers: { authorization: null } })).text;
// name{labels} → value
const values = (text) => Object.fromEntries(text.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => { const at = line.lastIndexOf(' '); return [line.slice(0, at), Number(line.slice(at + 1))]; }));
const metric = async (name) => values(await scrape())[`functions_admin_${name}`];

test('the text is as Prometheus wants it: each family in one piece, with help and type, no series twice', async () => {
  const text = await scrape();
  const families = [];
  let current;
  for (const line of text.trimEnd().split('\n')) {
    const [, help] = line.match(/^# HELP (\S+) \S/) ?? [];
    const [, typed, type] = line.match(/^# TYPE (\S+) (counter|gauge|histogram)$/) ?? [];
    if (help) { assert.equal(families.includes(help), false, help); families.push(help); current = { name: help }; continue; }
    if (typed) { assert.equal(typed, current.name); current.type = type; continue; }
    const [, name] = line.match(/^([a-z_]+)(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+$/) ?? assert.fail(line);
    assert.equal(name.replace(current.type === 'histogram' ? /_(bucket|sum|count)$/ : /$^/, ''), current.name, line);
    if (current.type === 'counter') assert.match(name, /_total$/);
  }
  const names = text.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => line.slice(0, line.lastIndexOf(' ')));
  assert.equal(new Set(names).size, names.length);
  if (promtool) {
    const check = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    assert.equal(check.status, 0, check.stderr + check.stdout);
  }
});

test('deploys, boot checks and refusals are counted; sizes and generations follow', async () => {
  const before = values(await scrape());
  assert.equal((await service.deploy('hello', 'Deno.serve(() => new Response("hello"));')).status, 201);
  assert.equal((await service.deploy('broken', '// BOOT_FAILS\n')).status, 422);
  assert.equal((await service.ask('GET', service.functions(), { headers: { authorization: null } })).status, 401);
  const after = values(await scrape());
  const grown = (name) => after[`functions_admin_${name}`] - before[`functions_admin_${name}`];
  assert.equal(grown('deployments_total{state="active"}'), 1);
  assert.equal(grown('deployments_total{state="verified"}'), 1);
  assert.equal(grown('deployments_total{state="failed"}'), 1);
  assert.equal(grown('runtime_checks_total{result="booted"}'), 1);
  assert.equal(grown('runtime_checks_total{result="refused"}'), 1);
  assert.equal(grown('responses_total{status="401"}'), 1);
  assert.equal(grown('responses_total{status="422"}'), 1);
  assert.equal(grown('functions'), 1);
  assert.equal(grown('generation'), 1);
  assert.equal(after.functions_admin_generation_shown, after.functions_admin_generation);
  assert.equal(after.functions_admin_database_up, 1);
  assert.ok(after.functions_admin_blob_bytes > 0);
  assert.ok(after.functions_admin_functions_disk_free_bytes > 0);
  assert.ok(after.functions_admin_compared_seconds >= 0);
  assert.deepEqual(['pending', 'staged', 'booted'].map((state) => after[`functions_admin_deployments_open{state="${state}"}`]), [0, 0, 0]);
});

test('a deployment that is under way is seen', async () => {
  const held = runtime.hold('slow');
  const deploying = service.deploy('slow', 'Deno.serve(() => new Response("slow"));');
  await held.reached;
  await until('it is open', async () => { const seen = values(await scrape()); return ['pending', 'staged', 'booted'].reduce((sum, state) => sum + seen[`functions_admin_deployments_open{state="${state}"}`], 0) === 1; });
  held.release();
  assert.equal((await deploying).status, 201);
});

test('an unreachable runtime is counted', async () => {
  const count = await metric('runtime_checks_total{result="unreachable"}');
  await runtime.stop();
  assert.equal((await service.deploy('late', 'Deno.serve(() => new Response("late"));')).status, 503);
  assert.ok(await metric('runtime_checks_total{result="unreachable"}') > count);
  runtime = undefined;
});

test('while the database is away the page still answers, and says so', async () => {
  await postgres.stop();
  const away = values(await scrape());
  assert.equal(away.functions_admin_database_up, 0);
  assert.equal('functions_admin_generation' in away, false, 'nothing is made up');
  assert.ok(away['functions_admin_requests_total{method="GET",route="/metrics",status="2xx"}'] >= 1);
  await postgres.start();
  await until('the database is back', async () => await metric('database_up') === 1);
});

test('SIGHUP changes the log level while the program runs', async () => {
  service.clearLog();
  await service.ask('GET', '/healthz', { headers: { authorization: null } });
  await until('a request is logged', () => service.log.includes('GET /healthz: 200'));
  service.writeConfig({ log_level: 'error', log_format: 'json' });
  process.kill(service.pid, 'SIGHUP');
  // The program says nothing more below errors, its own word on the change included: a request that is not logged is what shows it.
  await until('requests are not logged any more', async () => {
    service.clearLog();
    await service.ask('GET', '/healthz', { headers: { authorization: null } });
    await service.ask('GET', '/readyz', { headers: { authorization: null } });
    return !service.log.includes('healthz');
  });
  service.writeConfig({ log_level: 'nonsense' });
  process.kill(service.pid, 'SIGHUP');
  const refused = await until('it says that nothing was changed', () => service.log.includes('nothing was changed') && service.log);
  assert.equal(JSON.parse(refused.split('\n').find((line) => line.includes('nothing was changed'))).level, 'error', 'still JSON');
  service.writeConfig({ log_level: 'info' });
  process.kill(service.pid, 'SIGHUP');
  await until('it logs again', () => service.log.includes('log_level info'));
});

test('alert rules and dashboard name only metrics and labels that exist', async () => {
  const text = await scrape();
  const series = Object.keys(values(text)).concat('up{job="functions-admin"}');
  const names = new Set(series.map((one) => one.replace(/\{.*/, '')));
  const used = [];
  for (const rule of YAML.parse(read('alerts.yml')).groups[0].rules) {
    assert.ok(rule.annotations.summary && rule.annotations.description && ['warning', 'critical'].includes(rule.labels.severity), rule.alert);
    used.push(rule.expr);
  }
  const dashboard = JSON.parse(read('dashboard.json'));
  for (const panel of dashboard.panels) used.push(...panel.targets.map((target) => target.expr));
  used.push(...dashboard.templating.list.filter((one) => one.type === 'query').map((one) => one.query));
  assert.ok(used.length > 25);
  for (const expr of used) {
    for (const [, name, labels = ''] of expr.matchAll(/(functions_admin_[a-z_]+|\bup)(\{[^}]*\})?/g)) {
      assert.ok(names.has(name), `${name} in ${expr}`);
      for (const [, label, value] of labels.matchAll(/([a-z]+)="([^"]*)"/g)) assert.ok(series.some((one) => one.startsWith(name) && one.includes(`${label}="${value}"`)) || value === '5xx' || value === '429', `${label}="${value}" in ${expr}`);
    }
  }
  const ids = dashboard.panels.map((panel) => panel.id);
  assert.equal(new Set(ids).size, ids.length);
});

test('the alert rules do what they say (promtool)', { skip: !promtool && "promtool (Debian's package prometheus) is not installed" }, () => {
  for (const args of [['check', 'rules', 'alerts.yml'], ['check', 'config', '--syntax-only', 'prometheus.yml'], ['test', 'rules', 'alerts.test.yml']]) {
    const done = spawnSync('promtool', args, { cwd: path.join(ROOT, 'deploy/monitoring'), encoding: 'utf8' });
    assert.equal(done.status, 0, done.stdout + done.stderr);
  }
});

test('the page tells about the project and not from it: no slug, no ref, no key', async () => {
  const text = await scrape();
  for (const word of [REF, 'hello', 'broken', 'eyJ', 'sb_', 'sbp_']) assert.equal(text.includes(word), false, word);
});
