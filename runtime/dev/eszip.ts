// Runs a bundle by writing its modules to files. npm packages that the real runtime finds inside the
// bundle are fetched from the registry instead.
import { InvalidWorkerCreation } from "./errors.ts";
import { mentionsNodeHttp, type Prepared } from "./service.ts";

const BOOT = "worker boot error: failed to bootstrap runtime:";
const UNPACK = new URL("./unpack.ts", import.meta.url).pathname;

export async function unpack(bytes: Uint8Array, entrypoint: string, folder: string): Promise<Prepared> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--no-lock", "--allow-read", "--allow-env", `--allow-write=${folder}`, UNPACK, folder, entrypoint],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  // A process that has ended before it read all is explained by its output, not by the broken pipe.
  await writer.write(bytes).then(() => writer.close()).catch(() => {});
  const { success, stdout, stderr } = await process.output();

  if (!success) {
    const text = new TextDecoder().decode(stderr);
    throw new InvalidWorkerCreation(
      text.includes("@deno/eszip\"")
        ? `${BOOT} bundles need the npm package @deno/eszip. HINT: run 'npm ci' in runtime/dev`
        : `${BOOT} the eszip bundle cannot be read`,
    );
  }
  const { entry } = JSON.parse(new TextDecoder().decode(stdout));
  if (!entry) throw new InvalidWorkerCreation(`worker boot error: Module not found: ${entrypoint}`);
  return {
    entrypoint: new URL(`file://${encodeURI(entry)}`).href,
    root: folder,
    config: null,
    importMap: null,
    usesNodeHttp: mentionsNodeHttp(folder),
  };
}
