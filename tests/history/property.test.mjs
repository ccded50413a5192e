// Thousands of random operations from several clients at once, with crashes of the program between them, against a model. Each
// operation carries a message of its own, by which its release and its version are known again. At each quiet point the releases
// are replayed in their order: every one must be what its operation may do in the state before it, every answer must agree, and
// database, folder, manifest and answers must show the state after the last.
//
// Each client has functions that nobody else touches, of which each answer is known in advance; some functions all of them share.
//
//   SEED=n   repeats a run's operations (how they interleave is up to the machine)
//   OPS=n    how many operations
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { run, startStack, until } from "../lib/stack.mjs";

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000_000);
const OPS = Number(process.env.OPS ?? 200);
const CLIENTS = 4;
const ROUND = 40;
const KEEP = 4;
const SHARED = ["shared-a", "shared-b"];
// SHARED=0.3 lets three of ten operations be about functions of all clients.
const SHARED_PART = Number(process.env.SHARED ?? 0.1);

let stack, production, productionFolder, binary;

/** Numbers from a seed (mulberry32). */
function randomness(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = state + 0x6d2b79f5 >>> 0;
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
  return {
    below: (n) => Math.floor(next() * n),
    chance: (p) => next() < p,
    pick: (list) => list[Math.floor(next() * list.length)],
    weighted(table) {
      let at = next() * Object.values(table).reduce((sum, weight) => sum + weight, 0);
      return Object.keys(table).find((name) => (at -= table[name]) < 0);
    },
  };
}

const program = (...args) => run(binary, [...args, "--config", path.join(stack.home, "conf/functions-admin.conf")]);

before(async () => {
  stack = await startStack({ options: { rate_limit: "off" } });
  binary = process.env.FA_BINARY ?? path.join(stack.home, "bin/functions-admin");
  productionFolder = stack.folder("production");
  fs.chmodSync(productionFolder, 0o777);
  const created = await program("project", "create", "--name", "Production", "--functions-dir", productionFolder, "--json");
  assert.equal(created.code, 0, created.stderr);
  production = JSON.parse(created.stdout).ref;
  const settings = await stack.api("PATCH", "settings", { token: stack.env.SERVICE_ROLE_KEY, body: { retention: { versions: KEEP, days: 0 } } });
  assert.equal(settings.status, 200, settings.text);
  await stack.restartProgram({ options: { sandbox_paths: productionFolder } });
});
after(() => stack?.stop());

// ---- The model

/** What the releases so far have made of the two projects. */
class Model {
  functions = new Map(); // id -> function, also deleted ones
  live = new Map(); // "project slug" -> the function that has the slug
  releases = []; // of the first project
  ops = new Map(); // message -> operation

  add(id, project, slug) {
    const f = { id, project, slug, active: 0, shares: null, latest: 0, versions: new Map(), history: [] };
    this.functions.set(id, f);
    return f;
  }
  at(slug, project = stack.ref) {
    return this.live.get(`${project} ${slug}`);
  }
  /** The function that callers see: one that has only bundles is none yet. */
  seen(slug, project) {
    const f = this.at(slug, project);
    return f?.active ? f : undefined;
  }
  occupy(f) {
    const there = this.at(f.slug, f.project);
    assert.ok(!there || there === f, `two functions have the slug ${f.slug}`);
    this.live.set(`${f.project} ${f.slug}`, f);
  }
  /** The one that a restore brings back. */
  deleted(slug) {
    return [...this.functions.values()].filter((f) => f.slug === slug && f.project === stack.ref && f.deletedBy && this.at(slug) !== f)
      .sort((x, y) => y.history.some((item) => item.after) - x.history.some((item) => item.after) || y.deletedBy - x.deletedBy)[0];
  }
  previous(f) {
    return f.history.findLast((item) => item.after === f.active && item.before !== item.after)?.before ?? 0;
  }
  apply(release) {
    for (const item of release.items) {
      const f = this.functions.get(item.id);
      assert.equal(item.before, f.active, `release ${release.number}: ${f.slug} before`);
      assert.deepEqual(sorted(item.traffic_before), sorted(f.shares), `release ${release.number}: the split of ${f.slug} before`);
      f.active = item.after;
      f.shares = item.traffic_after;
      f.history.push(item);
      if (item.after) {
        assert.ok(f.versions.has(item.after), `release ${release.number}: ${f.slug} has no version ${item.after}`);
        this.occupy(f);
        f.deletedBy = undefined;
      } else {
        f.deletedBy = release.id;
        if (this.at(f.slug, f.project) === f) this.live.delete(`${f.project} ${f.slug}`);
      }
    }
    if (release.project === stack.ref) this.releases.push(release);
  }
}

