// New code at once, without a restart, under each policy of the runtime.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { boot, FunctionsFolder, startRuntime } from "../lib/runtime.mjs";

for (const policy of ["per_worker", "per_request", "oneshot"]) {
  describe(`policy ${policy}`, () => {
    const functions = new FunctionsFolder();
    let runtime;
    before(async () => {
      runtime = await startRuntime({ functionsDir: functions.folder, policy });
    });
    after(async () => {
      await runtime?.stop();
      functions.remove();
    });

    it("serves the version of each of a hundred alternating manifests with the very next call", async () => {
      const one = functions.stage("flip", 1, `Deno.serve(() => new Response("one"));`);
      const two = functions.stage("flip", 2, `Deno.serve(() => new Response("two"));`);
      for (let i = 0; i < 100; i++) {
        const version = i % 2 ? two : one;
        functions.activate({ flip: version });
        const response = await fetch(`${runtime.url}/flip`);
        assert.equal(await response.text(), i % 2 ? "two" : "one", `call ${i}`);
        assert.equal(response.headers.get("x-edge-function"), `flip; version=${version.version}`);
      }
    });

    it("serves new code for each of ten releases", async () => {
      for (let version = 1; version <= 10; version++) {
        functions.deploy("grows", version, `Deno.serve(() => new Response("${version}"));`);
        assert.equal(await (await fetch(`${runtime.url}/grows`)).text(), String(version));
      }
    });

    it("sees a deletion with the next call", async () => {
      functions.deploy("goes", 1, `Deno.serve(() => new Response("here"));`);
      assert.equal((await fetch(`${runtime.url}/goes`)).status, 200);
      functions.activate({ goes: null });
      assert.equal((await fetch(`${runtime.url}/goes`)).status, 404);
    });

    it("gives changed secrets to the next call", async () => {
      functions.deploy("secret", 1, `Deno.serve(() => new Response(Deno.env.get("COLOUR") ?? "none"));`);
      const call = async () => await (await fetch(`${runtime.url}/secret`)).text();
      assert.equal(await call(), "none");
      for (const [revision, colour] of [[1, "red"], [2, "green"], [3, "blue"]]) {
        functions.secrets({ revision, project: { COLOUR: colour } });
        assert.equal(await call(), colour);
      }
      functions.secrets({ revision: 4, project: {} });
      assert.equal(await call(), "none");
    });

    it("boots a staged version without calling its handler, and warms it where workers are kept", async () => {
      const staged = functions.stage("warm", 1, `
        let calls = 0;
        const id = crypto.randomUUID();
        Deno.serve(() => Response.json({ calls: ++calls, id }));`);
      const { status, body } = await boot(runtime, "warm", staged);
      assert.equal(status, 200);
      assert.equal(body.ok, true);
      assert.equal(body.check, "full");
      assert.equal(typeof body.boot_ms, "number");
      assert.equal((await fetch(`${runtime.url}/warm`)).status, 404, "booting must not activate");
      functions.activate({ warm: staged });
      assert.equal((await (await fetch(`${runtime.url}/warm`)).json()).calls, 1);
    });

    it("answers twenty calls at once", async () => {
      functions.deploy("many", 1, `Deno.serve(async (r) => new Response(await r.text()));`);
      const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
        const response = await fetch(`${runtime.url}/many`, { method: "POST", body: `body ${i}` });
        return [response.status, await response.text()];
      }));
      assert.deepEqual(answers, Array.from({ length: 20 }, (_, i) => [200, `body ${i}`]));
    });
  });
}
