// What takes long to make and is the same for all tests of a build: the first test that needs it makes it and keeps it below build/, and
// the others begin with a copy. What earlier builds have left there goes.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

const BUILD = path.resolve(import.meta.dirname, '../../build');
const HOUR_MS = 3_600_000;

function sum(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex').slice(0, 16);
}

function copyTree(from, to) {
  const done = spawnSync('cp', ['-a', '--reflink=auto', from, to], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`cp: ${done.error ?? done.stderr}`);
}

/** `binary` is the program that has its part in it, `parts` are the contents of what else it depends on. */
export function kept(what, binary, parts) {
  const folder = path.join(BUILD, what, `${sum(binary)}-${process.getuid()}`), made = path.join(folder, sum(fs.readFileSync(binary), ...parts));
  return {
    /** False: it is not there yet. */
    copyTo(place) {
      if (!fs.existsSync(made)) return false;
      copyTree(made, place);
      return true;
    },
    keep(place) {
      const own = `${made}.${process.pid}`;
      fs.mkdirSync(folder, { recursive: true });
      copyTree(place, own);
      // Whoever comes second throws its own away.
      try { fs.renameSync(own, made); } catch { fs.rmSync(own, { recursive: true }); }
      // Somebody may be copying one that was in use a moment ago.
      for (const name of fs.readdirSync(folder)) {
        const other = path.join(folder, name);
        if (other !== made && fs.statSync(other, { throwIfNoEntry: false })?.ctimeMs < Date.now() - HOUR_MS) fs.rmSync(other, { recursive: true, force: true });
      }
    },
  };
}