const sorted = (shares) => shares && [...shares].map(({ version, percent }) => ({ version, percent })).sort((x, y) => x.version - y.version);
const contentOf = (tag) => `Deno.serve(() => new Response(${JSON.stringify(tag)}));\n`;
const brokenContent = (tag) => `throw new Error(${JSON.stringify(tag)});\n`;
const isBroken = (text) => text?.startsWith("throw ") ?? false;
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

// ---- Operations: how each is sent, and what it must do in a known state

// `expect` gives the status that the answer must have; and, where it must make a release, its items as [function, version after,
// split after]. `version` is the one that the database says this operation made, where it made one.
const kinds = {
  deploy: {
    send: (op, header) => stack.deploy(op.slug, op.text, { verify_jwt: false, headers: header }),
    expect: (model, op, version) => {
      const f = model.seen(op.slug);
      // Nothing new; but a split ends, since whoever deploys means the version to answer all calls.
      if (f && f.versions.get(f.active) === op.text) return { status: 201, same: f.active, ...(f.shares && { items: [[f.id, f.active, null]] }) };
      return { status: 201, items: [[version?.id, version?.version, null]] };
    },
  },
  /** Does not boot: nothing becomes active. */
  broken: {
    send: (op, header) => stack.deploy(op.slug, op.text, { verify_jwt: false, headers: header }),
    expect: () => ({ status: 422, code: "boot_failed" }),
  },
  bundle: {
    send: (op, header) => stack.deploy(op.slug, op.text, { verify_jwt: false, bundleOnly: true, headers: header }),
    expect: () => ({ status: 201 }),
  },
  activate: {
    send: (op, header) => stack.api("PUT", "functions", { body: op.bundles, headers: header }),
    expect(model, op) {
      const items = op.bundles.map((bundle) => {
        const f = model.at(bundle.slug);
        return !f?.versions.has(bundle.version) ? { status: 404 } : f.id !== bundle.id ? { status: 409 } : [f.id, bundle.version, null];
      });
      return items.find((item) => item.status) ?? { status: 200, items };
    },
  },
  rollback: {
    send: (op, header) => stack.api("POST", `functions/${op.slug}/rollback`, { body: op.version ? { version: op.version } : {}, headers: header }),
    expect(model, op) {
      const f = model.seen(op.slug);
      if (!f) return { status: 404 };
      const version = op.version ?? model.previous(f);
      if (!version) return { status: 409, code: "nothing_before" };
      return f.versions.has(version) ? { status: 200, items: [[f.id, version, null]] } : { status: 404 };
    },
  },
  undo: {
    send: (op, header) => stack.api("POST", `releases/${op.release}/rollback`, { body: {}, headers: header }),
    expect(model, op) {
      const release = model.releases.find((r) => r.number === op.release);
      if (!release) return { status: 404 };
      let taken = false;
      const items = [];
      for (const item of release.items) {
        const f = model.functions.get(item.id);
        const needed = item.before ? [item.before, ...(item.traffic_before ?? []).map((share) => share.version)] : [];
        if (needed.some((version) => !f.versions.has(version))) return { status: 404 };
        taken ||= item.before !== 0 && model.at(f.slug) !== undefined && model.at(f.slug) !== f;
        items.push([f.id, item.before, item.traffic_before]);
      }
      return taken ? { status: 409, code: "slug_taken" } : { status: 200, items };
    },
  },
  remove: {
    send: (op, header) => stack.api("DELETE", `functions/${op.slug}`, { headers: header }),
    expect(model, op) {
      // Also one of which only bundles were stored.
      const f = model.at(op.slug);
      return f ? { status: 200, items: [[f.id, 0, null]] } : { status: 404 };
    },
  },
  restore: {
    send: (op, header) => stack.api("POST", `functions/${op.slug}/restore`, { body: op.version ? { version: op.version } : {}, headers: header }),
    expect(model, op) {
      if (model.seen(op.slug)) return { status: 409, code: "slug_taken" };
      const f = model.deleted(op.slug);
      if (!f) return { status: 404 };
      const version = op.version ?? f.history.findLast((item) => item.after === 0 && item.before !== 0)?.before;
      if (!f.versions.has(version)) return { status: 404 };
      return model.at(op.slug) ? { status: 409, code: "slug_taken" } : { status: 200, items: [[f.id, version, null]] };
    },
  },
  traffic: {
    send: (op, header) => stack.api("PUT", `functions/${op.slug}/traffic`, { body: op.shares, headers: header }),
    expect(model, op) {
      const f = model.seen(op.slug);
      if (!f || op.shares.some((share) => !f.versions.has(share.version))) return { status: 404 };
      const most = Math.max(...op.shares.map((share) => share.percent));
      const active = Math.max(...op.shares.filter((share) => share.percent === most).map((share) => share.version));
      return { status: 200, items: [[f.id, active, op.shares.length > 1 ? op.shares : null]] };
    },
  },
  promote: {
    send: (op, header) => stack.api("POST", `functions/${op.slug}/promote`, { body: { to: production, version: op.version }, headers: header }),
    expect(model, op, version) {
      // A shared function may have changed between the look at it and the release: promoted() holds what was copied to its versions.
      if (!op.own && version) return { status: 200, items: [[version.id, version.version, null]] };
      const f = model.seen(op.slug);
      if (!f) return { status: 404 };
      const text = f.versions.get(op.version ?? f.active);
      if (text === undefined) return { status: 404 };
      const there = model.seen(op.slug, production);
      if (there && there.versions.get(there.active) === text) return { status: 200, same: there.active };
      return { status: 200, items: [[version?.id, version?.version, null]] };
    },
  },
};

