// 7: whatever is captured is shown as text. Everything that comes in by hooks, by the proxy and by transcripts is made to act
// if it can; every row, tab and view is gone through; nothing may have happened.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { before } from "node:test";
import {
  ACTS,
  ALL,
  BY_HOOK,
  BY_PROXY,
  BY_TRANSCRIPT,
  NAMED,
  byHooks,
  byTheProxy,
  byTranscript,
} from "./hostile-made.mjs";
import { api, ask, axe, ccctl, chromium, eventually, facts, visit } from "./kit.mjs";
import { PANEL, ROWS, at, count, loaded, press, rows, search, selected, tabs } from "./page.mjs";
import { visible } from "./words.mjs";

const HALF = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const line = (text) => text.replace(/\s+/g, " ");

before(async () => {
  await byHooks();
  await byTheProxy();
  await ccctl("import", byTranscript());
  await eventually("all is taken in", async () => {
    const { sessions } = await api("sessions?limit=0");
    const turns = (id) => sessions.find((s) => s.session_id === id)?.turns ?? 0;
    // A hook's event with half of a surrogate pair is on record, and told of in no view: two of these are.
    return (
      turns(BY_HOOK) >= ALL.filter((t) => t.isWellFormed?.() ?? !HALF.test(t)).length &&
      turns(BY_TRANSCRIPT) >= ALL.length &&
      sessions.find((s) => s.session_id === BY_PROXY)?.exchanges >= 5
    );
  });
});

/** Goes through every row and each of its tabs. */
async function everywhere(page) {
  const n = await count(page);
  await page.locator(ROWS).focus();
  await press(page, "g g");
  const seen = new Set();
  let drawn = 0;
  for (let i = 0; i < n; i += 1) {
    const row = await selected(page);
    if (row === null || seen.has(row.index)) break;
    seen.add(row.index);
    const names = await tabs(page);
    // One of them for most rows, in turn; all of them for the first.
    const list = i < 6 || i % 9 === 0 ? names.map((_, k) => k + 1) : [(i % names.length) + 1];
    for (const k of list) {
      await press(page, String(k));
      await page.waitForFunction(
        ([panel, at]) => {
          const tab = document.querySelectorAll('[role="tab"]')[at],
            box = document.querySelector(panel);
          return (
            tab?.getAttribute("aria-selected") === "true" &&
            box.childElementCount > 0 &&
            !/^Loading/.test(box.textContent)
          );
        },
        [PANEL, k - 1],
      );
      drawn += 1;
      await page.evaluate((panel) => {
        for (const d of [...document.querySelectorAll(`${panel} details:not([open])`)].slice(0, 12)) d.open = true;
      }, PANEL);
    }
    await press(page, "j");
  }
  assert.ok(seen.size > n / 2, `${seen.size} of ${n} rows`);
  assert.ok(drawn > seen.size);
}

