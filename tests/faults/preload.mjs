// Libraries in C that are preloaded into the program that is tested.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

/** Builds tests/faults/NAME.c into the folder. */
export function buildPreload(name, folder) {
  const library = path.join(folder, `${name}.so`);
  const built = spawnSync(process.env.CC ?? 'cc', ['-D_GNU_SOURCE', '-shared', '-fPIC', '-O1', '-o', library, path.join(import.meta.dirname, `${name}.c`)], { encoding: 'utf8' });
  if (built.error) throw built.error;
  if (built.status !== 0) throw new Error(built.stderr);
  return library;
}