/** What a race with another client may be answered with, where nothing was done. */
const REFUSED = [404, 409];

function choose(client, random) {
  const slug = random.chance(SHARED_PART) ? random.pick(SHARED) : random.pick(client.own);
  const anyVersion = () => 1 + random.below(Math.max(2, client.newest.get(slug) ?? 1));
  const tag = `${client.name}-${++client.count}`;
  const kind = random.weighted({
    deploy: 30, bundle: 12, activate: client.bundles.length ? 14 : 0, rollback: 14, undo: 8, remove: 5, restore: 7, traffic: 8, promote: 6, broken: client.boots ? 3 : 0,
  });
  const op = { kind, tag, client, slug, slugs: [slug], text: contentOf(tag) };
  switch (kind) {
    case "deploy":
      // The same again, now and then.
      if (client.texts.has(slug) && random.chance(0.15)) op.text = client.texts.get(slug);
      client.texts.set(slug, op.text);
      break;
    case "broken":
      op.text = brokenContent(tag);
      break;
    case "activate": {
      // As the CLI does: what was uploaded last of each function, of the client's own or of the shared ones.
      const shared = SHARED.includes(client.bundles[0].slug);
      const last = new Map(client.bundles.filter((bundle) => SHARED.includes(bundle.slug) === shared).map((bundle) => [bundle.slug, bundle]));
      client.bundles = client.bundles.filter((bundle) => SHARED.includes(bundle.slug) !== shared);
      op.bundles = [...last.values()].map(({ id, slug, version, name, status }) => ({ id, slug, version, name, status, verify_jwt: false }));
      op.slugs = [...last.keys()];
      break;
    }
    case "rollback":
    case "restore":
    case "promote":
      if (random.chance(0.5)) op.version = anyVersion();
      break;
    case "undo": {
      const release = client.releases.length && random.chance(0.9) ? random.pick(client.releases) : { number: 1_000_000, slugs: [slug] };
      op.release = release.number;
      op.slugs = release.slugs;
      break;
    }
    case "traffic": {
      const versions = [...new Set([anyVersion(), anyVersion(), anyVersion()])];
      const cuts = versions.slice(1).map(() => random.below(101)).sort((x, y) => x - y);
      op.shares = versions.map((version, i) => ({ version, percent: (cuts[i] ?? 100) - (cuts[i - 1] ?? 0) }));
      break;
    }
  }
  op.own = op.slugs.every((name) => client.own.includes(name));
  return op;
}

