// The steps of the GitHub Action and of the GitLab template, taken from their files and run as those services run them, against a whole
// stack and with the real CLI.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import YAML from 'yaml';
import { CLI_VERSIONS, ROOT, run, startStack } from '../lib/stack.mjs';

const ci = path.join(ROOT, 'deploy/ci');
const action = YAML.parse(fs.readFileSync(`${ci}/github/action.yml`, 'utf8'));
const gitlab = YAML.parse(fs.readFileSync(`${ci}/gitlab.yml`, 'utf8'))['.deploy-functions'];
const CLI = `${process.execPath} ${CLI_VERSIONS['3.1.0']}`;

let stack, folder, home;
const git = (...args) => execFileSync('git', ['-C', folder, '-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], { encoding: 'utf8' }).trim();
const write = (file, text) => { fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true }); fs.writeFileSync(path.join(folder, file), text); };
const source = (text) => `Deno.serve(() => new Response(${JSON.stringify(text)}));\n`;
const commit = (files) => { const from = git('rev-parse', 'HEAD'); for (const [file, text] of Object.entries(files)) write(file, text); git('add', '-A'); git('commit', '-qm', 'change'); return from; };
const versions = async () => Object.fromEntries((await stack.api('GET', 'functions')).json.map((one) => [one.slug, one.version]));
const base = () => ({ PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8', DO_NOT_TRACK: '1', SUPABASE_TELEMETRY_DISABLED: '1' });

before(async () => {
  stack = await startStack();
  home = stack.folder('home');
  folder = stack.folder('repository');
  git('init', '-q');
  write('README.md', 'functions\n');
  write('supabase/config.toml', 'project_id = "ci"\n');
  write('supabase/functions/_shared/word.ts', 'export const word = "shared";\n');
  write('supabase/functions/one/index.ts', source('one 1'));
  write('supabase/functions/two/index.ts', 'import { word } from "../_shared/word.ts";\nDeno.serve(() => new Response(`two ${word}`));\n');
  git('add', '-A');
  git('commit', '-qm', 'first');
});
after(() => stack?.stop());

/** Runs the composite action's step as GitHub does: inputs put in for ${{ … }}, files for summary and outputs. */
async function github(inputs, more = {}) {
  const [step] = action.runs.steps;
  const given = { ...Object.fromEntries(Object.entries(action.inputs).map(([name, input]) => [name, input.default ?? ''])), base: '', ...inputs };
  const fill = (text) => text.replace(/\$\{\{ inputs\.([a-z-]+) \}\}/g, (_, name) => given[name] ?? assert.fail(`no input ${name}`));
  const files = { GITHUB_STEP_SUMMARY: path.join(home, 'summary'), GITHUB_OUTPUT: path.join(home, 'output') };
  for (const file of Object.values(files)) fs.writeFileSync(file, '');
  const done = await run('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', step.run], {
    cwd: folder, env: { ...base(), ...files, GITHUB_ACTION_PATH: `${ci}/github`, ...Object.fromEntries(Object.entries(step.env).map(([name, text]) => [name, fill(text)])), ...more },
  });
  done.summary = fs.readFileSync(files.GITHUB_STEP_SUMMARY, 'utf8');
  done.outputs = Object.fromEntries(fs.readFileSync(files.GITHUB_OUTPUT, 'utf8').trim().split('\n').map((line) => line.split('=')));
  return done;
}
const inputs = (more) => ({ 'api-url': stack.env.API_URL, 'project-ref': stack.ref, 'access-token': stack.env.ACCESS_TOKEN, cli: CLI, ...more });

describe('the GitHub Action', () => {
  test('deploys everything where there is nothing to compare with, and says what it did', async () => {
    const done = await github(inputs({ base: '0000000000000000000000000000000000000000' }));
    assert.equal(done.code, 0, done.stdout + done.stderr);
    assert.deepEqual(done.outputs, { functions: 'one two', result: 'deployed' });
    assert.match(done.summary, /### Deployed/);
    assert.match(done.summary, /\| `one` \| – \| 1 \|/);
    assert.equal((await stack.call('two')).text, 'two shared');
  });

  test('deploys only what has changed', async () => {
    const from = commit({ 'supabase/functions/one/index.ts': source('one 2'), 'README.md': 'more\n' });
    const done = await github(inputs({ base: from }));
    assert.equal(done.code, 0, done.stderr);
    assert.deepEqual(done.outputs, { functions: 'one', result: 'deployed' });
    assert.match(done.summary, /\| `one` \| 1 \| 2 \|/);
    assert.deepEqual(await versions(), { one: 2, two: 1 });
  });

  test('a change of shared code, or of config.toml, is a change of all', async () => {
    const from = commit({ 'supabase/functions/_shared/word.ts': 'export const word = "changed";\n' });
    const done = await github(inputs({ base: from }));
    assert.equal(done.outputs.functions, 'one two');
    assert.match(done.stdout, /_shared\/word\.ts has changed: all functions/);
    assert.equal((await stack.call('two')).text, 'two changed');
  });

  test('nothing is deployed where no function has changed', async () => {
    const before = await versions();
    const done = await github(inputs({ base: commit({ 'README.md': 'nothing\n' }) }));
    assert.equal(done.code, 0);
    assert.deepEqual(done.outputs, { functions: '', result: 'unchanged' });
    assert.deepEqual(await versions(), before);
  });

  test('chosen functions are deployed whatever has changed; a commit that is not there means all', async () => {
    assert.equal((await github(inputs({ functions: 'two', base: 'HEAD' }))).outputs.functions, 'two');
    const done = await github(inputs({ base: '1234567890123456789012345678901234567890' }));
    assert.equal(done.outputs.functions, 'one two');
    assert.match(done.stdout, /fetch-depth/);
  });

  test('a smoke test that passes leaves the versions, and is not given the token', async () => {
    const from = commit({ 'supabase/functions/one/index.ts': source('one 3') });
    const done = await github(inputs({ base: from, 'smoke-test': `[ -z "\${SUPABASE_ACCESS_TOKEN-}" ]; [ "$DEPLOYED_FUNCTIONS" = one ]; curl -fsS -H "Authorization: Bearer $ANON" "$FUNCTIONS_URL/one" | grep -qx 'one 3'` }), { ANON: stack.env.ANON_KEY });
    assert.equal(done.code, 0, done.stdout + done.stderr);
    assert.match(done.summary, /smoke test passed/);
  });

  test('a smoke test that fails takes all of it back: versions before, and new functions away', async () => {
    const before = await versions();
    const from = commit({ 'supabase/functions/one/index.ts': source('one bad'), 'supabase/functions/fresh/index.ts': source('fresh') });
    const done = await github(inputs({ base: from, 'smoke-test': `curl -fsS -H "Authorization: Bearer $ANON" "$FUNCTIONS_URL/one" | grep -q good` }), { ANON: stack.env.ANON_KEY });
    assert.equal(done.code, 1);
    assert.deepEqual(done.outputs, { functions: 'fresh one', result: 'rolled_back' });
    assert.match(done.summary, /The smoke test failed: taken back/);
    assert.match(done.summary, /\| `fresh` \| – \| 1 → taken back \(deleted\) \|/);
    assert.equal((await stack.call('one')).text, 'one 3');
    assert.equal((await stack.call('fresh')).status, 404);
    assert.equal((await versions()).two, before.two);
  });

  test('a function that does not boot fails the job, and what served still serves', async () => {
    const from = commit({ 'supabase/functions/one/index.ts': 'throw new Error("broken on purpose");\n', 'supabase/functions/fresh/index.ts': source('fresh') });
    const done = await github(inputs({ base: from }));
    assert.equal(done.code, 1);
    assert.equal(done.outputs.result, 'failed');
    assert.match(done.summary, /The deployment failed/);
    assert.equal((await stack.call('one')).text, 'one 3');
    assert.equal((await stack.call('fresh')).status, 404, 'all or nothing');
    commit({ 'supabase/functions/one/index.ts': source('one 4') });
  });

  test('wrong inputs are named before anything happens, and the token is never shown', async () => {
    for (const [wrong, words] of [[{ 'api-url': 'supabase.example' }, /FUNCTIONS_ADMIN_URL/], [{ 'project-ref': 'default' }, /PROJECT_REF/], [{ 'access-token': 'secret-but-no-token' }, /SUPABASE_ACCESS_TOKEN/],
      [{ 'working-directory': 'nowhere' }, /nowhere/], [{ functions: 'three' }, /no function three/], [{ 'access-token': `sbp_${'0'.repeat(40)}` }, /401/], [{ 'api-url': 'http://127.0.0.1:1/functions-admin' }, /fetch failed/]]) {
      const done = await github(inputs(wrong));
      assert.equal(done.code, 1, JSON.stringify(wrong));
      assert.match(done.stderr, words);
      assert.equal((done.stdout + done.stderr + done.summary).includes('secret-but-no-token'), false);
      assert.equal((done.stdout + done.stderr + done.summary).includes(stack.env.ACCESS_TOKEN), false);
    }
  });

  test('every input reaches the step, and every output comes from it', () => {
    const step = JSON.stringify(action.runs.steps);
    for (const name of Object.keys(action.inputs)) assert.ok(step.includes(`inputs.${name} }}`), name);
    for (const output of Object.values(action.outputs)) assert.match(output.value, /steps\.deploy\.outputs\./);
    assert.equal(action.runs.using, 'composite');
    for (const one of action.runs.steps) assert.ok(one.shell, 'a composite step names its shell');
  });
});

test('the GitLab job: its script with its variables, and the summary as an artifact', async () => {
  const from = commit({ 'supabase/functions/two/index.ts': source('two by gitlab') });
  fs.mkdirSync(`${folder}/ci`, { recursive: true });
  fs.copyFileSync(`${ci}/deploy.mjs`, `${folder}/ci/deploy.mjs`);
  const variables = { CI_COMMIT_BEFORE_SHA: from };
  const env = { ...base(), FUNCTIONS_ADMIN_URL: stack.env.API_URL, FUNCTIONS_ADMIN_PROJECT_REF: stack.ref, SUPABASE_ACCESS_TOKEN: stack.env.ACCESS_TOKEN, FUNCTIONS_ADMIN_CLI: CLI };
  for (const [name, value] of Object.entries(gitlab.variables)) env[name] = value.replace(/\$([A-Z_]+)/g, (all, variable) => variables[variable] ?? assert.fail(all));
  const done = await run('bash', ['-eo', 'pipefail', '-c', gitlab.script.join('\n')], { cwd: folder, env });
  assert.equal(done.code, 0, done.stdout + done.stderr);
  assert.match(fs.readFileSync(path.join(folder, gitlab.artifacts.paths[0]), 'utf8'), /### Deployed[^]*\| `two` \|/);
  assert.equal((await stack.call('two')).text, 'two by gitlab');
});
