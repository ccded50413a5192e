// What passes between a caller and a function, and what is answered in a function's place.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { once } from "node:events";
import * as fs from "node:fs";
import * as http from "node:http";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import { boot, FunctionsFolder, isStandIn, makeFolder, program, startRuntime } from "../lib/runtime.mjs";

describe("calls", () => {
  const functions = new FunctionsFolder();
  let runtime;
  before(async () => {
    runtime = await startRuntime({ functionsDir: functions.folder });
  });
  after(async () => {
    await runtime?.stop();
    functions.remove();
  });

  it("are 404 where no function is, and say so", async () => {
    for (const slug of ["nothing", "main", "_shared", ".releases", ".functions-admin", "..%2fmain", "%00", "1digit", "a.b"]) {
      const response = await fetch(`${runtime.url}/${slug}`);
      assert.equal(response.status, 404, slug);
      const body = await response.json();
      assert.equal(body.code, "NOT_FOUND");
      assert.match(body.message, /function/i);
    }
    const response = await fetch(`${runtime.url}/`);
    assert.equal(response.status, 400);
    assert.equal((await response.json()).code, "BAD_REQUEST");
  });

  it("pass method, path, query, headers and body on, and status and headers back", async () => {
    functions.deploy("echo", 1, `Deno.serve(async (request) => {
      const url = new URL(request.url);
      return Response.json({
        method: request.method, path: url.pathname + url.search, a: request.headers.get("x-a"), body: await request.text(),
      }, { status: 418, headers: { "x-b": "c", "set-cookie": "k=v" } });
    });`);
    const response = await fetch(`${runtime.url}/echo/deep/er%2Fpath?q=%20x`, { method: "PATCH", body: "böse", headers: { "x-a": "1" } });
    assert.equal(response.status, 418);
    assert.equal(response.headers.get("x-b"), "c");
    assert.equal(response.headers.get("set-cookie"), "k=v");
    assert.equal(response.headers.get("x-edge-function"), "echo; version=1");
    assert.deepEqual(await response.json(), { method: "PATCH", path: "/echo/deep/er%2Fpath?q=%20x", a: "1", body: "böse" });
  });

  it("carry answers without a body, redirects, and HEAD", async () => {
    functions.deploy("kinds", 1, `Deno.serve((request) => {
      const what = new URL(request.url).pathname.split("/")[2];
      if (what === "302") return Response.redirect("http://elsewhere.test/", 302);
      return new Response(what === "head" ? "body" : null, { status: what === "head" ? 200 : Number(what) });
    });`);
    for (const status of [204, 304]) assert.equal((await fetch(`${runtime.url}/kinds/${status}`)).status, status);
    const redirect = await fetch(`${runtime.url}/kinds/302`, { redirect: "manual" });
    assert.equal(redirect.status, 302);
    assert.equal(redirect.headers.get("location"), "http://elsewhere.test/");
    const head = await fetch(`${runtime.url}/kinds/head`, { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });

  it("carry a large body both ways", async () => {
    functions.deploy("large", 1, `Deno.serve((request) => new Response(request.body));`);
    const body = Buffer.alloc(8 * 1024 * 1024, "0123456789abcdef");
    const response = await fetch(`${runtime.url}/large`, { method: "POST", body });
    assert.ok(body.equals(Buffer.from(await response.arrayBuffer())));
  });

  it("stream: the first part of an answer comes before the last part of the question is sent", async () => {
    functions.deploy("stream", 1, `Deno.serve((request) => new Response(request.body));`);
    const { readable, writable } = new TransformStream();
    const writer = writable.getWriter();
    const pending = fetch(`${runtime.url}/stream`, { method: "POST", body: readable, duplex: "half" });
    await writer.write(new TextEncoder().encode("first"));
    const response = await pending;
    const reader = response.body.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), "first");
    await writer.write(new TextEncoder().encode("second"));
    assert.equal(new TextDecoder().decode((await reader.read()).value), "second");
    await writer.close();
    assert.equal((await reader.read()).done, true);
  });

  it("upgrade to a WebSocket", async () => {
    functions.deploy("socket", 1, `Deno.serve((request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onopen = () => socket.send("hello");
      socket.onmessage = ({ data }) => socket.send("got " + data);
      return response;
    });`);
    const { hostname, port } = new URL(runtime.url);
    const [response, socket, head] = await new Promise((resolve, reject) => {
      http.get({
        hostname, port, path: "/socket",
        headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": 13, "sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg==" },
      }, (response) => reject(new Error(`no upgrade but ${response.statusCode}`)))
        .on("upgrade", (...all) => resolve(all)).on("error", reject);
    });
    assert.equal(response.statusCode, 101);
    let bytes = head;
    const received = async (text) => {
      // A short text frame of a server: 0x81, its length, the text.
      const frame = Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]);
      while (!bytes.includes(frame)) bytes = Buffer.concat([bytes, (await once(socket, "data"))[0]]);
    };
    await received("hello");
    // And of a client: the same with a mask, here of zeros.
    socket.write(Buffer.concat([Buffer.from([0x81, 0x84, 0, 0, 0, 0]), Buffer.from("this")]));
    await received("got this");
    socket.destroy();
  });

  it("reach functions that use packages from npm", async (t) => {
    const version = functions.stage("express", 1, `
      import express from "npm:express@4.21.2";
      const app = express();
      app.get("*", (request, response) => response.send("express " + request.path));
      app.listen(3000);`);
    const { body } = await boot(runtime, "express", version);
    if (/error sending request/.test(body.error?.message)) return t.skip("no npm registry is reachable");
    assert.equal(body.ok, true, JSON.stringify(body));
    assert.equal(body.check, "weak");
    functions.activate({ express: version });
    assert.equal(await (await fetch(`${runtime.url}/express/x`)).text(), "express /express/x");
  });

  it("reach functions in a folder that is named through a symbolic link", async () => {
    const parent = makeFolder(), link = path.join(parent, "functions");
    fs.symlinkSync(functions.folder, link);
    functions.deploy("behind", 1, `Deno.serve(() => new Response("behind"));`);
    const other = await startRuntime({ functionsDir: link });
    assert.equal(await (await fetch(`${other.url}/behind`)).text(), "behind");
    await other.stop();
    fs.rmSync(parent, { recursive: true });
  });

  it("use the import map, code beside the function, and static files", async () => {
    const files = {
      "supabase/functions/mapped/index.ts": `
        import { word } from "words";
        import { shared } from "../_shared/x.ts";
        const text = await Deno.readTextFile(new URL("./page.html", import.meta.url));
        const hidden = await Deno.readTextFile(new URL("./hidden.txt", import.meta.url)).catch((e) => e.name);
        Deno.serve(() => Response.json([word, shared, text, hidden]));`,
      "supabase/functions/mapped/deno.json": `{ "imports": { "words": "./lib/words.ts" } }`,
      "supabase/functions/mapped/lib/words.ts": `export const word: string = "mapped";`,
      "supabase/functions/mapped/page.html": "<p>",
      "supabase/functions/mapped/hidden.txt": "hidden",
      "supabase/functions/_shared/x.ts": `export const shared = "shared";`,
    };
    functions.deploy("mapped", 1, files, {
      entrypoint: "source/supabase/functions/mapped/index.ts",
      import_map: "source/supabase/functions/mapped/deno.json",
      static_patterns: ["source/supabase/functions/mapped/*.html"],
    });
    const response = await fetch(`${runtime.url}/mapped`);
    assert.deepEqual(await response.json(), ["mapped", "shared", "<p>", "NotFound"]);
  });

  it("may write to /tmp and nowhere else", async () => {
    functions.deploy("writes", 1, `Deno.serve(async () => {
      await Deno.writeTextFile("/tmp/x", "kept");
      const outside = await Deno.writeTextFile("/var/tmp/functions-admin-escape", "x").then(() => "written", () => "refused");
      return Response.json([await Deno.readTextFile("/tmp/x"), outside]);
    });`);
    assert.deepEqual(await (await fetch(`${runtime.url}/writes`)).json(), ["kept", "refused"]);
    assert.ok(!fs.existsSync("/var/tmp/functions-admin-escape"));
  });

  it("answer 546 when the time of a worker is up", async () => {
    functions.deploy("slow", 1, `Deno.serve(() => new Promise(() => setInterval(() => {}, 1000)));`, { limits: { wall_ms: 400 } });
    const response = await fetch(`${runtime.url}/slow`);
    assert.equal(response.status, 546);
    assert.deepEqual(await response.json(), {
      code: "WORKER_LIMIT",
      message: "Worker failed to respond due to a resource limit (please check logs)",
    });
  });
  it("answer 546 when its processor time is used up, and go on for others", async () => {
    functions.deploy("busy", 1, `Deno.serve(() => { for (;;); });`, { limits: { cpu_soft_ms: 500, cpu_hard_ms: 1000 } });
    functions.deploy("fine", 1, `Deno.serve(() => new Response("fine"));`);
    const busy = fetch(`${runtime.url}/busy`);
    assert.equal(await (await fetch(`${runtime.url}/fine`)).text(), "fine");
    assert.equal((await busy).status, 546);
  });
  it("answer 546 when its memory is used up", async () => {
    functions.deploy("greedy", 1, `Deno.serve(() => {
      const kept = [];
      for (;;) kept.push(Array.from({ length: 1e5 }, (_, i) => ({ i })));
    });`, { limits: { memory_mb: 30 } });
    assert.equal((await fetch(`${runtime.url}/greedy`)).status, 546);
  });
  it("get a new worker when the one before has retired", async () => {
    functions.deploy("short", 1, `const id = crypto.randomUUID(); Deno.serve(() => new Response(id));`, { limits: { wall_ms: 300 } });
    const seen = new Set();
    const deadline = Date.now() + 10_000;
    while (seen.size < 3 && Date.now() < deadline) {
      const response = await fetch(`${runtime.url}/short`);
      assert.equal(response.status, 200);
      seen.add(await response.text());
    }
    assert.ok(seen.size >= 3);
  });

  it("are refused where the import policy forbids what a version imports", async () => {
    const cases = [
      [`import "npm:left-pad@1.3.0";`, { npm: false }, /npm:/],
      [`import "jsr:@std/path";`, { jsr: false }, /jsr:/],
      [`import "https://example.test/x.ts";`, { remote: false }, /https:/],
    ];
    let n = 0;
    for (const [code, imports, message] of cases) {
      const version = functions.stage("policy", ++n, `${code} Deno.serve(() => new Response("x"));`, { imports });
      const { body } = await boot(runtime, "policy", version);
      assert.equal(body.error?.name, "InvalidWorkerCreation", JSON.stringify(body));
      assert.match(body.error.message, message);
      assert.match(body.error.message, /^index\.ts imports from/);
      functions.activate({ policy: version });
      assert.equal((await fetch(`${runtime.url}/policy`)).status, 503);
    }
    const version = functions.stage("policy", ++n, `
      // Mentions of https://example.test are no imports.
      const link = "https://example.test/";
      Deno.serve(() => new Response(link));`, { imports: { npm: false, jsr: false, remote: false } });
    functions.activate({ policy: version });
    assert.equal(await (await fetch(`${runtime.url}/policy`)).text(), "https://example.test/");
  });

  describe("to bundles", () => {
    const modules = path.join(path.dirname(program), "node_modules");
    const skip = !fs.existsSync(path.join(modules, "@deno/eszip")) && isStandIn && "npm ci was not run in runtime/dev";
    const bundle = async (files, entrypoint) => {
      const { build } = await import(pathToFileURL(path.join(modules, "@deno/eszip/esm/mod.js")));
      return Buffer.from(await build([entrypoint], (specifier) =>
        Promise.resolve({ kind: "module", specifier, content: files[specifier] ?? assert.fail(specifier) })));
    };

    it("run them, and boot them weakly", { skip }, async () => {
      const entrypoint = "file:///src/functions/zip/index.ts";
      const bytes = await bundle({
        [entrypoint]: `import { word } from "../_shared/word.ts"; Deno.serve((r: Request) => new Response(r.method + " " + word + Object.keys(Deno.env.toObject()).some((n) => n.startsWith("FUNCTIONS_ADMIN"))));`,
        "file:///src/functions/_shared/word.ts": `export const word: string = "zipped ";`,
      }, entrypoint);
      const version = functions.stageBundle("zip", 1, bytes, entrypoint);
      const { body } = await boot(runtime, "zip", version);
      assert.equal(body.ok, true, JSON.stringify(body));
      assert.equal(body.check, "weak");
      functions.activate({ zip: version });
      for (let i = 0; i < 3; i++) {
        const response = await fetch(`${runtime.url}/zip`);
        assert.equal(await response.text(), "GET zipped false");
        assert.equal(response.headers.get("x-edge-function"), "zip; version=1");
      }
    });
    it("refuse bytes that are no bundle, and an entrypoint that is not inside", { skip }, async () => {
      for (const [n, bytes, entrypoint] of [
        [2, Buffer.from("not a bundle"), "file:///src/index.ts"],
        [3, Buffer.alloc(0), "file:///src/index.ts"],
        [4, await bundle({ "file:///src/index.ts": "1" }, "file:///src/index.ts"), "file:///elsewhere/other.ts"],
      ]) {
        const version = functions.stageBundle("zip", n, bytes, entrypoint);
        const { body } = await boot(runtime, "zip", version);
        assert.equal(body.ok, false);
        assert.equal(body.error.name, "InvalidWorkerCreation");
      }
    });
    it("answer 503 when the bundle is gone", { skip }, async () => {
      const version = functions.stageBundle("zip", 9, Buffer.from("x"), "file:///src/index.ts");
      fs.rmSync(path.join(functions.folder, version.path, "bundle.eszip"));
      functions.activate({ zip: version });
      assert.equal((await fetch(`${runtime.url}/zip`)).status, 503);
    });
  });
});
