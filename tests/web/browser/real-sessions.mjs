// 1: the list of sessions says of each what the daemon says, and narrows to what is asked for.

import assert from "node:assert/strict";
import test from "node:test";
import { api, eventually, facts, visit } from "./kit.mjs";
import { at, loaded, same, until } from "./page.mjs";
import { duration, model, money, parseTime } from "./words.mjs";

const LIST = '[role="listbox"][aria-label="Sessions"]';
const items = (page) =>
  page.evaluate(
    (list) =>
      [...document.querySelectorAll(`${list} .s-item:not([hidden])`)].map((el) => ({
        text: el.textContent,
        context: el.querySelector("[title^=context]")?.title,
        live: Boolean(el.querySelector(".dot:not([hidden])")),
        selected: el.getAttribute("aria-selected") === "true",
      })),
    LIST,
  );

/** The list has a row for each session, and in it what the daemon says of it. */
async function agree(page) {
  const { sessions } = await api("sessions?limit=0");
  const shown = await items(page);
  assert.equal(shown.length, sessions.length);
  for (const s of sessions) {
    const words = [
      s.project,
      money(s.cost_usd_micros),
      model(s.model),
      duration(parseTime(s.last_at) - parseTime(s.started_at)),
    ];
    if (s.tool_errors > 0) words.push(`${s.tool_errors}×`);
    if (s.detections > 0) words.push(`▲${s.detections}`);
    const context = `context ${s.context.percent} % full`;
    const found = shown.filter((i) => words.every((w) => i.text.includes(w)) && i.context === context);
    assert.equal(found.length, 1, `${words.join(", ")}, ${context} in ${JSON.stringify(shown)}`);
    assert.equal(found[0].selected, s.session_id === facts.scene.everything);
    assert.equal(found[0].live, !s.ended, "what has ended is not live");
  }
  return true;
}

test("1 sessions: each with its project, model, cost, length, context, errors and detections", async () => {
  assert.ok((await api("sessions?limit=0")).sessions.length >= 4);
  await visit(`#/s/${facts.scene.everything}`, {}, async (page) => {
    await loaded(page);
    // A live session's end moves while its transcript is still read: both are asked anew until they agree.
    await eventually("the list says what the daemon says", () => agree(page));
    assert.match(await page.textContent(`${LIST} .s-day:not([hidden])`), /^(Today|Yesterday)/);
  });
});

test("1 sessions: words and filters narrow the list, and stand in the address", async () => {
  const { sessions } = await api("sessions?limit=0");
  const shows = (page, wanted) =>
    until(page, ([list, n]) => document.querySelectorAll(`${list} .s-item:not([hidden])`).length === n, [
      LIST,
      wanted.length,
    ]);
  await visit(`#/s/${facts.scene.everything}`, {}, async (page) => {
    await loaded(page);
    const find = page.getByRole("searchbox", { name: "Find a session" });
    await find.fill("elsewhere");
    const elsewhere = sessions.filter((s) => s.project === "elsewhere");
    await shows(page, elsewhere);
    same(
      await page.locator(`${LIST} .s-item:not([hidden]) mark`).allTextContents(),
      elsewhere.map(() => "elsewhere"),
    );
    assert.match(await at(page), /find=elsewhere/);
    await page.reload();
    await shows(page, elsewhere);
    await find.fill("");
    await shows(page, sessions);
    await page.locator('[data-word="has:errors"]').click();
    await shows(
      page,
      sessions.filter((s) => s.tool_errors > 0),
    );
    await page.locator('[data-word="has:errors"]').click();
    await page.locator('[data-word="has:detections"]').click();
    await shows(
      page,
      sessions.filter((s) => s.detections > 0),
    );
    await page.locator('[data-word="has:detections"]').click();
    await find.fill("no session is like that");
    await page.getByText("No session is like that.").waitFor();
  });
});
