#!/usr/bin/env node
// Deploys the functions of a repository with the official Supabase CLI against functions-admin: only those that changed, as one unit;
// then a smoke test, and where that fails, back to the versions before. Needs Node 18, git, and nothing else. Used by the GitHub
// Action and the GitLab template beside it; docs/ci.md has the variables.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const env = (name, fallback = '') => (process.env[name] ?? '').trim() || fallback;
const say = (text) => console.log(text);
class Stop extends Error {}
const stop = (fact, hint) => { throw new Stop(hint ? `${fact}\nHINT: ${hint}` : fact); };

const apiUrl = env('FUNCTIONS_ADMIN_URL').replace(/\/+$/, '');
const ref = env('FUNCTIONS_ADMIN_PROJECT_REF');
const token = env('SUPABASE_ACCESS_TOKEN');
const workdir = path.resolve(env('FUNCTIONS_ADMIN_WORKDIR', '.'));
const base = env('FUNCTIONS_ADMIN_BASE');
const chosen = env('FUNCTIONS_ADMIN_FUNCTIONS').split(/[\s,]+/).filter(Boolean);
const smokeTest = env('FUNCTIONS_ADMIN_SMOKE_TEST');
const cli = env('FUNCTIONS_ADMIN_CLI', 'npx --yes supabase@3.1.0').split(/\s+/);
const functionsDir = path.join(workdir, 'supabase/functions');

// ---- What to deploy

function git(...args) {
  const done = spawnSync('git', ['-C', workdir, ...args], { encoding: 'utf8' });
  return done.status === 0 ? done.stdout : undefined;
}

const all = () => fs.readdirSync(functionsDir, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && /^[A-Za-z][A-Za-z0-9_-]*$/.test(entry.name) && fs.readdirSync(path.join(functionsDir, entry.name)).length > 0)
  .map((entry) => entry.name).sort();

// What lies beside the functions (shared code, import maps, config.toml) may be part of any of them, so a change there is a change of all.
function toDeploy() {
  const there = all();
  if (chosen.length > 0) {
    for (const slug of chosen) if (!there.includes(slug)) stop(`There is no function ${slug} in ${functionsDir}.`);
    return { slugs: chosen, why: 'chosen' };
  }
  if (!base || /^0+$/.test(base)) return { slugs: there, why: 'no commit to compare with: all functions' };
  if (git('rev-parse', '--verify', '--quiet', `${base}^{commit}`) === undefined) return { slugs: there, why: `commit ${base} is not in this clone (fetch-depth): all functions` };
  const changed = git('diff', '--name-only', '--relative', '-z', base, 'HEAD', '--', 'supabase');
  if (changed === undefined) stop('git cannot compare the commits.');
  const touched = new Set();
  for (const file of changed.split('\0').filter(Boolean)) {
    const [, slug] = file.match(/^supabase\/functions\/([^/]+)\//) ?? [];
    if (there.includes(slug)) touched.add(slug);
    else if (file === 'supabase/config.toml' || (slug ? slug.startsWith('_') : file.startsWith('supabase/functions/'))) return { slugs: there, why: `${file} has changed: all functions` };
  }
  return { slugs: [...touched].sort(), why: `changed since ${base.slice(0, 12)}` };
}

// ---- The API

async function api(method, target, body) {
  const response = await fetch(`${apiUrl}/v1/projects/${ref}/${target}`, {
    method, body: body === undefined ? undefined : JSON.stringify(body),
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
  });
  const text = await response.text();
  if (!response.ok) {
    let message = text;
    try { message = JSON.parse(text).message ?? text; } catch { /* not JSON: a proxy's page */ }
    stop(`${method} ${target}: ${response.status} ${message.slice(0, 300)}`);
  }
  return text ? JSON.parse(text) : undefined;
}

const versions = async () => Object.fromEntries((await api('GET', 'functions')).map((one) => [one.slug, one.version]));

function runCli(slugs) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'functions-admin-ci-'));
  try {
    const profile = path.join(folder, 'profile.yaml');
    // The CLI wants a name here, without a port, and uses it for nothing that a deploy does.
    const host = /[a-z]/i.test(new URL(apiUrl).hostname) ? new URL(apiUrl).hostname : 'localhost';
    fs.writeFileSync(profile, `name: functions-admin\napi_url: ${apiUrl}\ndashboard_url: ${apiUrl}\nproject_host: ${host}\n`);
    const done = spawnSync(cli[0], [...cli.slice(1), 'functions', 'deploy', ...slugs, '--use-api', '--yes', '--project-ref', ref, '--profile', profile, '--workdir', workdir],
      { stdio: 'inherit', cwd: workdir, env: process.env });
    if (done.error) stop(`The Supabase CLI cannot be started: ${done.error.message}`);
    return done.status === 0;
  } finally { fs.rmSync(folder, { recursive: true, force: true }); }
}

