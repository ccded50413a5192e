// Runs the commands that the documentation shows. Of the README and of each page in docs/ that has any, the blocks marked ```sh test run
// one after the other in one shell, in a folder and on a stack of their own, with the names of `quickstart env` set. The README's is a
// checkout with a running quickstart, as far as its commands look: ./quickstart and .quickstart are there. A block ```text output right after one holds lines that its output must have, in that order, where … stands for anything. ```json mcp is the
// configuration of an MCP client: its servers are started and asked for their tools.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { CLI_VERSIONS, MCP_SERVER, ROOT, run, startStack } from "../lib/stack.mjs";

function blocksOf(page) {
  const blocks = [];
  const lines = fs.readFileSync(page, "utf8").split("\n");
  for (let at = 0; at < lines.length; at++) {
    const [, kind] = /^```(.+)$/.exec(lines[at]) ?? [];
    if (!kind) continue;
    const end = lines.indexOf("```", at);
    const block = { kind, line: at + 1, text: lines.slice(at + 1, end).join("\n") };
    if (kind === "sh test" || kind === "json mcp") blocks.push(block);
    else if (kind === "text output") {
      const last = blocks.at(-1);
      assert.ok(last?.kind === "sh test" && lines[at - 1] === "```", `${page}:${at + 1}: an output without its commands`);
      last.expected = block.text.split("\n");
    }
    at = end;
  }
  return blocks;
}

/** Whether a line of the output has what the line of the page says. */
function fits(expected, line) {
  const pattern = expected.split("…").map((part) => part.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+")).join(".*");
  return new RegExp(`^\\s*${pattern}\\s*$`).test(line);
}

/** A folder for PATH: the pinned clients under the names that people have them by, without the network that npx would need. */
function programs(stack) {
  const folder = stack.folder("bin");
  const put = (name, text) => fs.writeFileSync(path.join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const node = (script) => `exec "${process.execPath}" "${script}" "$@"`;
  put("supabase", node(CLI_VERSIONS["3.1.0"]));
  put("npx", `case $1 in -y | --yes) shift ;; esac\nname=$1\nshift\ncase $name in
${Object.entries(CLI_VERSIONS).map(([version, script]) => `supabase@${version}) ${node(script)} ;;`).join("\n")}
@supabase/mcp-server-supabase@0.13.0) ${node(MCP_SERVER)} ;;
*) echo "the tests have no $name" >&2; exit 1 ;;
esac`);
  put("functions-admin", `exec "${stack.home}/bin/functions-admin" "$@" --config "${stack.home}/conf/functions-admin.conf"`);
  return folder;
}

const MARK = "\u001e";
const docs = fs.readdirSync(path.join(ROOT, "docs")).filter((file) => file.endsWith(".md")).sort().map((file) => `docs/${file}`);
for (const name of ["README.md", ...docs]) {
  const blocks = blocksOf(path.join(ROOT, name));
  if (blocks.length === 0) continue;

  describe(name, () => {
    let stack, env, outputs, done;

    before(async () => {
      stack = await startStack({ sample: name === "README.md" });
      const home = stack.folder("home");
      env = { ...stack.env, PATH: `${programs(stack)}:${process.env.PATH}`, HOME: home, LANG: "C.UTF-8", DO_NOT_TRACK: "1", SUPABASE_TELEMETRY_DISABLED: "1" };
      const project = stack.folder("project");
      if (name === "README.md") {
        fs.writeFileSync(path.join(project, "quickstart"), `#!/bin/sh\nFA_HOME="${stack.home}" exec "${ROOT}/quickstart" "$@"\n`, { mode: 0o755 });
        fs.symlinkSync(stack.home, path.join(project, ".quickstart"));
      }
      const script = blocks.filter((block) => block.kind === "sh test").map((block) => `${block.text}\nprintf '${MARK}'\n`).join("");
      done = await run("bash", ["--norc", "-euo", "pipefail", "-c", `exec 2>&1\n${script}`], { cwd: project, env });
      outputs = done.stdout.split(MARK);
    });
    after(() => stack?.stop());

    let index = 0;
    for (const block of blocks) {
      if (block.kind === "sh test") {
        const own = index++;
        test(`the commands of line ${block.line}`, () => {
          assert.ok(own < outputs.length, "a block before it has ended the shell");
          assert.ok(own < outputs.length - 1, `ended with ${done.code}:\n${outputs[own]}`);
          const lines = outputs[own].split("\n");
          for (const expected of block.expected ?? []) {
            const at = lines.findIndex((line) => fits(expected, line));
            assert.ok(at >= 0, `no line like:\n${expected}\nin:\n${outputs[own]}`);
            lines.splice(0, at + 1);
          }
        });
      } else {
        test(`the MCP configuration of line ${block.line}`, async () => {
          const filled = block.text.replace(/\$\{(\w+)\}/g, (_, variable) => {
            assert.ok(stack.env[variable], `no ${variable}`);
            return stack.env[variable];
          });
          for (const server of Object.values(JSON.parse(filled).mcpServers)) {
            const client = new Client({ name: "documentation", version: "1.0.0" });
            await client.connect(new StdioClientTransport({ command: server.command, args: server.args, env: { PATH: env.PATH, HOME: env.HOME, ...server.env }, stderr: "ignore" }));
            try {
              const list = await client.callTool({ name: "list_edge_functions", arguments: {} });
              assert.ok(!list.isError, JSON.stringify(list));
            } finally {
              await client.close();
            }
          }
        });
      }
    }
  });
}