// ---- A round: the clients side by side, then a quiet point

async function perform(op, round) {
  const header = { "x-deploy-message": op.tag };
  try {
    op.answer = await kinds[op.kind].send(op, header);
  } catch (error) {
    op.answer = { status: 0, text: String(error) };
  }
  if ([0, 502, 503, 504].includes(op.answer.status)) {
    assert.ok(round.crashes, `${op.kind} ${op.tag} without a crash: ${op.answer.status} ${op.answer.text}`);
    op.unknown = true;
    await round.crashed;
    return;
  }
  const { client, answer } = op;
  if (answer.status === 201 && answer.json.version) {
    client.newest.set(op.slug, Math.max(answer.json.version, client.newest.get(op.slug) ?? 0));
    if (op.kind === "bundle") client.bundles.push(answer.json);
  }
  if (op.kind === "undo" && answer.status === 200) client.releases.push({ number: answer.json.id, slugs: op.slugs });
}

async function play(model, clients, random, round) {
  let done = 0, restart = Promise.resolve();
  round.crashed = new Promise((resolve) => round.restarted = resolve);
  const work = clients.map(async (client) => {
    for (let i = 0; i < ROUND / CLIENTS; i++) {
      const op = choose(client, client.random);
      model.ops.set(op.tag, op);
      round.ops.push(op);
      await perform(op, round);
      done++;
      if (round.crashes && done === round.crashAt) restart = crash(round);
    }
  });
  const pruning = round.prunes ? until("some operations are done", () => done >= ROUND / 3, 60_000).then(() => program("prune")) : undefined;
  await Promise.all(work);
  if (pruning) {
    const done = await pruning;
    assert.equal(done.code, 0, done.stderr);
  }
  await restart;
}

async function crash(round) {
  await stack.killProgram();
  await stack.startProgram();
  round.restarted();
}

/** One operation against the state that it was done in; release: what it made, or undefined. */
function judge(model, op, release, version, round) {
  const what = `${op.kind} ${op.tag} of ${op.slugs} (${op.answer.status} ${op.answer.text.slice(0, 300)})`;
  const expected = kinds[op.kind].expect(model, op, version);
  if (release) {
    assert.ok(op.unknown || op.answer.status < 300, `${what}: refused, but release ${release.number} was made`);
    assert.ok(expected.items, `${what}: release ${release.number} was made where ${JSON.stringify(expected)} was to be expected`);
    if (round.boots && release.project === stack.ref)
      for (const item of release.items) assert.ok(!item.after || !isBroken(model.functions.get(item.id).versions.get(item.after)), `${what}: release ${release.number} made a version active that does not boot`);
    const wanted = expected.items.map(([id, after, shares]) => ({ id, after, shares: sorted(shares) })).sort((x, y) => x.id < y.id ? -1 : 1);
    const made = release.items.map((item) => ({ id: item.id, after: item.after, shares: sorted(item.traffic_after) })).sort((x, y) => x.id < y.id ? -1 : 1);
    // Without a version the default was read before the change, so another client may have come between.
    if (op.own || op.version || !["rollback", "restore"].includes(op.kind)) assert.deepEqual(made, wanted, what);
    if (op.kind === "deploy" && !op.unknown) assert.equal(op.answer.json.version, made[0].after, what);
    return;
  }
  if (op.unknown) return;
  if (op.answer.status < 300 && op.kind !== "bundle") {
    assert.ok(["deploy", "promote"].includes(op.kind) && !(op.own && expected.items), `${what}: no release was made`);
    if (op.own) assert.equal(op.answer.json.version, expected.same, `${what}: ${JSON.stringify(expected)}`);
    return;
  }
  // A broken version that a rollback, a split or the undoing of a release leads to is found out just the same.
  if (op.answer.status === 422 && op.answer.json.code === "boot_failed") {
    assert.ok(round.boots && op.slugs.some((slug) => [...model.functions.values()].some((f) => f.slug === slug && [...f.versions.values()].some(isBroken))) || op.kind === "broken", what);
    return;
  }
  if (op.kind === "broken" || op.kind === "bundle") assert.equal(op.answer.status, expected.status, what);
  // While versions are being removed, one that is asked for may be gone.
  else if (op.own && !(round.prunes && op.answer.status === 404)) {
    assert.equal(op.answer.status, expected.status, what);
    if (expected.code) assert.equal(op.answer.json.code, expected.code, what);
  } else assert.ok(REFUSED.includes(op.answer.status), what);
}

