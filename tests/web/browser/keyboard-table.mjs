// What each key of the help must do.

import assert from "node:assert/strict";
import { api, eventually, facts } from "./kit.mjs";
import { PANEL, ROWS, at, download, press, rows, selected, until } from "./page.mjs";

const { everything: SESSION, looping } = facts.scene;

const focused = (page) =>
  page.evaluate(() => {
    const el = document.activeElement;
    return { role: el.getAttribute("role"), label: el.getAttribute("aria-label"), id: el.id, tag: el.localName };
  });
const index = async (page) => (await selected(page))?.index ?? null;
/** Waits until a row is selected that `wanted`. */
export const lands = (page, wanted) =>
  eventually("a row is selected", async () => {
    const r = await selected(page);
    return r && wanted(r) && r;
  });
const moves = (from, to) => async (page, keys) => {
  const before = await index(page);
  await press(page, keys);
  const r = await lands(page, (x) => (to > 0 ? x.index > before : x.index < before));
  if (from) assert.equal(r.type, from);
  if (!from) assert.ok(Math.abs(r.index - before) <= 2, "one row, or over a gap");
};
const bad = (r) => r.status === "error";
const jumps = (test) => async (page, keys) => {
  await press(page, keys);
  await lands(page, test);
};
/** From one end of what a search left to a row that matches: what only leads to matches is passed over. */
const matches = (end, step) => async (page, keys) => {
  await press(page, end);
  const from = await lands(page, (r) => r.index === (step > 0 ? 1 : r.of));
  await press(page, keys);
  await lands(page, (r) => !r.context && r.type !== "gap" && (r.index - from.index) * step > 0);
};
const hash = (pattern) => async (page, keys) => {
  await press(page, keys);
  await eventually(`${pattern}`, async () => pattern.test(await at(page)));
};
const next = (step) => async (page, keys) => {
  const { sessions } = await api("sessions?limit=0");
  const i = sessions.findIndex((s) => s.session_id === SESSION);
  const to = sessions[i + step];
  await press(page, keys);
  if (to) await eventually("the other session", async () => (await at(page)).includes(to.session_id));
  else assert.ok((await at(page)).includes(SESSION));
};
const clipboard = (test) => async (page, keys) => {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.evaluate(() => navigator.clipboard.writeText(""));
  await press(page, keys);
  await eventually("something is copied", async () => test(await page.evaluate(() => navigator.clipboard.readText())));
};
const dialog = (name) => async (page, keys) => {
  await press(page, keys);
  await page.getByRole("dialog", { name }).waitFor();
  assert.equal(
    await page.evaluate(() => Boolean(document.activeElement.closest('[role="dialog"]'))),
    true,
    "the focus is in it",
  );
  await press(page, "Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
};

/** What a key must do: from a page with the third row of a session selected, and the focus on the rows. */
export const DOES = {
  "row.next": moves(null, 1),
  "row.previous": moves(null, -1),
  "prompt.next": jumps((r) => r.type === "prompt"),
  "prompt.previous": moves("prompt", -1),
  "error.next": jumps(bad),
  "error.previous": jumps(bad),
  "detection.next": { session: looping, does: jumps((r) => ["detection", "intervention"].includes(r.type)) },
  "detection.previous": { session: looping, does: jumps((r) => ["detection", "intervention"].includes(r.type)) },
  "agent.next": jumps((r) => r.type === "agent"),
  "agent.previous": jumps((r) => r.type === "agent"),
  "match.next": { query: "q=Bash", does: matches("Home", 1) },
  "match.previous": { query: "q=Bash", does: matches("End", -1) },
  "row.collapse": async (page, keys) => {
    await press(page, keys);
    await lands(page, (r) => r.type === "prompt");
    await press(page, keys);
    await until(
      page,
      (list) => document.querySelector(`${list} [aria-selected="true"]`).getAttribute("aria-expanded") === "false",
      ROWS,
    );
  },
  "row.expand": async (page, keys) => {
    await press(page, "K");
    await press(page, "h");
    await until(
      page,
      (list) => document.querySelector(`${list} [aria-selected="true"]`).getAttribute("aria-expanded") === "false",
      ROWS,
    );
    await press(page, keys);
    await until(
      page,
      (list) => document.querySelector(`${list} [aria-selected="true"]`).getAttribute("aria-expanded") === "true",
      ROWS,
    );
  },
  "fold.all": async (page, keys) => {
    await press(page, keys);
    await eventually("all is folded", async () =>
      (await rows(page)).every((r) => r.type === "prompt" || r.type === "gap"),
    );
    await press(page, keys);
    await eventually("and unfolded", async () => (await rows(page)).some((r) => r.type === "tool"));
  },
  "inspector.focus": async (page, keys) => {
    await press(page, keys);
    await eventually("the inspector has the focus", async () => (await focused(page)).id === PANEL.slice(1));
    await press(page, "Escape");
    assert.equal((await focused(page)).role, "treegrid", "and gives it back");
  },
  "row.first": jumps((r) => r.index === 1),
  "row.last": async (page, keys) => {
    await press(page, keys);
    const n = Number(await page.getAttribute(ROWS, "aria-rowcount"));
    await lands(page, (r) => r.index === n);
  },
  "session.next": next(1),
  "session.previous": next(-1),
  search: async (page, keys) => {
    await press(page, keys);
    assert.equal((await focused(page)).label, "Search this session");
    await page.keyboard.type("jjk");
    assert.equal(await page.inputValue('[aria-label="Search this session"]'), "jjk", "keys are text there");
    await press(page, "Escape Escape");
  },
  "sessions.find": async (page, keys) => {
    await press(page, keys);
    assert.equal((await focused(page)).label, "Find a session");
  },
  "view.timeline": async (page, keys) => {
    await press(page, "g o");
    await eventually("the overview", async () => /^#\/o\//.test(await at(page)));
    await press(page, keys);
    await eventually("the timeline", async () => /^#\/s\//.test(await at(page)));
  },
  "view.overview": hash(/^#\/o\//),
  "view.all": hash(/^#\/all/),
  "sessions.focus": async (page, keys) => {
    await press(page, keys);
    assert.equal((await focused(page)).label, "Sessions");
  },
  "tab.1": async (page) => {
    const n = await page.getByRole("tab").count();
    assert.ok(n >= 3);
    for (let i = n; i >= 1; i -= 1) {
      await press(page, String(i));
      await until(
        page,
        (k) =>
          [...document.querySelectorAll('[role="tab"]')].findIndex(
            (t) => t.getAttribute("aria-selected") === "true",
          ) ===
          k - 1,
        i,
      );
    }
  },
  "scale.toggle": hash(/scale=session/),
  "zoom.in": hash(/zoom=0?\.?\d/),
  "zoom.out": async (page, keys) => {
    await press(page, "+ +");
    const [, closer] = await eventually("it is zoomed in", async () => /zoom=([\d.]+-[\d.]+)/.exec(await at(page)));
    await press(page, keys);
    const width = (zoom) => zoom.split("-").reduce((a, b) => b - a);
    await eventually("there is more", async () => {
      const now = /zoom=([\d.]+-[\d.]+)/.exec(await at(page))?.[1] ?? "0-1";
      return width(now) > width(closer);
    });
  },
  "zoom.all": async (page, keys) => {
    await press(page, "+");
    await eventually("it is zoomed in", async () => (await at(page)).includes("zoom="));
    await press(page, keys);
    await eventually("all is there", async () => !(await at(page)).includes("zoom="));
  },
  // What it does while something comes in is shown where something does.
  "live.toggle": async (page, keys) => press(page, keys),
  copy: clipboard((text) => text.length > 0),
  "copy.link": clipboard((text) => /^http:\/\/127\.0\.0\.1:\d+\/#\/s\//.test(text)),
  "theme.toggle": async (page, keys) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const grounds = new Set([await ground()]);
    for (let i = 0; i < 3; i += 1) {
      await press(page, keys);
      grounds.add(await ground());
    }
    assert.equal(grounds.size, 2, "light and dark");
  },
  "sessions.toggle": async (page, keys) => {
    await press(page, keys);
    await page.locator("#sessions").waitFor({ state: "hidden" });
    await press(page, keys);
    await page.locator("#sessions").waitFor();
  },
  palette: dialog("Command palette"),
  help: dialog("Keyboard"),
  export: async (page, keys) => {
    const got = await download(page, () => press(page, keys));
    assert.match(got.name, /\.html$/);
    assert.ok(
      got.body.includes("<!doctype html") || got.body.includes("<!DOCTYPE html"),
      got.body.toString().slice(0, 100),
    );
  },
  escape: async (page, keys) => {
    await press(page, keys);
    await until(page, () => document.getElementById("inspector").hidden);
  },
};
