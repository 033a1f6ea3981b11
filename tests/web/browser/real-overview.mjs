// 4: the overviews say what `ccctl usage` says, to the micro-dollar as it is worded.

import assert from "node:assert/strict";
import test from "node:test";
import { api, ccctl, eventually, facts, visit } from "./kit.mjs";
import { at, loaded, press, until } from "./page.mjs";
import { money, whole } from "./words.mjs";

const { everything, looping, pictures } = facts.scene;

const tiles = (page, sheet) =>
  page
    .locator(`${sheet} .tile`)
    .evaluateAll((list) => Object.fromEntries(list.map((t) => [t.children[1].textContent, t.children[0].textContent])));

const SHEET = ".sheet:not([hidden])";

/** A card by its heading. */
const card = (page, title) =>
  page.locator(`${SHEET} .card`, { has: page.getByRole("heading", { name: title, exact: true }) });

/** A card's table: rows of cells. */
async function table(page, title) {
  const c = card(page, title);
  // What comes in draws the cards anew, as plots.
  await eventually(`${title} as a table`, async () => {
    if ((await c.locator("table").count()) > 0) return true;
    await c.getByRole("button", { name: "as table" }).click();
    return (await c.locator("table").count()) > 0;
  });
  return c.locator("table tbody tr").evaluateAll((list) => list.map((tr) => [...tr.cells].map((td) => td.textContent)));
}

test("4 overview of a session: its sums are those of the command line", async () => {
  const usage = await ccctl("usage", "total", "--session", everything);
  const session = (await api("sessions?limit=0")).sessions.find((s) => s.session_id === everything);
  await visit(`#/o/${everything}`, { viewport: { width: 1600, height: 2400 } }, async (page) => {
    await page.waitForSelector(`${SHEET} .tile`);
    await until(
      page,
      (s) => [...document.querySelectorAll(`${s} .card h2`)].some((h) => h.textContent === "Files"),
      SHEET,
    );
    const t = await tiles(page, SHEET);
    assert.equal(t.cost, money(usage.totals.cost_usd_micros));
    assert.equal(t.cost, money(session.cost_usd_micros));
    assert.equal(t.prompts, whole(session.turns));
    assert.equal(t["model calls"], whole(session.exchanges));
    assert.equal(t.detections, whole(session.detections));
    const cost = await table(page, "Cost over time");
    assert.equal(cost.at(-1).at(-1), money(usage.totals.cost_usd_micros), "what it comes to in the end");
    const tokens = await table(page, "Tokens per prompt");
    assert.equal(tokens.length, session.turns);
    const heads = await card(page, "Tokens per prompt").locator("th").allTextContents();
    const column = (name) => tokens.reduce((n, r) => n + Number((r[heads.indexOf(name)] ?? "0").replace(/\D/g, "")), 0);
    assert.equal(column("output"), usage.totals.tokens.output);
    assert.equal(column("cache read"), usage.totals.tokens.cache_read);
    const agents = await table(page, "Main thread and subagents");
    assert.equal(agents.length, 4, "the main thread and three subagents");
    const context = await table(page, "Context");
    assert.ok(context.length >= 7);
    const tools = await table(page, "Tools");
    const bash = tools.find((r) => r[0] === "Bash");
    const { spans } = await api(`spans?session=${everything}&limit=0&tool=Bash`);
    assert.equal(bash[1], whole(spans.length));
  });
});

test("4 overview of a session: files with the whole session's difference, detections that lead to their rows", async () => {
  await visit(`#/o/${pictures}`, {}, async (page) => {
    const files = card(page, "Files");
    await files.getByText("values.rs").first().waitFor();
    await files.getByText("let value_10 = 100;").first().waitFor();
  });
  await visit(`#/o/${looping}`, {}, async (page) => {
    const found = card(page, "Detections");
    const { detections } = await api(`detections?session=${looping}&limit=0`);
    await found.getByText(detections[0].title).first().waitFor();
    await found.locator("button.link").first().click();
    await loaded(page);
    await page.waitForSelector('.row[aria-selected="true"]:not([hidden])');
    assert.match(await at(page), new RegExp(`^#/s/${looping}/`));
  });
});

test("4 overview of everything: cost per day, model and project are those of the command line", async () => {
  const usage = await ccctl("usage", "daily", "--by", "model");
  const projects = await ccctl("usage", "total", "--by", "project");
  await visit("#/all", { viewport: { width: 1600, height: 2400 } }, async (page) => {
    await page.waitForSelector(`${SHEET} .tile`);
    const t = await tiles(page, SHEET);
    assert.equal(t.cost, money(usage.totals.cost_usd_micros));
    assert.equal(t["billed messages"], whole(usage.totals.exchanges));
    const days = await table(page, "Cost per day");
    assert.equal(days.at(0).at(-1), money(usage.totals.cost_usd_micros), "all of it today");
    const got = await table(page, "Projects");
    for (const r of projects.rows) {
      const row = got.find(([name]) => name === r.key.project);
      assert.equal(row?.at(-1), money(r.cost_usd_micros), r.key.project);
    }
    assert.equal(got.length, projects.rows.length);
    const models = await table(page, "Models");
    assert.ok(models.length >= 1);
  });
});

test("4 plots can be read without a mouse, and as a table", async () => {
  await visit(`#/o/${everything}`, {}, async (page) => {
    const plot = page.locator(`${SHEET} .plot[tabindex="0"]`).first();
    await plot.waitFor();
    await plot.focus();
    await page.keyboard.press("ArrowRight");
    await page.locator(`${SHEET} .plot .tip:not([hidden])`).first().waitFor();
    const tip = await page.textContent(`${SHEET} .plot .tip:not([hidden])`);
    assert.match(tip, /\d/);
    await press(page, "Enter");
    await loaded(page);
    assert.match(await at(page), /^#\/s\/[^/]+\/s:/, "a point leads to its row");
  });
});
