// The web UI through the gateway, with the real program, PostgreSQL and a runtime: its main flows, some with the keyboard alone, in both
// colour schemes and at a phone's width, held against axe-core; hostile text everywhere it is shown; two thousand functions.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT, startStack } from "../lib/stack.mjs";
import { DESKTOP, PHONE, axe, open, scrollThrough, shot, startBrowser, tabTo, twoThousand, until } from "./browser.mjs";

const SOURCE = (text) => `import { answer } from "./answer.ts";\n\nDeno.serve(() => Response.json({ answer: answer(${JSON.stringify(text)}) }));\n`;
const FILES = (text) => ({
  "supabase/functions/hello/index.ts": SOURCE(text),
  "supabase/functions/hello/answer.ts": "export const answer = (text: string): string => `the answer is ${text}`;\n",
  "supabase/functions/hello/deno.json": '{\n  "imports": {}\n}\n',
});
/** What must come out as the text that it is. */
const HOSTILE = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{7*7}}${"‮"}abc`;

let stack, browser;
before(async () => {
  if (!fs.existsSync(path.join(ROOT, "web/node_modules"))) {
    const done = spawnSync("npm", ["ci", "--prefix", path.join(ROOT, "web")], { encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
  }
  stack = await startStack();
  assert.ok(fs.existsSync(path.join(stack.home, "web/functions-admin/ui/index.html")), "quickstart built the web UI");
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await stack?.stop();
});

const deployed = async (slug, files, more) => {
  const answer = await stack.deploy(slug, files, more);
  assert.equal(answer.status, 201, answer.text);
  return answer.json;
};
const versionOf = async (slug) => (await stack.api("GET", `functions/${slug}`)).json.version;
const editor = (page) => page.locator(".editor .cm-content");
const dialog = (page) => page.getByRole("dialog");

test("an empty project teaches the three ways, with this server's own addresses", async () => {
  const ui = await open(browser, stack);
  await ui.page.goto(`${stack.env.API_URL}/`);
  await ui.page.getByRole("heading", { name: "Deploy the first function" }).waitFor();
  const text = await ui.page.locator("main").innerText();
  for (const part of [`api_url: ${stack.env.API_URL}`, `--remote=${stack.ref}`, `--api-url ${stack.env.API_URL}`, `${stack.env.FUNCTIONS_URL}/hello`]) assert.ok(text.includes(part), part);
  assert.deepEqual(await axe(ui.page), []);
  await shot(ui.page, "empty-dark");
  await ui.finish();
});

test("with the keyboard alone: write a function, deploy it, call it", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view();
  await page.getByRole("button", { name: "Deploy a new function" }).waitFor();
  await tabTo(page, "Deploy a new function");
  await page.keyboard.press("Enter");
  await page.getByLabel("Name", { exact: true }).waitFor();
  await tabTo(page, "Name");
  await page.keyboard.press("Control+a");
  await page.keyboard.type("keys");
  await editor(page).waitFor();
  await editor(page).focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText('Deno.serve(() => Response.json({ typed: "by hand" }));\n');
  await page.keyboard.press("Control+s");
  await dialog(page).getByLabel("Message").waitFor();
  await page.keyboard.type("typed with the keyboard");
  await page.keyboard.press("Enter");
  await dialog(page).getByRole("heading", { name: "Version 1 is deployed" }).waitFor();
  assert.match(await dialog(page).innerText(), /Verified by the runtime\s*: done/);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "keys" }).waitFor();
  assert.deepEqual((await stack.call("keys")).json, { typed: "by hand" });
  assert.equal((await stack.api("GET", "functions/keys/versions")).json.data[0].message, "typed with the keyboard");

  await tabTo(page, "Test");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Send the request" }).waitFor();
  await tabTo(page, "Path and query");
  await page.keyboard.press("Control+Enter");
  await page.getByText("200 OK").waitFor();
  assert.match(await page.getByLabel("the response body", { exact: true }).innerText(), /"typed": "by hand"/);
  assert.match(await page.locator(".answer-line").innerText(), /version 1/);
  await shot(page, "test-dark");
  await ui.finish();
});

test("with the keyboard alone: from the list to the code, a new version, and back to the one before", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view();
  await page.getByRole("link", { name: "keys", exact: true }).waitFor();
  await tabTo(page, "keys");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "keys" }).waitFor();
  await tabTo(page, "Code");
  await page.keyboard.press("Enter");
  await editor(page).waitFor();
  // The editor is in a shadow root: the focus is there once its host has it.
  const inEditor = () => page.evaluate(() => document.activeElement?.shadowRoot?.activeElement?.classList.contains("cm-content") ?? false);
  for (let steps = 0; !(await inEditor()); steps++) {
    assert.ok(steps < 60, "Tab reaches the editor");
    await page.keyboard.press("Tab");
  }
  assert.match(await editor(page).getAttribute("aria-description"), /Escape, then Tab/);
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText('Deno.serve(() => Response.json({ typed: "once more" }));\n');
  // One for the suggestions, where they have opened by themselves; one to leave.
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  assert.equal(await inEditor(), false, "it is no trap");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await inEditor(), true);
  await page.keyboard.press("Control+s");
  await dialog(page).getByLabel("Message").waitFor();
  await page.keyboard.type("changed with the keyboard");
  await page.keyboard.press("Enter");
  await dialog(page).getByRole("heading", { name: "Version 2 is deployed" }).waitFor();
  await page.keyboard.press("Enter");
  await dialog(page).waitFor({ state: "detached" });
  assert.deepEqual((await stack.call("keys")).json, { typed: "once more" });
  assert.equal(await inEditor(), true, "the focus is where it was");

  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await tabTo(page, "Versions");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Roll back to version 1" }).waitFor();
  await tabTo(page, "Roll back to version 1");
  await page.keyboard.press("Enter");
  await dialog(page).getByLabel("Message").waitFor();
  await page.keyboard.type("the first was better");
  await tabTo(page, "Roll back");
  await page.keyboard.press("Enter");
  await page.getByText("Rolled back to version 1").waitFor();
  assert.deepEqual((await stack.call("keys")).json, { typed: "by hand" });
  await tabTo(page, "Undo");
  await page.keyboard.press("Enter");
  await page.getByText("Version 2 serves again").waitFor();
  assert.deepEqual((await stack.call("keys")).json, { typed: "once more" });
  await ui.finish();
});

test("the overview's snippets are right: the shown curl call gets the answer", async () => {
  const ui = await open(browser, stack);
  await ui.view("functions/keys");
  const command = await ui.page.getByLabel("the curl call", { exact: true }).innerText();
  const done = spawnSync("bash", ["-c", command], { encoding: "utf8", env: { ...process.env, ANON_KEY: stack.env.ANON_KEY } });
  assert.deepEqual(JSON.parse(done.stdout), { typed: "once more" }, done.stderr);
  for (const [name, part] of [["supabase-js", 'functions.invoke("keys"'], ["Python", '"keys",']]) {
    await ui.page.getByRole("button", { name }).click();
    assert.ok((await ui.page.getByLabel(`the ${name} call`, { exact: true }).innerText()).includes(part));
  }
  await ui.finish();
});

test("editing: unsaved marks, problems at their line before anything is sent, a new version", async () => {
  await deployed("hello", FILES("one"), { message: "the first" });
  const ui = await open(browser, stack, { allow: /status of 422/ });
  const { page } = ui;
  await ui.view("functions/hello/code");
  await editor(page).waitFor();
  await page.getByText("entry").waitFor();
  await editor(page).focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText('import { answer } from "./nowhere.ts";\nconst = 1;\n');
  await page.getByText("1 unsaved file").waitFor();
  const problems = page.getByRole("region", { name: "Problems" });
  assert.match(await problems.innerText(), /index\.ts:1 There is no file "supabase\/functions\/hello\/nowhere\.ts"/);
  assert.match(await problems.innerText(), /index\.ts:2 This is not valid here/);
  await problems.getByRole("button", { name: /index\.ts:2/ }).click();
  await shot(page, "problems-dark");
  await page.keyboard.press("Control+s");
  await dialog(page).getByRole("button", { name: "Deploy anyway" }).click();
  const alert = dialog(page).getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /nowhere\.ts|boot|import/i, "the API's own words");
  assert.equal(await versionOf("hello"), 1, "nothing was activated");
  await page.keyboard.press("Escape");

  await editor(page).focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(SOURCE("two"));
  await problems.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Deploy…" }).click();
  await dialog(page).getByLabel("Message").fill("the second");
  await dialog(page).getByRole("button", { name: "Deploy", exact: true }).click();
  await dialog(page).getByRole("heading", { name: /Version \d+ is deployed/ }).waitFor();
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await page.getByText("1 unsaved file").waitFor({ state: "detached" });
  assert.deepEqual((await stack.call("hello")).json, { answer: "the answer is two" });
  await ui.finish();
});

test("the editor finds, and hints at what deno.json may have", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("functions/hello/code");
  await editor(page).waitFor();
  await editor(page).focus();
  await page.keyboard.press("Control+f");
  await page.keyboard.type("answer");
  await page.locator(".editor .cm-searchMatch").first().waitFor();
  assert.equal(await page.locator(".editor .cm-searchMatch").count(), 4);
  await page.getByRole("button", { name: "Replace all" }).waitFor();
  assert.deepEqual(await axe(page), []);
  await shot(page, "find-dark");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "deno.json" }).click();
  await editor(page).focus();
  await page.keyboard.press("Control+Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await page.keyboard.type('"comp');
  await page.locator(".editor .cm-completionLabel", { hasText: "compilerOptions" }).waitFor();
  await shot(page, "hints-dark");
  await ui.finish();
});

test("a deploy shows how far it is; a connection that breaks does not lose it", async () => {
  const slow = (text) => `await new Promise((resolve) => setTimeout(resolve, 1500));\nDeno.serve(() => new Response(${JSON.stringify(text)}));\n`;
  await deployed("steady", "Deno.serve(() => new Response('first'));\n");
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("functions/steady/code");
  const write = async (text) => {
    await editor(page).waitFor();
    await editor(page).focus();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText(slow(text));
    await page.keyboard.press("Control+s");
    await dialog(page).getByRole("button", { name: "Deploy", exact: true }).click();
  };
  const steps = dialog(page).getByRole("list", { name: "Progress" });
  await write("second");
  await dialog(page).getByRole("button", { name: "Booting…" }).waitFor();
  assert.match(await steps.innerText(), /Stored\s*: done\s+Booted\s*: running\s+Activated\s*: waiting/);
  await shot(page, "deploying-dark");
  await dialog(page).getByRole("heading", { name: "Version 2 is deployed" }).waitFor();
  assert.equal(await steps.getByText(": done").count(), 5);
  await dialog(page).getByRole("button", { name: "Done" }).click();

  // The answer ends after its first events, as when a proxy loses it.
  await page.route(/functions\/deploy\?/, async (route) => {
    const answer = await route.fetch();
    const body = (await answer.text()).split("\n\n").slice(0, 2).join("\n\n");
    await route.fulfill({ response: answer, body: `${body}\n\n` });
  });
  await write("third");
  await dialog(page).getByRole("heading", { name: "Version 3 is deployed" }).waitFor();
  assert.equal((await stack.call("steady")).text, "third");
  await ui.finish();
});

test("what others do is seen without asking again and again, also after the service was away", async () => {
  await deployed("lively", "Deno.serve(() => new Response('1'));\n", { message: "the first" });
  const ui = await open(browser, stack, { allow: /status of 50\d/ });
  const { page } = ui;
  // Whatever asks in intervals does not, so that only what the server tells can bring something new.
  await page.addInitScript(() => { window.setInterval = () => 0; });
  const asked = new Map();
  page.on("request", (request) => asked.set(request.url(), (asked.get(request.url()) ?? 0) + 1));
  await ui.view("functions/lively/versions");
  await page.getByText("the first").waitFor();
  await until("it follows", () => [...asked.keys()].some((url) => url.includes("/deployments?limit=20")));
  await deployed("lively", "Deno.serve(() => new Response('2'));\n", { message: "the second" });
  await page.locator(".message", { hasText: "the second" }).waitFor();
  await stack.restartProgram();
  await deployed("lively", "Deno.serve(() => new Response('3'));\n", { message: "the third" });
  await page.locator(".message", { hasText: "the third" }).waitFor();
  await page.getByText("version 3").first().waitFor();
  await ui.finish();
});

test("an open page asks for nothing more often than every ten seconds", async () => {
  const ui = await open(browser, stack);
  const asked = new Map();
  for (const where of ["functions", "functions/lively/logs", "nodes"]) {
    await ui.view(where);
    ui.page.removeAllListeners("request");
    asked.clear();
    ui.page.on("request", (request) => asked.set(request.url(), (asked.get(request.url()) ?? 0) + 1));
    await ui.page.waitForTimeout(10_500);
    assert.deepEqual([...asked].filter(([, times]) => times > 2), [], where);
  }
  await ui.finish();
});

test("leaving with unsaved changes asks first", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("functions/hello/code");
  await editor(page).waitFor();
  await editor(page).focus();
  await page.keyboard.insertText("// more\n");
  await page.getByText("1 unsaved file").waitFor();
  page.once("dialog", (asked) => asked.dismiss());
  await page.getByRole("link", { name: "Settings", exact: true }).click();
  await editor(page).waitFor();
  await page.getByText("1 unsaved file").waitFor();
  page.once("dialog", (asked) => asked.accept());
  await page.getByRole("link", { name: "Settings", exact: true }).click();
  await page.getByRole("heading", { name: "Delete this function" }).waitFor();
  await ui.finish();
});

test("somebody else deployed meanwhile: both are shown, and nothing is overwritten unseen", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("functions/hello/code");
  await editor(page).waitFor();
  await editor(page).focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(SOURCE("mine"));
  const theirs = await deployed("hello", FILES("theirs"), { message: "theirs" });
  await page.keyboard.press("Control+s");
  await dialog(page).getByRole("button", { name: "Deploy", exact: true }).click();
  await dialog(page).getByRole("heading", { name: "Somebody else deployed meanwhile" }).waitFor();
  await dialog(page).locator(".diff-host .cm-content").first().waitFor();
  await shot(page, "conflict-dark");
  assert.equal(await versionOf("hello"), theirs.version);
  await dialog(page).getByRole("button", { name: "Deploy mine over it…" }).click();
  await dialog(page).getByRole("button", { name: "Deploy", exact: true }).click();
  await dialog(page).getByRole("heading", { name: /Version \d+ is deployed/ }).waitFor();
  await dialog(page).getByRole("button", { name: "Done" }).click();
  assert.deepEqual((await stack.call("hello")).json, { answer: "the answer is mine" });
  await ui.finish();
});

test("versions: what changed between two, roll back, undo", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("functions/hello/versions");
  const versions = page.getByRole("list", { name: "Versions" });
  await versions.getByText("the first").waitFor();
  await page.getByRole("button", { name: "Compare version 1 with the active one" }).click();
  await dialog(page).locator(".diff-host .cm-content").first().waitFor();
  const [left, right] = await dialog(page).locator(".diff-host .cm-content").allInnerTexts();
  assert.match(left, /answer\("one"\)/);
  assert.match(right, /answer\("mine"\)/);
  await shot(page, "diff-dark");
  await page.keyboard.press("Escape");
  const active = await versionOf("hello");
  await page.getByRole("button", { name: "Roll back to version 1" }).click();
  await dialog(page).getByLabel("Message").fill("the second was wrong");
  await dialog(page).getByRole("button", { name: "Roll back" }).click();
  await page.getByText(/Rolled back to version \d+/).waitFor();
  assert.deepEqual((await stack.call("hello")).json, { answer: "the answer is one" });
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText(/Version \d+ serves again/).waitFor();
  assert.deepEqual((await stack.call("hello")).json, { answer: "the answer is mine" });
  await ui.finish();
  assert.ok((await versionOf("hello")) >= active);
});

test("traffic: shares keep their sum, and the calls follow them", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("functions/hello/versions");
  await page.getByRole("list", { name: "Versions" }).getByText("the first").waitFor();
  await page.getByLabel("Add a version").selectOption("1");
  const slider = page.getByRole("slider", { name: "Version 1" });
  await slider.focus();
  await page.keyboard.press("End");
  assert.equal(await slider.inputValue(), "100");
  await shot(page, "traffic-dark");
  await page.getByRole("button", { name: "Share out" }).click();
  await page.getByText("The traffic is shared out anew").waitFor();
  await until("all calls go to version 1", async () => (await stack.call("hello")).json?.answer === "the answer is one");
  await ui.finish();
});

test("releases: what one call changed, undone as a unit", async () => {
  await deployed("undone", "Deno.serve(() => new Response('1'));\n");
  await deployed("undone", "Deno.serve(() => new Response('2'));\n");
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("releases");
  const changes = page.getByRole("list", { name: "Releases" }).getByRole("listitem").filter({ has: page.getByRole("link", { name: "undone" }) });
  assert.match(await changes.last().innerText(), /^undone new, version 1$/);
  await page.getByRole("button", { name: /Undo release/ }).first().click();
  await dialog(page).getByRole("button", { name: "Undo the release" }).click();
  await page.getByText(/Release \d+ is undone/).waitFor();
  await until("the first answers", async () => (await stack.call("undone")).text === "1");
  await ui.finish();
});

test("settings: name and verify_jwt; delete asks for the name to be typed", async () => {
  await deployed("gone", "Deno.serve(() => new Response('x'));\n");
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("functions/gone/settings");
  await page.getByLabel("Name").fill("A better name");
  await page.getByLabel("Verify JWT").uncheck();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("The settings are saved").waitFor();
  const { json } = await stack.api("GET", "functions/gone");
  assert.deepEqual([json.name, json.verify_jwt], ["A better name", false]);
  await page.getByRole("button", { name: "Delete gone…" }).click();
  const verb = dialog(page).getByRole("button", { name: "Delete" });
  assert.equal(await verb.getAttribute("aria-disabled"), "true");
  await dialog(page).getByLabel(/Type gone/).fill("gone");
  await verb.click();
  await page.getByRole("heading", { name: "Edge Functions" }).waitFor();
  assert.equal((await stack.api("GET", "functions/gone")).status, 404);
  await ui.finish();
});

test("access tokens: made with scopes, shown once, revoked", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("tokens");
  await page.getByRole("button", { name: "New token" }).click();
  await dialog(page).getByRole("textbox", { name: "Name", exact: true }).fill("ci of the shop");
  await dialog(page).getByLabel(/functions:write/).uncheck();
  await dialog(page).getByRole("button", { name: "Create" }).click();
  const token = (await dialog(page).getByLabel("the token", { exact: true }).innerText()).trim();
  assert.match(token, /^sbp_[0-9a-f]{40}$/);
  assert.equal((await stack.api("GET", "functions", { token })).status, 200);
  assert.equal((await stack.api("DELETE", "functions/hello", { token })).status, 403);
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await page.getByText("ci of the shop").waitFor();
  assert.equal((await page.content()).includes(token), false, "it is not shown again");
  await page.getByRole("button", { name: "Revoke ci of the shop" }).click();
  await dialog(page).getByRole("button", { name: "Revoke" }).click();
  await page.getByText("ci of the shop is revoked").waitFor();
  assert.equal((await stack.api("GET", "functions", { token })).status, 401);
  await ui.finish();
});

test("secrets: a pasted .env, in force at the next call, never shown again; unset; an earlier revision again", async () => {
  await deployed("reads", "Deno.serve(() => Response.json({ a: Deno.env.get('A') ?? null, b: Deno.env.get('B') ?? null, own: Deno.env.get('OWN') ?? null }));\n");
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("secrets");
  const field = page.getByLabel("NAME=value, one a line");
  await field.fill("no secret here");
  await page.locator(".field-error", { hasText: "Line 1 is not NAME=value" }).waitFor();
  await field.fill('# of the shop\nexport A="first\\nsecond"\nB=two words # with a comment\n');
  await page.getByText("2 secrets: A, B").waitFor();
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.getByText("2 secrets are set").waitFor();
  assert.deepEqual((await stack.call("reads")).json, { a: "first\nsecond", b: "two words", own: null });
  await page.getByRole("group", { name: "Secrets" }).getByText("B", { exact: true }).waitFor();
  assert.equal((await page.content()).includes("two words"), false);
  await page.getByRole("button", { name: "Unset B" }).click();
  await dialog(page).getByRole("button", { name: "Unset" }).click();
  await page.getByText("B is unset").waitFor();
  assert.equal((await stack.call("reads")).json.b, null);
  await page.getByRole("button", { name: "Return to revision 1" }).click();
  await dialog(page).getByRole("button", { name: "Return" }).click();
  await page.getByText("those of revision 1 again").waitFor();
  assert.equal((await stack.call("reads")).json.b, "two words");
  await shot(page, "secrets-dark");
  await ui.view("functions/reads/secrets");
  await page.getByLabel("NAME=value, one a line").fill("OWN=mine");
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.getByText("1 secret is set").waitFor();
  assert.equal((await stack.call("reads")).json.own, "mine");
  await ui.finish();
});

test("with the keyboard alone: a secret is set and unset", async () => {
  const names = async () => (await stack.api("GET", "secrets")).json.map((secret) => secret.name);
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view();
  await tabTo(page, "Secrets");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Secrets" }).waitFor();
  await tabTo(page, "NAME=value, one a line");
  await page.keyboard.type("TYPED=by hand");
  await tabTo(page, "Set");
  await page.keyboard.press("Enter");
  await page.getByText("1 secret is set").waitFor();
  assert.ok((await names()).includes("TYPED"));
  await page.getByRole("button", { name: "Unset TYPED" }).waitFor();
  await tabTo(page, "Unset TYPED");
  await page.keyboard.press("Enter");
  await dialog(page).waitFor();
  await tabTo(page, "Unset");
  await page.keyboard.press("Enter");
  await page.getByText("TYPED is unset").waitFor();
  assert.equal((await names()).includes("TYPED"), false);
  await ui.finish();
});

test("limits and permissions: kept with a new version, and back to the default", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("functions/reads/settings");
  const memory = page.getByLabel("Memory (MB)");
  await memory.fill("4");
  assert.equal(await page.getByRole("button", { name: "Save limits" }).getAttribute("title"), "Memory: from 16 to 65536 MB");
  await memory.fill("200");
  await page.getByLabel("npm: packages").uncheck();
  await page.getByLabel("SUPABASE_SERVICE_ROLE_KEY").uncheck();
  await page.getByRole("button", { name: "Save limits" }).click();
  await page.getByText("The settings are saved").waitFor();
  const { json } = await stack.api("GET", "functions/reads/settings");
  assert.deepEqual([json.limits, json.effective.imports.npm, json.platform.includes("SUPABASE_SERVICE_ROLE_KEY")], [{ memory_mb: 200 }, false, false]);
  await until("the form shows what is saved", async () => (await page.getByRole("button", { name: "Save limits" }).getAttribute("title")) === "Nothing is changed");
  await memory.fill("");
  await page.getByRole("button", { name: "Save limits" }).click();
  await until("the default is back", async () => (await stack.api("GET", "functions/reads/settings")).json.limits?.memory_mb === undefined);
  await ui.finish();
});

test("logs: live, filtered, paused, saved; calls are counted by version", async () => {
  await deployed("talks", "Deno.serve(async (request) => { const text = await request.text(); console.error(text); return new Response(text, { status: text === 'fail' ? 500 : 200 }); });\n");
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("functions/talks/logs");
  const log = page.getByRole("log");
  await stack.call("talks", { method: "POST", body: "first words" });
  await log.getByText("first words").waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await stack.call("talks", { method: "POST", body: HOSTILE });
  await page.getByText(/paused, \d+ new/).waitFor();
  assert.equal(await log.getByText("{{7*7}}").count(), 0);
  await page.getByRole("button", { name: "Go on" }).click();
  await log.getByText("{{7*7}}").first().waitFor();
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.deepEqual(await axe(page), []);
  await shot(page, "logs-dark");
  await page.getByLabel("Contains").fill("first words");
  await until("only what contains it is left", async () => (await page.locator(".log-line").allInnerTexts()).every((line) => line.includes("first words")));
  const saving = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download" }).click();
  const lines = fs.readFileSync(await (await saving).path(), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([...new Set(lines.map((line) => line.message.trim()))], ["first words"]);

  await stack.call("talks", { method: "POST", body: "fail" });
  await until("the calls are counted", async () => (await stack.api("GET", "functions/talks/stats")).json.versions?.[0]?.errors === 1);
  await ui.view("functions/talks");
  const row = page.getByRole("group", { name: "Calls by version" }).locator("tbody tr");
  await row.waitFor();
  assert.deepEqual((await row.locator("td").allInnerTexts()).slice(0, 4), ["1", "3", "0", "1"]);
  assert.match(await page.getByRole("figure").first().innerText(), /Calls and errors 3, 1 failed/);
  assert.deepEqual(await axe(page), []);
  await shot(page, "charts-dark");
  await ui.view();
  await page.getByRole("row", { name: /talks/ }).getByText("1 failed").waitFor();
  await ui.finish();
});

test("templates: one opens in the editor, and is deployed under a name of its own", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("templates");
  const { data } = (await stack.api("GET", "/v1/templates")).json;
  const cards = page.getByRole("list", { name: "Templates" }).locator("> li");
  assert.equal(await cards.count(), data.length);
  const { title, source, id } = data[0];
  await page.getByRole("button", { name: `Use the template ${title}`, exact: true }).click();
  await until("its source is in the editor", async () => (await editor(page).innerText().catch(() => "")).includes(source.split("\n").find((line) => line.trim()).trim()));
  assert.equal(await page.getByRole("textbox", { name: "Name", exact: true }).inputValue(), id);
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("from-template");
  await page.getByRole("button", { name: "Deploy…" }).click();
  await dialog(page).getByRole("button", { name: /^Deploy/ }).click();
  await dialog(page).getByRole("heading", { name: "Version 1 is deployed" }).waitFor();
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await page.getByRole("heading", { level: 1, name: "from-template" }).waitFor();
  assert.match((await stack.api("GET", "functions/from-template")).json.entrypoint_path, /from-template\/index\.ts$/);
  await ui.finish();
});

test("the audit log: filtered, exported", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("audit");
  await page.getByLabel("What").fill("reads");
  await page.getByRole("group", { name: "Audit log" }).getByText("reads").first().waitFor();
  await until("only that function is left", async () => (await page.locator("tbody tr").allInnerTexts()).every((row) => row.includes("reads")));
  const saving = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const lines = fs.readFileSync(await (await saving).path(), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.ok(lines.length >= 3 && lines.every((entry) => entry.target.includes("reads")));
  await ui.finish();
});

test("the list: how calls are split, who changed it, its last error; sorted by each", async () => {
  const { token } = (await stack.api("POST", "/v1/access-tokens", { body: { name: "zoe", scopes: ["functions:write"] } })).json;
  for (const text of ["1", "2"]) await deployed("listed", `Deno.serve(() => new Response("${text}"));\n`);
  assert.equal((await stack.api("PUT", "functions/listed/traffic", { body: [{ version: 2, percent: 75 }, { version: 1, percent: 25 }] })).status, 200);
  await deployed("listed-last", "Deno.serve(() => new Response());\n", { token });
  assert.equal((await stack.deploy("listed", "await Promise.reject(new Error('no such luck'));\n")).status, 422);
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view();
  const row = page.locator(".body-row", { has: page.getByRole("link", { name: "listed", exact: true }) });
  const first = () => page.locator(".body-row .c-name a").first().innerText();
  await row.getByText("no such luck").waitFor();
  assert.match(await row.locator(".c-traffic").innerText(), /75 % version 2, 25 % version 1/);
  await page.getByRole("searchbox").fill("listed");
  await page.getByRole("button", { name: "Traffic" }).click();
  await until("what is split comes first", async () => (await first()) === "listed");
  await page.getByRole("button", { name: "Last error" }).click();
  await until("the newest error comes first", async () => (await first()) === "listed");
  await page.getByRole("button", { name: "By", exact: true }).click();
  await page.getByRole("button", { name: "By", exact: true }).click();
  await until("the last name comes first", async () => (await first()) === "listed-last");
  assert.equal(await page.locator(".body-row .c-by").first().innerText(), "token zoe");
  assert.equal(await page.getByRole("columnheader", { name: "By" }).getAttribute("aria-sort"), "descending");
  assert.deepEqual(await axe(page), []);
  await shot(page, "list-activity-dark");
  await ui.finish();
});

test("status: what the doctor finds, with what to do first; it is looked at again when asked", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  const findings = page.getByRole("list", { name: "Findings" }).getByRole("listitem");
  await ui.view("status");
  await page.getByText("All is well").waitFor();
  assert.match(await findings.filter({ hasText: "Edge runtime" }).innerText(), new RegExp(`serves generation \\d+ of project ${stack.ref}`));
  const manifest = path.join(stack.functionsDir, ".functions-admin/manifest.json");
  fs.renameSync(stack.functionsDir, `${stack.functionsDir}.away`);
  try {
    await page.getByRole("button", { name: "Look again" }).click();
    await page.getByText(/things? to mend/).waitFor();
    assert.match(await findings.first().innerText(), /^Functions folder\s*: wrong\s+.*No such file or directory\s+Make the directory/);
    assert.deepEqual(await axe(page), []);
    await shot(page, "status-wrong-dark");
  } finally {
    fs.renameSync(`${stack.functionsDir}.away`, stack.functionsDir);
  }
  assert.ok(fs.existsSync(manifest));
  await page.getByRole("button", { name: "Look again" }).click();
  await page.getByText("All is well").waitFor();
  await ui.finish();
});

test("nodes: how far each host has come; drained, resumed, checked; one that is away is removed", async () => {
  const nodes = () => stack.api("GET", "nodes").then(({ json }) => Object.fromEntries(json.data.map((node) => [node.name, node])));
  const first = Object.keys(await nodes())[0];
  await until("the server has said what it shows", async () => (await nodes())[first].behind === 0);
  // East and west have no program behind them: as theirs would have left the rows.
  await stack.sql(`INSERT INTO functions_admin.nodes (id, project_ref, name, kind, program, draining, started_at, alive_until, generation, shown_at, verified, secrets_revision, failed_generation, error_code, error_message, error_at)
    SELECT made.id::uuid, p.ref, made.name, 'agent', '1.0', draining, now(), now() + alive::interval, p.generation - behind, now(), false, 0, CASE WHEN code IS NOT NULL THEN p.generation END, code, message, CASE WHEN code IS NOT NULL THEN now() END
    FROM functions_admin.projects p, (VALUES ('00000000-0000-4000-8000-00000000000e', 'east', true, '1 hour', 1, 'disk_full', $2), ('00000000-0000-4000-8000-00000000000f', 'west', false, '-3 hours', 2, NULL, NULL)) AS made (id, name, draining, alive, behind, code, message) WHERE p.ref = $1`,
  [stack.ref, HOSTILE]);
  const ui = await open(browser, stack);
  const { page } = ui;
  const row = (name) => page.getByRole("group", { name: "Nodes" }).getByRole("row").filter({ has: page.getByText(name, { exact: true }) });
  await ui.view("nodes");
  await row("east").waitFor();
  assert.match(await row(first).innerText(), /live[\s\S]*–[\s\S]*yes/);
  assert.match(await row("east").innerText(), /agent, 1\.0[\s\S]*draining[\s\S]*1 generation\b[\s\S]*no/);
  assert.ok((await row("east").innerText()).includes(HOSTILE.slice(0, 40)));
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.match(await row("west").innerText(), /away[\s\S]*2 generations[\s\S]*3 hours ago/);
  assert.deepEqual(await axe(page), []);
  await shot(page, "nodes-several-dark");

  // A deployment that came to several tells of each.
  await stack.sql(`WITH rollout AS (INSERT INTO functions_admin.rollouts (id, project_ref, instance_id, function_ids, versions, boots, finished_at) VALUES ($2, $1, $2, '{}', '{}', '{}', now()) RETURNING id),
    said AS (INSERT INTO functions_admin.rollout_nodes (rollout_id, node_id, node_name, staged_at, active_at, verified, error_code, error_message)
      SELECT id, gen_random_uuid(), 'a' || n, now(), CASE WHEN n = 1 THEN now() END, n = 1, CASE WHEN n = 2 THEN 'disk_full' END, CASE WHEN n = 2 THEN $3 END FROM rollout, generate_series(1, 2) n)
    UPDATE functions_admin.edge_function_deployments d SET rollout_id = rollout.id FROM rollout, functions_admin.edge_functions f WHERE f.slug = 'hello' AND d.function_id = f.id AND d.version = 1`,
  [stack.ref, "00000000-0000-4000-8000-0000000000aa", HOSTILE]);
  await ui.view("functions/hello/versions");
  await page.getByRole("button", { name: /^Details of the deployment of version 1,/ }).first().click();
  const each = dialog(page).getByRole("list", { name: "Nodes" }).getByRole("listitem");
  await each.first().waitFor();
  assert.equal(await each.first().innerText(), "a1: verified");
  assert.ok((await each.last().innerText()).startsWith(`a2: ${HOSTILE.slice(0, 40)}`));
  assert.match(await dialog(page).innerText(), /Begun[\s\S]*Staged[\s\S]*after \d+\.\d s/);
  assert.deepEqual(await axe(page), []);
  await shot(page, "deployment-dark");
  await page.keyboard.press("Escape");

  await ui.view("nodes");
  const remove = (name) => page.getByRole("button", { name: `Remove ${name}` });
  assert.equal(await remove("east").getAttribute("title"), "It lives: end its program first");
  await page.getByRole("button", { name: "Resume east" }).click();
  await page.getByText("Deployments wait for east again").waitFor();
  await row("east").getByText("failed", { exact: true }).waitFor();
  assert.equal((await nodes()).east.draining, false);
  await page.getByRole("button", { name: "Drain east" }).click();
  await page.getByText("No deployment waits for east any more").waitFor();
  await page.getByRole("button", { name: "Resume east" }).waitFor();
  assert.equal((await nodes()).east.draining, true);
  await page.getByRole("button", { name: "Check west" }).click();
  await page.getByText("west compares its files with the database when it is back").waitFor();
  assert.deepEqual(await stack.sql("SELECT name FROM functions_admin.nodes WHERE check_asked AND name IN ('east', 'west')"), [{ name: "west" }]);

  // What happens to one is told, and nothing asks for it.
  const asked = [];
  page.on("request", (request) => { if (/\/nodes$/.test(request.url())) asked.push(request.headers().accept); });
  const change = (set) => stack.sql(`UPDATE functions_admin.nodes SET ${set} WHERE name = 'east'`);
  await change("generation = generation + 1, draining = false, failed_generation = 0, error_code = NULL, error_message = NULL, error_at = NULL, verified = true");
  await row("east").getByText("live", { exact: true }).waitFor();
  assert.match(await row("east").innerText(), /–[\s\S]*yes[\s\S]*now/);
  await change("alive_until = now()");
  await row("east").getByText("away", { exact: true }).waitFor();
  await stack.sql(`INSERT INTO functions_admin.nodes (id, project_ref, name, kind, program, started_at, alive_until, generation, shown_at, verified, draining, secrets_revision)
    SELECT '00000000-0000-4000-8000-00000000000d', ref, 'north', 'agent', '1.0', now(), now() + interval '1 hour', generation, now(), false, false, 0 FROM functions_admin.projects WHERE ref = $1`, [stack.ref]);
  await row("north").waitFor();
  await stack.sql("DELETE FROM functions_admin.nodes WHERE name = 'north'");
  await row("north").waitFor({ state: "detached" });
  assert.ok(asked.every((accept) => accept === "text/event-stream"), String(asked));
  await remove("west").click();
  await dialog(page).getByRole("button", { name: "Remove" }).click();
  await page.getByText("west is forgotten").waitFor();
  await row("west").waitFor({ state: "detached" });
  assert.deepEqual(Object.keys(await nodes()).sort(), [first, "east"].sort());
  await stack.sql("DELETE FROM functions_admin.nodes WHERE name = 'east'");
  await ui.finish();
});

test("nodes: without the right to change them the reason is there; with none, how to add one", async () => {
  const made = await stack.api("POST", "/v1/access-tokens", { body: { name: "looks on", scopes: ["functions:read"] } });
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view();
  await page.getByRole("button", { name: "Use an access token instead" }).click();
  await page.getByLabel("Access token").fill(made.json.token);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Nodes" }).click();
  const buttons = page.getByRole("group", { name: "Nodes" }).getByRole("button");
  await buttons.first().waitFor();
  for (const button of await buttons.all()) assert.equal(await button.getAttribute("title"), "Your access token lacks the scope projects:admin");
  assert.equal(await buttons.count(), 3);
  await page.route(/\/nodes$/, (route) => route.fulfill({ contentType: "text/event-stream", body: 'retry: 10000\nid: none\nevent: nodes\ndata: {"generation":1,"data":[]}\n\n' }));
  await page.reload();
  await page.getByRole("heading", { name: "No host shows this project's functions" }).waitFor();
  assert.ok((await page.getByLabel("the configuration of another host", { exact: true }).innerText()).includes(`project_ref = ${stack.ref}\n`));
  assert.equal((await page.getByLabel("the command that follows the database", { exact: true }).innerText()).trim(), "functions-admin agent");
  assert.deepEqual(await axe(page), []);
  await shot(page, "nodes-empty-dark");
  await ui.finish();
});

test("the audit log: whether its chain is whole", async () => {
  for (const text of ["1", "2"]) await deployed("audited", `Deno.serve(() => new Response("${text}"));\n`);
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("audit");
  await page.getByRole("button", { name: "Verify chain" }).click();
  await page.getByText(/^[\d,]+ entries: all as they were written$/).waitFor();
  const { head } = (await stack.api("GET", "audit/verify")).json;
  assert.ok((await page.locator("main").innerText()).includes(`${stack.ref}:${head.id}:${head.hash}`));
  const tamper = (text) => stack.sql(`DO $$ BEGIN ALTER TABLE functions_admin.audit_log DISABLE TRIGGER ALL; ${text}; ALTER TABLE functions_admin.audit_log ENABLE TRIGGER ALL; END $$`);
  await tamper(`UPDATE functions_admin.audit_log SET actor = '<b>nobody</b>' || actor WHERE seq = ${head.id} AND project_ref IS NOT NULL`);
  await page.getByRole("button", { name: "Verify chain" }).click();
  const found = page.getByRole("list", { name: "What was found" }).getByRole("listitem");
  await found.first().waitFor();
  assert.match(await found.innerText(), /entry \d+ was changed, moved or put in .* by <b>nobody<\/b>/);
  assert.deepEqual(await axe(page), []);
  await shot(page, "audit-tampered-dark");
  await tamper(`UPDATE functions_admin.audit_log SET actor = replace(actor, '<b>nobody</b>', '') WHERE seq = ${head.id} AND project_ref IS NOT NULL`);
  await page.getByRole("button", { name: "Verify chain" }).click();
  await page.getByText(/all as they were written$/).waitFor();
  await ui.finish();
});

test("project settings: what agents deploy waits for a person, or serves at once", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("settings");
  const choice = page.getByLabel("What agents deploy waits for a person");
  const save = page.getByRole("button", { name: "Save: Agents" });
  assert.equal(await save.getAttribute("title"), "Nothing is changed");
  await choice.check();
  await save.click();
  await page.locator(".toast", { hasText: "What agents deploy waits for a person" }).waitFor();
  assert.equal((await stack.api("GET", "settings")).json.agent_deploys, "preview");
  await choice.uncheck();
  await save.click();
  await page.getByText("What agents deploy serves at once").waitFor();
  assert.equal((await stack.api("GET", "settings")).json.agent_deploys, undefined);
  await ui.finish();
});

test("project settings: when a deployment succeeds, the smoke test, automatic rollback, what is kept; and back", async () => {
  const settings = async () => (await stack.api("GET", "settings")).json;
  const ui = await open(browser, stack, { allow: /status of 422/ });
  const { page } = ui;
  await ui.view("settings");
  const part = (title) => page.getByRole("region", { name: title, exact: true });
  const save = async (title) => {
    const button = page.getByRole("button", { name: `Save: ${title}` });
    await button.click();
    await until("the form shows what is saved", async () => (await button.getAttribute("title")) === "Nothing is changed");
  };
  const before = await settings();

  // What is typed in one part stays while another is saved.
  await part("What is kept").getByLabel("Newest versions of each function").fill("7");
  await part("Nodes").getByLabel("A deployment succeeds when").selectOption("quorum");
  await save("Nodes");
  await part("Smoke test").getByLabel("Call each function when it begins to serve").check();
  await part("Smoke test").getByLabel("Path").fill("{slug}");
  await page.getByRole("button", { name: "Save: Smoke test" }).click();
  assert.match(await part("Smoke test").getByRole("alert").innerText(), /path must start with '\/'/);
  await part("Smoke test").getByLabel("Path").fill("/{slug}/health");
  await part("Smoke test").getByLabel("Highest good status").fill("499");
  await save("Smoke test");
  await part("Automatic rollback").getByLabel(/^Go back to the version before/).check();
  await part("Automatic rollback").getByLabel("Failed calls (%)").fill("101");
  assert.equal(await page.getByRole("button", { name: "Save: Automatic rollback" }).getAttribute("title"), "Failed calls (%): from 1 to 100");
  await part("Automatic rollback").getByLabel("Failed calls (%)").fill("10");
  assert.deepEqual(await axe(page), []);
  await shot(page, "project-settings-all-dark");
  await save("Automatic rollback");
  await save("What is kept");
  assert.deepEqual(await settings(), {
    ...before,
    activation_policy: "quorum",
    smoke_test: { path: "/{slug}/health", method: "GET", min_status: 200, max_status: 499, timeout_ms: 5000 },
    auto_rollback: { error_percent: 10, min_calls: 20, window_s: 600 },
    retention: { versions: 7, days: 0, deleted_days: 30 },
  });

  await part("Nodes").getByLabel("A deployment succeeds when").selectOption("all");
  await save("Nodes");
  await part("Smoke test").getByLabel("Call each function when it begins to serve").uncheck();
  await save("Smoke test");
  await part("Automatic rollback").getByLabel(/^Go back to the version before/).uncheck();
  await save("Automatic rollback");
  await part("What is kept").getByLabel("Newest versions of each function").fill("100");
  await save("What is kept");
  assert.deepEqual(await settings(), before);
  await ui.finish();
});

test("project settings: the defaults of functions reach those that do not choose; a function goes back to them; they go back to what is built in", async () => {
  await deployed("defaulted", "Deno.serve(() => new Response());\n");
  const own = async (path) => { const { effective, limits, imports, platform } = (await stack.api("GET", path)).json; return { chosen: { limits, imports, platform }, effective }; };
  const none = { limits: undefined, imports: undefined, platform: undefined };
  const builtin = (await own("function-defaults")).effective;
  const ui = await open(browser, stack);
  const { page } = ui;
  await ui.view("settings");
  const card = page.getByRole("region", { name: "Defaults of functions" });
  const save = card.getByRole("button", { name: "Save defaults" });
  assert.equal(await save.getAttribute("title"), "Nothing is changed");
  await card.getByLabel("CPU time, soft (ms)").fill("5");
  assert.equal(await save.getAttribute("title"), "CPU time, soft: from 10 to 3600000 ms");
  await card.getByLabel("CPU time, soft (ms)").fill("");
  await card.getByLabel("Memory (MB)").fill("200");
  await card.getByLabel("npm: packages").uncheck();
  await card.getByLabel("SUPABASE_SERVICE_ROLE_KEY").uncheck();
  await save.click();
  await page.getByText("The defaults are saved").waitFor();
  const platform = builtin.platform.filter((name) => name !== "SUPABASE_SERVICE_ROLE_KEY");
  assert.deepEqual((await own("function-defaults")).chosen, { limits: { memory_mb: 200 }, imports: { npm: false }, platform });
  const reached = { limits: { ...builtin.limits, memory_mb: 200 }, imports: { ...builtin.imports, npm: false }, platform };
  assert.deepEqual(await own("functions/defaulted/settings"), { chosen: none, effective: reached });
  assert.equal(await page.getByText("What else is set").count(), 0);
  await card.scrollIntoViewIfNeeded();
  assert.deepEqual(await axe(page), []);
  await shot(page, "function-defaults-dark");

  await ui.view("functions/defaulted/settings");
  await page.getByText("Default: 200", { exact: true }).waitFor();
  await page.getByLabel("Memory (MB)").fill("300");
  await page.getByRole("button", { name: "Save limits" }).click();
  await page.getByRole("button", { name: "Back to the project's defaults" }).click();
  await page.getByRole("button", { name: "Back to the project's defaults" }).waitFor({ state: "detached" });
  assert.equal((await stack.api("GET", "functions/defaulted/versions")).json.data.length, 3);
  assert.deepEqual(await own("functions/defaulted/settings"), { chosen: none, effective: reached });

  await ui.view("settings");
  await card.getByRole("button", { name: "Back to the built-in values" }).click();
  await card.getByRole("button", { name: "Back to the built-in values" }).waitFor({ state: "detached" });
  assert.deepEqual(await own("function-defaults"), { chosen: none, effective: builtin });
  assert.equal(await card.getByLabel("npm: packages").isChecked(), true);
  await ui.finish();
});

test("the address that an agent gives for a secret opens the form with its name, in the right project, and nothing else", async () => {
  const ui = await open(browser, stack);
  const { page } = ui;
  const call = await stack.api("POST", "/mcp", { body: { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "set_secret_request", arguments: { name: "STRIPE_KEY" } } } });
  const { url } = call.json.result.structuredContent;
  assert.equal(new URL(url).hash, "#/secrets?project=default&name=STRIPE_KEY");
  await page.goto(url);
  const field = page.getByLabel("NAME=value, one a line");
  await page.getByText("An agent asks for the secret STRIPE_KEY").waitFor();
  assert.equal(await page.evaluate(() => location.hash), `#/project/${stack.ref}/secrets?project=default&name=STRIPE_KEY`);
  assert.equal(await field.inputValue(), "STRIPE_KEY=");
  assert.equal(await page.getByRole("button", { name: "Set", exact: true }).getAttribute("title"), "Type the value of STRIPE_KEY first");
  assert.deepEqual(await axe(page), []);
  await shot(page, "secret-asked-dark");
  await page.keyboard.type("sk_123");
  await page.getByRole("button", { name: "Set", exact: true }).click();
  await page.getByText("1 secret is set").waitFor();
  await page.getByText("The secret STRIPE_KEY is set").waitFor();
  assert.ok((await stack.api("GET", "secrets")).json.some((secret) => secret.name === "STRIPE_KEY"));
  for (const [name, why] of [["A%3Dvalue", "a value"], ["two%20words", "no name"], ["%00", "no text"], ["%zz", "no encoding"]]) {
    await page.goto(`${stack.env.API_URL}/ui/#/secrets?project=${stack.ref}&name=${name}`);
    await page.reload();
    await field.waitFor();
    assert.equal(await field.inputValue(), "", why);
  }
  await ui.finish();
  const other = await open(browser, stack, { allow: /status of 404/ });
  await other.page.goto(`${stack.env.API_URL}/ui/#/secrets?project=zzzzzzzzzzzzzzzzzzzz&name=STRIPE_KEY`);
  await other.page.getByText("Project not found").waitFor();
  await other.finish();
});