/** Nothing in the document that captured text could have brought in. */
async function inert(page) {
  const found = await page.evaluate(() => ({
    scripts: [...document.scripts].map((s) => s.src.replace(location.origin, "")),
    others: document.querySelectorAll("iframe, object, embed, form, base, meta[http-equiv], audio, video, svg a, style")
      .length,
    images: [...document.images].filter((i) => !/^data:image\/(png|jpeg|gif|webp);base64,/.test(i.src)).length,
    links: [...document.querySelectorAll("[href]")]
      .map((a) => a.getAttribute("href"))
      .filter((h) => !/^(\/css\/[\w-]+\.css|data:,|#.*|\/v0\/[\w./?=&%:-]*|\/js\/[\w/-]+\.js)$/.test(h)),
    handlers: [...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => a.name.startsWith("on")))
      .length,
  }));
  assert.deepEqual([found.others, found.images, found.links, found.handlers], [0, 0, [], 0]);
  assert.ok(
    found.scripts.length >= 1 && found.scripts.every((s) => /^\/js\/[\w/-]+\.js$/.test(s)),
    found.scripts.join(),
  );
}

for (const [name, session] of [
  ["hooks", BY_HOOK],
  ["the proxy", BY_PROXY],
  ["transcripts", BY_TRANSCRIPT],
]) {
  test(`7 what came by ${name} is text in every row and tab`, async () => {
    // Where there is nothing of a body, or nobody understands it, the browser says so, too.
    await visit(`#/s/${session}`, { allow: [/the server responded with a status of 4(04|22)/] }, async (page) => {
      await loaded(page, 3);
      const text = (await rows(page)).map((r) => r.text).join("\n");
      assert.ok(
        !/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/.test(text),
        "what acts unseen is written out",
      );
      await everywhere(page);
      await inert(page);
      await page.evaluate((h) => {
        location.hash = h;
      }, `#/o/${session}`);
      await page.waitForSelector(".sheet:not([hidden]) .card");
      await inert(page);
    });
  });
}

test("7 prompts are shown as they were typed", async () => {
  const { turns } = await api(`turns?session=${BY_TRANSCRIPT}&limit=0`);
  await visit(`#/s/${BY_TRANSCRIPT}`, {}, async (page) => {
    await loaded(page, 3);
    for (const text of ACTS) {
      const turn = turns.find((t) => t.prompt === text) ?? turns.find((t) => line(t.prompt ?? "") === line(text));
      assert.ok(turn, `${text} is on record`);
      await page.evaluate((h) => {
        location.hash = h;
      }, `#/s/${BY_TRANSCRIPT}/t:${turn.turn_id}?tab=summary`);
      await page.waitForFunction(
        ([panel, t]) => document.querySelector(`${panel} .prose`)?.textContent === t,
        [PANEL, visible(text)],
      );
    }
  });
});

test("7 searches, filters, addresses and lists made of hostile text find and do nothing else", async () => {
  await visit(`#/s/${BY_HOOK}`, {}, async (page) => {
    await loaded(page, 3);
    for (const text of ACTS.slice(0, 6)) await search(page, text);
    await page.waitForFunction(() => document.querySelector("#sessions .s-item:not([hidden])"));
    await inert(page);
    for (const text of ACTS) {
      await page.evaluate(
        (h) => {
          location.hash = h;
        },
        `#/s/${encodeURIComponent(text)}/${text}?q=${text}&tool=${text}&agent=${encodeURIComponent(text)}&find=${text}`,
      );
      await page.evaluate(() => new Promise(requestAnimationFrame));
    }
    await inert(page);
    assert.ok((await at(page)).length < 20_000);
  });
  for (const hash of ["#/all", `#/s/${encodeURIComponent(NAMED)}`, `#/s/${BY_PROXY}`]) {
    await visit(hash, { allow: [/404/] }, async (page) => {
      await page.waitForSelector("#sessions .s-item:not([hidden])");
      await inert(page);
      await press(page, "Ctrl-k");
      await page.getByRole("dialog").getByRole("option").first().waitFor();
      await inert(page);
    });
  }
});

test("7 exports of hostile sessions are inert", async () => {
  for (const session of [BY_HOOK, BY_PROXY, BY_TRANSCRIPT]) {
    const { status, body } = await ask(`/v0/export/session/${session}.html`);
    assert.equal(status, 200);
    const file = join(facts.work, `${session}.html`);
    writeFileSync(file, body);
    const context = await (await chromium()).newContext();
    const asked = [];
    context.on("request", (r) => asked.push(r.url()));
    context.on("dialog", (d) => {
      asked.push(d.message());
      d.dismiss();
    });
    const page = await context.newPage();
    await page.goto(`file://${file}`);
    assert.equal(await page.evaluate(() => window.__pwned), undefined);
    assert.equal(
      await page
        .locator(
          'script, iframe, object, embed, form, base, [onload], [onerror], [onfocus], a[href^="javascript:" i], [src]:not([src^="data:image/"])',
        )
        .count(),
      0,
    );
    assert.deepEqual(
      asked.filter((u) => !u.startsWith("file://") && !u.startsWith("data:")),
      [],
    );
    await context.close();
  }
});

test("nothing serious by axe with hostile text", async () => {
  for (const colorScheme of ["light", "dark"]) {
    await visit(`#/s/${BY_TRANSCRIPT}`, { colorScheme }, async (page) => {
      await loaded(page, 3);
      await page.locator(ROWS).focus();
      await press(page, "j j j");
      await page.waitForSelector(`${PANEL} :is(.block, .facts)`);
      await axe(page);
    });
  }
});
