// A loss of power, for a folder: what was not synced when the program was killed may be there afterwards, or not. power.c
// tells what the program did since it was started; this puts the folder into one of the states that can be left.
//
// Kept is what fsync(2) promises, and no more: of a file the bytes that it had, of a directory the names that were made, removed
// or renamed in it. A rename is one step, as on every filesystem with a journal. Of what was not synced a state keeps, as the
// numbers will have it: nothing, everything, what came first (as a journal does), or any of it; and of each file's bytes
// all, some, or none.
import fs from 'node:fs';
import path from 'node:path';

/** Whether the file is, with all its bytes, what was synced. */
const isSynced = (object, stat) => object.size === stat.size && object.mtime === stat.mtimeNs;

/** `begin()` before each start of the program with `env`; `cut(random)` when it was killed. */
export function powerOf(root, shim, folder) {
  const log = path.join(folder, 'power.log'), graves = path.join(folder, 'graves');
  let top, byInode;

  /** Everything that is there is taken to be synced. */
  function look(at) {
    const stat = fs.lstatSync(at, { bigint: true });
    const object = { inode: stat.ino, kind: stat.isDirectory() ? 'mkdir' : stat.isSymbolicLink() ? 'symlink' : 'create', size: stat.size, mtime: stat.mtimeNs, names: new Map() };
    byInode.set(object.inode, object);
    if (object.kind === 'mkdir') for (const name of fs.readdirSync(at)) object.names.set(name, look(path.join(at, name)));
    return object;
  }

  /** The log as changes of directories that are not synced, oldest first; those that are synced have been made in `names`. */
  function replay() {
    const apply = (change) => { for (const [dir, name, object] of change) if (object) dir.names.set(name, object); else dir.names.delete(name); };
    const now = new Map(); // directory: its names as they were when the program was killed
    const namesOf = (dir) => { if (!now.has(dir)) now.set(dir, new Map(dir.names)); return now.get(dir); };
    let pending = [];
    for (const text of fs.readFileSync(log, 'utf8').split('\n').filter(Boolean)) {
      const [what, ...words] = text.split('\t');
      if (what === 'syncfs') {
        pending.forEach(apply);
        pending = [];
        continue;
      }
      const first = byInode.get(BigInt(words[0]));
      if (what === 'fsync') {
        // Of another folder.
        if (!first) continue;
        if (first.kind === 'mkdir') {
          for (const change of pending) if (change.some(([dir]) => dir === first)) apply(change);
          pending = pending.filter((change) => !change.some(([dir]) => dir === first));
        } else [first.size, first.mtime] = [BigInt(words[1]), BigInt(words[2])];
        continue;
      }
      const change = [], set = (dir, name, object) => { if (!dir) return; change.push([dir, name, object]); if (object) namesOf(dir).set(name, object); else namesOf(dir).delete(name); };
      if (what === 'remove') set(first, words[1], null);
      else if (what === 'rename' || what === 'exchange') {
        const to = byInode.get(BigInt(words[2])), moved = first && namesOf(first).get(words[1]), other = to && namesOf(to).get(words[3]);
        set(first, words[1], what === 'exchange' ? other : null);
        set(to, words[3], moved);
      } else if (first) {
        const object = { inode: BigInt(words[2]), kind: what, size: null, mtime: null, names: new Map() };
        byInode.set(object.inode, object);
        set(first, words[1], object);
      } else {
        // Made in another folder, with the inode of a directory that was removed here, perhaps: what is done in it is not ours.
        byInode.delete(BigInt(words[2]));
      }
      if (change.length > 0) pending.push(change);
    }
    return { pending, apply };
  }

  /** Where each file can be found now, by its inode. */
  function find(at, found = new Map()) {
    for (const entry of fs.readdirSync(at, { withFileTypes: true })) {
      const name = path.join(at, entry.name);
      if (entry.isDirectory()) find(name, found);
      else found.set(fs.lstatSync(name, { bigint: true }).ino, name);
    }
    return found;
  }

  function make(object, at, found, random) {
    if (object.kind === 'mkdir') {
      fs.mkdirSync(at, { mode: 0o755 });
      for (const [name, child] of object.names) make(child, path.join(at, name), found, random);
      return;
    }
    const source = found.get(object.inode);
    if (object.kind === 'symlink') { fs.symlinkSync(fs.readlinkSync(source), at); return; }
    const stat = fs.lstatSync(source, { bigint: true });
    fs.copyFileSync(source, at);
    fs.chmodSync(at, Number(stat.mode & 0o777n));
    if (isSynced(object, stat)) return;
    const kept = random();
    if (kept < 0.7) fs.truncateSync(at, kept < 0.35 ? 0 : Math.floor(random() * Number(stat.size)));
  }

  return {
    env: { LD_PRELOAD: shim, FA_POWER_LOG: log, FA_POWER_GRAVES: graves, FA_POWER_ROOT: root },
    begin() {
      fs.rmSync(graves, { recursive: true, force: true });
      fs.mkdirSync(graves);
      fs.writeFileSync(log, '');
      byInode = new Map();
      top = look(root);
    },
    /** Copies of what was private lie in the graves. */
    end: () => fs.rmSync(graves, { recursive: true, force: true }),
    /** Gives what was kept, in words. */
    cut(random) {
      const { pending, apply } = replay(), mode = ['nothing', 'everything', 'the first', 'any'][Math.floor(random() * 4)];
      const first = Math.floor(random() * (pending.length + 1));
      const kept = pending.filter((_, i) => mode === 'everything' || (mode === 'the first' && i < first) || (mode === 'any' && random() < 0.5));
      kept.forEach(apply);
      const next = `${root}.next`, found = find(root);
      for (const name of fs.readdirSync(graves)) if (!found.has(BigInt(name))) found.set(BigInt(name), path.join(graves, name));
      make(top, next, found, random);
      for (const name of fs.readdirSync(root)) fs.rmSync(path.join(root, name), { recursive: true });
      for (const name of fs.readdirSync(next)) fs.renameSync(path.join(next, name), path.join(root, name));
      fs.rmdirSync(next);
      return `${mode}: ${kept.length} of ${pending.length} changes of directories`;
    },
  };
}
