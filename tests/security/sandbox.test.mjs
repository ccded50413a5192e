// The serving process, after it gave up what it does not need; and what it hands out of its keys, which is nothing: tests/lib/leaks.mjs
// searches what each service has left.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { makeService, multipart, REF, SECRETS, SERVICE_ROLE, startPostgres, startRuntime } from "../lib/service.mjs";

let postgres;
before(async () => {
  postgres = await startPostgres();
});
after(async () => postgres?.remove());

const SECRET_VALUE = "recognisable-secret-value-d41f0c";

// Deploys, changes, refusals of all kinds, with values that nobody would write by chance.
async function work(service) {
  const ask = (method, target, more) => service.ask(method, target, more);
  const form = multipart({ entrypoint_path: "index.ts" }, { "index.ts": "export default 1" });
  assert.equal((await ask("POST", service.functions("/deploy?slug=hello"), { body: form.body, headers: { "content-type": form.type } })).status, 201);
  assert.equal((await ask("PATCH", service.functions("/hello"), { json: { name: "Another" } })).status, 200);
  assert.equal((await ask("POST", `/v1/projects/${REF}/secrets`, { json: [{ name: "RECOGNISABLE", value: SECRET_VALUE }] })).status, 201);
  assert.equal((await ask("GET", `/v1/projects/${REF}/secrets`)).status, 200);
  const made = (await ask("POST", "/v1/access-tokens", { json: { name: "t", scopes: ["functions:read"] } })).json;
  const rotated = (await ask("POST", `/v1/access-tokens/${made.id}/rotate`)).json;
  const bearer = (credential) => ({ headers: { authorization: `Bearer ${credential}` } });
  assert.equal((await ask("GET", service.functions(), bearer(rotated.token))).status, 200);
  for (const bad of [made.token, `${SERVICE_ROLE}x`, `${SECRETS.secret_key}x`, `${SECRETS.jwt_secret}`]) assert.equal((await ask("GET", service.functions(), bearer(bad))).status, 401);
  assert.equal((await ask("GET", `/v1/projects?apikey=${SECRETS.secret_key}`, { headers: { authorization: null } })).status, 200);
  assert.equal((await ask("GET", `/v1/projects/${REF}/api-keys?reveal=true`)).status, 200);
  assert.equal((await ask("GET", `/v1/projects/nothing?apikey=${SECRETS.secret_key}`, { headers: { authorization: null } })).status, 404);
  assert.equal((await ask("POST", `/v1/projects/${REF}/secrets`, { json: [{ name: "BAD NAME", value: SECRET_VALUE }] })).status, 422);
  assert.equal((await ask("DELETE", service.functions("/hello"))).status, 200);
}

for (const sandbox of ["on", "auto", "off"]) {
  test(`with sandbox = ${sandbox} everything works, and it is in force`, async () => {
    const service = makeService(postgres, { options: { sandbox, log_level: "debug" } });
    const runtime = await startRuntime(service.functionsDir);
    try {
      service.writeConfig({ runtime_url: runtime.url });
      await service.start();
      await work(service);
      const status = fs.readFileSync(`/proc/${service.pid}/status`, "utf8");
      const field = (name) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)[1];
      assert.equal(field("NoNewPrivs"), "1");
      assert.equal(field("Seccomp"), sandbox === "off" ? "0" : "2");
      const ports = /TCP connections go to ports ([\d, ]+) only|does not restrict connections here/.exec(service.log);
      assert.equal(ports !== null, sandbox === "on");
      // The database is reached by its unix socket.
      if (ports?.[1]) assert.equal(ports[1], `53, ${new URL(runtime.url).port}`);
      assert.match(fs.readFileSync(`/proc/${service.pid}/limits`, "utf8"), /Max core file size\s+0\s+0/);
      for (const file of ["runtime-token", "secrets.json"]) assert.equal(fs.statSync(path.join(service.functionsDir, ".functions-admin", file)).mode & 0o77, 0, file);
    } finally {
      await service.remove();
      await runtime.stop();
    }
  });
}

test("with sandbox = on a runtime on a port that nobody allowed is out of reach, and sandbox_ports allows it", async (t) => {
  const service = makeService(postgres, { options: { sandbox: "on" } });
  const folder = path.join(service.folder, "production");
  fs.mkdirSync(folder);
  const runtime = await startRuntime(folder, { token: "a-token-of-the-further-runtime" });
  try {
    fs.mkdirSync(path.join(folder, ".functions-admin"), { mode: 0o700 });
    fs.writeFileSync(path.join(folder, ".functions-admin/runtime-token"), "a-token-of-the-further-runtime", { mode: 0o600 });
    const created = service.run("project", ["create", "--name", "Production", "--functions-dir", folder, "--runtime-url", runtime.url, "--json"]);
    assert.equal(created.status, 0, created.stderr);
    const { ref, keys } = JSON.parse(created.stdout);
    const deploy = () => {
      const form = multipart({ entrypoint_path: "index.ts" }, { "index.ts": "export default 1" });
      return service.ask("POST", `/v1/projects/${ref}/functions/deploy?slug=hello`, { body: form.body, headers: { "content-type": form.type, authorization: `Bearer ${keys.service_role_key}` } });
    };
    service.writeConfig({ sandbox_paths: folder });
    await service.start();
    if (service.log.includes("does not restrict connections here")) return t.skip("the kernel's Landlock is older than version 4");
    const refused = await deploy();
    assert.equal(refused.status, 503, refused.text);
    assert.equal(refused.json.code, "runtime_unavailable");
    await service.stop();
    service.writeConfig({ sandbox_ports: new URL(runtime.url).port });
    await service.start();
    const done = await deploy();
    assert.equal(done.status, 201, done.text);
  } finally {
    await service.remove();
    await runtime.stop();
  }
});

test("root is refused, unless told otherwise", { skip: process.getuid() !== 0 && "only root can try" }, () => {
  const service = makeService(postgres, { options: { allow_root: "off" } });
  const done = service.run("serve");
  assert.equal(done.status, 2);
  assert.match(done.stderr, /does not run as root\nHINT: .*allow_root = on/);
  fs.rmSync(service.folder, { recursive: true, force: true });
});
