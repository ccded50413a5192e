// The import policy of a version. The runtime can forbid remote modules as a whole; the rest is checked
// on the release's own text, once for each worker key. That is enough: the runtime loads nothing that
// was not found by static analysis, so each module comes from a specifier written in a file or an import map.
import type { Version } from "./manifest.ts";
import { CannotBoot } from "./reply.ts";

const SOURCE = /\.(ts|tsx|mts|cts|js|jsx|mjs|cjs|json|jsonc)$/;

export function allowsRemote({ imports }: Version): boolean {
  return imports?.remote !== false || imports?.jsr !== false;
}

export function checkImports(folder: string, version: Version): void {
  const forbidden: [RegExp, string][] = [];
  if (version.imports?.npm === false) forbidden.push([/["'`]npm:/, "npm:"]);
  if (version.imports?.jsr === false) forbidden.push([/["'`]jsr:/, "jsr:"]);
  if (version.imports?.remote === false) {
    forbidden.push([/\b(?:from|import)\s*\(?\s*["'`]https?:/, "https:"]);
  }
  if (!forbidden.length || version.kind !== "source") return;

  for (const path of filesBelow(`${folder}/source`)) {
    if (!SOURCE.test(path)) continue;
    const text = Deno.readTextFileSync(path);
    for (const [pattern, what] of forbidden) {
      if (pattern.test(text)) {
        const name = path.slice(folder.length + "/source/".length);
        throw new CannotBoot(`${name} imports from ${what}, which the import policy of this function forbids`);
      }
    }
  }
}

function* filesBelow(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* filesBelow(path);
    else if (entry.isFile) yield path;
  }
}
