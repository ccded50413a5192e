// `edge-runtime start`: loads a main service with the globals that the edge runtime gives it.
import { addToDeno } from "./errors.ts";
import { startEventWorker } from "./events.ts";
import { parseOptions, UsageError } from "./options.ts";
import { Pool } from "./pool.ts";

// deno-lint-ignore no-explicit-any
type Handler = (request: Request, info: any) => Response | Promise<Response>;

function entrypointIn(folder: string): string {
  const root = Deno.realPathSync(folder);
  for (const extension of ["ts", "tsx", "js", "mjs", "jsx"]) {
    const path = `${root}/index.${extension}`;
    try {
      if (Deno.statSync(path).isFile) return new URL(`file://${encodeURI(path)}`).href;
    } catch { /* the next extension */ }
  }
  throw new UsageError(`${folder}: has no index.ts`);
}

async function main() {
  const options = parseOptions(Deno.args);
  addToDeno();
  const pool = new Pool(options);

  Object.assign(globalThis, {
    EdgeRuntime: {
      userWorkers: {
        create: (workerOptions: Record<string, unknown>) => pool.create(workerOptions),
        tryCleanupIdleWorkers: () => Promise.resolve(pool.retireIdle()),
      },
      applySupabaseTag: (from: Request, to: Request) => pool.tag(from, to),
      getRuntimeMetrics: () => Promise.resolve(pool.metrics()),
      systemMemoryInfo: () => Deno.systemMemoryInfo(),
    },
  });

  const stop = () => {
    pool.stop();
    Deno.exit(0);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);

  // In the edge runtime the listening address is the command line's, whatever the service asks for.
  const serve = Deno.serve;
  let started = false;
  // deno-lint-ignore no-explicit-any
  (Deno as any).serve = (first: any, second?: any) => {
    const handler: Handler | undefined = [first, second, first?.handler].find((each) => typeof each === "function");
    if (!handler) throw new TypeError("A handler function must be provided.");
    if (started) throw new Deno.errors.AddrInUse("the main service listens already");
    started = true;
    return serve({
      hostname: options.ip,
      port: options.port,
      onError: first?.onError,
      onListen: ({ port }) => {
        const host = options.ip === "0.0.0.0" ? "127.0.0.1" : options.ip.includes(":") ? `[${options.ip}]` : options.ip;
        console.log(`listening on http://${host}:${port}`);
      },
    }, (request, info) => {
      pool.tag(request, request);
      return handler(request, info);
    });
  };

  if (options.eventWorker) startEventWorker(entrypointIn(options.eventWorker));
  // deno-lint-ignore no-explicit-any
  const service: any = await import(entrypointIn(options.mainService));
  if (typeof service.default?.fetch === "function") Deno.serve((request) => service.default.fetch(request));
}

try {
  await main();
} catch (error) {
  console.error(`edge-runtime: ${error instanceof UsageError ? error.message : error instanceof Error ? error.stack : error}`);
  Deno.exit(error instanceof UsageError ? 2 : 1);
}
