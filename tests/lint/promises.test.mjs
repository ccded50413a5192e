// The tests that README.md and tests/faults/README.md name for what is promised are there, and try what is said of them.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

const root = path.resolve(import.meta.dirname, "../.."), faults = path.join(root, "tests/faults");
const read = (...names) => fs.readFileSync(path.join(root, ...names), "utf8");

test("each promise of tests/faults/README.md names tests that are there, and actions that they have", () => {
  const [, section] = /^## Which test holds which promise$(.*?)^## /ms.exec(read("tests/faults/README.md"));
  const rows = section.split("\n").filter((line) => line.startsWith("| ")).slice(1), source = fs.readdirSync(faults).filter((name) => name.endsWith(".mjs")).map((name) => read("tests/faults", name)).join("");
  assert.ok(rows.length > 10);
  for (const row of rows) {
    const [, , , held] = row.split("|"), tests = [...held.matchAll(/`([\w/-]+\.test\.mjs)`/g)].map(([, name]) => name);
    assert.ok(tests.length > 0 || /the same: |after every kill/.test(held), row);
    for (const name of tests) assert.ok(fs.existsSync(name.includes("/") ? path.join(root, name) : path.join(faults, name)), name);
    for (const [, action] of held.matchAll(/"([^"]+)"/g)) assert.ok(source.includes(`'${action}'`), `${action} is tried`);
  }
});

test("the tests that README.md names are there", () => {
  const [text] = /^These are tested: .*?\n\n/ms.exec(read("README.md"));
  for (const [, name] of text.matchAll(/`([^`]+)`/g)) assert.ok(fs.existsSync(name.includes("/") ? path.join(root, name) : path.join(faults, `${name}.test.mjs`)), name);
});
