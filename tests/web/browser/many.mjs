// A session of fifty thousand rows among a thousand: nothing is missing at any place of the list, the document stays small,
// and what comes in while somebody looks is all there, whatever happens to the daemon meanwhile.

import assert from "node:assert/strict";
import test from "node:test";
import { api, axe, ccctl, eventually, facts, visit } from "./kit.mjs";
import {
  ROW,
  ROWS,
  at,
  clear,
  count,
  focusRows,
  loaded,
  narrowed,
  press,
  rows,
  search,
  selected,
  until,
} from "./page.mjs";
import { money, whole } from "./words.mjs";
import "./many-live.mjs";

const { long, others, projects } = facts.scene;
const SESSION = long.session;
/** Rows at least: prompts, model calls, tool calls. */
const LEAST = long.turns + long.llm + long.tools;
const HERE = `#/s/${SESSION}`;
/** The most rows that may be in the document, for a window so high. */
const bound = (height) => Math.ceil(height / 24) + 20;

assert.ok(LEAST > 50_000, `${LEAST} rows`);

test("1 sessions: a thousand, by day, found by a word, none of them in the document but those in sight", async () => {
  await visit(HERE, {}, async (page) => {
    await loaded(page);
    const item = "#sessions .s-item:not([hidden])";
    await page.waitForSelector(item);
    assert.ok((await page.locator("#sessions [role=option]").count()) < 60);
    const find = page.getByRole("searchbox", { name: "Find a session" });
    await find.fill("project-3");
    const want = (await api("sessions?limit=0")).sessions.filter((s) => s.project === "project-3").length;
    assert.equal(want, Math.ceil((others - 3) / projects));
    await until(
      page,
      ([i, n]) => {
        const list = [...document.querySelectorAll(i)];
        return (
          list.every((el) => el.textContent.includes("project-3")) &&
          list.every((el) => el.ariaSetSize >= n && el.ariaSetSize <= 2 * n)
        );
      },
      [item, want],
    );
    const days = await page.locator("#sessions .s-day:not([hidden])").allTextContents();
    assert.ok(days.length >= 2 && new Set(days).size === days.length, days.join());
    await find.fill("");
    assert.equal(await page.locator(`${item} .dot:not([hidden])`).count(), 1, "one of them is live");
  });
});

test("2 timeline: every row is there once, in order, and the document holds only those in sight", async () => {
  const height = 3_000;
  await visit(HERE, { viewport: { width: 1600, height } }, async (page) => {
    await loaded(page, LEAST);
    const n = await count(page);
    const walked = await page.evaluate(
      async ([list, row]) => {
        const el = document.querySelector(list),
          steps = [],
          frame = () => new Promise((done) => requestAnimationFrame(done));
        let most = 0,
          last = 0,
          holes = 0;
        el.scrollTop = 0;
        for (;;) {
          await frame();
          const inSight = [...document.querySelectorAll(row)].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex);
          most = Math.max(most, inSight.length);
          const box = el.getBoundingClientRect();
          for (const r of inSight) {
            const i = Number(r.ariaRowIndex),
              { top } = r.getBoundingClientRect();
            // Where it stands is where its number says.
            if (Math.abs(top - box.top + el.scrollTop - (i - 1) * 24) > 1) holes += 1;
            if (i <= last) continue;
            if (i !== last + 1) holes += 1;
            last = i;
            const m = /step (\d{6})/.exec(r.textContent);
            if (m) steps.push(Number(m[1]));
          }
          const before = el.scrollTop;
          el.scrollTop += el.clientHeight;
          if (el.scrollTop === before) break;
        }
        return { steps, most, last, holes };
      },
      [ROWS, ROW],
    );
    assert.equal(walked.holes, 0, "no row is missing, or at another's place");
    assert.equal(walked.last, n, "the last one was seen");
    assert.ok(walked.most <= bound(height), `${walked.most} rows in the document`);
    const numbers = walked.steps;
    assert.equal(new Set(numbers).size, numbers.length, "none twice");
    assert.equal(numbers.length, long.tools - long.edits - 2 * long.agents, "every call's number");
    assert.ok(
      numbers.every((v, i) => i === 0 || v > numbers[i - 1]),
      "in their order",
    );
  });
});