describe("the session", () => {
  test("without the dashboard's login there is no page", async () => {
    const answer = await fetch(`${stack.env.API_URL}/ui/`);
    assert.equal(answer.status, 401);
  });

  test("an access token: refused in the API's words, kept in this tab only, and what it may not do says why", async () => {
    const { json } = await stack.api("POST", "/v1/access-tokens", { body: { name: "reader", scopes: ["functions:read"] } });
    const ui = await open(browser, stack, { allow: /status of 401/ });
    const { page } = ui;
    await ui.view();
    await page.getByRole("button", { name: "Use an access token instead" }).click();
    assert.deepEqual(await axe(page), []);
    await shot(page, "sign-in-dark");
    await page.getByLabel("Access token").fill("nonsense");
    await page.keyboard.press("Enter");
    await page.getByText("neither an access token").waitFor();
    await page.getByLabel("Access token").fill(`sbp_${"0".repeat(40)}`);
    await page.keyboard.press("Enter");
    await page.locator(".field-error", { hasText: /token|credential/i }).waitFor();
    await page.getByLabel("Access token").fill(json.token);
    await page.keyboard.press("Enter");
    const button = page.getByRole("button", { name: "Deploy a new function" });
    await button.waitFor();
    assert.equal(await button.getAttribute("aria-disabled"), "true");
    assert.equal(await button.getAttribute("title"), "Your access token lacks the scope functions:write");
    await page.getByRole("link", { name: "Access tokens" }).click();
    await page.getByRole("heading", { name: "Access tokens cannot be shown" }).waitFor();
    assert.match(await page.locator("main").innerText(), /lacks the scope tokens:admin/);
    assert.deepEqual(await page.evaluate(() => [Object.values(localStorage).join(), document.cookie]), ["", ""]);
    await page.reload();
    await page.getByRole("heading", { name: "Access tokens cannot be shown" }).waitFor();
    const another = await ui.context.newPage();
    await another.goto(`${stack.env.API_URL}/ui/`);
    await another.getByText("Dashboard login").waitFor();
    await ui.finish();
  });
});