// ---- The summary, for people: on the job's page where the CI has one

const rows = [];
function summary(heading, note = '') {
  const lines = [`### ${heading}`, ''];
  if (rows.length > 0) lines.push('| function | before | now |', '| --- | --- | --- |', ...rows.map((row) => `| \`${row.slug}\` | ${row.before ?? '–'} | ${row.now ?? '–'} |`), '');
  if (note) lines.push(note, '');
  const text = lines.join('\n');
  say(`\n${text}`);
  if (process.env.GITHUB_STEP_SUMMARY) fs.appendFileSync(process.env.GITHUB_STEP_SUMMARY, `${text}\n`);
  if (process.env.FUNCTIONS_ADMIN_SUMMARY_FILE) fs.writeFileSync(process.env.FUNCTIONS_ADMIN_SUMMARY_FILE, `${text}\n`);
}
function output(name, value) {
  if (process.env.GITHUB_OUTPUT) fs.appendFileSync(process.env.GITHUB_OUTPUT, `${name}=${value}\n`);
}

async function takeBack(before, slugs) {
  for (const slug of slugs) {
    if (before[slug] === undefined) await api('DELETE', `functions/${slug}`);
    else await api('POST', `functions/${slug}/rollback`, { version: before[slug] });
  }
}

async function main() {
  if (!/^https?:\/\//.test(apiUrl)) stop('FUNCTIONS_ADMIN_URL is not set.', 'it is the address of the API: https://HOST/functions-admin');
  if (!/^[a-z]{20}$/.test(ref)) stop('FUNCTIONS_ADMIN_PROJECT_REF is not set.', 'a project\'s ref has 20 lower-case letters.');
  if (!/^sbp_(v0_)?[0-9a-f]{40}$/.test(token)) stop('SUPABASE_ACCESS_TOKEN is not an access token.', 'issue one with: functions-admin token create --scope functions:read --scope functions:write');
  if (!fs.existsSync(functionsDir)) stop(`${functionsDir} is not there.`, 'FUNCTIONS_ADMIN_WORKDIR names the folder that holds supabase/.');

  const { slugs, why } = toDeploy();
  say(`Functions to deploy (${why}): ${slugs.join(' ') || 'none'}`);
  output('functions', slugs.join(' '));
  if (slugs.length === 0) { output('result', 'unchanged'); summary('Nothing to deploy', `No function has ${why}.`); return 0; }

  const before = await versions();
  const deployed = runCli(slugs);
  const now = await versions();
  for (const slug of slugs) rows.push({ slug, before: before[slug], now: now[slug] });
  if (!deployed) {
    output('result', 'failed');
    summary('The deployment failed', 'Several functions are activated together or not at all: what served before still serves, unless the table says otherwise.');
    return 1;
  }
  if (smokeTest) {
    say(`\nSmoke test: ${smokeTest}`);
    // The test is the repository's own; the token is none of its business.
    const { SUPABASE_ACCESS_TOKEN: _, ...rest } = process.env;
    const test = spawnSync('bash', ['-euo', 'pipefail', '-c', smokeTest], { stdio: 'inherit', cwd: workdir, env: { ...rest, FUNCTIONS_URL: env('FUNCTIONS_URL', `${new URL(apiUrl).origin}/functions/v1`), DEPLOYED_FUNCTIONS: slugs.join(' ') } });
    if (test.status !== 0) {
      const moved = slugs.filter((slug) => now[slug] !== before[slug]);
      await takeBack(before, moved);
      const restored = await versions();
      for (const row of rows) row.now = `${row.now} → ${moved.includes(row.slug) ? `taken back (${restored[row.slug] ?? 'deleted'})` : row.now}`;
      output('result', 'rolled_back');
      summary('The smoke test failed: taken back', 'The versions before serve again.');
      return 1;
    }
  }
  output('result', 'deployed');
  summary('Deployed', smokeTest ? 'The smoke test passed.' : '');
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Stop) && error.cause === undefined) throw error;
  console.error(`deploy: ${error.message}${error.cause ? ` (${error.cause.message})` : ''}`);
  output('result', 'failed');
  process.exitCode = 1;
}