async function newReleases(model) {
  const rows = await stack.sql(`SELECT r.id::int, r.project_ref project, r.number::int, r.source, r.message,
    jsonb_agg(jsonb_build_object('id', i.function_id, 'before', coalesce(i.version_before, 0), 'after', coalesce(i.version_after, 0),
      'traffic_before', i.traffic_before, 'traffic_after', i.traffic_after)) items
    FROM functions_admin.releases r JOIN functions_admin.release_items i ON i.release_id = r.id WHERE r.id > $1 GROUP BY r.id ORDER BY r.id`, [model.lastRelease ?? 0]);
  if (rows.length) model.lastRelease = rows.at(-1).id;
  return rows;
}

const readVersions = () => stack.sql(`SELECT v.function_id::text id, v.version::int, v.message tag, encode(v.digest, 'hex') digest, encode(e.sha256, 'hex') sha256
  FROM functions_admin.edge_function_versions v JOIN functions_admin.edge_function_files e USING (function_id, version) ORDER BY 1, 2`);

/** What a promotion copied. Of a shared function whose active version moved meanwhile, it is the database that tells which. */
function promoted(model, op, version) {
  const source = model.seen(op.slug);
  if (op.own) return source?.versions.get(op.version ?? source.active);
  const texts = [...model.functions.values()].filter((f) => f.slug === op.slug && f.project === stack.ref).flatMap((f) => [...f.versions.values()]);
  return texts.find((text) => sha256(text) === version.sha256);
}

async function replay(model, round) {
  const releases = await newReleases(model);
  const versions = await readVersions();
  const functions = await stack.sql("SELECT id::text, project_ref project, slug, deleted_at IS NOT NULL gone FROM functions_admin.edge_functions");
  for (const { id, project, slug } of functions) if (!model.functions.has(id)) model.add(id, project, slug);
  const made = new Map(versions.map((version) => [version.tag, version]));
  const releaseOf = new Map();
  for (const release of releases) {
    const op = model.ops.get(release.message);
    assert.ok(op && !releaseOf.has(op) && round.ops.includes(op), `release ${release.number} (${release.source}, ${release.message}) was asked for once`);
    releaseOf.set(op, release);
  }

  // A version that another client has stored and not activated yet, or never will: whoever knows its number may name it.
  const stored = (item) => {
    const f = model.functions.get(item.id);
    for (const number of [item.after, ...(item.traffic_after ?? []).map((share) => share.version)]) {
      if (!number || f.versions.has(number)) continue;
      const row = versions.find(({ id, version }) => id === f.id && version === number);
      const by = row ? model.ops.get(row.tag) : round.ops.find((op) => op.slug === f.slug && ["deploy", "bundle"].includes(op.kind) && op.answer.json?.version === number);
      if (by) f.versions.set(number, by.text);
    }
  };
  const queues = new Map();
  for (const op of round.ops) queues.set(op.client, [...(queues.get(op.client) ?? []), op]);
  const step = (op) => {
    let version = made.get(op.tag);
    const release = releaseOf.get(op);
    // One that was made, and removed again since.
    if (!version && release && release.source !== "traffic" && ["deploy", "promote"].includes(op.kind)) version = { id: release.items[0].id, version: release.items[0].after };
    if (!version && op.kind === "bundle" && op.answer.status === 201) version = { id: op.answer.json.id, version: op.answer.json.version };
    if (release && !op.own && !["deploy", "promote"].includes(op.kind)) release.items.forEach(stored);
    const before = version && model.functions.get(version.id);
    const known = before?.versions.has(version.version) && before.versions.get(version.version) === op.text;
    if (version && !known) {
      const text = op.kind === "promote" ? promoted(model, op, version) : op.text;
      assert.notEqual(text, undefined, `${op.tag}: what was promoted is no version of ${op.slug}`);
      assert.ok(!before.versions.has(version.version), `${op.tag}: version ${version.version} of ${op.slug} is there already`);
      if (op.own && !round.crashes && !round.prunes && op.kind !== "promote") assert.equal(version.version, before.latest + 1, `${op.tag}: the next number`);
      judgeNow(op, release, version);
      before.latest = Math.max(before.latest, version.version);
      before.versions.set(version.version, text);
      if (!before.deletedBy) model.occupy(before);
    } else judgeNow(op, release, version);
    if (release) {
      model.apply(release);
      if (release.project === stack.ref) op.client.releases.push({ number: release.number, slugs: op.slugs });
    }
  };
  const judgeNow = (op, release, version) => judge(model, op, release, version, round);
  for (const release of releases) {
    const op = model.ops.get(release.message), queue = queues.get(op.client);
    // What the same client did before and left no release, in the state that it found.
    while (queue.length && queue.indexOf(op) > 0) {
      const earlier = queue[0];
      if (releaseOf.has(earlier)) break;
      step(queue.shift());
    }
    queue.splice(queue.indexOf(op), 1);
    step(op);
  }
  for (const queue of queues.values()) for (const op of queue) step(op);
  return { versions, functions };
}

