// The rules of the layers, checked on the source: who may include whom, which file alone may know libpq and libfcgi, and
// which functions of C are not used. Run: node --test tests/lint/
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const src = fileURLToPath(new URL("../../src", import.meta.url));

// Each layer, and the layers below that it may include. Its own folder and core are allowed to all of them.
const layers = {
  "main.c": ["cmd"],
  cmd: ["api", "auth", "service", "store", "fs", "http"],
  api: ["http", "auth", "service"],
  auth: ["store"],
  service: ["store", "fs"],
  store: [],
  fs: [],
  http: [],
  core: [],
};

// Headers of one library, and the one file, with its parts, that may include them.
const owned = [
  { header: /^libpq/, file: "store/pg.c", parts: ["store/pg_address.c", "store/pg_result.c"] },
  { header: /^(fcgi|fastcgi)/, file: "http/fcgi.c" },
];

// Calls that one file alone makes: json_dumps() leaves out what it has no memory for, json_text() does not.
const ownedCalls = [{ call: "json_dumps", file: "core/json.c" }];

const banned = ["strcpy", "sprintf", "strcat", "atoi", "strtok", "gets", "alloca", "vsprintf"];

function sources(dir) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) return sources(path);
    return /\.[ch]$/.test(entry.name) ? [path] : [];
  });
}

// Comments become blanks, the text of strings and characters goes; line ends stay, so that line numbers hold.
function code(text) {
  return text.replace(/\/\*[^]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g, (piece) =>
    piece[0] === "/" ? piece.replace(/[^\n]/g, " ") : `${piece[0]}${piece[0]}`);
}

// The violations in one file, as "file:line: what".
function check(file, text) {
  const layer = file.split("/")[0];
  const allowed = layers[layer];
  if (allowed === undefined) return [`${file}:1: ${layer} is no layer`];
  const found = [];
  // Includes are read from the text as it is (they look like strings), calls from the code alone.
  text.split("\n").forEach((line, i) => {
    const ours = /^\s*#\s*include\s*"([^"]+)"/.exec(line)?.[1];
    const system = /^\s*#\s*include\s*<([^>]+)>/.exec(line)?.[1];
    const at = `${file}:${i + 1}`;
    for (const { header, file: owner, parts = [] } of owned)
      if (header.test(ours ?? system ?? "") && file !== owner && !parts.includes(file)) found.push(`${at}: only ${owner} includes ${ours ?? system}`);
    const target = ours?.includes("/") ? ours.split("/")[0] : undefined;
    if (ours === undefined || ours === "config.h") return; // autoconf's
    if (target === undefined) found.push(`${at}: "${ours}" does not name its layer`);
    else if (target !== layer && target !== "core" && !allowed.includes(target))
      found.push(`${at}: ${layer} may not include ${ours}`);
  });
  code(text).split("\n").forEach((line, i) => {
    for (const { call, file: owner } of ownedCalls)
      if (file !== owner && new RegExp(`\\b${call}\\s*\\(`).test(line)) found.push(`${file}:${i + 1}: only ${owner} calls ${call}()`);
    for (const name of banned)
      if (new RegExp(`\\b${name}\\s*\\(`).test(line)) found.push(`${file}:${i + 1}: ${name}() is not used here`);
  });
  return found;
}

test("the source keeps to the layers", () => {
  const files = sources(src);
  assert.ok(files.length > 10, "no source found");
  assert.deepEqual(files.flatMap((path) => check(relative(src, path), readFileSync(path, "utf8"))), []);
});

test("the check sees what it is for", () => {
  const cases = [
    ["http/x.c", '#include "service/deploy.h"', "http/x.c:1: http may not include service/deploy.h"],
    ["core/x.c", '\n#include "http/request.h"', "core/x.c:2: core may not include http/request.h"],
    ["api/x.c", '#include "store/pg.h"', "api/x.c:1: api may not include store/pg.h"],
    ["auth/x.c", '#include "service/x.h"', "auth/x.c:1: auth may not include service/x.h"],
    ["main.c", '#include "api/api.h"', "main.c:1: main.c may not include api/api.h"],
    ["other/x.c", "", "other/x.c:1: other is no layer"],
    ["api/x.c", '#include "x.h"', 'api/x.c:1: "x.h" does not name its layer'],
    ["store/x.c", "#include <libpq-fe.h>", "store/x.c:1: only store/pg.c includes libpq-fe.h"],
    ["http/x.c", "#include <fcgiapp.h>", "http/x.c:1: only http/fcgi.c includes fcgiapp.h"],
    ["api/x.c", "text = json_dumps (doc, 0);", "api/x.c:1: only core/json.c calls json_dumps()"],
    ["core/x.c", "\tstrcpy (a, b);", "core/x.c:1: strcpy() is not used here"],
    ["core/x.c", "/* a\n */ sprintf(a, b);", "core/x.c:2: sprintf() is not used here"],
  ];
  for (const [file, text, expected] of cases) assert.deepEqual(check(file, text), [expected]);

  const good = [
    ["store/pg.c", "#include <libpq-fe.h>"],
    ["store/pg_result.c", "#include <libpq-fe.h>"],
    ["http/fcgi.c", "#include <fcgiapp.h>"],
    ["cmd/x.c", '#include "store/pg.h"\n#include "core/log.h"'],
    ["auth/x.c", '#include "store/token.h"\n#include "auth/scope.h"\n#include "config.h"'],
    ["core/x.c", "snprintf(a); fgets(b); /* strcpy(a) */ // gets(x)\nputs(\"strcat(a, b) \\\" sprintf(\");"],
  ];
  for (const [file, text] of good) assert.deepEqual(check(file, text), []);
});
