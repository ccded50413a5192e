// What nodes cost: a deployment with one agent, with some and with fifty on this machine, and the database's part in it; and what an agent
// costs the database while nothing happens. One cluster, a database for each number of agents; no runtime boots anything.
import fs from 'node:fs';
import path from 'node:path';
import { makeService, startPostgres, until } from '../tests/lib/service.mjs';

/** Milliseconds that these processes, of one thread each, have been on a processor. */
const onProcessor = (pids) => pids.reduce((sum, pid) => { try { return sum + Number(fs.readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6; } catch { return sum; } }, 0);

const TICKS = 100; // in a second, on Linux whatever the machine
/** The same of processes with threads that come and go; in steps of ten milliseconds. */
const withThreads = (pids) => pids.reduce((sum, pid) => { const f = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' '); return sum + (Number(f[11]) + Number(f[12])) * 1000 / TICKS; }, 0);

function processesOf(postgres) {
  const main = fs.readFileSync(path.join(postgres.folder, 'data/postmaster.pid'), 'utf8').split('\n')[0];
  return [main, ...fs.readdirSync('/proc').filter((pid) => {
    try { return /^\d+$/.test(pid) && fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) \S+ /, '').split(' ')[0] === main; } catch { return false; }
  })];
}

/** An API that shows nothing itself, and so many agents. */
async function fleet(postgres, size, lease) {
  const options = { node_lease: lease, boot_check: 'off', log_level: 'warn', rate_limit: 'off' };
  const api = makeService(postgres, { options: { ...options, deploy_here: 'off', log_level: 'info' } });
  const agents = Array.from({ length: size }, (_, i) => makeService(postgres, { command: 'agent', options: { ...options, node_name: `n${i}`, log_level: 'info' }, migrate: false, database: api.database }));
  await Promise.all([api, ...agents].map((each) => each.start()));
  await until('all live', () => api.sql('SELECT count(*) FROM functions_admin.nodes WHERE alive_until > now()') === String(size), 60_000);
  let n = 0;
  return {
    size, pids: agents.map((agent) => agent.pid),
    async deploy() {
      const answer = await api.deploy('hello', { 'index.ts': `// ${n++}`, 'part.ts': '//'.padEnd(2048, 'x') });
      if (answer.status !== 201) throw new Error(`deploy: ${answer.status} ${answer.text}`);
    },
    async end() {
      await Promise.all(agents.map((agent) => agent.remove()));
      await api.remove();
    },
  };
}

export async function nodes({ note, section, median, quick }) {
  section('Nodes');
  const postgres = await startPostgres(), rounds = quick ? 9 : 25, quiet = quick ? 20 : 60;
  const fleets = [];
  try {
    for (const size of [1, 10, 50]) fleets.push(await fleet(postgres, size, '600s'));
    const seen = fleets.map(() => ({ ms: [], database: [] }));
    for (const each of fleets) for (let i = 0; i < 3; i++) await each.deploy();
    const before = fleets.map((each) => withThreads(each.pids));
    for (let i = 0; i < rounds; i++)
      for (const [at, each] of fleets.entries()) {
        const pids = processesOf(postgres), [database, began] = [onProcessor(pids), performance.now()];
        await each.deploy();
        seen[at].ms.push(performance.now() - began);
        seen[at].database.push(onProcessor(pids) - database);
      }
    const agents = fleets.map((each, at) => (withThreads(each.pids) - before[at]) / rounds / each.size);
    const [one, ten, fifty] = seen;
    const ratios = fifty.ms.map((ms, i) => ms / one.ms[i]);
    note('nodes', 'a deployment to 50 agents on one machine, of one to 1', { ms_1: median(one.ms), ms_10: median(ten.ms), ms_50: median(fifty.ms) }, median(ratios), 'under', 3);
    note('nodes', 'processor time of it in PostgreSQL, ms', { of_1: median(one.database), of_10: median(ten.database), of_50: median(fifty.database) });
    note('nodes', 'and in each agent, ms', { of_1: agents[0], of_10: agents[1], of_50: agents[2] });

    // Nothing happens. The leases of these are renewed every 200 s, so what is seen is the sweep every ten seconds.
    const idle = async (what, times) => {
      const pids = processesOf(postgres), from = onProcessor(pids), wal = postgres.sql('postgres', 'SELECT pg_current_wal_insert_lsn()'), began = performance.now();
      await new Promise((resolve) => { setTimeout(resolve, quiet * 1000); });
      const seconds = (performance.now() - began) / 1000, bytes = Number(postgres.sql('postgres', `SELECT pg_current_wal_insert_lsn() - '${wal}'`));
      const used = onProcessor(pids) - from;
      return { what, ms: used / seconds, bytes: bytes / seconds, times };
    };
    const nodesThere = fleets.reduce((sum, each) => sum + each.size, 0);
    const slow = await idle('sweeps', nodesThere / 10);
    const beating = await fleet(postgres, 50, '3s');
    fleets.push(beating);
    const fast = await idle('beats', 50);
    const sweep = slow.ms / slow.times, beat = (fast.ms - sweep * (nodesThere + 50) / 10) / 50;
    note('nodes', 'processor time in PostgreSQL of one sweep of an agent, and of one renewal of a lease, ms', { sweep, renewal: beat });
    note('nodes', 'log (WAL) of one renewal of a lease, bytes', { bytes: (fast.bytes - slow.bytes) / 50 });
  } finally {
    for (const each of fleets) await each.end();
    await postgres.remove();
  }
}
