// Functions that arrive as eszip bundles: as the CLI sends them where Docker is (tests/clients/bin/docker stands in for it), and
// byte by byte as anything else may send them.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { CLI_VERSIONS, onlyNewest, ROOT, startStack } from "../lib/stack.mjs";
import { functionFiles, makeProject, write } from "./project.mjs";

const PATH = `${path.join(ROOT, "tests/clients/bin")}:${process.env.PATH}`;
const TYPE = "application/vnd.denoland.eszip";
const fixture = (name) => fs.readFileSync(path.join(ROOT, "tests/fixtures/eszip", name));
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

for (const version of Object.keys(CLI_VERSIONS)) {
  describe(`Supabase CLI ${version} with Docker`, onlyNewest(version), () => {
    let stack, folder;
    const INDEX = "supabase/functions/one/index.ts";
    const answering = (text) => `import { suffix } from "../_shared/suffix.ts";\nDeno.serve(() => new Response("${text}" + suffix));\n`;

    before(async () => {
      stack = await startStack();
      folder = makeProject(stack, { [INDEX]: answering("one"), "supabase/functions/_shared/suffix.ts": 'export const suffix: string = "!";\n' });
    });
    after(() => stack?.stop());

    const cli = (...args) => stack.cli(["functions", ...args, "--project-ref", stack.ref, "--yes"], { version, cwd: folder, env: { PATH } });
    const deploy = async () => {
      const done = await cli("deploy", "one");
      assert.equal(done.code, 0, done.stderr);
      return done.stderr;
    };
    const listed = async () => (await stack.api("GET", "functions")).json;

    test("a new function is bundled, sent, listed with its digest, and answers", async () => {
      assert.match(await deploy(), /Bundling Function: one/);
      assert.equal((await stack.call("one")).text, "one!");
      const [one] = await listed();
      const body = await stack.api("GET", "functions/one/body");
      assert.equal(body.headers["content-type"], TYPE);
      assert.equal(body.bytes.subarray(0, 4).toString(), "EZBR");
      assert.equal(one.ezbr_sha256, sha256(body.bytes));
      assert.equal(one.version, 1);
    });

    test("unchanged, it is not sent again", async () => {
      assert.match(await deploy(), /No change found in Function: one/);
      assert.equal((await listed())[0].version, 1);
    });

    test("changed, it is updated and answers with the new code", async () => {
      write(folder, { [INDEX]: answering("two") });
      await deploy();
      assert.equal((await stack.call("one")).text, "two!");
      assert.equal((await listed())[0].version, 2);
    });

    test("from then on by source, and back", async () => {
      write(folder, { [INDEX]: answering("source") });
      const done = await cli("deploy", "one", "--use-api");
      assert.equal(done.code, 0, done.stderr);
      assert.equal((await stack.call("one")).text, "source!");
      assert.equal((await listed())[0].ezbr_sha256, undefined);
      write(folder, { [INDEX]: answering("bundle") });
      await deploy();
      assert.equal((await stack.call("one")).text, "bundle!");
      assert.equal((await listed())[0].version, 4);
    });

    test("its sources come back as they were written, under their own paths", async () => {
      const target = makeProject(stack, {});
      const done = await stack.cli(["functions", "download", "one", "--use-api", "--project-ref", stack.ref], { version, cwd: target });
      assert.equal(done.code, 0, done.stderr);
      assert.deepEqual(functionFiles(target), functionFiles(folder));
      const client = await stack.mcp();
      const { content } = await client.callTool({ name: "get_edge_function", arguments: { function_slug: "one" } });
      assert.match(content[0].text, /answering|bundle/);
      assert.match(content[0].text, /export const suffix: string/);
    });

    test("what does not boot is refused in words, and the version before still answers", async () => {
      write(folder, { [INDEX]: 'throw new Error("not today");\n' });
      const done = await cli("deploy", "one");
      assert.equal(done.code, 1);
      assert.match(done.stderr, /The function does not boot: .*not today/);
      assert.equal((await stack.call("one")).text, "bundle!");
    });
  });
}

