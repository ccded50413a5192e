// The floor for runtime/main: the least that a main service can do. One worker, with the options that ours gives it; nothing is
// looked up, checked or counted.
// deno-lint-ignore-file no-explicit-any
declare const EdgeRuntime: any;

const release = Deno.env.get("FLOOR_RELEASE")!;
const options = {
  servicePath: release,
  memoryLimitMb: 150,
  workerTimeoutMs: 60_000,
  cpuTimeSoftLimitMs: 10_000,
  cpuTimeHardLimitMs: 20_000,
  noModuleCache: false,
  noNpm: true,
  allowRemoteModules: false,
  importMapPath: null,
  context: { useReadSyncFileAPI: true, importMapPath: null },
  envVars: [],
  forceCreate: false,
  customModuleRoot: "",
  decoratorType: "tc39",
  maybeEntrypoint: `file://${release}/index.ts`,
  staticPatterns: [],
};

Deno.serve(async (request: Request) => {
  if (new URL(request.url).pathname.startsWith("/_internal/")) return new Response("{}");
  const worker = await EdgeRuntime.userWorkers.create(options);
  return await worker.fetch(request);
});
