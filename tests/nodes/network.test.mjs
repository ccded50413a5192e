// What the tests with hosts of their own leave behind when they are killed.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { test } from 'node:test';
import { until } from '../lib/service.mjs';
import { unavailable } from './network.mjs';

test('its network namespaces go with a process, by kill -9 too', { skip: unavailable() }, async () => {
  const script = `const { makeNetwork } = await import(${JSON.stringify(path.join(import.meta.dirname, 'network.mjs'))});
    console.log(/netns\\/(fa-[0-9a-f]+)/.exec(makeNetwork().host().enter[1])[1]); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const id = String((await once(child.stdout, 'data'))[0]).trim(), there = () => spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout.split('\n').filter((line) => line.startsWith(id)).length;
  assert.equal(there(), 2);
  child.kill('SIGKILL');
  await until('the namespaces are gone', () => there() === 0);
});