// ---- What must be so at a quiet point

function compareVersions(model, { versions, functions }, round) {
  const there = new Map();
  for (const { id, version, tag, sha256: sum, digest } of versions) {
    const f = model.functions.get(id);
    if (!f.versions.has(version)) {
      // Stored, and then refused or cut off before it became active.
      const op = model.ops.get(tag);
      assert.ok(op && (op.unknown || op.answer.status >= 400), `${f.slug} has a version ${version} that nobody made (${tag})`);
      f.versions.set(version, op.text);
      f.latest = Math.max(f.latest, version);
    }
    assert.equal(sum, sha256(f.versions.get(version)), `the content of ${f.slug} ${version}`);
    there.set(`${id} ${version}`, digest);
  }
  for (const f of model.functions.values()) {
    const newest = [...f.versions.keys()].sort((x, y) => y - x).slice(0, KEEP);
    for (const version of f.versions.keys()) {
      if (there.has(`${f.id} ${version}`)) continue;
      assert.ok(round.prunes, `${f.slug} has lost version ${version}`);
      assert.ok(version !== f.active && version !== model.previous(f) && !newest.includes(version) && !f.shares?.some((share) => share.version === version), `${f.slug} has lost version ${version}, which retention keeps`);
      f.versions.delete(version);
    }
  }
  for (const { id, slug, project, gone } of functions) if (!gone) model.occupy(model.functions.get(id)), assert.equal(model.at(slug, project)?.id, id);
  return there;
}

async function compareDatabase(model) {
  const rows = await stack.sql(`SELECT f.id::text, coalesce(f.active_version, 0) active, f.latest_version latest, f.deleted_at IS NOT NULL gone,
    (SELECT jsonb_agg(jsonb_build_object('version', t.version, 'percent', t.percent)) FROM functions_admin.function_traffic t WHERE t.function_id = f.id) shares
    FROM functions_admin.edge_functions f`);
  for (const row of rows) {
    const f = model.functions.get(row.id);
    assert.deepEqual([row.active, sorted(row.shares), row.gone], [f.active, sorted(f.shares), f.deletedBy !== undefined], `${f.slug} in the database`);
    assert.ok(row.latest >= f.latest);
  }
  const open = await stack.sql("SELECT id, status FROM functions_admin.edge_function_deployments WHERE status IN ('pending', 'staged', 'booted')");
  assert.deepEqual(open, [], "a deployment was left unfinished");
}

