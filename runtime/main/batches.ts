// Hands events to functions-admin in batches, without ever making anybody wait: what cannot be handed over in time is
// dropped, oldest first, and counted. Used by the event service and, for calls, by the main service.

export type Event = {
  at: number;
  slug: string;
  version: number;
  kind: "log" | "boot" | "boot_failure" | "exception" | "shutdown" | "call";
  level?: "debug" | "info" | "warning" | "error";
  message?: string;
  execution_id?: string;
  status?: number;
  ms?: number;
};

/** What the API takes at once, and how much waits here at most: a minute of a thousand events a second. */
const BATCH = 1000;
/** Long messages make smaller batches, so that the API is done with one well before TIMEOUT_MS. */
const BATCH_CHARACTERS = 4 * 1024 * 1024;
const MOST_EVENTS = 60_000;
const MOST_CHARACTERS = 32 * 1024 * 1024;
const MESSAGE = 10_000;
const PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
const TIMEOUT_MS = 10_000;

type Sending = { batch: number; dropped: number; events: Event[] };

export class Batches {
  readonly #source = crypto.randomUUID();
  #waiting: Event[] = [];
  /** Where the oldest event stands: taking it off the front of a long array costs too much each time. */
  #first = 0;
  #characters = 0;
  #dropped = 0;
  #batch = 0;
  #running = false;
  #complained = false;

  /** token: read anew for each batch, since the file may be written after the runtime was started. */
  constructor(readonly url: string | undefined, readonly token: () => string) {}

  add(event: Event) {
    if (!this.url) return;
    if (event.message !== undefined) event.message = cut(event.message);
    this.#waiting.push(event);
    this.#characters += event.message?.length ?? 0;
    while (this.#waiting.length - this.#first > MOST_EVENTS || this.#characters > MOST_CHARACTERS) {
      this.#characters -= this.#waiting[this.#first].message?.length ?? 0;
      this.#first++;
      this.#dropped++;
    }
    if (this.#first > MOST_EVENTS) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    if (!this.#running) {
      this.#running = true;
      this.#run();
    }
  }

  /** One batch after the other, each until it is taken: the API stores one that comes twice only once. */
  async #run() {
    while (this.#waiting.length > this.#first || this.#dropped > 0) {
      await pause(PAUSE_MS);
      const sending = this.#take();
      for (let wait = PAUSE_MS; !await this.#send(sending); wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) await pause(wait);
    }
    this.#running = false;
  }

  #take(): Sending {
    const events: Event[] = [];
    for (let characters = 0; events.length < BATCH && this.#first < this.#waiting.length; this.#first++) {
      const event = this.#waiting[this.#first];
      characters += event.message?.length ?? 0;
      if (characters > BATCH_CHARACTERS) break;
      this.#characters -= event.message?.length ?? 0;
      events.push(event);
    }
    if (this.#first === this.#waiting.length) {
      this.#waiting = [];
      this.#first = 0;
    }
    const dropped = this.#dropped;
    this.#dropped = 0;
    return { batch: ++this.#batch, dropped, events };
  }

  async #send(sending: Sending): Promise<boolean> {
    let problem: string;
    try {
      const response = await fetch(this.url!, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${this.token()}` },
        body: JSON.stringify({ source: this.#source, ...sending }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.body?.cancel();
      if (response.ok) {
        if (this.#complained) console.error(`events: ${this.url} takes them again`);
        this.#complained = false;
        return true;
      }
      // What is wrong in itself would be refused for ever; it is given up, and counted with the next batch.
      if (response.status === 400 || response.status === 413 || response.status === 422) {
        console.error(`events: a batch was refused with status ${response.status} and is dropped`);
        this.#dropped += sending.dropped + sending.events.length;
        return true;
      }
      problem = `status ${response.status}`;
    } catch (error) {
      problem = (error as Error).name;
    }
    if (!this.#complained) console.error(`events: ${this.url} does not take them (${problem}); they wait here`);
    this.#complained = true;
    return false;
  }
}

/** At most so many characters, and none that PostgreSQL's text cannot hold. */
function cut(message: string): string {
  const text = message.replaceAll("\0", "").slice(0, MESSAGE);
  return text.toWellFormed();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Where events go and by which right: FUNCTIONS_ADMIN_EVENTS_URL, and a token from the environment or the folder. */
export function batchesFor(env: Record<string, string>, folder: string): Batches {
  return new Batches(env.FUNCTIONS_ADMIN_EVENTS_URL || undefined, () => {
    if (env.FUNCTIONS_ADMIN_EVENTS_TOKEN) return env.FUNCTIONS_ADMIN_EVENTS_TOKEN;
    try {
      return Deno.readTextFileSync(`${folder}/.functions-admin/events-token`).trim();
    } catch {
      return "";
    }
  });
}
