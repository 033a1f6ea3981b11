// The pages as somebody who reads them sees them: rows, tabs, bars, by their roles. The one place that knows what the
// pages call their parts.
//
// Must only look and press: nothing here reaches into the pages' modules.

import assert from "node:assert/strict";
import { PATIENCE } from "./kit.mjs";

export const ROWS = '#main [role="treegrid"]';
export const ROW = `${ROWS} [role="row"]:not([hidden])`;
export const PANEL = "#tabpanel";

/** Waits for a condition in the page. */
export const until = (page, condition, arg) => page.waitForFunction(condition, arg, { timeout: PATIENCE });

/** Waits until a session is shown whole. */
export async function loaded(page, rows = 1) {
  await page.waitForSelector(ROW);
  await until(
    page,
    ([list, least]) =>
      Number(document.querySelector(list)?.getAttribute("aria-rowcount") ?? 0) >= least &&
      !/loading/i.test(document.querySelector(".foot")?.textContent ?? ""),
    [ROWS, rows],
  );
}

/** The rows in the document, in their order: what stands in each. */
export const rows = (page) =>
  page.evaluate(
    (row) =>
      [...document.querySelectorAll(row)]
        .map((el) => ({
          index: Number(el.getAttribute("aria-rowindex")),
          of: Number(el.closest("[aria-rowcount]").getAttribute("aria-rowcount")),
          level: Number(el.getAttribute("aria-level")),
          type: el.dataset.type,
          status: el.dataset.status ?? "",
          selected: el.getAttribute("aria-selected") === "true",
          context: el.classList.contains("context"),
          expanded: el.getAttribute("aria-expanded"),
          text: el.textContent,
          bars: [...el.querySelectorAll(".wf i:not([hidden])")].map((i) => {
            const r = i.getBoundingClientRect(),
              w = i.parentElement.getBoundingClientRect();
            return { what: i.dataset.what, from: (r.left - w.left) / w.width, to: (r.right - w.left) / w.width };
          }),
        }))
        .sort((a, b) => a.index - b.index),
    ROW,
  );

/** The selected row, if there is one. */
export const selected = async (page) => (await rows(page)).find((r) => r.selected) ?? null;

/** How many rows the list has. */
export const count = (page) => page.getAttribute(ROWS, "aria-rowcount").then(Number);

/** What is looked at, as the address says it. */
export const at = (page) => page.evaluate(() => decodeURIComponent(location.hash));

/** Puts the focus on the rows. */
export const focusRows = (page) => page.locator(ROWS).focus();

/** Types into the session's search, and waits for what it narrows to: [shown, all]. */
export async function search(page, text) {
  await page.getByRole("searchbox", { name: "Search this session" }).fill(text);
  return narrowed(page, text);
}

/** How many rows of how many are shown, once the search is done. */
export async function narrowed(page, text = null) {
  const got = await until(
    page,
    (q) => {
      const params = new URLSearchParams(location.hash.split("?")[1] ?? "");
      if (q !== null && (params.get("q") ?? "") !== q) return null;
      const m = /^([\d\s\u202f]+) of ([\d\s\u202f]+)$/.exec(document.querySelector(".bar output")?.textContent ?? "");
      return m && m.slice(1).map((n) => Number(n.replace(/\D/g, "")));
    },
    text,
  );
  return got.jsonValue();
}

/** Clears search and filters. */
export async function clear(page) {
  await page.getByRole("button", { name: "clear", exact: true }).click();
  await until(page, () => document.querySelector(".bar output").textContent === "");
}

/** Opens a tab of the inspector and waits until it is drawn, with `filled` in it; its text. */
export async function tab(page, name, filled = "*") {
  // What was drawn before stays until the new is there.
  await page.evaluate((panel) => {
    for (const el of document.querySelector(panel)?.children ?? []) el.dataset.before = "";
  }, PANEL);
  const t = page.getByRole("tab", { name, exact: true });
  await t.click();
  const id = await t.getAttribute("id");
  await until(page, (k) => document.getElementById(k)?.getAttribute("aria-selected") === "true", id);
  await page.waitForSelector(`${PANEL} > :not([data-before])`);
  await page.waitForSelector(`${PANEL} ${filled}`);
  await until(page, (panel) => !/^Loading/.test(document.querySelector(panel).textContent), PANEL);
  return page.textContent(PANEL);
}

/** Tabs that are offered. */
export const tabs = (page) => page.getByRole("tab").allTextContents();

/** Goes to a row by its address, within the session that is open. */
export async function goTo(page, session, key, wanted = null) {
  await page.evaluate(
    (h) => {
      location.hash = h;
    },
    `#/s/${session}/${key}${wanted ? `?tab=${wanted}` : ""}`,
  );
  await page.waitForSelector(`${ROWS} [role="row"][aria-selected="true"]:not([hidden])`);
}

/** What the facts in a panel say: name → value. */
export const facts = (page) =>
  page.evaluate((panel) => {
    const out = {};
    for (const dt of document.querySelectorAll(`${panel} dl.facts dt`))
      out[dt.textContent] = dt.nextElementSibling.textContent;
    return out;
  }, PANEL);

/** Presses a binding as the help writes it: `J`, `g o`, `Ctrl-k`. */
export async function press(page, keys) {
  for (const key of keys.split(" ")) {
    const name = key.replace(/^Ctrl-/, "Control+");
    await page.keyboard.press(/^[A-Z]$/.test(name) ? `Shift+${name}` : name);
  }
}

/** The text of a download. */
export async function download(page, press) {
  const [got] = await Promise.all([page.waitForEvent("download"), press()]);
  const parts = [];
  for await (const part of await got.createReadStream()) parts.push(part);
  return { name: got.suggestedFilename(), body: Buffer.concat(parts) };
}

/** Asserts that a list has the same things in any order. */
export const same = (got, want, what) => assert.deepEqual([...got].sort(), [...want].sort(), what);
