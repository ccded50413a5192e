// Where a service path leads: entrypoint, configuration and import map, found as the edge runtime finds them.
import { InvalidWorkerCreation } from "./errors.ts";
import type { CreateOptions } from "./worker.ts";

export type Prepared = {
  entrypoint: string;
  root: string;
  config: string | null;
  importMap: string | null;
  usesNodeHttp: boolean;
};

const BOOT = "worker boot error: failed to bootstrap runtime:";

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

export function prepare(options: CreateOptions): Prepared {
  if (options.maybeModuleCode) throw new InvalidWorkerCreation(`${BOOT} this stand-in runs files and bundles only`);
  const folder = options.servicePath.replace(/\/+$/, "");
  const entry = options.maybeEntrypoint
    ? decodeURIComponent(new URL(options.maybeEntrypoint).pathname)
    : ["ts", "tsx", "js", "mjs", "jsx"].map((extension) => `${folder}/index.${extension}`).find(isFile);
  if (!entry) throw new InvalidWorkerCreation(`${BOOT} could not find an appropriate entrypoint`);

  let real: string;
  try {
    real = Deno.realPathSync(entry);
  } catch {
    throw new InvalidWorkerCreation(`${BOOT} failed to create the graph: failed to read path`);
  }
  // The real one builds its module graph from the resolved path and then looks for the path that it was
  // given, so that an entrypoint reached through a symbolic link is not found in its own graph.
  if (real !== entry) throw new InvalidWorkerCreation(`worker boot error: Module not found: file://${entry}`);

  const config = configAbove(parent(entry));
  return {
    entrypoint: new URL(`file://${encodeURI(entry)}`).href,
    // A release's entrypoint is at its root; for other layouts, the folder beside may hold shared code.
    root: parent(parent(entry)),
    config,
    importMap: options.context?.importMapPath ?? options.importMapPath ?? null,
    usesNodeHttp: mentionsNodeHttp(parent(entry)),
  };
}

function configAbove(folder: string): string | null {
  for (let at = folder; at !== "/"; at = parent(at)) {
    for (const name of ["deno.json", "deno.jsonc"]) if (isFile(`${at}/${name}`)) return `${at}/${name}`;
  }
  return null;
}

/** Loading node:http doubles the start of a worker; it is prepared only where it may be used. */
export function mentionsNodeHttp(folder: string): boolean {
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory && entry.name !== "node_modules" && mentionsNodeHttp(path)) return true;
    if (entry.isFile && /\.([mc]?[jt]sx?|jsonc?)$/.test(path) && /["'](node:https?|npm:|https?["'])/.test(Deno.readTextFileSync(path))) {
      return true;
    }
  }
  return false;
}

export function globToRegExp(pattern: string): RegExp {
  const source = pattern.replace(/\*\*\/|\*\*|\*|\?|\[!?[^\]]+\]|[^*?[]+|\[/g, (part) => {
    if (part === "**/") return "(?:.*/)?";
    if (part === "**") return ".*";
    if (part === "*") return "[^/]*";
    if (part === "?") return "[^/]";
    if (part.length > 2 && part.startsWith("[")) return part.replace("[!", "[^");
    return part.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  });
  return new RegExp(`^${source}$`);
}
