// The unmodified Supabase CLI against the whole stack. After each deploy the function is called through the gateway, where what
// answers is what was deployed.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { CLI_VERSIONS, onlyNewest, startStack } from "../lib/stack.mjs";
import { functionFiles, makeProject, write } from "./project.mjs";

const SHARED = "supabase/functions/_shared/text.ts";
const answering = (text) => `import { shared } from "../_shared/text.ts";\nDeno.serve(() => new Response(\`${text} \${shared}\`));\n`;

for (const version of Object.keys(CLI_VERSIONS)) {
  describe(`Supabase CLI ${version}`, () => {
    let stack, folder;
    // Of an earlier one the short run tries what deploys depend on.
    const more = onlyNewest(version);

    const cli = (...args) => stack.cli(args, { version, cwd: folder });
    const succeeds = async (...args) => {
      const done = await cli(...args);
      assert.equal(done.code, 0, `supabase ${args.join(" ")}: ${done.stderr}${done.stdout}`);
      return done;
    };
    const fails = async (...args) => {
      const done = await cli(...args);
      assert.equal(done.code, 1, `supabase ${args.join(" ")} ended with ${done.code}: ${done.stderr}${done.stdout}`);
      return done.stderr;
    };
    const listed = async () => (await stack.api("GET", "functions")).json;
    const answers = async (slug, text, more) => {
      const answer = await stack.call(slug, more);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.text, text);
    };

    before(async () => {
      stack = await startStack();
      folder = makeProject(stack, {
        [SHARED]: 'export const shared = "and all";\n',
        "supabase/functions/one/index.ts": answering("one"),
        "supabase/functions/two/index.ts": answering("two"),
      });
    });
    after(() => stack?.stop());

    test("link", async () => {
      const done = await succeeds("link", "--project-ref", stack.ref);
      assert.match(done.stdout, /Finished supabase link\./);
      assert.equal(fs.readFileSync(path.join(folder, "supabase/.temp/project-ref"), "utf8"), stack.ref);
    });

    test("link to a project that is not there says so", more, async () => {
      const other = makeProject(stack, {});
      const done = await stack.cli(["link", "--project-ref", "abcdefghijklmnopqrst"], { version, cwd: other });
      assert.equal(done.code, 1);
      assert.match(done.stderr, /Project not found/i);
    });

    test("deploy of one, and again with other code", async () => {
      await succeeds("functions", "deploy", "one", "--use-api", "--yes");
      await answers("one", "one and all");
      write(folder, { "supabase/functions/one/index.ts": answering("one anew") });
      const done = await succeeds("functions", "deploy", "one", "--use-api", "--yes");
      assert.match(done.stdout, /Deployed Functions on project [a-z]{20}: one/);
      await answers("one", "one anew and all");
      assert.deepEqual((await listed()).map(({ slug, version }) => [slug, version]), [["one", 2]]);
    });

    test("deploy of all with -j is one change of all of them", async () => {
      write(folder, { [SHARED]: 'export const shared = "together";\n' });
      await succeeds("functions", "deploy", "-j", "2", "--use-api", "--yes");
      await answers("one", "one anew together");
      await answers("two", "two together");
      const times = (await listed()).map((f) => f.updated_at);
      assert.equal(new Set(times).size, 1, "activated at one moment");
    });

    test("deploy without --use-api, where no Docker is, sends the source", more, async () => {
      write(folder, { "supabase/functions/two/index.ts": answering("two anew") });
      const done = await succeeds("functions", "deploy", "two", "--yes");
      assert.match(done.stderr, /Docker is not running/);
      await answers("two", "two anew together");
    });

    test("--no-verify-jwt, and back by the configuration", more, async () => {
      assert.equal((await stack.call("one", { token: null })).status, 401);
      await succeeds("functions", "deploy", "one", "--no-verify-jwt", "--use-api", "--yes");
      await answers("one", "one anew together", { token: null });
      assert.equal((await stack.call("two", { token: null })).status, 401);
      write(folder, { "supabase/config.toml": 'project_id = "tests"\n[functions.one]\nverify_jwt = true\n' });
      await succeeds("functions", "deploy", "one", "--use-api", "--yes");
      assert.equal((await stack.call("one", { token: null })).status, 401);
      await answers("one", "one anew together");
    });

    test("--import-map", more, async () => {
      write(folder, {
        "supabase/functions/mapped/index.ts": 'import { shared } from "shared";\nDeno.serve(() => new Response(`mapped ${shared}`));\n',
        "supabase/functions/import_map.json": JSON.stringify({ imports: { shared: "./_shared/text.ts" } }),
      });
      await succeeds("functions", "deploy", "mapped", "--import-map", "supabase/functions/import_map.json", "--use-api", "--yes");
      await answers("mapped", "mapped together");
      const mapped = (await listed()).find((f) => f.slug === "mapped");
      assert.equal(mapped.import_map, true);
      assert.match(mapped.import_map_path, /\/source\/supabase\/functions\/import_map\.json$/);
    });

    test("list in every format the command knows", more, async () => {
      const now = await listed();
      for (const format of ["pretty", "json", "yaml", "toml"]) {
        const { stdout } = await succeeds("functions", "list", "-o", format);
        for (const f of now) for (const value of [f.id, f.slug, String(f.version)]) assert.ok(stdout.includes(value), `${format}: ${stdout}`);
        if (format === "json") assert.deepEqual(JSON.parse(stdout), now);
      }
      assert.deepEqual(JSON.parse((await succeeds("functions", "list", "--output-format", "json")).stdout).functions, now);
      assert.deepEqual(JSON.parse((await succeeds("functions", "list", "--output-format", "stream-json")).stdout).data.functions, now);
      assert.match((await succeeds("functions", "list", "--output-format", "text")).stdout, /ID .*NAME .*SLUG .*STATUS .*VERSION/);
      assert.match(await fails("functions", "list", "-o", "env"), /not supported/, "the CLI itself has no such list");
    });

    test("--prune deletes what is not in the folder", async () => {
      for (const name of ["mapped", "import_map.json"]) fs.rmSync(path.join(folder, "supabase/functions", name), { recursive: true, force: true });
      await succeeds("functions", "deploy", "--prune", "--use-api", "--yes");
      assert.deepEqual((await listed()).map((f) => f.slug).sort(), ["one", "two"]);
      assert.equal((await stack.call("mapped")).status, 404);
    });

    test("delete, and of what is not there", async () => {
      const done = await succeeds("functions", "delete", "two", "--yes");
      assert.match(done.stdout, /Deleted Function two/);
      assert.equal((await stack.call("two")).status, 404);
      assert.match(await fails("functions", "delete", "two", "--yes"), /Function two does not exist/);
      assert.deepEqual((await listed()).map((f) => f.slug), ["one"]);
    });

    test("projects list and projects api-keys", more, async () => {
      assert.match((await succeeds("projects", "list")).stdout, new RegExp(`Quickstart.*|${stack.ref}`));
      const { stdout } = await succeeds("projects", "api-keys", "--project-ref", stack.ref, "-o", "json");
      assert.ok(JSON.parse(stdout).some((key) => key.name === "anon"));
    });

    describe("download", () => {
      // What a tree may hold: nested and shared code, an import map, static files of any bytes and names.
      const tree = {
        "big/index.ts": 'import { deep } from "./lib/deep/er.ts";\nimport { greet } from "greet";\n' +
          'const page = await Deno.readTextFile(new URL("./static/page.html", import.meta.url));\n' +
          'const binary = await Deno.readFile(new URL("./static/bytes.bin", import.meta.url));\n' +
          "Deno.serve(() => Response.json({ deep, greeting: greet(), page, bytes: binary.length }));\n",
        "big/lib/deep/er.ts": 'export const deep = "äöü – 深い 🦕";\r\n',
        "big/deno.json": '{\n  "imports": { "greet": "../_shared/greet.ts" }\n}\n',
        "_shared/greet.ts": 'import { name } from "./name.js";\nexport const greet = () => `Hello ${name}`;',
        "_shared/name.js": 'export const name = "you";\n',
        "big/static/page.html": "<p>no newline at the end</p>",
        "big/static/bytes.bin": Buffer.concat([Buffer.from([0, 255, 254, 13, 10, 45, 45]), Buffer.from("\r\n--boundary--\r\n"), randomBytes(300_000)]),
        "big/static/empty.txt": "",
        "big/static/Grüße aus Köln.txt": "composed",
        "big/static/Gru\u0308\u00dfe.txt": "decomposed",
        "big/static/日本語/ファイル.txt": "other letters",
        "big/static/a b+c&d=e%41#f;g'h.txt": "odd characters",
        'big/static/say "hi".txt': "quotes",
        "big/static/(x)[y]{z}~$!@,.txt": "more of them",
        "other/index.ts": 'import { greet } from "../_shared/greet.ts";\nDeno.serve(() => new Response(greet()));\n',
      };
      const config = '[functions.big]\nstatic_files = ["./functions/big/static/*.*", "./functions/big/static/*/*"]\n';
      let source;

      before(async () => {
        source = makeProject(stack, Object.fromEntries(Object.entries(tree).map(([name, content]) => [`supabase/functions/${name}`, content])), config);
        const done = await stack.cli(["functions", "deploy", "--project-ref", stack.ref, "--use-api", "--yes"], { version, cwd: source });
        assert.equal(done.code, 0, done.stderr);
        const answer = await stack.call("big");
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(answer.json, {
          deep: "äöü – 深い 🦕", greeting: "Hello you", page: tree["big/static/page.html"], bytes: tree["big/static/bytes.bin"].length,
        });
        assert.equal((await stack.call("other")).text, "Hello you");
      });

      test("of one restores its tree byte for byte", async () => {
        const target = makeProject(stack, {});
        const done = await stack.cli(["functions", "download", "big", "--project-ref", stack.ref, "--use-api"], { version, cwd: target });
        assert.equal(done.code, 0, done.stderr);
        const expected = functionFiles(source);
        delete expected["other/index.ts"];
        assert.deepEqual(functionFiles(target), expected);
      });

      test("of all, also without --use-api where no Docker is", more, async () => {
        await stack.api("DELETE", "functions/one");
        for (const flags of [["--use-api"], []]) {
          const target = makeProject(stack, {});
          const done = await stack.cli(["functions", "download", "--project-ref", stack.ref, ...flags], { version, cwd: target });
          assert.equal(done.code, 0, done.stderr);
          assert.deepEqual(functionFiles(target), functionFiles(source));
        }
      });

      test("of what is not there says so", more, async () => {
        const target = makeProject(stack, {});
        const done = await stack.cli(["functions", "download", "nowhere", "--project-ref", stack.ref, "--use-api"], { version, cwd: target });
        assert.equal(done.code, 1);
        assert.match(done.stderr, /Function nowhere does not exist|Function not found/);
        assert.deepEqual(functionFiles(target), {});
      });
    });
  });
}
