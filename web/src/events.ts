// Server-sent events, read by hand: EventSource sends no credential of ours.
import { ApiError, request, type Options } from "./api";

export interface ServerEvent {
  id?: string;
  event: string;
  /** JSON; "" where the block only says how far one has come. */
  data: string;
}

/** The events of one answer as they come; `retry` is told how soon to ask again. */
export async function* readEvents(response: Response, retry?: (ms: number) => void): AsyncGenerator<ServerEvent> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      text += value ?? "";
      const blocks = text.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        const found: ServerEvent = { event: "message", data: "" };
        for (const line of block.split("\n")) {
          const [, field, rest] = /^(\w+): ?(.*)$/.exec(line) ?? [];
          if (field === "id") found.id = rest;
          if (field === "event") found.event = rest;
          if (field === "data") found.data = rest;
          if (field === "retry") retry?.(Number(rest) || 0);
        }
        yield found;
      }
      if (done) return;
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

const SLOWEST = 10_000;

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

/** Nothing is followed where nobody looks. */
async function whenVisible(signal: AbortSignal) {
  while (document.visibilityState !== "visible" && !signal.aborted)
    await new Promise<void>((resolve) => {
      document.addEventListener("visibilitychange", () => resolve(), { once: true });
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
}

/**
 * Follows a list from `last` on (undefined: from what there is now) until the signal ends it. The server holds each question until
 * there is something to tell; after a failure it is asked again later and later, with what was seen last, so that nothing is missed.
 */
export async function follow(path: string, query: Options["query"], last: string | undefined, signal: AbortSignal, take: (events: ServerEvent[]) => void, failed: (error: ApiError | undefined) => void) {
  let failures = 0;
  while (!signal.aborted) {
    await whenVisible(signal);
    let wait = 1000;
    try {
      const response = await request("GET", path, { query, headers: { Accept: "text/event-stream", ...(last !== undefined && { "Last-Event-ID": last }) }, signal });
      const events: ServerEvent[] = [];
      for await (const event of readEvents(response, (ms) => (wait = Math.max(wait, ms)))) {
        last = event.id ?? last;
        if (event.data !== "") events.push(event);
      }
      failures = 0;
      failed(undefined);
      if (events.length > 0) take(events);
    } catch (error) {
      if (signal.aborted) return;
      failed(error instanceof ApiError ? error : new ApiError(0, "unreachable", "The server cannot be reached", undefined, undefined));
      wait = Math.min(SLOWEST, 1000 * 2 ** ++failures);
    }
    await sleep(wait, signal);
  }
}