test("a session that ends does not take along what stands in the editor; signing out asks first", async () => {
  const token = async () => (await stack.api("POST", "/v1/access-tokens", { body: { name: "for a while", scopes: ["functions:read", "functions:write"] } })).json;
  await deployed("kept", "Deno.serve(() => new Response('before'));\n");
  const [first, second] = [await token(), await token()];
  const ui = await open(browser, stack, { allow: /status of 401/ });
  const { page } = ui;
  const signIn = async (made) => {
    await page.getByLabel("Access token").fill(made.token);
    await page.keyboard.press("Enter");
  };
  await ui.view("functions/kept/code");
  await page.getByRole("button", { name: "Use an access token instead" }).click();
  await signIn(first);
  await editor(page).waitFor();
  await editor(page).focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText("Deno.serve(() => new Response('after'));\n");
  await page.getByText("1 unsaved file").waitFor();
  assert.equal((await stack.api("DELETE", `/v1/access-tokens/${first.id}`)).status, 200);
  await page.keyboard.press("Control+s");
  await dialog(page).getByRole("button", { name: "Deploy", exact: true }).click();
  await page.getByText("The session has ended. Sign in again.").waitFor();
  assert.deepEqual(await axe(page), []);
  await shot(page, "session-ended-dark");
  await signIn(second);
  await page.getByText("1 unsaved file").waitFor();
  assert.match(await editor(page).innerText(), /'after'/);
  page.once("dialog", (asked) => asked.dismiss());
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("1 unsaved file").waitFor();
  await editor(page).focus();
  await page.keyboard.press("Control+s");
  await dialog(page).getByRole("button", { name: "Deploy", exact: true }).click();
  await dialog(page).getByRole("heading", { name: "Version 2 is deployed" }).waitFor();
  await dialog(page).getByRole("button", { name: "Done" }).click();
  assert.equal((await stack.call("kept")).text, "after");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Access token").waitFor();
  await ui.finish();
});

