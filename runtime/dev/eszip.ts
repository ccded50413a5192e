// Runs a bundle by writing its modules to files. npm packages that the real runtime finds inside the
// bundle are fetched from the registry instead.
import { InvalidWorkerCreation } from "./errors.ts";
import { mentionsNodeHttp, type Prepared } from "./service.ts";

const BOOT = "worker boot error: failed to bootstrap runtime:";

type Parser = {
  parseBytes(bytes: Uint8Array): Promise<string[]>;
  load(): Promise<void>;
  getModuleSource(specifier: string): Promise<string>;
};

async function parserFor(): Promise<Parser> {
  let eszip: { Parser: { createInstance(): Promise<Parser> } };
  try {
    eszip = await import("@deno/eszip");
  } catch {
    throw new InvalidWorkerCreation(`${BOOT} bundles need the npm package @deno/eszip. HINT: run 'npm ci' in runtime/dev`);
  }
  return await eszip.Parser.createInstance();
}

/** A module's place below the folder: its path without scheme, never outside. */
function placeOf(specifier: string): string | null {
  if (/^(https?|npm|node|jsr|data|static|vfs):/.test(specifier)) return null;
  const path = decodeURIComponent(new URL(specifier, "file:///").pathname);
  return path.split("/").includes("..") ? null : path;
}

export async function unpack(bytes: Uint8Array, entrypoint: string, folder: string): Promise<Prepared> {
  const parser = await parserFor();
  let specifiers: string[];
  try {
    specifiers = await parser.parseBytes(bytes);
    await parser.load();
  } catch (error) {
    throw new InvalidWorkerCreation(`${BOOT} ${error instanceof Error ? error.message : error}`);
  }

  let entry: string | null = null;
  const wanted = placeOf(entrypoint);
  for (const specifier of specifiers) {
    const place = placeOf(specifier);
    if (place === null || place === "/" || specifier.startsWith("---")) continue;
    const path = folder + place;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(path, await parser.getModuleSource(specifier));
    // The program that made the bundle may have stored its modules relative to a folder of its own.
    if (wanted !== null && (place === wanted || wanted.endsWith(place))) entry ??= path;
  }
  if (!entry) throw new InvalidWorkerCreation(`worker boot error: Module not found: ${entrypoint}`);
  return {
    entrypoint: new URL(`file://${encodeURI(entry)}`).href,
    root: folder,
    config: null,
    importMap: null,
    usesNodeHttp: mentionsNodeHttp(folder),
  };
}
