// A small file that its writer always replaces by rename(2), read again only when it was replaced.
// A stat for each call is the price of a change being seen by the very next one.

/** Clocks of filesystems are coarse; a file this young may be replaced without its stamp changing. */
const SETTLED_AFTER_MS = 50;

type Stamp = { ino: number | null; size: number; mtime: number; settled: boolean };

export class WatchedFile<T> {
  #stamp: Stamp | null = null;
  #value: T;

  /** `parse` may throw: then the value before stays in force, and the reason is logged once. */
  constructor(readonly path: string, readonly absent: T, readonly parse: (text: string) => T) {
    this.#value = absent;
  }

  read(): T {
    let stat: Deno.FileInfo;
    try {
      stat = Deno.statSync(this.path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) this.#complain(error);
      else this.#value = this.absent;
      this.#stamp = null;
      return this.#value;
    }

    const mtime = stat.mtime?.getTime() ?? 0;
    const known = this.#stamp;
    if (known?.settled && known.ino === stat.ino && known.size === stat.size && known.mtime === mtime) {
      return this.#value;
    }

    // The stamp is taken before the content: a replacement in between is then read twice, never missed.
    const settled = Math.abs(Date.now() - mtime) > SETTLED_AFTER_MS;
    this.#stamp = { ino: stat.ino, size: stat.size, mtime, settled };
    try {
      this.#value = this.parse(Deno.readTextFileSync(this.path));
    } catch (error) {
      this.#complain(error);
    }
    return this.#value;
  }

  #complain(error: unknown) {
    // A parser's message may quote the file, which may hold secrets: only its kind is logged.
    const kind = error instanceof Error ? error.name : "unknown error";
    console.error(`${this.path}: not usable (${kind}), going on with what was read before`);
  }
}
