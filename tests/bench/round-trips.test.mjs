// How often a request waits for PostgreSQL: most of a small change's time is that way there and back. A proxy between the two counts
// what tells the end of each group of statements (ReadyForQuery). A statement that waits by itself again is seen here.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { BINARY, makeService, REF, startPostgres, temporaryFolder, until } from "../lib/service.mjs";

const PORT = ".s.PGSQL.5432";
let postgres, service, proxy, count = 0;

/** Calls `each` for the type of every message from the server. */
function messages(each) {
  let left = Buffer.alloc(0);
  return (chunk) => {
    left = Buffer.concat([left, chunk]);
    while (left.length >= 5) {
      const size = 1 + left.readUInt32BE(1);
      if (left.length < size) return;
      each(String.fromCharCode(left[0]));
      left = left.subarray(size);
    }
  };
}

before(async () => {
  const folder = temporaryFolder("fa-proxy-");
  postgres = await startPostgres();
  proxy = net.createServer((client) => {
    const server = net.connect(path.join(postgres.folder, PORT));
    const take = messages((type) => { if (type === "Z") count++; });
    server.on("data", take);
    client.pipe(server).pipe(client);
    for (const socket of [client, server]) socket.on("error", () => { client.destroy(); server.destroy(); });
  }).listen(path.join(folder, PORT));
  service = makeService(postgres, { options: { workers: 1, boot_check: "off" } });
  service.writeConfig({ database_url: service.options.database_url.replace(encodeURIComponent(postgres.folder), encodeURIComponent(folder)) });
  // The service runs as who started it, and so may open the socket.
  fs.chmodSync(path.join(folder, PORT), 0o777);
  await service.start();
  for (const version of ["one", "two"]) assert.equal((await service.deploy("hello", { "index.ts": `// ${version}` })).status, 201);
});
after(async () => {
  await service?.remove();
  proxy?.close();
  await postgres?.remove();
});

const json = (method, rest, body) => () => service.ask(method, service.functions(rest), { json: body() });
let n = 0;
for (const [what, most, request] of [
  ["a rename", 5, json("PATCH", "/hello", () => ({ name: `hello ${n++}` }))],
  ["a rollback to a release on disk", 4, json("POST", "/hello/rollback", () => ({ version: 1 + n++ % 2 }))],
  ["a rollback to the version before", 4, json("POST", "/hello/rollback", () => ({}))],
  ["a deploy of two small files", 6, () => service.deploy("hello", { "index.ts": `// ${n++}`, "part.ts": `// part ${n}` })],
])
  test(`${what} waits for PostgreSQL at most ${most} times`, async () => {
    const seen = [];
    // The first prepares its statements; what the process asks by itself, on a busy machine during several, is counted as well.
    for (let i = 0; i < 12 && !(Math.min(...seen) <= most); i++) {
      const from = count;
      const answer = await request();
      assert.ok(answer.status < 300, `${answer.status} ${answer.text}`);
      seen.push(count - from);
    }
    assert.ok(Math.min(...seen) <= most, `${seen.join(", ")} times`);
  });

/** Activates so many bundles: how often that waited. */
async function activate(size) {
  const items = [];
  for (let i = 0; i < size; i++) {
    const { status, json: item } = await service.deploy(`bundle-${i}`, { "index.ts": `// ${n++}` }, { query: "&bundleOnly=true" });
    assert.equal(status, 201);
    items.push({ id: item.id, slug: item.slug, version: item.version });
  }
  const from = count;
  const answer = await service.ask("PUT", service.functions(""), { json: items });
  assert.equal(answer.status, 200, answer.text);
  return count - from;
}

test("an activation of many bundles waits for PostgreSQL as often as one of a few", async () => {
  await activate(40);
  // The comparison every ten seconds may ask meanwhile.
  const few = Math.min(await activate(2), await activate(2)), many = Math.min(await activate(40), await activate(40));
  assert.ok(many <= few + 2, `${few} times for 2, ${many} times for 40`);
});

test("a look for drift at many new versions waits for PostgreSQL as often as one at a few", async () => {
  const waits = async (size) => {
    await activate(size);
    const from = count;
    const answer = await service.ask("GET", `/v1/projects/${REF}/drift`);
    assert.deepEqual([answer.status, answer.json.drift], [200, []], answer.text);
    return count - from;
  };
  const few = Math.min(await waits(2), await waits(2)), many = Math.min(await waits(40), await waits(40));
  assert.ok(many <= few + 2, `${few} times for 2, ${many} times for 40`);
});

test("an activation reads no table whole, which would grow with all that was ever deployed", async () => {
  // What a connection has read is told when it ends.
  const read = async () => {
    await service.stop();
    await until("its connections are gone", () => service.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'functions-admin'") === "0");
    return Number(service.sql("SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('edge_function_versions', 'edge_function_deployments', 'release_items')"));
  };
  const from = await read(), times = 40;
  await service.start();
  for (let i = 0; i < times; i++) {
    assert.equal((await service.deploy("hello", { "index.ts": `// ${n++}` })).status, 201);
    assert.equal((await service.ask("POST", service.functions("/hello/rollback"), { json: {} })).status, 200);
  }
  const rows = await read() - from;
  await service.start();
  assert.ok(rows < 20 * times, `${rows} rows in ${2 * times} activations`);
});

test("an unknown access token is looked up once, however many projects there are", async () => {
  // What the process asks by itself, more of it after its start, is counted as well: the least of some is the request's own.
  const waits = async () => {
    const seen = [];
    for (let i = 0; i < 12 && !seen.includes(1); i++) {
      const from = count;
      const answer = await service.ask("GET", service.functions(""), { headers: { authorization: `Bearer sbp_${String(n++).padStart(40, "0")}` } });
      assert.equal(answer.status, 401, answer.text);
      seen.push(count - from);
    }
    return Math.min(...seen);
  };
  assert.equal(await waits(), 1);
  for (const name of ["second", "third", "fourth"]) {
    // Not waited for by this process as a whole, in which the proxy is.
    const made = spawn(BINARY, ["project", "create", "--config", service.config, "--name", name, "--functions-dir", temporaryFolder("fa-project-")], { stdio: ["ignore", "ignore", "inherit"] });
    assert.deepEqual(await once(made, "close"), [0, null]);
  }
  await service.stop();
  await service.start();
  assert.equal((await service.ask("GET", "/v1/projects")).json.length, 4);
  assert.equal(await waits(), 1);
});
