// Debian's Chromium before the web UI of a whole stack: contexts that watch the console and the network, axe, and screenshots.
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";
import { ROOT, until as untilWithin } from "../lib/stack.mjs";

const AXE = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const SCREENSHOTS = path.join(process.env.FA_CHECK_DIR ?? path.join(ROOT, "build/check"), "screenshots");

// Long, for a machine with much other work: it is only how soon a failure is known.
const PATIENCE = 60_000;
export const until = (what, condition) => untilWithin(what, condition, PATIENCE);

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

export function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Nothing is to be asked of the browser's own makers while it runs.
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/**
 * A fresh browser profile before the stack's UI. `login: false` leaves the dashboard's login out. What the console says and every
 * request is looked at in finish(): an error, a warning, or a request to another host fails the test; `allow` names what is meant
 * to be refused (a pattern for the console's text).
 */
export async function open(browser, stack, { scheme = "dark", viewport = DESKTOP, login = true, allow, ...options } = {}) {
  const { env } = stack;
  const origin = new URL(env.API_URL).origin;
  const context = await browser.newContext({
    colorScheme: scheme, viewport, baseURL: origin, reducedMotion: "reduce",
    ...(login ? { httpCredentials: { username: env.DASHBOARD_USERNAME, password: env.DASHBOARD_PASSWORD, origin } } : {}),
    ...options,
  });
  const said = [], elsewhere = [];
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !allow?.test(message.text())) said.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  context.on("weberror", (error) => said.push(`uncaught: ${error.error().stack}`));
  context.on("request", (request) => { if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith("blob:")) elsewhere.push(request.url()); });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  return {
    context,
    page,
    /** Opens the UI at a view: "" is the list, "functions/hello/code" a tab. */
    async view(where = "functions") {
      await page.goto(`${env.API_URL}/ui/#/project/${stack.ref}/${where}`);
      await page.locator("h1").first().waitFor();
      assert.equal(await page.evaluate(() => location.hash), `#/project/${stack.ref}/${where}`, "nothing keeps the reader elsewhere");
      await page.locator(".loading").waitFor({ state: "detached" });
    },
    async finish() {
      await context.close();
      assert.deepEqual(said, [], "the console is quiet");
      assert.deepEqual(elsewhere, [], "no request to any other host");
    },
  };
}

/** What axe-core finds against WCAG 2.2 A and AA and its own best practices, shadow roots included; [] is what a page must give. */
export async function axe(page) {
  // Run beside the page, not in it: the content policy holds for the page's scripts. Read once for a document.
  if (await page.evaluate("typeof axe === 'undefined'")) await page.evaluate(`${AXE};0`);
  const found = await page.evaluate('axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })');
  return found.violations.map(({ id, nodes }) => ({ id, at: nodes.slice(0, 4).map((node) => `${node.target.join(" ")}: ${node.failureSummary}`) }));
}

/** Where somebody wants to look: with FA_SCREENSHOTS, and in the long run. */
export async function shot(page, name) {
  if (!process.env.FA_SCREENSHOTS && !process.env.FA_LONG) return;
  fs.mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`) });
}

/** Presses Tab until what has the focus is named like that, as somebody without a mouse does. */
export async function tabTo(page, name, most = 60) {
  for (let i = 0; i < most; i++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      return (element?.getAttribute("aria-label") ?? element?.labels?.[0]?.textContent ?? element?.textContent ?? "").trim();
    });
    if (name instanceof RegExp ? name.test(focused) : focused === name) return;
  }
  assert.fail(`Tab did not reach ${name} in ${most} steps`);
}

/** Two thousand functions more, which are as the one of that name. */
export async function twoThousand(stack, slug) {
  await stack.sql(`
    INSERT INTO functions_admin.edge_functions SELECT (jsonb_populate_record(f, jsonb_build_object('id', gen_random_uuid(), 'slug', 'many-' || n, 'name', 'many-' || n))).*
    FROM functions_admin.edge_functions f, generate_series(1, 2000) n WHERE f.slug = $1`, [slug]);
  await stack.sql(`
    INSERT INTO functions_admin.edge_function_versions SELECT (jsonb_populate_record(v, jsonb_build_object('function_id', g.id))).*
    FROM functions_admin.edge_functions f JOIN functions_admin.edge_function_versions v ON v.function_id = f.id AND v.version = f.active_version, functions_admin.edge_functions g
    WHERE f.slug = $1 AND g.slug LIKE 'many-%'`, [slug]);
  // Answers are kept as long as the project's revision stands.
  await stack.sql("UPDATE functions_admin.projects SET revision = revision + 1 WHERE ref = $1", [stack.ref]);
}

/** Scrolls the list from its top to its end: the frames, those without a row where the window is, rows made, and tasks of more than 50 ms. */
export const scrollThrough = (page) => page.evaluate(async () => {
  let frames = 0, blank = 0, made = 0;
  const tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask" });
  new MutationObserver((changes) => { for (const { addedNodes } of changes) for (const node of addedNodes) made += node.nodeType === 1 && node.matches(".body-row"); })
    .observe(document.querySelector(".rows"), { childList: true, subtree: true });
  const end = document.documentElement.scrollHeight - innerHeight;
  for (let y = 0; y <= end; y += 1500) {
    scrollTo(0, y);
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    frames++;
    if (!document.elementFromPoint(400, innerHeight / 2)?.closest(".body-row")) blank++;
  }
  return { frames, blank, made, tasks };
});
