// PgBouncer in front of a PostgreSQL of startPostgres(), on a unix socket of its own.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { NOBODY_ELSE, temporaryFolder, until } from './service.mjs';

const NAMED = '6432'; // a part of the socket's name; nothing listens on TCP
const env = { PATH: `${process.env.PATH}:/usr/sbin`, LC_ALL: 'C.UTF-8' };

/** Why it cannot run here, or undefined. */
export const missing = () => (spawnSync('pgbouncer', ['--version'], { env }).status === 0 ? undefined : 'pgbouncer is not installed');

/** mode: session or transaction; size: the server connections that it keeps for one database and user. */
export async function startPgbouncer(postgres, { mode, size, options = {} }) {
  const folder = temporaryFolder('fa-pgb-'), file = (name) => path.join(folder, name);
  const all = {
    unix_socket_dir: folder, listen_port: NAMED, auth_type: 'trust', auth_file: file('users'), pool_mode: mode, default_pool_size: size, max_client_conn: 500, admin_users: 'admin',
    logfile: file('log'), pidfile: file('pid'), ...options,
  };
  fs.writeFileSync(file('users'), '"postgres" ""\n"admin" ""\n');
  fs.writeFileSync(file('ini'), `[databases]\n* = host=${postgres.folder}\n[pgbouncer]\n${Object.entries(all).map(([name, value]) => `${name} = ${value}\n`).join('')}`);
  if (NOBODY_ELSE.uid) for (const name of [folder, file('users'), file('ini')]) fs.chownSync(name, NOBODY_ELSE.uid, NOBODY_ELSE.gid);
  const child = spawn('pgbouncer', ['-q', file('ini')], { env, stdio: ['ignore', 'ignore', 'pipe'], ...NOBODY_ELSE });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => { errors += text; });
  process.once('exit', () => child.kill('SIGKILL'));
  const ask = (database, text, user = 'postgres') => {
    const done = spawnSync(path.join(postgres.bin, 'psql'), ['-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-h', folder, '-p', NAMED, '-U', user, '-d', database, '-c', text], { env, encoding: 'utf8' });
    if (done.status !== 0) throw new Error(done.stderr.trim());
    return done.stdout.trim();
  };
  await until('PgBouncer answers', () => {
    if (child.exitCode !== null) throw new Error(`PgBouncer ended: ${errors}`);
    try { return ask('pgbouncer', 'SHOW VERSION', 'admin'); } catch { return false; }
  });
  return {
    sql: ask,
    url: (database, user = 'postgres') => `postgresql://${user}@/${database}?host=${encodeURIComponent(folder)}&port=${NAMED}`,
    /** Rows of a SHOW command of its console. */
    show: (what) => ask('pgbouncer', `SHOW ${what}`, 'admin').split('\n').map((line) => line.split('|')),
    log: () => fs.readFileSync(file('log'), 'utf8'),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) { child.kill('SIGINT'); await once(child, 'exit'); }
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}
