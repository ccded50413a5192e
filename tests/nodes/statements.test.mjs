// What a node costs the database, counted: one statement for each renewal of its lease, and for each deployment the same few however many
// other nodes there are. `serve` asks how far they are as often for many as for few. FA_LONG counts with fifty agents.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { makeService, startPostgres, until } from '../lib/service.mjs';

const SIZES = process.env.FA_LONG ? [5, 20, 50] : [2, 8];
const DEPLOYS = 6;
let postgres;
before(async () => {
  postgres = await startPostgres();
  for (const setting of ["log_statement = 'all'", "log_line_prefix = '%p '"]) postgres.sql('postgres', `ALTER SYSTEM SET ${setting}`);
  postgres.sql('postgres', 'SELECT pg_reload_conf()');
});
after(() => postgres?.remove());

/** What PostgreSQL was asked since `from`: [process, name of the statement, or its text]. */
const asked = (from = 0) => fs.readFileSync(path.join(postgres.folder, 'log'), 'utf8').slice(from).split('\n')
  .map((line) => /^(\d+) LOG: {2}(?:execute (\w+|<unnamed>)|statement: (.*))/.exec(line)).filter(Boolean).map(([, pid, name, text]) => [pid, name ?? text]);
const position = () => fs.readFileSync(path.join(postgres.folder, 'log'), 'utf8').length;

/** Lists of statements of each agent, and of all others together, for each of some deployments. */
async function count(size) {
  const from = position();
  // Nothing comes between: the lease is renewed every 200 s.
  const options = { node_lease: '600s', boot_check: 'off' };
  const api = makeService(postgres, { options: { ...options, deploy_here: 'off' } });
  const agents = Array.from({ length: size }, (_, i) => makeService(postgres, { command: 'agent', options: { ...options, node_name: `n${i}` }, migrate: false, database: api.database }));
  try {
    await Promise.all([api, ...agents].map((each) => each.start()));
    await until('all live', () => api.sql('SELECT count(*) FROM functions_admin.nodes WHERE alive_until > now()') === String(size));
    for (const text of ['one', 'two']) assert.equal((await api.deploy('hello', text)).status, 201);
    const pids = [...new Set(asked(from).filter(([, text]) => text === 'LISTEN functions_admin_work').map(([pid]) => pid))];
    assert.equal(pids.length, size, 'an agent has one connection');
    const windows = [];
    for (let i = 0; i < DEPLOYS; i++) {
      const start = position();
      assert.equal((await api.deploy('hello', `text ${i}`)).status, 201);
      const all = asked(start);
      windows.push({ agents: pids.map((pid) => all.filter(([of]) => of === pid).map(([, name]) => name)), api: all.filter(([of]) => !pids.includes(of)).map(([, name]) => name) });
    }
    return windows;
  } finally {
    await Promise.all(agents.map((each) => each.remove()));
    await api.remove();
  }
}

/** A look more that finds nothing new (open rollouts, the project): a notification came while the agent was at work. */
const LOOK = 2;
const least = (lists) => lists.reduce((best, list) => (list.length < best.length ? list : best));

test(`a deployment costs the database the same for each of ${SIZES.join(', ')} agents`, { timeout: 240_000 }, async (t) => {
  const costs = [];
  for (const size of SIZES) {
    const windows = await count(size);
    // A sweep, which comes by every ten seconds, asks besides.
    const each = Array.from({ length: size }, (_, i) => least(windows.map((w) => w.agents[i])));
    const api = least(windows.map((w) => w.api));
    const usual = least(each);
    t.diagnostic(`${size} agents: ${usual.length} statements each, ${api.length} of serve, of which ${api.filter((name) => name.startsWith('node_census')).length} ask how far they are`);
    t.diagnostic(`each agent: ${usual.join(' ')}`);
    t.diagnostic(`serve: ${api.join(' ')}`);
    for (const list of each) assert.ok(list.length <= usual.length + LOOK, `of ${size} agents each asks the same: ${list.join(' ')}; ${usual.join(' ')}`);
    costs.push({ size, each: usual, api });
  }
  for (const { size, each, api } of costs.slice(1)) {
    assert.ok(Math.abs(each.length - costs[0].each.length) <= LOOK, `an agent among ${size} asks what one among ${costs[0].size} does: ${each.join(' ')}; ${costs[0].each.join(' ')}`);
    assert.ok(api.length <= costs[0].api.length + 2, `serve asks ${api.length} times for ${size} agents, ${costs[0].api.length} times for ${costs[0].size}`);
  }
});