describe("eszip bundles", () => {
  let stack;
  before(async () => stack = await startStack({ options: { max_eszip_bytes: "1M" } }));
  after(() => stack?.stop());

  const hello = fixture("hello.ezbr");
  const send = (method, target, body, query = {}, headers = { "content-type": TYPE }) => stack.api(method, `${target}?${new URLSearchParams({
    slug: "bundled", name: "Bundled", verify_jwt: "false", import_map: "false", entrypoint_path: "file:///src/index.ts", ...query,
  })}`, { body, headers });

  test("POST creates; the body comes back as it was sent", async () => {
    const created = await send("POST", "functions", hello, { ezbr_sha256: sha256(hello) });
    assert.equal(created.status, 201, created.text);
    assert.equal(created.json.ezbr_sha256, sha256(hello));
    assert.equal(created.json.name, "Bundled");
    assert.equal(created.json.entrypoint_path, "file:///src/index.ts");
    assert.equal(created.json.verify_jwt, false);
    assert.equal((await stack.call("bundled", { token: null })).text, "Hello, world");
    for (const accept of [undefined, "*/*", TYPE, `multipart/form-data;q=0.5, ${TYPE}`]) {
      const body = await stack.api("GET", "functions/bundled/body", { headers: accept ? { accept } : {} });
      assert.equal(body.status, 200, accept);
      assert.deepEqual(body.bytes, hello, accept);
    }
  });

  test("where only sources are accepted, they are a form as that of a source deploy", async () => {
    for (const target of ["functions/bundled/body", "functions/bundled/versions/1/body"]) {
      const body = await stack.api("GET", target, { headers: { accept: "multipart/form-data" } });
      assert.equal(body.status, 200, body.text);
      const form = await new Response(body.bytes, { headers: { "content-type": body.headers["content-type"] } }).formData();
      const metadata = JSON.parse(form.get("metadata"));
      assert.equal(metadata.deno2_entrypoint_path, "source/index.ts");
      assert.equal(metadata.module_count, 2);
      const files = Object.fromEntries(await Promise.all(form.getAll("file").map(async (file) => [file.name, await file.text()])));
      assert.deepEqual(files, {
        "source/index.ts": 'import { greet } from "./greet.ts";\nDeno.serve(() => new Response(greet("world")));\n',
        "source/greet.ts": "export const greet = (name: string): string => `Hello, ${name}`;\n",
      });
    }
  });

  test("POST of a slug that is there is a 409 with the words the CLI looks for", async () => {
    const again = await send("POST", "functions", hello);
    assert.equal(again.status, 409);
    assert.match(again.json.message, /Duplicated function slug/);
  });

  test("PATCH replaces it; of what is not there it is a 404", async () => {
    const source = await stack.deploy("other", 'Deno.serve(() => new Response("source"));', { verify_jwt: false });
    assert.equal(source.status, 201);
    const changed = await send("PATCH", "functions/other", hello, { slug: "other", name: "other" });
    assert.equal(changed.status, 200, changed.text);
    assert.equal(changed.json.version, 2);
    assert.equal((await stack.call("other", { token: null })).text, "Hello, world");
    assert.equal((await send("PATCH", "functions/absent", hello, { slug: "absent" })).status, 404);
  });

  test("PATCH of verify_jwt alone keeps the bundle", async () => {
    const closed = await stack.api("PATCH", "functions/bundled", { body: { verify_jwt: true } });
    assert.equal(closed.status, 200, closed.text);
    assert.equal(closed.json.ezbr_sha256, sha256(hello));
    assert.equal((await stack.call("bundled", { token: null })).status, 401);
    assert.equal((await stack.call("bundled")).text, "Hello, world");
  });

  test("a raw eszip without the brotli frame is as good", async () => {
    const raw = await send("POST", "functions", fixture("hello.eszip"), { slug: "raw" });
    assert.equal(raw.status, 201, raw.text);
    assert.equal((await stack.call("raw", { token: null })).text, "Hello, world");
  });

  test("what is no good bundle is refused, and nothing of it stays", async () => {
    const before = (await stack.api("GET", "functions")).json;
    const damaged = Buffer.from(hello);
    damaged[damaged.length - 20] ^= 0xff;
    const cases = [
      ["wrong digest", hello, { ezbr_sha256: "0".repeat(64) }, 422, "digest_mismatch"],
      ["entry point not inside", hello, { entrypoint_path: "file:///src/absent.ts" }, 422],
      ["no entry point", hello, { entrypoint_path: "" }, 422, "no_entrypoint"],
      ["damaged", damaged, {}, 422],
      ["cut off", hello.subarray(0, hello.length / 2), {}, 422],
      ["empty", Buffer.alloc(0), {}, 422],
      ["not a bundle", Buffer.from("Deno.serve(() => new Response());"), {}, 422],
      ["a bomb", fixture("bomb.ezbr"), {}, 413],
    ];
    for (const [what, body, query, status, code] of cases) {
      const refused = await send("POST", "functions", body, { slug: "bad", ...query });
      assert.equal(refused.status, status, `${what}: ${refused.text}`);
      if (code) assert.equal(refused.json.code, code, what);
      assert.ok(refused.json.message.length > 10, what);
    }
    assert.deepEqual((await stack.api("GET", "functions")).json, before);
    assert.equal((await stack.call("bad")).status, 404);
    assert.deepEqual(await stack.sql("SELECT 1 FROM functions_admin.edge_functions WHERE slug = 'bad'"), []);
    assert.equal(fs.existsSync(path.join(stack.functionsDir, "bad")), false);
    assert.equal(fs.existsSync(path.join(stack.functionsDir, ".releases/bad")), false);
  });
});
