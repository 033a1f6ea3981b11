// 2: the timeline has a row for everything, each bar where its time is, and is narrowed, searched and jumped through.

import assert from "node:assert/strict";
import test from "node:test";
import { api, facts, visit } from "./kit.mjs";
import { at, clear, focusRows, loaded, narrowed, press, rows, search, selected } from "./page.mjs";
import { money } from "./words.mjs";

const { everything, looping, flaky, pictures } = facts.scene;
/** High enough that every row is in the document. */
const TALL = { viewport: { width: 1600, height: 2600 } };

/** A session's spans, with what the timeline makes of each. */
async function spansOf(session) {
  const { spans } = await api(`spans?session=${session}&limit=0`);
  const byId = new Map(spans.map((s) => [s.span_id, s]));
  const agents = spans.filter((s) => s.kind === "agent" && s.parent_id);
  const starters = new Set(agents.filter((a) => byId.get(a.parent_id)?.kind === "tool").map((a) => a.parent_id));
  const typeOf = (s) => {
    if (s.kind === "agent") return s.parent_id && !starters.has(s.parent_id) ? "agent" : null;
    if (starters.has(s.span_id)) return "agent";
    return s.purpose === "compaction" ? "compaction" : s.kind;
  };
  return { spans, typeOf };
}

const tally = (list) => list.reduce((n, x) => ({ ...n, [x]: (n[x] ?? 0) + 1 }), {});

test("2 timeline: every prompt, model call, tool call, subagent and compaction has its row", async () => {
  const { spans, typeOf } = await spansOf(everything);
  const { turns } = await api(`turns?session=${everything}&limit=0`);
  const want = tally([...turns.map(() => "prompt"), ...spans.map(typeOf).filter(Boolean)]);
  assert.ok(want.compaction >= 1 && want.agent === 3, JSON.stringify(want));
  await visit(`#/s/${everything}`, TALL, async (page) => {
    await loaded(page, turns.length + 10);
    const shown = await rows(page);
    const got = tally(
      shown.filter((r) => ["prompt", "llm", "tool", "agent", "compaction"].includes(r.type)).map((r) => r.type),
    );
    assert.deepEqual(got, want);
    const statuses = (list, of) => tally(list.map((x) => x.status).filter((s) => of.includes(s)));
    const bad = ["error", "denied"];
    assert.deepEqual(
      statuses(
        shown.filter((r) => r.type === "tool"),
        bad,
      ),
      statuses(
        spans.filter((s) => typeOf(s) === "tool"),
        bad,
      ),
    );
    const agents = shown.filter((r) => r.type === "agent");
    assert.equal(new Set(agents.map((r) => r.level)).size, 2, "one subagent is inside another");
    for (const a of agents) {
      const next = shown.find((r) => r.index === a.index + 1);
      assert.ok(next.level > a.level, "what it did stands inside it");
    }
    const session = (await api("sessions?limit=0")).sessions.find((s) => s.session_id === everything);
    const foot = await page.textContent(".foot");
    assert.ok(foot.includes(money(session.cost_usd_micros)), `${foot}: ${money(session.cost_usd_micros)}`);
  });
});

test("2 timeline: bars stand where the time went, waiting and streaming, parallel calls beside each other", async () => {
  await visit(`#/s/${everything}`, TALL, async (page) => {
    await loaded(page, 10);
    const shown = (await rows(page)).filter((r) => r.type === "llm" || r.type === "tool");
    let before = -1,
      level = 0,
      prompt = 0;
    for (const r of shown) {
      assert.ok(r.bars.length > 0, `a bar: ${r.text}`);
      for (const b of r.bars)
        assert.ok(b.from >= -0.001 && b.to <= 1.02 && b.to >= b.from, `${r.text}: ${JSON.stringify(b)}`);
      if (r.level === level && r.index > prompt && r.bars[0].from < before - 0.002 && r.level === 2) prompt = r.index;
      level = r.level;
      before = r.bars[0].from;
    }
    const waited = shown.filter((r) => r.type === "llm" && r.bars.length === 2);
    assert.ok(waited.length > 5, "model calls wait, and then stream");
    for (const r of waited) {
      assert.deepEqual(
        r.bars.map((b) => b.what),
        ["wait", "stream"],
      );
      assert.ok(r.bars[0].from <= r.bars[1].from);
    }
    const slept = shown.find((r) => r.text.includes("sleep 0.2"));
    const beside = shown.filter(
      (r) =>
        r !== slept &&
        r.type === "tool" &&
        r.bars[0].from < slept.bars.at(-1).to &&
        r.bars.at(-1).to > slept.bars[0].from,
    );
    assert.ok(beside.length >= 1, "calls that ran at once overlap");
    assert.match(slept.text, /∥ 3/);
    await page.getByTitle(/^Waterfall/).click();
    assert.match(await at(page), /scale=session/);
  });
});

