// The search that ends every service, cluster and stack of the tests (tests/lib/leaks.mjs) finds what is somewhere.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { afterEach, test } from "node:test";
import { forget, know, searchCores, searchFolders, searchProcess, searchText, seen } from "../lib/leaks.mjs";
import { makeService, startPostgres, temporaryFolder } from "../lib/service.mjs";

const NAME = "what was planted";
afterEach(() => forget(NAME));
function plant() {
  const value = `planted-${randomBytes(16).toString("hex")}`;
  know(NAME, value);
  return value;
}

test("in the database: a row, one that was removed, and what the server logs", async () => {
  for (const leave of [
    (service, value) => service.sql(`CREATE TABLE public.t AS SELECT '${value}' AS x`),
    (service, value) => service.sql(`CREATE TABLE public.t AS SELECT '${Buffer.from(value).toString("base64")}' AS x; DELETE FROM public.t`),
    (service, value) => assert.throws(() => service.sql(`SELECT nothing /* ${value} */`)),
  ]) {
    const postgres = await startPostgres(), service = makeService(postgres, { migrate: false });
    const value = plant();
    leave(service, value);
    await assert.rejects(postgres.remove(), new RegExp(NAME));
    forget(NAME);
    await postgres.remove();
    await service.remove();
  }
});

test("in a file of the service, but not in those that are for it; in its log; and a core file", async () => {
  const postgres = await startPostgres(), service = makeService(postgres);
  const value = plant(), file = path.join(service.functionsDir, "left");
  service.writeConfig({ secret_key: `sb_secret_${value}` });
  fs.writeFileSync(file, `{"x":"${Buffer.from(value).toString("hex")}"}`);
  await assert.rejects(service.remove(), (error) => error.message.includes(NAME) && error.message.includes(file) && !error.message.includes("fa.conf"));
  fs.rmSync(file);
  fs.writeFileSync(path.join(service.folder, "core.123"), "");
  await assert.rejects(service.remove(), /a core file/);
  fs.rmSync(path.join(service.folder, "core.123"));
  await service.start();
  // The name of a function that is not there is logged.
  assert.equal((await service.ask("GET", service.functions(`/${value}`))).status, 404);
  await assert.rejects(service.remove(), new RegExp(`the log: ${NAME}`));
  forget(NAME);
  await service.remove();
  await postgres.remove();
});

test("in an answer that refuses, in arguments, in an environment", async () => {
  const value = plant();
  assert.throws(() => seen("GET", "/v1/x", "", { status: 422, text: `no ${value} here` }), /the answer 422 to GET \/v1\/x: what was planted/);
  seen("GET", "/v1/x", "", { status: 200, text: value });
  for (const [args, env] of [[[value], {}], [[], { PLANTED: value }]]) {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000); console.log('up')", ...args], { env, stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    try {
      assert.throws(() => searchProcess(child.pid), new RegExp(NAME));
      if (env.PLANTED) searchProcess(child.pid, JSON.stringify(env));
    } finally {
      child.kill();
    }
  }
});

test("secrets and tokens are known from the calls that make them", () => {
  const value = `of-a-call-${randomBytes(16).toString("hex")}`, digits = randomBytes(20).toString("hex");
  seen("POST", "/v1/projects/x/secrets", JSON.stringify([{ name: "MADE", value }]), { status: 201, text: "" });
  seen("POST", "/v1/access-tokens/x/rotate", "", { status: 200, text: JSON.stringify({ token: `sbp_${digits}` }) });
  for (const text of [value, digits]) assert.throws(() => searchText("here", `..${text}..`), /here: /);
  const folder = temporaryFolder();
  searchFolders([folder, path.join(folder, "gone")]);
  searchCores(folder);
  forget("the secret MADE");
  forget("an access token");
});
