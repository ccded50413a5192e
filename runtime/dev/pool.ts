// The pool's rules: which worker a service path gets under each policy, and how a request reaches it.
import { InvalidWorkerCreation, WorkerAlreadyRetired } from "./errors.ts";
import type { Options } from "./options.ts";
import { type CreateOptions, Worker } from "./worker.ts";

const tags = new WeakMap<Request, Request>();

export class Pool {
  readonly #scratch = Deno.makeTempDirSync({ prefix: "edge-runtime-" });
  readonly #workers = new Map<string, Worker[]>();
  readonly #starting = new Map<string, Promise<Worker>>();
  readonly #next = new Map<string, number>();
  #freed: (() => void)[] = [];
  #created = 0;
  #retired = 0;

  constructor(readonly options: Options) {}

  /** A request made by the main service is of no use to a worker until it is tied to one that came in. */
  tag(from: Request, to: Request) {
    const original = from === to ? from : tags.get(from);
    if (!original) throw new TypeError("Only a request that came in can give its tag");
    tags.set(to, original);
  }

  async create(given: Record<string, unknown>) {
    const options = given as CreateOptions;
    if (!options.maybeEszip && !options.servicePath) throw new TypeError("service path must be defined");
    const worker = await this.#take(options);
    return {
      key: worker.id,
      fetch: (request: Request, { signal }: { signal?: AbortSignal } = {}) => {
        const original = tags.get(request);
        if (!original) {
          throw new TypeError("Cannot read properties of undefined (reading 'streamRid'): the request has no tag");
        }
        if (worker.isRetired) throw new WorkerAlreadyRetired("request cannot be handled because the worker has already retired");
        return worker.fetch(request, original, signal ?? original.signal);
      },
    };
  }

  async #take(options: CreateOptions): Promise<Worker> {
    const path = options.servicePath;
    const { policy } = this.options;
    const force = !!options.forceCreate && policy !== "oneshot";
    const deadline = Date.now() + this.options.requestWaitTimeoutMs;

    for (;;) {
      const live = (this.#workers.get(path) ?? []).filter((worker) => !worker.isRetired);
      if (policy === "per_worker" && !force) {
        if (live.length) {
          // More than one exists only after forceCreate, which adds a worker and retires none.
          const turn = this.#next.get(path) ?? 0;
          this.#next.set(path, turn + 1);
          return live[turn % live.length];
        }
        const starting = this.#starting.get(path);
        if (starting) return await starting;
        return await this.#start(options);
      }
      if (policy === "per_request" && !force) {
        const idle = live.find((worker) => worker.isFree);
        if (idle) {
          idle.isFree = false;
          return idle;
        }
      }
      if (force || live.length < this.options.maxParallelism) {
        return await this.#start(options);
      }
      if (!await this.#someoneFreed(deadline - Date.now())) {
        throw new InvalidWorkerCreation("worker did not respond in time");
      }
    }
  }

  async #start(options: CreateOptions): Promise<Worker> {
    const path = options.servicePath;
    const { policy } = this.options;
    const worker = new Worker(options, this.#scratch, {
      onFree: () => {
        if (policy === "oneshot") worker.retire("EarlyDrop");
        else worker.isFree = true;
        this.#announce();
      },
      onGone: () => {
        const rest = (this.#workers.get(path) ?? []).filter((each) => each !== worker);
        if (rest.length) this.#workers.set(path, rest);
        else {
          this.#workers.delete(path);
          this.#next.delete(path);
        }
        this.#retired++;
        this.#announce();
      },
    });
    worker.isFree = false;
    this.#created++;
    // Counted from the start, so that a burst does not create more workers than may run at once.
    if (policy !== "per_worker") this.#workers.set(path, [...this.#workers.get(path) ?? [], worker]);

    const ready = worker.linked().then(() => {
      if (policy === "per_worker") this.#workers.set(path, [...this.#workers.get(path) ?? [], worker]);
      return worker;
    });
    this.#starting.set(path, ready);
    try {
      return await ready;
    } finally {
      if (this.#starting.get(path) === ready) this.#starting.delete(path);
    }
  }

  #someoneFreed(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), Math.max(0, ms));
      this.#freed.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #announce() {
    const waiting = this.#freed;
    this.#freed = [];
    for (const resolve of waiting) resolve();
  }

  retireIdle(): number {
    const idle = [...this.#workers.values()].flat().filter((worker) => worker.requests === 0);
    for (const worker of idle) worker.retire("EarlyDrop");
    return idle.length;
  }

  metrics() {
    const active = [...this.#workers.values()].flat().filter((worker) => !worker.isRetired).length;
    const { heapUsed, heapTotal, external } = Deno.memoryUsage();
    return {
      mainWorkerHeapStats: { usedHeapSize: heapUsed, totalHeapSize: heapTotal, externalMemory: external },
      activeUserWorkersCount: active,
      retiredUserWorkersCount: this.#retired,
      receivedRequestsCount: Worker.received,
      handledRequestsCount: Worker.handled,
      createdUserWorkersCount: this.#created,
    };
  }

  stop() {
    for (const worker of [...this.#workers.values()].flat()) worker.retire("TerminationRequested", true);
    Deno.removeSync(this.#scratch, { recursive: true });
  }
}
