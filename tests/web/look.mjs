// Goes through the pages in a real Chromium as somebody at the keyboard would, on a made-up session full of hostile text,
// and says what went wrong. Makes screenshots. Ends with 1 where anything did.
//
//   node tests/web/look.mjs [DIRECTORY FOR SCREENSHOTS [ONLY STEPS WITH THIS IN THEIR NAME]]

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { launch, require, watch } from "./chromium.mjs";
import { serve } from "./dev-server.mjs";

const out = process.argv[2] ?? "target/web-shots";
mkdirSync(out, { recursive: true });
const { server, listening, made, told } = serve({ spans: 4000, many: 5000 });
const port = await listening;
const origin = `http://127.0.0.1:${port}`;
const [g] = made.values();
const id = g.session.session_id;
const browser = await launch();
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
let failed = 0;

const only = process.argv[3] ?? "";

async function step(name, { hash, theme = "light", width = 1600, height = 950, strict = true }, act) {
  if (!name.includes(only)) return;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, bypassCSP: !strict });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const wrong = watch(page, origin);
  try {
    await page.goto(`${origin}/${hash}`);
    await page.waitForSelector(hash.includes("#/s/") ? ".rows .row:not([hidden])" : ".card");
    await page.waitForFunction(() => !document.querySelector(".foot")?.textContent.includes("loading"));
    await act(page);
    await page.screenshot({ path: `${out}/${name}.png` });
  } catch (e) {
    wrong.push(String(e.stack).split("\n").filter((l, i) => i === 0 || l.includes("look.mjs")).join(" "));
  }
  await context.close();
  // A break that a step makes itself is told by the browser, too.
  if (name === "live") wrong.splice(0, wrong.length, ...wrong.filter((w) => !w.includes("INCOMPLETE_CHUNKED")));
  if (wrong.length > 0) failed += 1;
  process.stdout.write(`${wrong.length > 0 ? "WRONG" : "ok   "} ${name}\n${wrong.map((w) => `      ${w}\n`).join("")}`);
}

const at = (page) => page.evaluate(() => decodeURIComponent(location.hash));
const selected = (page) =>
  page.evaluate(() => {
    const r = document.querySelector('.timeline .row[aria-selected="true"]:not([hidden])');
    return r ? { type: r.dataset.type, status: r.dataset.status, text: r.textContent } : null;
  });
const seen = (page) => page.textContent("#inspector .panel");
const bad = g.spans.find((s) => s.kind === "tool" && s.status === "error");
const llm = g.spans.find((s) => s.kind === "llm" && s.status === "ok");

await step("keys", { hash: `#/s/${id}` }, async (page) => {
  await page.locator(".timeline .rows").focus();
  for (const [keys, type] of [
    ["e", null],
    ["J", "prompt"],
    ["d", null],
    ["a", "agent"],
    ["j", null],
    ["k", null],
  ]) {
    await page.keyboard.press(keys === keys.toUpperCase() ? `Shift+${keys}` : keys);
    const row = await selected(page);
    assert.ok(row, `${keys}: nothing is selected`);
    if (type) assert.equal(row.type, type, keys);
    if (keys === "e") assert.ok(["error", "denied"].includes(row.status));
    if (keys === "d") assert.ok(["detection", "intervention"].includes(row.type));
  }
  assert.match(await at(page), /^#\/s\/gen-50000\/[st]:/);
  await page.keyboard.press("g");
  await page.keyboard.press("o");
  await page.waitForSelector(".sheet .card");
  assert.match(await at(page), /^#\/o\//);
  await page.goBack();
  await page.waitForSelector(".timeline .rows");
  await page.keyboard.press("z");
  assert.ok((await page.locator(".row[data-type=llm]:not([hidden])").count()) === 0, "z folds all");
  await page.keyboard.press("z");
  await page.keyboard.press("/");
  await page.keyboard.type("tool:Bash status:error");
  await page.waitForFunction(() => document.querySelector(".bar output").textContent.includes("of"));
  await page.keyboard.press("Enter");
  assert.equal((await selected(page)).status, "error");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+k");
  await page.keyboard.type("everything");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.hash === "#/all");
  await page.keyboard.press("?");
  assert.ok(await page.isVisible(".dialog.help"));
  await page.keyboard.press("Escape");
  assert.ok(!(await page.isVisible(".dialog")));
});

for (const tab of ["summary", "request", "response", "timing", "headers", "raw", "related"]) {
  const theme = tab === "timing" ? "dark" : "light";
  await step(`tab-${tab}`, { hash: `#/s/${id}/s:${llm.span_id}?tab=${tab}`, theme }, async (page) => {
    await page.waitForSelector("#inspector .panel :is(.block, .facts, .msg)");
    assert.equal(await page.getAttribute(`#tab-${tab}`, "aria-selected"), "true");
    if (tab === "response") assert.ok((await seen(page)).includes("<script>alert(1)</script>"), "markup is text");
    if (tab === "response") assert.ok((await seen(page)).includes("\\u{202e}gnp.exe"), "directions are visible");
  });
}

await step("tab-related-payload", { hash: `#/s/${id}/s:${bad.span_id}?tab=related` }, async (page) => {
  await page.click(".records .record.hook");
  await page.waitForSelector(".record-detail .json");
  assert.ok((await page.textContent(".record-detail")).includes("<script>alert(1)</script>"), "a payload is text");
});

await step("judging", { hash: `#/s/${id}/d:${g.detections[0].detection_id}` }, async (page) => {
  await page.getByRole("button", { name: "Dismiss" }).click();
  await page.keyboard.type("it was meant");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".finding[data-state=dismissed]");
  assert.ok((await seen(page)).includes("it was meant"));
  await page.getByRole("button", { name: "Reopen" }).click();
  await page.waitForSelector(".finding[data-state=open]");
});

