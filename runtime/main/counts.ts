// How calls went, by version: what functions-admin watches a new version by (automatic rollback).

export interface Count {
  slug: string;
  version: number;
  calls: number;
  errors: number;
}

/** Versions that nobody calls any more are forgotten past this many. */
const MAX_VERSIONS = 5000;

export class Counts {
  #counts = new Map<string, Count>();

  /** One answered call; the runtime's own failures (503, 500, 546) count as errors like the function's 5xx. */
  add(slug: string, version: number, status: number): void {
    const key = `${slug}/${version}`;
    const count = this.#counts.get(key) ?? { slug, version, calls: 0, errors: 0 };
    count.calls++;
    if (status >= 500) count.errors++;
    // Re-inserted, so that the first of the map is the one that was called longest ago.
    this.#counts.delete(key);
    this.#counts.set(key, count);
    if (this.#counts.size > MAX_VERSIONS) this.#counts.delete(this.#counts.keys().next().value!);
  }

  all(): Count[] {
    return [...this.#counts.values()];
  }
}
