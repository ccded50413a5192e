// Releases under a main service like Supabase's own, which knows nothing but a folder for each name.
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, it } from "node:test";
import { FunctionsFolder, makeFolder, startRuntime, STOCK_SERVICE } from "../lib/runtime.mjs";

describe("under a stock main service", () => {
  const functions = new FunctionsFolder();
  const service = makeFolder();
  let runtime;
  before(async () => {
    fs.writeFileSync(path.join(service, "index.ts"), STOCK_SERVICE);
    runtime = await startRuntime({ functionsDir: functions.folder, mainService: service });
  });
  after(async () => {
    await runtime?.stop();
    functions.remove();
    fs.rmSync(service, { recursive: true, force: true });
  });

  const files = {
    "supabase/functions/hello/index.ts": `import { word } from "words"; Deno.serve((r) => new Response(word + r.headers.get("x-functions-admin-boot")));`,
    "supabase/functions/hello/deno.json": `{ "imports": { "words": "./words.ts" } }`,
    "supabase/functions/hello/words.ts": `export const word: string = "stock ";`,
  };
  const where = {
    entrypoint: "source/supabase/functions/hello/index.ts",
    import_map: "source/supabase/functions/hello/deno.json",
  };

  it("a release in a folder of its own runs, with its import map, and no boot header has an effect", async () => {
    const version = functions.stage("plain", 1, files, where);
    fs.cpSync(path.join(functions.folder, version.path), path.join(functions.folder, "plain"), { recursive: true });
    const response = await fetch(`${runtime.url}/plain`, { headers: { "x-functions-admin-boot": "guess" } });
    assert.equal(await response.text(), "stock guess");
  });

  it("a folder that only points into the release runs", async () => {
    const version = functions.stage("points", 1, files, where);
    const folder = path.join(functions.folder, "points");
    fs.mkdirSync(folder);
    fs.writeFileSync(path.join(folder, "index.ts"), `export { default } from "../${version.path}/index.ts";\n`);
    fs.writeFileSync(path.join(folder, "deno.json"), JSON.stringify({ importMap: `../${version.path}/${version.import_map}`, lock: false }));
    assert.equal(await (await fetch(`${runtime.url}/points`)).text(), "stock null");
  });

  it("a folder that is a symbolic link is not found in its own module graph", async () => {
    const version = functions.stage("linked", 1, files, where);
    fs.symlinkSync(version.path, path.join(functions.folder, "linked"));
    const response = await fetch(`${runtime.url}/linked`);
    assert.equal(response.status, 500);
    assert.match((await response.json()).msg, /InvalidWorkerCreation.*Module not found/);
  });

  it("export default { fetch } is served through the shim", async () => {
    const version = functions.stage("declared", 1, `export default { fetch: () => new Response("declared") };`);
    fs.cpSync(path.join(functions.folder, version.path), path.join(functions.folder, "declared"), { recursive: true });
    assert.equal(await (await fetch(`${runtime.url}/declared`)).text(), "declared");
  });

  it("a bundle says that it needs our main service", async () => {
    const version = functions.stageBundle("zip", 1, Buffer.from("x"), "file:///src/index.ts");
    fs.cpSync(path.join(functions.folder, version.path), path.join(functions.folder, "zip"), { recursive: true });
    const response = await fetch(`${runtime.url}/zip`);
    assert.equal(response.status, 501);
    assert.equal((await response.json()).code, "BUNDLE_NEEDS_MAIN_SERVICE");
  });
});
