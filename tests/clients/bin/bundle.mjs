// What the Supabase CLI needs of Docker to bundle a function: it answers that it runs, and does the runtime's `bundle` itself, of
// functions made of local files. So the CLI takes its other way of deploying where no Docker is.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "@deno/eszip";

const args = process.argv.slice(2);
const option = (name) => args[args.indexOf(name) + 1];

if (args[0] === "run" && args.includes("bundle")) {
  const bundle = await build([pathToFileURL(option("--entrypoint")).href], async (specifier) => ({
    kind: "module", specifier, content: await readFile(fileURLToPath(specifier), "utf8"),
  }));
  await writeFile(option("--output"), bundle);
} else if (args[0] === "run") {
  console.error(`this docker bundles only: ${args.join(" ")}`);
  process.exit(1);
}
