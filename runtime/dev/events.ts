// What workers report, in the form in which the edge runtime hands it to an event worker.

export type Metadata = { service_path: string; execution_id: string };
export type WorkerEvent = { timestamp: string; event_type: string; event: Record<string, unknown>; metadata: Metadata };

const waiting: WorkerEvent[] = [];
let wake: (() => void) | null = null;
let hasListener = false;

/** How much is kept for a listener that does not keep up. */
const MOST = 10_000;

export function report(event_type: string, event: Record<string, unknown>, metadata: Metadata) {
  if (!hasListener) {
    // Without an event worker the terminal is the only place where a log line can be seen.
    if (event_type === "Log") console.error(`[${metadata.service_path.split("/").pop()}] ${String(event.msg).trimEnd()}`);
    if (event_type === "UncaughtException") console.error(`[${metadata.service_path.split("/").pop()}] ${event.exception}`);
    return;
  }
  if (waiting.length < MOST) waiting.push({ timestamp: new Date().toISOString(), event_type, event, metadata });
  wake?.();
}

class EventManager {
  async *[Symbol.asyncIterator](): AsyncGenerator<WorkerEvent> {
    for (;;) {
      while (waiting.length) yield waiting.shift()!;
      await new Promise<void>((resolve) => wake = resolve);
    }
  }
}

/** An event service listens for ever at its top level: the main service does not wait for it, as in the real runtime. */
export function startEventWorker(url: string) {
  hasListener = true;
  Object.assign(globalThis, { EventManager });
  import(url).catch((error) => {
    console.error(`edge-runtime: the event worker ended: ${error instanceof Error ? error.stack : error}`);
    hasListener = false;
    waiting.length = 0;
  });
}
