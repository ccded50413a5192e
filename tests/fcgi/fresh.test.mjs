// Answers held in memory are never staler than the database, also where another instance wrote.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { REF, jwt, hour, SECRETS, makeService, startPostgres } from "../lib/service.mjs";

let postgres, here, there;

before(async () => {
  postgres = await startPostgres();
  here = await makeService(postgres, { options: { boot_check: "off" } }).start();
  there = await makeService(postgres, { migrate: false, options: { boot_check: "off", database_url: here.options.database_url } }).start();
});
after(async () => {
  await here?.remove();
  await there?.remove();
  await postgres?.remove();
});

const source = (n) => `Deno.serve(() => new Response("${n}"));\n`;
const list = async (service, headers) => await service.ask("GET", service.functions(), { headers });
const get = async (service, slug, headers) => await service.ask("GET", service.functions(`/${slug}`), { headers });

test("after each kind of write, both instances show it at the next read", async () => {
  const both = async (check) => { for (const service of [here, there, here]) await check(service); };
  assert.equal((await here.deploy("one", source(1))).status, 201);
  for (let n = 2; n <= 12; n++) {
    const writer = n % 2 ? here : there;
    const done = await writer.deploy("one", source(n));
    assert.equal(done.status, 201, done.text);
    await both(async (service) => {
      assert.equal((await get(service, "one")).json.version, done.json.version);
      assert.equal((await list(service)).json.find((f) => f.slug === "one").version, done.json.version);
      assert.ok((await service.ask("GET", service.functions("/one/body"))).text.includes(source(n)));
    });
  }
  await there.ask("PATCH", there.functions("/one"), { json: { name: "renamed" } });
  await both(async (service) => {
    assert.equal((await get(service, "one")).json.name, "renamed");
    assert.equal((await list(service)).json[0].name, "renamed");
  });
  await here.ask("PATCH", here.functions("/one"), { json: { verify_jwt: false } });
  await both(async (service) => assert.equal((await get(service, "one")).json.verify_jwt, false));
  await there.ask("POST", there.functions("/one/rollback"), { json: { version: 3 } });
  await both(async (service) => assert.ok((await service.ask("GET", service.functions("/one/body"))).text.includes(source(3))));
  await here.ask("DELETE", here.functions("/one"));
  await both(async (service) => {
    assert.equal((await get(service, "one")).status, 404);
    assert.deepEqual((await list(service)).json, []);
    assert.equal((await service.ask("GET", service.functions("/one/body"))).status, 404);
  });
});

test("an ETag answers 304 while nothing has changed, and 200 after", async () => {
  await here.deploy("tagged", source("a"));
  for (const path of ["", "/tagged"]) {
    for (const service of [here, there]) {
      const first = await service.ask("GET", service.functions(path));
      assert.match(first.headers.etag, /^"[^"]+"$/);
      const again = await service.ask("GET", service.functions(path), { headers: { "if-none-match": first.headers.etag } });
      assert.equal(again.status, 304);
      assert.equal(again.headers.etag, first.headers.etag);
      assert.equal(again.body.length, 0);
      assert.equal((await service.ask("GET", service.functions(path), { headers: { "if-none-match": '"other"' } })).text, first.text);
    }
  }
  const before = (await list(here)).headers.etag;
  await there.deploy("tagged", source("b"));
  assert.equal((await list(here, { "if-none-match": before })).status, 200);
});

test("many readers at once, while another instance writes: none sees less than was there when it asked", async () => {
  await here.deploy("busy", source(0));
  let written = 1, done = false;
  const reader = async (service) => {
    while (!done) {
      const least = written;
      const seen = (await get(service, "busy")).json.version;
      assert.ok(seen >= least, `version ${seen} after ${least} was answered for`);
    }
  };
  const readers = Array.from({ length: 16 }, (_, i) => reader(i % 2 ? here : there));
  for (let n = 1; n <= 15; n++) written = (await (n % 2 ? there : here).deploy("busy", source(`busy ${n}`))).json.version;
  done = true;
  await Promise.all(readers);
  assert.equal(written, 16);
});

test("what one caller may see is not another's: a bound access token, a revoked one, an expired JWT", async () => {
  await here.deploy("ci-one", source(1));
  await here.deploy("private", source(2));
  await list(here);
  const made = await here.ask("POST", "/v1/access-tokens", { json: { name: "bound", scopes: ["functions:read"], project: REF, slugs: ["ci-*"] } });
  const authorization = `Bearer ${made.json.token}`;
  assert.deepEqual((await list(here, { authorization })).json.map((f) => f.slug), ["ci-one"]);
  assert.ok((await list(here)).json.length > 1);
  assert.deepEqual((await list(here, { authorization })).json.map((f) => f.slug), ["ci-one"]);
  assert.equal((await get(here, "private", { authorization })).status, 403);
  await there.ask("DELETE", `/v1/access-tokens/${made.json.id}`);
  assert.equal((await list(here, { authorization })).status, 401);
  // Within the 30 seconds that clocks may differ it is good; verified once or not, what counts is its exp.
  const role = (exp) => `Bearer ${jwt({ role: "service_role", exp }, SECRETS.jwt_secret)}`;
  const good = role(hour()), late = role(Math.floor(Date.now() / 1000) - 28);
  assert.equal((await list(here, { authorization: good })).status, 200);
  assert.equal((await list(here, { authorization: good })).status, 200);
  assert.equal((await list(here, { authorization: late })).status, 200);
  const end = Date.now() + 15_000;
  let status;
  do status = (await list(here, { authorization: late })).status; while (status === 200 && Date.now() < end);
  assert.equal(status, 401);
  assert.equal((await list(here, { authorization: `${good.slice(0, -4)}AAAA` })).status, 401);
});

test("a project that is not there is not found, however often it is asked for", async () => {
  for (let i = 0; i < 3; i++) assert.equal((await here.ask("GET", "/v1/projects/zzzzzzzzzzzzzzzzzzzz/functions")).status, 404);
});