function compareFolder(model, digests, project, folder) {
  const manifest = JSON.parse(fs.readFileSync(path.join(folder, ".functions-admin/manifest.json"), "utf8"));
  const live = [...model.live.values()].filter((f) => f.project === project), seen = live.filter((f) => f.active);
  const wanted = {};
  for (const f of seen) {
    const shares = f.shares ?? [{ version: f.active, percent: 100 }];
    wanted[f.slug] = sorted(shares);
    for (const { version } of shares) {
      const release = `${version}-${digests.get(`${f.id} ${version}`).slice(0, 12)}`;
      const file = path.join(folder, ".releases", f.slug, release, `source/supabase/functions/${f.slug}/index.ts`);
      assert.equal(fs.readFileSync(file, "utf8"), f.versions.get(version), file);
      assert.equal(manifest.functions[f.slug]?.versions.find((v) => v.version === version)?.path, `.releases/${f.slug}/${release}`);
    }
    assert.equal(fs.readFileSync(path.join(folder, f.slug, `source/supabase/functions/${f.slug}/index.ts`), "utf8"), f.versions.get(f.active), `the stub of ${f.slug}`);
  }
  assert.deepEqual(Object.fromEntries(Object.entries(manifest.functions).map(([slug, f]) => [slug, sorted(f.versions)])), wanted, "the manifest");
  assert.deepEqual(fs.readdirSync(folder).filter((name) => !name.startsWith(".")).sort(), seen.map((f) => f.slug).sort(), "the stubs");
  const released = fs.readdirSync(path.join(folder, ".releases"));
  assert.deepEqual(released.filter((slug) => !live.some((f) => f.slug === slug)), [], "releases of what was deleted are gone");
  return manifest.generation;
}

async function compareAnswers(model, random) {
  for (const project of [stack.ref, production]) {
    const seen = [...model.live.values()].filter((f) => f.project === project && f.active);
    const list = await stack.api("GET", `/v1/projects/${project}/functions`);
    assert.deepEqual(list.json.map((f) => `${f.slug} ${f.version}`).sort(), seen.map((f) => `${f.slug} ${f.active}`).sort());
  }
  const seen = [...model.live.values()].filter((f) => f.project === stack.ref && f.active);
  for (const f of seen.filter(() => random.chance(0.3))) {
    const shares = f.shares ?? [{ version: f.active, percent: 100 }];
    const allowed = shares.filter((share) => share.percent > 0).map((share) => f.versions.get(share.version));
    // Where the boot check is off, one of the earlier broken ones may have come back.
    if (shares.some((share) => isBroken(f.versions.get(share.version)))) continue;
    const { status, text } = await stack.call(f.slug, { token: null });
    assert.equal(status, 200, text);
    assert.ok(allowed.includes(contentOf(text)), `${f.slug} answers ${text}`);
  }
}

async function compareAll(model, round, random) {
  // What an upload leaves in staging is removed after its answer.
  for (const folder of [stack.functionsDir, productionFolder])
    await until("staging is empty", () => fs.readdirSync(path.join(folder, ".functions-admin/staging")).length === 0);
  const digests = compareVersions(model, await replay(model, round), round);
  await compareDatabase(model);
  const generations = [compareFolder(model, digests, stack.ref, stack.functionsDir), compareFolder(model, digests, production, productionFolder)];
  const rows = await stack.sql("SELECT generation::int FROM functions_admin.projects WHERE ref = ANY ($1) ORDER BY is_default DESC", [[stack.ref, production]]);
  assert.deepEqual(generations, rows.map((row) => row.generation), "the generation of the manifests");
  await compareAnswers(model, random);
}

test(`${OPS} random operations agree with the model (SEED=${SEED})`, { timeout: 60_000 + OPS * 400 }, async (t) => {
  t.diagnostic(`SEED=${SEED} OPS=${OPS}`);
  const random = randomness(SEED);
  const model = new Model();
  const clients = Array.from({ length: CLIENTS }, (_, i) => ({
    name: `c${i}`, own: [`own-${i}-x`, `own-${i}-y`], count: 0, random: randomness(SEED + i + 1), boots: true,
    newest: new Map(), texts: new Map(), bundles: [], releases: [],
  }));
  const rounds = Math.max(4, Math.ceil(OPS / ROUND));
  try {
    for (let n = 0; n < rounds; n++) {
      // Booting takes most of the time: a quarter of the rounds has it, with the runtime's confirmation.
      if (n === Math.ceil(rounds / 4)) {
        await stack.restartProgram({ options: { boot_check: "off" } });
        for (const client of clients) client.boots = false;
      }
      const round = { ops: [], boots: clients[0].boots, crashes: n % 4 === 1 || n % 4 === 3, prunes: n % 3 === 2, crashAt: 3 + random.below(ROUND - 10) };
      await play(model, clients, random, round);
      await compareAll(model, round, random);
    }
  } catch (error) {
    error.message = `SEED=${SEED}: ${error.message}`;
    throw error;
  }
});