test("2 timeline: retries, failures, detections and interventions are marked", async () => {
  await visit(`#/s/${flaky}`, TALL, async (page) => {
    await loaded(page, 5);
    const texts = (await rows(page)).filter((r) => r.type === "llm").map((r) => r.text);
    assert.ok(texts.some((t) => t.includes("attempt 3")) && texts.some((t) => t.includes("failed")), texts.join("\n"));
  });
  const heal = await api(`heal?session=${looping}&limit=0`);
  const mine = heal.interventions.filter((i) => i.session_id === looping);
  const { detections } = await api(`detections?session=${looping}&limit=0`);
  assert.ok(mine.length > 0 && detections.length > 0);
  await visit(`#/s/${looping}`, TALL, async (page) => {
    await loaded(page, 10);
    await page.waitForSelector('.row[data-type="intervention"]:not([hidden])');
    const got = tally((await rows(page)).map((r) => r.type));
    assert.deepEqual([got.detection, got.intervention], [detections.length, mine.length]);
  });
});

test("2 timeline: filters by kind, status, tool and agent, and all of them off again", async () => {
  const { spans } = await spansOf(everything);
  await visit(`#/s/${everything}`, TALL, async (page) => {
    await loaded(page, 10);
    const all = await rows(page);
    const of = (test) => all.filter(test).length;
    for (const [title, test] of [
      ["Only prompts", (r) => r.type === "prompt"],
      ["Only model", (r) => r.type === "llm"],
      ["Only tools", (r) => r.type === "tool"],
      ["Only agents", (r) => r.type === "agent"],
      ["Only failed", (r) => r.status === "error"],
      ["Only denied", (r) => r.status === "denied"],
    ]) {
      const b = page.getByTitle(title, { exact: true });
      await b.click();
      const [n] = await narrowed(page);
      assert.equal(n, of(test), title);
      assert.equal(await b.getAttribute("aria-pressed"), "true");
      await clear(page);
    }
    await page.getByRole("button", { name: /^Tool ▾/ }).click();
    await page.getByRole("checkbox", { name: /^Bash/ }).check();
    await page.keyboard.press("Escape");
    assert.equal((await narrowed(page))[0], spans.filter((s) => s.tool_name === "Bash").length);
    assert.match(await at(page), /tool=Bash/);
    await page.reload();
    await loaded(page);
    assert.equal((await narrowed(page))[0], spans.filter((s) => s.tool_name === "Bash").length, "the address has it");
    await clear(page);
    await page.getByRole("button", { name: /^Agent ▾/ }).click();
    await page.getByRole("checkbox", { name: /^general-purpose/ }).check();
    await page.keyboard.press("Escape");
    assert.ok((await narrowed(page))[0] > 5);
  });
});

test("2 timeline: words are found in rows and in what they hold, and highlighted", async () => {
  await visit(`#/s/${everything}`, TALL, async (page) => {
    await loaded(page, 10);
    assert.ok((await search(page, "echo failing"))[0] >= 1);
    await page.waitForSelector(".row:not([hidden]) mark");
    const marks = new Set(
      (await page.locator(".row:not([hidden]) mark").allTextContents()).map((m) => m.toLowerCase()),
    );
    for (const m of marks) assert.ok(["echo failing", "echo", "failing"].includes(m), m);
    assert.equal((await search(page, "tool:Bash is:denied"))[0], 1);
    assert.equal((await search(page, "nowhere to be found"))[0], 0);
    await page.getByText("Nothing is like that").waitFor();
    await press(page, "Escape");
  });
  await visit(`#/s/${pictures}`, TALL, async (page) => {
    await loaded(page, 5);
    // In what was written and read, in no row's own words.
    await search(page, "value_17");
    await page.waitForSelector(".row:not([hidden]) mark");
    assert.ok((await narrowed(page, "value_17"))[0] >= 1);
    assert.equal(await page.locator(".row:not([hidden]) mark").first().textContent(), "value_17");
  });
});

test("2 timeline: jumps to the next error, prompt, subagent and detection, unfolding what hides it", async () => {
  await visit(`#/s/${everything}`, {}, async (page) => {
    await loaded(page, 10);
    await focusRows(page);
    await press(page, "z");
    assert.equal((await rows(page)).filter((r) => r.type === "tool").length, 0, "all is folded");
    await press(page, "e");
    const first = await selected(page);
    assert.equal(first.status, "error", first.text);
    await press(page, "e");
    const second = await selected(page);
    assert.equal(second.status, "error", second.text);
    await press(page, "E");
    assert.equal((await selected(page)).text, first.text);
    await press(page, "a");
    assert.equal((await selected(page)).type, "agent");
    await press(page, "J");
    assert.equal((await selected(page)).type, "prompt");
  });
  await visit(`#/s/${looping}`, {}, async (page) => {
    await loaded(page, 10);
    await page.waitForSelector('.row[data-type="detection"]:not([hidden])');
    await focusRows(page);
    await press(page, "d");
    assert.ok(["detection", "intervention"].includes((await selected(page)).type));
  });
});