test("2 timeline: what is scrolled to anywhere is what belongs there", async () => {
  await visit(HERE, {}, async (page) => {
    await loaded(page, LEAST);
    const n = await count(page);
    for (const part of [0.999, 0.1, 0.5, 0.25, 0.77, 0.333, 0.01, 1, 0]) {
      const wanted = Math.floor(part * n);
      await page.evaluate(
        ([list, y]) => {
          document.querySelector(list).scrollTop = y;
        },
        [ROWS, wanted * 24],
      );
      await until(
        page,
        ([list, row]) => {
          const el = document.querySelector(list),
            box = el.getBoundingClientRect(),
            first = Math.floor(el.scrollTop / 24) + 1,
            last = Math.min(Number(el.ariaRowCount), Math.ceil((el.scrollTop + el.clientHeight) / 24));
          const there = new Set(
            [...document.querySelectorAll(row)]
              .filter((r) => r.getBoundingClientRect().bottom > box.top && r.textContent.trim() !== "")
              .map((r) => Number(r.ariaRowIndex)),
          );
          for (let i = first; i <= last; i += 1) if (!there.has(i)) return false;
          return true;
        },
        [ROWS, ROW],
      );
      assert.ok((await page.locator(ROW).count()) <= bound(950));
    }
  });
});

test("2 timeline: gaps, compactions, filters and search over all of it", async () => {
  await visit(HERE, {}, async (page) => {
    await loaded(page, LEAST);
    await page.getByTitle("Only failed", { exact: true }).click();
    assert.equal((await narrowed(page))[0], long.errors);
    await clear(page);
    await page.getByTitle("Only agents", { exact: true }).click();
    assert.equal((await narrowed(page))[0], long.agents);
    await clear(page);
    assert.equal((await search(page, "tool:Edit"))[0], long.edits);
    const wanted = `step ${String(long.tools - 40).padStart(6, "0")}`;
    assert.ok((await search(page, `"${wanted}"`))[0] >= 1);
    await page.waitForSelector(`${ROW} mark`);
    assert.equal(await page.locator(`${ROW} mark`).first().textContent(), wanted);
    // What stands in an output alone is found by the daemon, and shown.
    await search(page, `"${long.needle.text}"`);
    await page.waitForSelector(`${ROW} mark`);
    const [found] = await narrowed(page);
    assert.equal(found, 1);
    assert.ok((await rows(page)).some((r) => r.text.includes(long.needle.text)));
    await press(page, "Enter");
    assert.ok((await at(page)).includes("/s:"));
    await clear(page);
    await search(page, "kind:compaction");
    assert.equal((await narrowed(page))[0], long.compactions);
    await search(page, "kind:gap");
    assert.ok((await narrowed(page))[0] >= 1, "an hour of nothing");
  });
});

test("2 timeline: a link into the middle opens there, jumps reach both ends", async () => {
  const { spans } = await api(`spans?session=${SESSION}&tool=Bash&limit=0`);
  const span = spans[Math.floor(spans.length / 2)];
  await visit(`${HERE}/s:${span.span_id}`, {}, async (page) => {
    await loaded(page);
    const row = await eventually("the row is selected", () => selected(page));
    assert.ok(row.text.includes(/step \d+/.exec(span.summary)[0]), row.text);
    await loaded(page, LEAST);
    assert.equal((await selected(page)).text, row.text, "it stays where it is while the rest comes");
    await focusRows(page);
    await press(page, "G");
    const n = await count(page);
    await eventually("the last row", async () => (await selected(page))?.index === n);
    await press(page, "g g");
    await eventually("the first row", async () => (await selected(page))?.index === 1);
    await press(page, "e");
    await eventually("an error", async () => (await selected(page))?.status === "error");
  });
});

test("4 overviews: sums over all of it are those of the command line", async () => {
  const usage = await ccctl("usage", "total", "--session", SESSION);
  const all = await ccctl("usage", "total");
  await visit(`#/o/${SESSION}`, {}, async (page) => {
    await page.waitForSelector(".sheet:not([hidden]) .tile");
    const cost = page.locator(".sheet:not([hidden]) .tile", { hasText: "cost" }).first().locator("b");
    await eventually("the cost", async () => (await cost.textContent()) === money(usage.totals.cost_usd_micros));
    await page.evaluate(() => {
      location.hash = "#/all";
    });
    await page.getByRole("button", { name: "all", exact: true }).click();
    await eventually(
      "the cost of everything",
      async () =>
        (await page.locator(".sheet:not([hidden]) .tile b").first().textContent()) ===
        money(all.totals.cost_usd_micros),
    );
    await eventually("all messages", async () =>
      (await page.textContent(".sheet:not([hidden])")).includes(whole(all.totals.exchanges)),
    );
  });
});

test("nothing serious by axe over all of it, light and dark", async () => {
  for (const colorScheme of ["light", "dark"]) {
    await visit(HERE, { colorScheme }, async (page) => {
      await loaded(page, LEAST);
      await axe(page);
    });
  }
});