test("hostile text stays text, everywhere it is shown", async () => {
  const hostilePath = 'supabase/functions/evil/<img src=x onerror="window.hacked=1">.ts';
  await deployed("evil", { "supabase/functions/evil/index.ts": `// ${HOSTILE}\nDeno.serve(() => new Response(${JSON.stringify(HOSTILE)}, { headers: { "content-type": "text/html" } }));\n`, [hostilePath]: "export {};\n" }, { name: HOSTILE, message: HOSTILE });
  await deployed("evil", { "supabase/functions/evil/index.ts": "Deno.serve(() => new Response('x'));\n" }, { name: HOSTILE, message: HOSTILE });
  await stack.api("POST", "functions/evil/rollback", { body: { version: 1, message: HOSTILE } });
  const made = await stack.api("POST", "/v1/access-tokens", { body: { name: HOSTILE, scopes: ["functions:write"] } });
  assert.equal(made.status, 201, made.text);
  await deployed("evil-too", "Deno.serve(() => new Response('x'));\n", { token: made.json.token });
  assert.equal((await stack.deploy("evil-too", `throw new Error(${JSON.stringify(HOSTILE)});\n`)).status, 422);
  const ui = await open(browser, stack);
  const { page } = ui;
  const harmless = async (where) => {
    assert.equal(await page.evaluate(() => window.hacked), undefined, where);
    assert.equal(await page.locator("main img:not(.cm-widgetBuffer), dialog img:not(.cm-widgetBuffer), main script, dialog script").count(), 0, where);
  };
  const views = { functions: "functions-table", "functions/evil": "details", "functions/evil/versions": "timeline", "functions/evil/settings": "stack", releases: "timeline", tokens: "plain", audit: "plain" };
  for (const [where, part] of Object.entries(views)) {
    await ui.view(where);
    await page.locator(`.${part}`).first().waitFor();
    if (where !== "functions/evil/settings" && where !== "audit") await page.getByText(HOSTILE.slice(0, 40)).and(page.locator(":visible")).first().waitFor();
    await harmless(where);
  }
  await ui.view("functions/evil/code");
  await editor(page).waitFor();
  await page.getByRole("button", { name: /onerror/ }).first().waitFor();
  await harmless("code");
  await ui.view("functions/evil/versions");
  await page.getByRole("button", { name: /Compare version 2/ }).click();
  await dialog(page).getByRole("button", { name: /onerror/ }).click();
  await harmless("diff");
  await page.keyboard.press("Escape");
  await ui.view("functions/evil/test");
  await page.getByRole("button", { name: "Send the request" }).click();
  await page.getByLabel("the response body", { exact: true }).waitFor();
  assert.equal((await page.getByLabel("the response body", { exact: true }).innerText()).includes("<script>window.hacked=1</script>"), true);
  await harmless("test");
  await page.goto(`${stack.env.API_URL}/ui/#/project/${stack.ref}/functions/${encodeURIComponent(HOSTILE)}`);
  await page.getByText(/400|slug|There is no function/i).first().waitFor();
  await harmless("address");
  await ui.context.close();
});

