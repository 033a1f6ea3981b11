// The HTTP Archive in the tool that people open one with: Chromium's own DevTools, which come with it.
//
// Goes the way that people go: the Network panel's "Import HAR file" and what its table lists then, which is compared with the
// exchanges on record. Nobody promises that these are called so for ever; people find them by the same words.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { api, chromium, eventually, facts, PATIENCE, run } from "./kit.mjs";

const { everything } = facts.scene;
/** How long DevTools may take to be there, in ms. */
const UP = 60_000;

test("3 HAR: DevTools' Network panel opens it and lists every exchange", async (t) => {
  const file = join(facts.work, "everything.har");
  await run(facts.ccctl, ["export", "--session", everything, "-o", file]);
  const { exchanges } = await api(`exchanges?session=${everything}&limit=1000`);
  assert.ok(exchanges.length > 3);
  const { log } = JSON.parse(readFileSync(file, "utf8"));
  assert.equal(log.entries.length, exchanges.length);

  // High enough for all rows: its table holds those in sight.
  const context = await (await chromium()).newContext({ viewport: { width: 1400, height: 2400 } });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const button = page.getByRole("button", { name: /import har/i }).first();
  try {
    await page.goto("devtools://devtools/bundled/devtools_app.html?panel=network");
    await page.getByRole("tab", { name: "Network", exact: true }).first().click({ timeout: UP });
    await button.waitFor({ timeout: UP });
  } catch (e) {
    // A browser whose tools are otherwise says nothing about the archive, which a validator has looked at elsewhere.
    await context.close();
    return t.skip(`DevTools of this Chromium have no Network panel that takes an archive: ${e.message}`);
  }
  const chosen = page.waitForEvent("filechooser");
  await button.click();
  await (await chosen).setFiles(file);
  const listed = async () => {
    const cells = (await page.locator("tr").allInnerTexts()).map((row) => row.split("\t"));
    return cells.filter((row) => row.length > 4 && row[0].trim() && row[0].trim() !== "Name").map((row) => row[1]);
  };
  await eventually("the panel lists them", async () => (await listed()).length === exchanges.length);
  const wanted = exchanges.filter((e) => e.status).map((e) => String(e.status));
  assert.deepEqual((await listed()).filter((status) => /^\d/.test(status)).sort(), wanted.sort());
  await context.close();
});
