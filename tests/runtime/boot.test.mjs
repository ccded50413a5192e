// The boot check, the internal endpoints, and what a caller sees of a version that fails.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { boot, FunctionsFolder, isStandIn, startRuntime } from "../lib/runtime.mjs";

describe("boot", () => {
  const functions = new FunctionsFolder();
  let runtime;
  let last = 0;
  before(async () => {
    runtime = await startRuntime({ functionsDir: functions.folder });
  });
  after(async () => {
    await runtime?.stop();
    functions.remove();
  });

  const check = async (files, more) => {
    const { status, body } = await boot(runtime, "fn", functions.stage("fn", ++last, files, more));
    assert.equal(status, 200);
    return body;
  };

  const full = {
    "serve(handler)": `Deno.serve(() => new Response("x"));`,
    "serve(options, handler)": `Deno.serve({ port: 1234, onListen() {} }, () => new Response("x"));`,
    "serve({ handler })": `Deno.serve({ handler: () => new Response("x"), onError: () => new Response("e") });`,
    "serve({ handler }) of a class": `class S { handler() { return new Response(this.word); } word = "x" } Deno.serve(new S());`,
    "export default { fetch }": `export default { fetch() { return new Response("x"); } };`,
    "a handler that throws, since it is not called": `Deno.serve(() => { throw new Error("never"); });`,
    "a serve after a top-level await": `await new Promise((r) => setTimeout(r, 20)); Deno.serve(() => new Response("x"));`,
    "a function that says its default export is null": `export default null; Deno.serve(() => new Response("x"));`,
  };
  for (const [name, code] of Object.entries(full)) {
    it(`checks ${name} fully`, async () => {
      const body = await check(code);
      assert.equal(body.ok, true, JSON.stringify(body));
      assert.equal(body.check, "full");
    });
  }

  it("keeps `this` and the answers of each way to serve", async () => {
    for (const [name, code] of Object.entries(full)) {
      if (name.includes("throws")) continue;
      functions.deploy("fn", ++last, code);
      assert.equal(await (await fetch(`${runtime.url}/fn`)).text(), "x", name);
    }
  });

  it("checks a node:http server weakly", async () => {
    const body = await check(`
      import { createServer } from "node:http";
      createServer((request, response) => response.end(request.method)).listen(8000);`);
    assert.equal(body.ok, true, JSON.stringify(body));
    assert.equal(body.check, "weak");
  });
  it("checks a server on Deno.listen weakly, with an OPTIONS", async () => {
    const version = functions.stage("fn", ++last, `
      const methods = [];
      (async () => {
        for await (const conn of Deno.listen({ port: 8000 })) {
          (async () => {
            const buffer = new Uint8Array(65536);
            const count = await conn.read(buffer);
            methods.push(new TextDecoder().decode(buffer.subarray(0, count ?? 0)).split(" ")[0]);
            const body = methods.join();
            await conn.write(new TextEncoder().encode(
              "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: " + body.length + "\\r\\n\\r\\n" + body));
            conn.close();
          })();
        }
      })();`);
    const { body } = await boot(runtime, "fn", version);
    assert.equal(body.ok, true, JSON.stringify(body));
    assert.equal(body.check, "weak");
    functions.activate({ fn: version });
    assert.equal(await (await fetch(`${runtime.url}/fn`)).text(), "OPTIONS,GET");
  });

  const bad = {
    "a syntax error": [`const x = ;`, "InvalidWorkerCreation", /Expression expected/],
    "an import that is not there": [`import "./nope.ts"; Deno.serve(() => new Response());`, "InvalidWorkerCreation", /nope\.ts/],
    "a name that is not exported": [
      { "index.ts": `import { nope } from "./a.ts"; Deno.serve(() => new Response(nope));`, "a.ts": "export const x = 1;" },
      "InvalidWorkerCreation",
      /nope/,
    ],
    "a bare import without a map": [`import "nowhere"; Deno.serve(() => new Response());`, "InvalidWorkerCreation", /nowhere/],
    "a throw at the top level": [`throw new RangeError("boom at the top");`, "InvalidWorkerResponse", /boom at the top/],
    "a rejected top-level await": [`await Promise.reject(new Error("late boom"));`, "InvalidWorkerResponse", /late boom/],
    "a default export whose fetch is none": [`export default { fetch: 1 };`, "InvalidWorkerResponse", /Invalid type for fetch/],
  };
  for (const [name, [files, error, message]] of Object.entries(bad)) {
    it(`refuses ${name}`, async () => {
      const body = await check(files);
      assert.equal(body.ok, false, JSON.stringify(body));
      assert.equal(body.error.name, error);
      assert.match(body.error.message, message);
      assert.ok(!body.error.message.includes(functions.folder), "names no path of this host");
    });
  }
  it("refuses a module that never listens", { skip: !isStandIn && "takes the real runtime 20 seconds" }, async () => {
    const body = await check(`console.log("nothing to serve");`);
    assert.equal(body.ok, false);
    assert.match(body.error.message, /listen/);
  });
  it("does not evaluate what it cannot link", async () => {
    await check(`import "./nope.ts"; console.error("EVALUATED");`);
    assert.ok(!runtime.log().includes("EVALUATED"));
  });

  it("keeps an old version serving while a new one fails to boot", async () => {
    functions.deploy("steady", 1, `Deno.serve(() => new Response("old"));`);
    assert.equal((await boot(runtime, "steady", functions.stage("steady", 2, "throw 1"))).body.ok, false);
    assert.equal(await (await fetch(`${runtime.url}/steady`)).text(), "old");
  });

  it("maps failures to the answers that Supabase's clients know", async () => {
    functions.deploy("unlinked", 1, `import "./nope.ts";`);
    functions.deploy("throws", 1, `throw new Error("SECRET DETAIL");`);
    for (const [slug, status, body] of [
      ["unlinked", 503, { code: "BOOT_ERROR", message: "Worker failed to boot (please check logs)" }],
      ["throws", 500, { code: "WORKER_ERROR", message: "Function exited due to an error (please check logs)" }],
    ]) {
      const response = await fetch(`${runtime.url}/${slug}`);
      assert.equal(response.status, status);
      assert.equal(response.headers.get("x-edge-function"), `${slug}; version=1`);
      assert.deepEqual(await response.json(), body);
    }
  });

  it("cannot be asked for by a caller: the header never reaches a function", async () => {
    functions.deploy("heads", 1, `Deno.serve((r) => Response.json([...r.headers.keys()]));`);
    const names = await (await fetch(`${runtime.url}/heads`, {
      headers: { "x-functions-admin-boot": "guess", "x-functions-admin-token": runtime.token, "x-other": "1" },
    })).json();
    assert.ok(names.includes("x-other"));
    assert.deepEqual(names.filter((name) => name.startsWith("x-functions-admin-")), []);
  });
  it("leaves no trace of its secret in the function's environment", async () => {
    functions.deploy("bare", 1, `
      const atStart = Deno.env.toObject();
      Deno.serve(() => Response.json([...Object.keys(atStart), ...Object.keys(Deno.env.toObject())]));`);
    const names = await (await fetch(`${runtime.url}/bare`)).json();
    assert.deepEqual(names.filter((name) => name.startsWith("FUNCTIONS_ADMIN")), []);
  });

  describe("internal endpoints", () => {
    it("are closed without the token", async () => {
      const staged = functions.stage("fn", ++last, `Deno.serve(() => new Response());`);
      for (const token of ["", "x", `${runtime.token}x`, runtime.token.slice(0, -1), runtime.token.toUpperCase() + " "]) {
        assert.equal((await boot(runtime, "fn", staged, token)).status, 403);
      }
      for (const path of ["generation", "metric", "nothing", "boot"]) {
        assert.equal((await fetch(`${runtime.url}/_internal/${path}`)).status, 403, path);
      }
    });
    const trusted = () => ({ "x-functions-admin-token": runtime.token });

    it("tell the generation that is served", async () => {
      for (let i = 0; i < 5; i++) {
        const generation = functions.activate();
        const response = await fetch(`${runtime.url}/_internal/generation`, { headers: trusted() });
        assert.deepEqual(await response.json(), { project: "abcdefghijklmnopqrst", generation, secrets_revision: 0 });
      }
    });
    it("tell health to anyone, and metrics with the token", async () => {
      assert.deepEqual(await (await fetch(`${runtime.url}/_internal/health`)).json(), { message: "ok" });
      const metric = await (await fetch(`${runtime.url}/_internal/metric`, { headers: trusted() })).json();
      assert.equal(typeof metric.activeUserWorkersCount, "number");
    });
    it("answer 404 and 400 to what they do not understand", async () => {
      assert.equal((await fetch(`${runtime.url}/_internal/nothing`, { headers: trusted() })).status, 404);
      const good = functions.stage("fn", ++last, `Deno.serve(() => new Response());`);
      for (const [slug, version] of [
        ["main", good], ["../x", good], ["_x", good], ["fn", null], ["fn", { ...good, path: "../../etc" }],
        ["fn", { ...good, path: ".releases/../../x" }], ["fn", { ...good, entrypoint: "source/../../x.ts" }],
        ["fn", { ...good, entrypoint: "/etc/passwd" }], ["fn", { ...good, kind: "other" }],
        ["fn", { ...good, version: 0 }], ["fn", { ...good, verify_jwt: "yes" }],
        ["fn", { ...good, import_map: "../deno.json" }], ["fn", { ...good, static_patterns: ["/etc/*"] }],
      ]) {
        assert.equal((await boot(runtime, slug, version)).status, 400, `${slug} ${JSON.stringify(version)}`);
      }
      const response = await fetch(`${runtime.url}/_internal/boot`, { method: "POST", headers: trusted(), body: "{" });
      assert.equal(response.status, 400);
    });
  });
});

describe("the runtime token", () => {
  it("is read from its file where the environment has none, and closes all where there is neither", async () => {
    const functions = new FunctionsFolder();
    const runtime = await startRuntime({ functionsDir: functions.folder, env: { FUNCTIONS_ADMIN_RUNTIME_TOKEN: "" } });
    try {
      const ask = async (token) =>
        (await fetch(`${runtime.url}/_internal/generation`, { headers: { "x-functions-admin-token": token } })).status;
      assert.equal(await ask(""), 403);
      const { replaceFile } = await import("../lib/runtime.mjs");
      replaceFile(`${functions.folder}/.functions-admin/runtime-token`, "of-the-file\n", 0o600);
      assert.equal(await ask("of-the-file"), 200);
      assert.equal(await ask("other"), 403);
    } finally {
      await runtime.stop();
      functions.remove();
    }
  });
});