test("what was changed on disk is said above the list, is looked at, and kept as a version or undone", async () => {
  const served = async () => (await stack.call("night")).text;
  const edit = () => {
    const releases = path.join(stack.functionsDir, ".releases/night");
    // The newest is the one that serves.
    const [release] = fs.readdirSync(releases).sort((a, b) => Number.parseInt(b) - Number.parseInt(a));
    fs.writeFileSync(path.join(releases, release, "source", "index.ts"), 'Deno.serve(() => new Response("night"));\n');
    fs.writeFileSync(path.join(releases, release, "source", "<b>by-hand<b>.ts"), `// ${HOSTILE}\nexport {};\n`);
  };
  await deployed("night", { "index.ts": 'Deno.serve(() => new Response("day"));\n' });
  edit();
  for (const viewport of [DESKTOP, PHONE]) {
    const ui = await open(browser, stack, { viewport });
    await ui.view("functions");
    const item = ui.page.getByRole("list", { name: "Changed on disk" }).getByRole("listitem");
    await item.waitFor();
    assert.match(await item.innerText(), /^night version 1: added <b>by-hand<b>\.ts, modified index\.ts\s+Look…$/);
    assert.deepEqual(await axe(ui.page), []);
    await shot(ui.page, `drift-${viewport.width}`);
    await ui.page.getByRole("button", { name: "Look at what was changed in night" }).click();
    const change = dialog(ui.page).getByLabel("What was changed in index.ts");
    assert.match(await change.innerText(), /-Deno\.serve\(\(\) => new Response\("day"\)\);\s+\+Deno\.serve\(\(\) => new Response\("night"\)\);/);
    assert.ok((await dialog(ui.page).innerText()).includes(HOSTILE.slice(0, 40)));
    assert.equal(await ui.page.evaluate(() => window.hacked), undefined);
    assert.deepEqual(await axe(ui.page), []);
    await shot(ui.page, `drift-dialog-${viewport.width}`);
    await ui.finish();
  }
  const ui = await open(browser, stack);
  const { page } = ui;
  const list = page.getByRole("list", { name: "Changed on disk" });
  const look = page.getByRole("button", { name: "Look at what was changed in night" });
  await ui.view("functions");
  await look.click();
  await dialog(page).getByRole("button", { name: "Undo…" }).click();
  await dialog(page).getByRole("button", { name: "Undo the changes" }).click();
  await page.getByText("night is as it was deployed again").waitFor();
  await list.waitFor({ state: "detached" });
  assert.equal((await stack.api("GET", "drift")).json.drift.length, 0);
  assert.equal(await versionOf("night"), 1);

  edit();
  await page.reload();
  await look.click();
  await dialog(page).getByLabel("Message").fill("as it was mended at night");
  await dialog(page).getByRole("button", { name: "Keep as a new version" }).click();
  await page.getByText("What lay on disk is version 2 of night").waitFor();
  await list.waitFor({ state: "detached" });
  assert.equal(await served(), "night");
  assert.equal((await stack.api("GET", "functions/night/versions")).json.data[0].message, "as it was mended at night");
  assert.equal((await stack.api("DELETE", "functions/night")).status, 200);
  await ui.finish();
});

