// The documentation holds together: links lead somewhere, every page is listed, and what it calls commands are commands.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (file) => fs.readFileSync(path.join(root, file), "utf8");
const below = (folder) => fs.readdirSync(path.join(root, folder)).filter((name) => name.endsWith(".md")).map((name) => `${folder}/${name}`);
const pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ...below("docs"), ...below("docs/decisions")];

test("every relative link leads to a file", () => {
  const broken = [];
  for (const page of pages)
    for (const [, target] of read(page).replace(/```[^]*?```/g, "").matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target) || target.startsWith("#")) continue;
      if (!fs.existsSync(path.join(root, path.dirname(page), target.split("#")[0]))) broken.push(`${page}: ${target}`);
    }
  assert.deepEqual(broken, []);
});

test("docs/README.md lists every page and every decision", () => {
  const index = read("docs/README.md");
  const missing = [...below("docs"), ...below("docs/decisions")].map((page) => page.slice("docs/".length))
    .filter((page) => page !== "README.md" && !index.includes(`(${page})`));
  assert.deepEqual(missing, []);
});

test("decisions are numbered without gaps, and say context, decision and consequences", () => {
  below("docs/decisions").sort().forEach((page, i) => {
    assert.match(path.basename(page), new RegExp(`^${String(i + 1).padStart(4, "0")}-[a-z0-9-]+\\.md$`));
    for (const part of ["# ", "## Context", "## Decision", "## Consequences"]) assert.ok(read(page).includes(part), `${page}: ${part}`);
  });
});

// README.md and docs/*.md are what commands.test.mjs runs; a block elsewhere cannot be run by it, so there only a reason will do.
test("every block of commands is run by a test, or says why not", () => {
  const unmarked = [];
  for (const page of [...pages, "SECURITY.md"]) {
    let open = false;
    read(page).split("\n").forEach((line, i) => {
      if (!line.trimStart().startsWith("```")) return;
      const [kind, ...mark] = line.trim().slice(3).split(" ");
      open = !open;
      if (!open || !["sh", "bash", "shell", "console", "zsh"].includes(kind)) return;
      const run = kind === "sh" && mark.join(" ") === "test" && (page === "README.md" || path.dirname(page) === "docs");
      if (!run && !/^not run: \S.{10,}/.test(mark.join(" "))) unmarked.push(`${page}:${i + 1}: ${line}`);
    });
  }
  assert.deepEqual(unmarked, []);
});

test("the manual page and --help name the same commands", () => {
  const source = read("src/main.c");
  const commands = [...source.slice(source.indexOf("commands[]")).matchAll(/\{"([a-z]+)", cmd_/g)].map(([, name]) => name);
  assert.ok(commands.length > 3);
  const page = read("docs/man/functions-admin.1");
  const section = page.slice(page.indexOf(".SH COMMANDS"), page.indexOf(".SH SIGNALS"));
  assert.deepEqual([...section.matchAll(/^\.TP\n\.B ([a-z]+)$/gm)].map(([, name]) => name).sort(), commands.sort());
});

test("commands of quickstart and check that the pages name exist", () => {
  const help = execFileSync("bash", [path.join(root, "quickstart"), "--help"], { encoding: "utf8" });
  const steps = execFileSync("bash", [path.join(root, "check"), "--list"], { encoding: "utf8" }).split("\n").map((line) => line.split(" ")[0]);
  const wrong = [];
  for (const page of pages) {
    for (const [, word] of read(page).matchAll(/\.\/quickstart ([a-z]+)\b/g)) if (!new RegExp(`^  ${word}\\b`, "m").test(help)) wrong.push(`${page}: quickstart ${word}`);
    for (const [, words] of read(page).matchAll(/\.\/check ([a-z ]+?)[`\n#]/g))
      for (const word of words.trim().split(/\s+/)) if (!steps.includes(word)) wrong.push(`${page}: check ${word}`);
  }
  assert.deepEqual(wrong, []);
});
