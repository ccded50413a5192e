// The event service of functions-admin for supabase/edge-runtime (--event-worker): what workers report becomes the log
// of their function and version. docs/logs.md explains it.
import { batchesFor, type Event } from "../main/batches.ts";

// deno-lint-ignore no-explicit-any
declare const EventManager: any;

type Report = { timestamp?: string; event_type: string; event: Record<string, unknown>; metadata?: { service_path?: string; execution_id?: string } };

const env = Deno.env.toObject();
const batches = batchesFor(env, env.FUNCTIONS_ADMIN_FUNCTIONS_DIR || "/home/deno/functions");

/** "/…/.releases/hello/7-0a1b2c3d4e5f@…" is version 7 of hello; workers of other main services are not ours. */
function functionOf(path: string | undefined): { slug: string; version: number } | null {
  const found = /\/\.releases\/([A-Za-z][A-Za-z0-9_-]*)\/(\d+)-[0-9a-f]+(?:@[^/]*)?$/.exec(path ?? "");
  return found && { slug: found[1], version: Number(found[2]) };
}

const LEVELS: Record<string, Event["level"]> = { debug: "debug", info: "info", log: "info", warning: "warning", warn: "warning", error: "error" };

function describe({ event_type, event }: Report): Pick<Event, "kind" | "level" | "message" | "ms"> | null {
  switch (event_type) {
    case "Log":
      return { kind: "log", level: LEVELS[String(event.level).toLowerCase()] ?? "info", message: String(event.msg ?? "").replace(/\n$/, "") };
    case "Boot":
      return { kind: "boot", message: `booted (time: ${event.boot_time}ms)`, ms: Math.max(0, Math.round(Number(event.boot_time) || 0)) };
    case "BootFailure":
      return { kind: "boot_failure", level: "error", message: String(event.msg ?? "worker boot error") };
    case "UncaughtException":
      return { kind: "exception", level: "error", message: String(event.exception ?? event.msg ?? "uncaught exception") };
    case "Shutdown":
      return { kind: "shutdown", message: `shutdown (reason: ${typeof event.reason === "string" ? event.reason : JSON.stringify(event.reason)})` };
    default:
      return null;
  }
}

for await (const report of new EventManager() as AsyncIterable<Report>) {
  const who = functionOf(report.metadata?.service_path);
  const what = describe(report);
  const at = Date.parse(report.timestamp ?? "") || Date.now();
  if (who && what) batches.add({ at, ...who, ...what, execution_id: report.metadata?.execution_id });
}