describe("every page, in both schemes and at a phone's width", () => {
  const pages = {
    functions: "list", "functions/new": "new", "functions/hello": "overview", "functions/hello/code": "code", "functions/hello/versions": "versions", "functions/hello/test": "test-panel",
    "functions/hello/settings": "settings", releases: "releases", templates: "templates", "functions/hello/logs": "logs", secrets: "secrets", tokens: "tokens", audit: "audit", nodes: "nodes", status: "status", settings: "project-settings", "functions/hello/secrets": "function-secrets",
  };
  // What depends on the scheme does not depend on the width: two of the four meet all of it.
  for (const [name, scheme, viewport, long] of [["dark", "dark", DESKTOP], ["phone", "light", PHONE], ["light", "light", DESKTOP, true], ["phone-dark", "dark", PHONE, true]]) {
    test(name, { skip: long && !process.env.FA_LONG && "./check --long takes all four" }, async () => {
      const ui = await open(browser, stack, { scheme, viewport });
      for (const [where, file] of Object.entries(pages)) {
        await ui.view(where);
        assert.deepEqual(await axe(ui.page), [], `${where} (${name})`);
        const wide = await ui.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.equal(wide, 0, `${where} (${name}) does not scroll sideways`);
        await shot(ui.page, `${file}-${name}`);
      }
      await ui.finish();
    });
  }

  test("on a phone the sections open from the menu button", async () => {
    const ui = await open(browser, stack, { viewport: PHONE });
    await ui.view();
    await ui.page.getByRole("button", { name: "Open the menu" }).click();
    assert.deepEqual(await axe(ui.page), []);
    await shot(ui.page, "menu-phone");
    await ui.page.getByRole("link", { name: "Releases" }).click();
    await ui.page.getByRole("heading", { name: "Releases" }).waitFor();
    await ui.finish();
  });

  test("dialogs too", async () => {
    const ui = await open(browser, stack, { scheme: "light" });
    const { page } = ui;
    await ui.view("tokens");
    await page.getByRole("button", { name: "New token" }).click();
    assert.deepEqual(await axe(page), []);
    await shot(page, "new-token-light");
    await page.keyboard.press("Escape");
    await ui.view("functions/hello/versions");
    await page.getByRole("button", { name: /Compare version 2/ }).click();
    await dialog(page).locator(".diff-host .cm-content").first().waitFor();
    assert.deepEqual(await axe(page), []);
    await shot(page, "diff-light");
    await ui.finish();
  });
});

// How long it takes is measured by bench/run web.
test("two thousand functions: one question, only the rows near the window, and scrolling shows no empty frame", async () => {
  await twoThousand(stack, "hello");
  const ui = await open(browser, stack);
  const { page } = ui;
  let asked = 0;
  page.on("request", (request) => { asked += request.url().endsWith("/functions?include=activity"); });
  await page.goto(`${stack.env.API_URL}/ui/#/project/${stack.ref}/functions`);
  await page.locator(".body-row").first().waitFor();
  assert.match(await page.locator("main").innerText(), /2,0\d\d functions/);
  assert.equal(asked, 1);
  assert.ok(await page.locator(".body-row").count() < 80, "only the rows near the window exist");
  const { frames, blank, made } = await scrollThrough(page);
  assert.ok(frames > 50);
  assert.equal(blank, 0, "frames without rows");
  assert.ok(made < 80 * frames, `${made} rows were made in ${frames} frames`);
  await page.keyboard.press("/");
  await page.keyboard.type("many-1999");
  await page.getByText("1 match", { exact: true }).waitFor();
  assert.equal(await page.locator(".body-row").count(), 1);
  await ui.finish();
});
