// 5: every key of the help does what the help says; all is within reach without a mouse; what is looked at is in the address.

import assert from "node:assert/strict";
import test from "node:test";
import { BINDINGS } from "../../../daemon/src/web/assets/js/keys.js";
import { api, eventually, facts, visit } from "./kit.mjs";
import { DOES, lands } from "./keyboard-table.mjs";
import { ROWS, at, focusRows, loaded, narrowed, press, until } from "./page.mjs";

const { everything, looping } = facts.scene;
const SESSION = everything;

test("5 keyboard: every key of the help has its test", () => {
  const actions = new Set(BINDINGS.map(([, action]) => action));
  assert.deepEqual(
    [...actions].filter((a) => !Object.hasOwn(DOES, a)),
    [],
    "keys that nobody tests",
  );
});

test("5 keyboard: each does what the help says", async (t) => {
  await visit(`#/s/${SESSION}`, {}, async (page, _, watch) => {
    for (const [keys, action, label] of BINDINGS) {
      await t.test(`${keys} · ${label}`, async () => {
        const entry = DOES[action];
        const { session = SESSION, query = "", does } = typeof entry === "function" ? { does: entry } : entry;
        await page.evaluate((h) => history.replaceState(null, "", h), `#/s/${session}${query ? `?${query}` : ""}`);
        await page.reload();
        await loaded(page, 3);
        if (session === looping) await page.waitForSelector('.row[data-type="detection"]:not([hidden])');
        // What does not match goes as the search is done, and the selection with it.
        const words = new URLSearchParams(query).get("q");
        if (words) await narrowed(page, words);
        await focusRows(page);
        await press(page, "j j j");
        await lands(page, () => true);
        await does(page, keys);
        const wrong = watch.wrong.splice(0);
        assert.deepEqual(wrong, []);
      });
    }
  });
});

test("5 keyboard: arrows, pages and ends move in the rows; tabs are moved through by arrows", async () => {
  await visit(`#/s/${SESSION}`, { viewport: { width: 1400, height: 420 } }, async (page) => {
    await loaded(page, 3);
    await focusRows(page);
    await press(page, "End");
    const n = Number(await page.getAttribute(ROWS, "aria-rowcount"));
    await lands(page, (r) => r.index === n);
    await press(page, "PageUp");
    await lands(page, (r) => r.index < n);
    await press(page, "Home");
    await lands(page, (r) => r.index === 1);
    await press(page, "ArrowDown");
    await lands(page, (r) => r.index > 1);
    await page.getByRole("tab", { selected: true }).focus();
    await press(page, "ArrowRight");
    await until(
      page,
      () =>
        document.activeElement.getAttribute("role") === "tab" &&
        document.activeElement.getAttribute("aria-selected") === "true",
    );
  });
});

test("5 keyboard: every control is reached by Tab, has a name, and shows the focus", async () => {
  await visit(`#/s/${SESSION}`, {}, async (page) => {
    await loaded(page, 3);
    await focusRows(page);
    await press(page, "j j Enter");
    const seen = new Map();
    await page.evaluate(() => document.activeElement.blur());
    for (let i = 0; i < 120; i += 1) {
      await page.keyboard.press("Tab");
      const el = await page.evaluate(() => {
        const e = document.activeElement;
        if (e === document.body) return null;
        const style = getComputedStyle(e),
          within = e.closest(":focus-within");
        const ring = (x) =>
          x && ((x.outlineStyle !== "none" && parseFloat(x.outlineWidth) > 0) || x.boxShadow !== "none");
        return {
          key: `${e.localName}.${e.className}#${e.id} ${e.getAttribute("aria-label") ?? e.title ?? ""} ${e.textContent.slice(0, 30)}`,
          name:
            e.getAttribute("aria-label") ||
            e.getAttribute("aria-labelledby") ||
            e.title ||
            e.textContent.trim() ||
            e.placeholder,
          ring:
            ring(style) ||
            ring(within && getComputedStyle(within)) ||
            ring(e.parentElement && getComputedStyle(e.parentElement)),
        };
      });
      // Past the end it begins anew.
      if (el === null) continue;
      if (seen.has(el.key)) break;
      seen.set(el.key, el);
    }
    const list = [...seen.values()];
    assert.ok(list.length > 15, `${list.length} places`);
    assert.deepEqual(
      list.filter((e) => !e.name).map((e) => e.key),
      [],
      "without a name",
    );
    assert.deepEqual(
      list.filter((e) => !e.ring).map((e) => e.key),
      [],
      "without a visible focus",
    );
    const keys = list.map((e) => e.key).join("\n");
    for (const part of ["Find a session", "Search this session", "Timeline", "tab"])
      assert.ok(keys.includes(part), `${part}: ${keys}`);
  });
});

test("5 address: a link shows the same again, back goes back, and one to a span needs no session", async () => {
  const { spans } = await api(`spans?session=${SESSION}&limit=0&tool=Edit`);
  const span = spans[0];
  await visit(`#/s/${SESSION}/s:${span.span_id}?tab=related&scale=session`, {}, async (page) => {
    await loaded(page, 3);
    await lands(page, (r) => r.text.includes("a.txt"));
    assert.equal(await page.getAttribute("#tab-related", "aria-selected"), "true");
    await focusRows(page);
    await press(page, "g o");
    await page.locator(".sheet:not([hidden]) .card").first().waitFor();
    await page.goBack();
    await lands(page, (r) => r.text.includes("a.txt"));
    assert.match(await at(page), /tab=related&scale=session/);
  });
  await visit(`#/x/${span.span_id}`, {}, async (page) => {
    await loaded(page, 3);
    await lands(page, (r) => r.text.includes("a.txt"));
    assert.ok((await at(page)).startsWith(`#/s/${SESSION}/`));
  });
  for (const nonsense of [
    "#/s/%00%ff",
    "#/nowhere",
    "#/s/no-such-session",
    "#/x/no-such-span",
    "#/s/a/b?zoom=9-1&kind=x&tab=y",
  ]) {
    await visit(nonsense, { allow: [/404/] }, async (page) => {
      await page.waitForSelector("#sessions .s-item:not([hidden])");
    });
  }
});

test("5 palette: finds a command and a session by a few letters", async () => {
  const { sessions } = await api("sessions?limit=0");
  const other = sessions.find((s) => s.project === "elsewhere");
  await visit(`#/s/${SESSION}`, {}, async (page) => {
    await loaded(page, 3);
    await press(page, "Ctrl-k");
    await page.keyboard.type("overview of every");
    await press(page, "Enter");
    await eventually("the view", async () => (await at(page)) === "#/all");
    await press(page, "Ctrl-k");
    await page.keyboard.type("elsewhere");
    const first = page.getByRole("dialog").getByRole("option").first();
    await first.waitFor();
    assert.match(await first.textContent(), /elsewhere/);
    await press(page, "Enter");
    await eventually("the session", async () => {
      const here = await at(page);
      return sessions.filter((s) => s.project === other.project).some((s) => here.includes(s.session_id));
    });
  });
});