await step("live", { hash: `#/s/${id}` }, async (page) => {
  const t = told.get(id),
    rows = () => page.getAttribute(".timeline .rows", "aria-rowcount").then(Number),
    event = (n) => ({
      span: { ...bad, span_id: `live${n}`, parent_id: null },
    }),
    state = (word) =>
      page.waitForFunction((w) => document.querySelector(".bar button[data-state]")?.textContent.includes(w), word);
  const before = await rows();
  await state("live");
  t.push([event(1)]);
  await page.waitForFunction((n) => Number(document.querySelector(".timeline .rows").ariaRowCount) > n, before);
  await page.keyboard.press("p");
  t.push([event(2)]);
  t.push([event(3)]);
  await state("2 held");
  const paused = await rows();
  await page.keyboard.press("p");
  await page.waitForFunction((n) => Number(document.querySelector(".timeline .rows").ariaRowCount) > n, paused);
  server.closeAllConnections();
  t.push([event(4)]);
  await page.waitForFunction((n) => Number(document.querySelector(".timeline .rows").ariaRowCount) > n, paused + 2);
  assert.equal(await page.isVisible(".banner"), false, "one break is nothing");
  t.push([{ gone: { spans: ["live1", "live2", "live3", "live4"] } }]);
  await page.waitForFunction((n) => Number(document.querySelector(".timeline .rows").ariaRowCount) <= n, before);
});

await step("back and forward", { hash: `#/s/${id}/s:${llm.span_id}?tab=timing&kind=llm` }, async (page) => {
  await page.waitForSelector("#inspector .hbars");
  await page.keyboard.press("g");
  await page.keyboard.press("a");
  await page.waitForSelector(".sheet:not([hidden]) .card");
  await page.goBack();
  await page.waitForSelector("#inspector .hbars");
  assert.match(await at(page), /^#\/s\/gen-50000\/s:.*tab=timing&kind=llm$/);
  await page.goForward();
  await page.waitForFunction(() => location.hash.startsWith("#/all"));
});

await step("thousands of sessions", { hash: `#/s/${id}` }, async (page) => {
  const field = page.getByRole("searchbox", { name: "Find a session" });
  await page.keyboard.press("f");
  await page.keyboard.type("engine");
  await page.waitForFunction(() => /of 5\D?001/.test(document.querySelector(".s-only .muted").textContent));
  await field.press("ArrowDown");
  await page.keyboard.press("j");
  await page.keyboard.press("Escape");
  assert.ok((await page.locator("#sessions .s-item:not([hidden])").count()) < 60, "only what is in sight");
});

await step("tab-tool", { hash: `#/s/${id}/s:${bad.span_id}?tab=tool`, theme: "dark" }, async (page) => {
  await page.waitForSelector("#inspector .panel .block");
});

await step("a link to a span", { hash: `#/s/${id}/s:${g.spans.at(-1).span_id}` }, async (page) => {
  await page.waitForFunction(() => document.querySelector('.timeline .row[aria-selected="true"]:not([hidden])'));
});

await step("hostile-search", { hash: `#/s/${id}?q=${encodeURIComponent("gnp.exe")}` }, async (page) => {
  await page.waitForSelector(".rows .row:not([hidden]) mark");
  assert.equal(await page.evaluate(() => document.scripts.length), 1, "no script but ours");
});

for (const [name, hash, theme, width] of [
  ["timeline-light", `#/s/${id}/s:${bad.span_id}?tab=tool`, "light", 1600],
  ["timeline-dark", `#/s/${id}/s:${llm.span_id}?tab=request`, "dark", 1600],
  ["timeline-narrow", `#/s/${id}/s:${llm.span_id}?tab=timing`, "light", 700],
  ["timeline-wide", `#/s/${id}/s:${llm.span_id}?tab=response`, "light", 2560],
  ["overview-light", `#/o/${id}`, "light", 1600],
  ["overview-dark", `#/o/${id}`, "dark", 1100],
  ["everything-dark", "#/all", "dark", 1600],
  ["related-dark", `#/s/${id}/s:${bad.span_id}?tab=related`, "dark", 1600],
  ["detection-light", `#/s/${id}/d:${g.detections[0].detection_id}`, "light", 1600],
]) {
  await step(name, { hash, theme, width, strict: false }, async (page) => {
    await page.waitForFunction(() => !/Loading/.test(document.querySelector("#app").textContent));
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
    const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
    const words = serious.map(
      (v) =>
        `${v.id}: ${v.nodes
          .map((n) => n.target.join(" "))
          .slice(0, 3)
          .join(", ")}`,
    );
    assert.deepEqual(words, []);
  });
}

await browser.close();
server.close();
server.closeAllConnections();
process.exitCode = failed > 0 ? 1 : 0;
