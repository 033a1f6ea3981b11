// 6: a session as one file that can be given away: nothing in it acts, asks for anything, or opens a door.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { pathToFileURL } from "node:url";
import { ask, axe, chromium, facts, visit } from "./kit.mjs";
import { download, loaded, press } from "./page.mjs";

const { pictures, everything, planted } = facts.scene;

/** Opens a file in a browser that has nothing to do with the daemon; what it asked for beside itself. */
async function opened(file, options, act) {
  const context = await (await chromium()).newContext(options);
  const asked = [],
    wrong = [];
  context.on("request", (r) => asked.push(r.url()));
  context.on("console", (m) => wrong.push(m.text()));
  context.on("weberror", (e) => wrong.push(e.error().message));
  context.on("dialog", (d) => {
    wrong.push(d.message());
    d.dismiss();
  });
  const page = await context.newPage();
  await page.goto(pathToFileURL(file).href);
  await act(page);
  await context.close();
  assert.deepEqual(
    asked.filter((u) => u !== pathToFileURL(file).href && !u.startsWith("data:")),
    [],
    "nothing is asked for",
  );
  assert.deepEqual(wrong, []);
}

for (const [name, session] of Object.entries({ pictures, everything })) {
  test(`6 export of ${name}: inert with scripts on and off, and without credentials`, async () => {
    const { status, headers, body } = await ask(`/v0/export/session/${session}.html`);
    assert.equal(status, 200);
    assert.match(headers["content-disposition"] ?? "", /attachment/);
    const text = body.toString();
    assert.ok(!text.includes(planted), "the planted key is gone");
    assert.ok(!text.includes("made-up-key"), "and so is the API's");
    assert.ok(!/<script[\s>]/i.test(text.replace(/&lt;/g, "")) || /Content-Security-Policy/i.test(text));
    const file = join(facts.work, `${name}.html`);
    writeFileSync(file, body);
    for (const javaScriptEnabled of [true, false]) {
      await opened(file, { javaScriptEnabled }, async (page) => {
        assert.ok((await page.title()).length > 0);
        const words = await page.textContent("body");
        for (const w of name === "pictures" ? ["values.rs", "That was"] : ["sleep 0.2", "All done."])
          assert.ok(words.includes(w), w);
        const acting = await page
          .locator('script, iframe, object, embed, form, link[rel="stylesheet"], [src]:not([src^="data:"])')
          .count();
        assert.equal(acting, 0, "nothing in it acts or loads");
        const hrefs = await page.locator("[href]").evaluateAll((list) => list.map((a) => a.getAttribute("href")));
        assert.deepEqual(
          hrefs.filter((h) => !h.startsWith("#") && h !== "data:,"),
          [],
          "links lead within it",
        );
        if (javaScriptEnabled) await axe(page);
      });
    }
  });
}

test("6 export: the page gives the same file", async () => {
  const { body } = await ask(`/v0/export/session/${pictures}.html`);
  await visit(`#/s/${pictures}`, {}, async (page) => {
    await loaded(page);
    const got = await download(page, () => press(page, "x"));
    assert.match(got.name, /\.html$/);
    const plain = (b) => b.toString().replace(/\d{4}-\d\d-\d\d[T ][\d:.]+Z?/g, "TIME");
    assert.equal(plain(got.body), plain(body));
  });
});

/** Whether a file is what its form says, and of this session. */
const FORMS = {
  "One page": [/\.html$/, (text) => /^<!doctype html/i.test(text)],
  "JSON lines": [/\.jsonl$/, (text) => lines(text).some((l) => l.session_id === pictures)],
  CSV: [/\.csv$/, (text) => text.split("\n").length > 3 && text.includes(pictures)],
  HAR: [/\.har$/, (text) => JSON.parse(text).log.entries.length > 0],
  OTLP: [/\.otlp\.jsonl$/, (text) => lines(text).every((l) => l.resourceSpans.length > 0)],
};
const lines = (text) =>
  text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));

test("6 export: the session's menu has every form, redacted, and no mouse is needed for it", async () => {
  await visit(`#/s/${pictures}`, { strict: false }, async (page) => {
    await loaded(page);
    const open = page.getByRole("button", { name: "Export the session" });
    await open.focus();
    for (const [n, [name, [file, good]]] of Object.entries(FORMS).entries()) {
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: /^One page/ }).waitFor();
      if (n === 0) await axe(page);
      for (let i = 0; i < n; i += 1) await page.keyboard.press("ArrowDown");
      const chosen = await page.evaluate(() => document.activeElement.textContent);
      assert.ok(chosen.startsWith(name), `${chosen}: ${name}`);
      const got = await download(page, () => page.keyboard.press("Enter"));
      const text = got.body.toString();
      assert.match(got.name, file);
      assert.ok(good(text), `${name}: ${text.slice(0, 300)}`);
      assert.ok(!text.includes(planted) && !text.includes("made-up-key"), `${name}: credentials`);
      assert.equal(await page.locator(".menu").count(), 0, "it closes");
      assert.equal(await open.evaluate((el) => el === document.activeElement), true, "the focus is back");
    }
    await page.keyboard.press("Enter");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator(".menu").count(), 0);
    await press(page, "Ctrl-k");
    await page.keyboard.type("as har");
    const got = await download(page, () => page.keyboard.press("Enter"));
    assert.match(got.name, /\.har$/);
  });
});
