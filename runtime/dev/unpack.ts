// Writes the modules of an eszip bundle, which comes on standard input, to files below a folder, and prints
// the file of the entrypoint. A process of its own: the parser ends the process on bytes it does not like.
import { Parser } from "@deno/eszip";

/** A module's place below the folder: its path without scheme, never outside. */
function placeOf(specifier: string): string | null {
  if (/^(https?|npm|node|jsr|data|static|vfs):/.test(specifier) || specifier.startsWith("---")) return null;
  const path = decodeURIComponent(new URL(specifier, "file:///").pathname);
  return path === "/" || path.split("/").includes("..") ? null : path;
}

const [folder, entrypoint] = Deno.args;
const bytes = new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer());
const parser = await Parser.createInstance();
const specifiers: string[] = await parser.parseBytes(bytes);
await parser.load();

const wanted = placeOf(entrypoint);
let entry: string | null = null;
for (const specifier of specifiers) {
  const place = placeOf(specifier);
  if (place === null) continue;
  const path = folder + place;
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  Deno.writeTextFileSync(path, await parser.getModuleSource(specifier));
  // The program that made the bundle may have stored its modules relative to a folder of its own.
  if (wanted !== null && (place === wanted || wanted.endsWith(place))) entry ??= path;
}
console.log(JSON.stringify({ entry }));
