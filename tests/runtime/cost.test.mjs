// What runtime/main does for each call, counted: files looked at, signatures verified. (bench/run measures the time.)
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, it } from "node:test";
import { FunctionsFolder, hs256, MAIN_SERVICE, makeFolder, startRuntime } from "../lib/runtime.mjs";

const SECRET = "a-secret-for-the-tests-of-what-a-call-costs";

/** runtime/main in a service that prints which files it touches and when it verifies a signature, and whose clock can be put on. */
const COUNTING = `
const deno = Deno as any;
for (const name of ["stat", "lstat", "readFile", "readTextFile", "open", "readDir", "realPath"]) {
  for (const variant of [name, name + "Sync"]) {
    const real = deno[variant];
    deno[variant] = (...args: any[]) => {
      console.log(\`<\${variant} \${args[0]}>\`);
      return real(...args);
    };
  }
}
const verify = crypto.subtle.verify.bind(crypto.subtle);
crypto.subtle.verify = (...args: any[]) => {
  console.log("<verify>");
  return (verify as any)(...args);
};
const now = Date.now;
const serve = Deno.serve;
deno.serve = (options: any) => serve({ ...options, handler: (request: Request, info: any) => {
  const { pathname, search } = new URL(request.url);
  if (pathname === "/_later") {
    const seconds = Number(search.slice(1));
    Date.now = () => now() + seconds * 1000;
  }
  return pathname === "/_mark" || pathname === "/_later" ? (console.log(\`<mark \${search}>\`), new Response("ok")) : options.handler(request, info);
} });
await import(${JSON.stringify(`file://${MAIN_SERVICE}/index.ts`)});
`;

describe("a call costs runtime/main", () => {
  let functions, service, runtime, marks = 0;

  before(async () => {
    functions = new FunctionsFolder();
    service = makeFolder();
    fs.writeFileSync(path.join(service, "index.ts"), COUNTING);
    functions.secrets({ revision: 1, project: { WORD: "x" } });
    functions.activate({
      open: functions.stage("open", 1, 'Deno.serve(() => new Response("open"));'),
      closed: functions.stage("closed", 1, 'Deno.serve(() => new Response("closed"));', { verify_jwt: true }),
    });
    runtime = await startRuntime({ functionsDir: functions.folder, mainService: service, env: { JWT_SECRET: SECRET } });
  });
  after(async () => {
    await runtime?.stop();
    functions.remove();
    fs.rmSync(service, { recursive: true, force: true });
  });

  const call = async (slug, token) => {
    const response = await fetch(`${runtime.url}/${slug}`, { headers: token ? { authorization: `Bearer ${token}` } : {} });
    await response.text();
    return response.status;
  };
  /** What the main service did since the mark before: its log, between two marks. */
  const counted = async (work) => {
    const mark = async () => {
      const text = `<mark ?${++marks}>`;
      await fetch(`${runtime.url}/_mark?${marks}`);
      while (!runtime.log().includes(text)) await new Promise((resolve) => setImmediate(resolve));
      return text;
    };
    const from = await mark();
    await work();
    const to = await mark();
    return runtime.log().split(from)[1].split(to)[0].match(/<[^>]*>/g) ?? [];
  };
  const folder = () => path.join(fs.realpathSync(functions.folder), ".functions-admin");

  it("one stat of a folder, and no file read", async () => {
    // What was just written is looked at again in any case: it is made older.
    for (const file of ["manifest.json", "secrets.json", "."]) fs.utimesSync(path.join(folder(), file), 1e9, 1e9);
    assert.equal(await call("open"), 200);
    const began = performance.now();
    const done = await counted(async () => {
      for (let i = 0; i < 20; i++) assert.equal(await call("open"), 200);
    });
    assert.equal(done.filter((each) => each === `<statSync ${folder()}>`).length, 20);
    // Once in a second the files are looked at although their folder has not changed.
    const others = done.filter((each) => each !== `<statSync ${folder()}>`);
    assert.ok(others.length <= 2 * Math.ceil((performance.now() - began) / 1000), others.join("\n"));
    assert.deepEqual(others.filter((each) => !/^<statSync .*\.json>$/.test(each)), []);
  });

  it("one reading of the manifest after it was replaced", async () => {
    functions.deploy("open", 2, 'Deno.serve(() => new Response("open 2"));');
    for (const file of ["manifest.json", "."]) fs.utimesSync(path.join(folder(), file), 1e9 + 5, 1e9 + 5);
    const done = await counted(async () => {
      for (let i = 0; i < 3; i++) assert.equal(await call("open"), 200);
    });
    assert.deepEqual(done.filter((each) => each.startsWith("<read") && each.includes(folder())), [`<readTextFileSync ${folder()}/manifest.json>`]);
  });

  it("sees a file that was written in place within a second or so", async () => {
    const file = path.join(folder(), "manifest.json");
    const text = fs.readFileSync(file, "utf8");
    assert.equal(await call("open"), 200);
    fs.writeFileSync(file, text.replace('"open":', '"gone":'));
    const end = performance.now() + 20_000;
    while (await call("open") !== 404) assert.ok(performance.now() < end, "the change was not seen");
    fs.writeFileSync(file, text);
  });

  it("one verification of a token, whose times count with each call", async () => {
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const token = hs256({ role: "anon", exp }, SECRET);
    const verifications = async (n) => (await counted(async () => {
      for (let i = 0; i < n; i++) assert.equal(await call("closed", token), 200);
    })).filter((each) => each === "<verify>").length;
    assert.equal(await verifications(3), 1);

    const forged = token.slice(0, -4) + (token.endsWith("AAAA") ? "BBBB" : "AAAA");
    const refused = await counted(async () => {
      for (let i = 0; i < 2; i++) assert.equal(await call("closed", forged), 401);
    });
    assert.equal(refused.filter((each) => each === "<verify>").length, 2, "a forged token is verified each time");

    await fetch(`${runtime.url}/_later?7200`);
    assert.equal(await call("closed", token), 401, "an expired token is refused although it was verified before");
  });
});
