// Small files that their writer always replaces by rename(2), read again only when one was replaced.
// A stat of their folder for each call is the price of a change being seen by the very next one.

/** Clocks of filesystems are coarse; what is this young may be changed again without its stamp changing. */
const SETTLED_AFTER_MS = 50;

/** For a file written in place, by hand, which its folder does not show: it is seen after this time. */
const LOOK_ANYWAY_MS = 1000;

type Stamp = { ino: number | null; size: number; mtime: number; settled: boolean };

function stampOf(path: string): Stamp {
  const { ino, size, mtime } = Deno.statSync(path);
  const time = mtime?.getTime() ?? 0;
  return { ino, size, mtime: time, settled: Math.abs(Date.now() - time) > SETTLED_AFTER_MS };
}

function isUnchanged(known: Stamp | null, now: Stamp): boolean {
  return known !== null && known.settled && known.ino === now.ino && known.size === now.size && known.mtime === now.mtime;
}

export class WatchedFile<T> {
  #stamp: Stamp | null = null;
  #value: T;

  /**
   * `parse` may throw: then the value before stays in force, and the reason is logged once. Where nothing was read before, what
   * lies in `kept` is: its writer leaves that whole when the power goes.
   */
  constructor(readonly path: string, readonly absent: T, readonly parse: (text: string) => T, readonly kept?: string) {
    this.#value = absent;
  }

  get value(): T {
    return this.#value;
  }

  look() {
    try {
      // The stamp is taken before the content: a replacement in between is then read twice, never missed.
      const stamp = stampOf(this.path);
      if (isUnchanged(this.#stamp, stamp)) return;
      this.#stamp = stamp;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) this.#complain(error);
      else this.#value = this.absent;
      this.#stamp = null;
      return;
    }
    try {
      this.#value = this.parse(Deno.readTextFileSync(this.path));
    } catch (error) {
      this.#complain(error);
      if (this.kept !== undefined && this.#value === this.absent) this.#readKept(this.kept);
    }
  }

  #readKept(path: string) {
    try {
      this.#value = this.parse(Deno.readTextFileSync(path));
    } catch { /* why the other one is not usable has been said */ }
  }

  #complain(error: unknown) {
    // A parser's message may quote the file, which may hold secrets: only its kind is logged.
    const kind = error instanceof Error ? error.name : "unknown error";
    console.error(`${this.path}: not usable (${kind}), going on with what was read before`);
  }
}

/** A rename within a folder changes the folder's own time: as long as that is the same, its files are. */
export class WatchedFolder {
  #stamp: Stamp | null = null;
  #looked = 0;

  /** `files` are looked at in this order. */
  constructor(readonly path: string, readonly files: { look(): void }[]) {}

  look() {
    const now = performance.now();
    let stamp: Stamp | null = null;
    try {
      stamp = stampOf(this.path);
      if (isUnchanged(this.#stamp, stamp) && now - this.#looked < LOOK_ANYWAY_MS) return;
    } catch { /* each file says itself why it cannot be read */ }
    this.#stamp = stamp;
    this.#looked = now;
    for (const file of this.files) file.look();
  }
}
