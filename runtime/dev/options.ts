// The command line of `edge-runtime start`, as far as it means something here.

export type Policy = "per_worker" | "per_request" | "oneshot";

export type Options = {
  mainService: string;
  eventWorker: string | null;
  policy: Policy;
  ip: string;
  port: number;
  maxParallelism: number;
  requestWaitTimeoutMs: number;
};

export class UsageError extends Error {}

const USAGE = "usage: edge-runtime start --main-service DIR [--event-worker DIR] " +
  "[--policy per_worker|per_request|oneshot] [--ip HOST] [--port N] [--max-parallelism N] [--request-wait-timeout MS]";

/** Options of the real program that change nothing here; they are accepted so that one command fits both. */
const IGNORED = new Set([
  "--graceful-exit-timeout",
  "--event-worker-exit-timeout",
  "--request-buffer-size",
  "--main-worker-request-idle-timeout",
  "--user-worker-request-idle-timeout",
  "--request-read-timeout",
  "--dispatch-beforeunload-wall-clock-ratio",
  "--dispatch-beforeunload-cpu-ratio",
  "--dispatch-beforeunload-memory-ratio",
]);

export function parseOptions(args: string[]): Options {
  const rest = args.filter((arg) => !["-v", "--verbose", "-q", "--quiet", "--log-source"].includes(arg));
  if (rest.shift() !== "start") throw new UsageError(USAGE);

  const given = new Map<string, string>();
  while (rest.length) {
    const [name, ...inline] = rest.shift()!.split("=");
    const long = { "-p": "--port", "-i": "--ip" }[name] ?? name;
    const value = inline.length ? inline.join("=") : rest.shift();
    if (value === undefined) throw new UsageError(`${name} needs a value\n${USAGE}`);
    given.set(long, value);
  }

  const take = (name: string, otherwise: string) => {
    const value = given.get(name) ?? otherwise;
    given.delete(name);
    return value;
  };
  const number = (name: string, otherwise: string, most: number) => {
    const text = take(name, otherwise);
    const value = Number(text);
    if (!/^\d+$/.test(text) || value > most) throw new UsageError(`${name}: "${text}" is not a number up to ${most}`);
    return value;
  };

  const policy = take("--policy", "per_worker");
  if (!["per_worker", "per_request", "oneshot"].includes(policy)) {
    throw new UsageError(`--policy: "${policy}" is none of per_worker, per_request, oneshot`);
  }
  const options: Options = {
    mainService: take("--main-service", ""),
    eventWorker: take("--event-worker", "") || null,
    policy: policy as Policy,
    ip: take("--ip", "0.0.0.0"),
    port: number("--port", Deno.env.get("EDGE_RUNTIME_PORT") ?? "9000", 65535),
    maxParallelism: number("--max-parallelism", String(navigator.hardwareConcurrency), 9999),
    requestWaitTimeoutMs: number("--request-wait-timeout", "10000", 3_600_000),
  };
  for (const name of given.keys()) {
    if (!IGNORED.has(name)) throw new UsageError(`unknown option ${name}\n${USAGE}`);
  }
  if (!options.mainService) throw new UsageError(`--main-service is missing\n${USAGE}`);
  return options;
}
