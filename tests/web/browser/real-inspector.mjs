// 3: every tab of the inspector, held against the daemon's answers and the bytes that went over the wire.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { api, axe, eventually, facts, visit } from "./kit.mjs";
import { PANEL, download, facts as told, goTo, loaded, same, tab, tabs, until } from "./page.mjs";
import { money, whole } from "./words.mjs";

const { everything, looping, pictures, flaky, ledger } = facts.scene;

const spansOf = async (session) => (await api(`spans?session=${session}&limit=0&content=1`)).spans;
const main = (s) => s.kind === "llm" && s.exchange_id && !s.agent_id && s.purpose === "main";

/** The exchange of a span, and what the mock has of it. */
async function wire(span) {
  const detail = await api(`exchanges/${span.exchange_id}`);
  const sent = ledger.find((l) => l.request_id === detail.exchange.request_id);
  assert.ok(sent, "the mock knows the request");
  return { detail, sent, request: readFileSync(sent.request), response: readFileSync(sent.response) };
}

/** Opens a session at a span. */
async function at(session, span, act, options = {}) {
  await visit(`#/s/${session}/s:${span.span_id}`, options, async (page, context) => {
    await loaded(page);
    await page.waitForSelector("#inspector:not([hidden])");
    await act(page, context);
  });
}

/** Puts the clipboard within reach, and gives what is on it once it is no longer `not`. */
async function clipboard(page, context, press) {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const marker = "nothing was copied";
  await page.evaluate((t) => navigator.clipboard.writeText(t), marker);
  await press();
  return eventually("something is copied", async () => {
    const text = await page.evaluate(() => navigator.clipboard.readText());
    return text !== marker && { text };
  }).then((got) => got.text);
}

test("3 inspector: Summary of a prompt, a model call and a tool call", async () => {
  const spans = await spansOf(everything),
    { turns } = await api(`turns?session=${everything}&limit=0`);
  const turn = turns.find((t) => t.prompt === facts.scene.prompt),
    llm = spans.find(main),
    tool = spans.find((s) => s.kind === "tool" && s.status === "error");
  await at(everything, llm, async (page) => {
    const text = await tab(page, "Summary");
    for (const w of [money(llm.cost_usd_micros), whole(llm.tokens.output)])
      assert.ok(text.includes(w), `${w}: ${text}`);
    await goTo(page, everything, `t:${turn.turn_id}`);
    await until(page, ([panel, p]) => document.querySelector(panel).textContent.includes(p), [PANEL, turn.prompt]);
    const summary = await tab(page, "Summary");
    assert.ok(summary.includes(turn.result) && summary.includes(money(turn.cost_usd_micros)), summary);
    await goTo(page, everything, `s:${tool.span_id}`);
    await until(page, (panel) => document.querySelector(panel).textContent.includes("Exit code 3"), PANEL);
  });
});

test("3 inspector: Request as a conversation, and what is new in it", async () => {
  const spans = (await spansOf(everything)).filter(main);
  const span = spans[2],
    { request } = await wire(span),
    before = JSON.parse((await wire(spans[1])).request),
    body = JSON.parse(request);
  const flat = (b) => b.messages.map((m) => JSON.stringify(m, (k, v) => (k === "cache_control" ? undefined : v)));
  const [was, is] = [flat(before), flat(body)];
  let kept = 0;
  while (kept < was.length && was[kept] === is[kept]) kept += 1;
  await at(everything, span, async (page) => {
    const text = await tab(page, "Request", ".msg");
    assert.ok(
      text.includes(`${kept} messages kept`) || text.includes(`${kept} message kept`),
      `${kept} kept: ${text.slice(0, 400)}`,
    );
    assert.ok(text.includes(`${is.length - kept} new`), `${is.length - kept} new: ${text.slice(0, 400)}`);
    const fresh = page.locator(`${PANEL} .block`, { has: page.getByRole("heading", { name: "New", exact: true }) });
    assert.equal(await fresh.last().locator(".msg").count(), is.length - kept);
    await page.getByRole("button", { name: "Conversation", exact: true }).click();
    await until(page, ([panel, n]) => document.querySelectorAll(`${panel} .msg`).length === n, [
      PANEL,
      Math.min(8, is.length),
    ]);
    const roles = await page.locator(`${PANEL} .msg`).evaluateAll((list) => list.map((m) => m.dataset.role));
    assert.deepEqual(
      roles,
      body.messages.slice(-roles.length).map((m) => m.role),
    );
    await page.getByText(/^System \(/).click();
    const system = body.system.map((b) => b.text).join("");
    await until(page, ([panel, words]) => words.every((w) => document.querySelector(panel).textContent.includes(w)), [
      PANEL,
      [system.split("\n").find((l) => l.length > 20 && l.length < 120)],
    ]);
    await page.getByText(/^Tools \(/).click();
    assert.ok((await page.textContent(PANEL)).includes(`Tools (${body.tools.length})`));
    await page.locator(`${PANEL} details details summary b`, { hasText: /^Bash$/ }).waitFor();
  });
});

test("3 inspector: Response with thinking, what the API left out of it, text and calls", async () => {
  const spans = await spansOf(everything),
    calls = spans.filter(main);
  const thinks = calls.find((s) => s.reasoning.blocks > 0 && s.reasoning.omitted === 0),
    omits = calls.find((s) => s.reasoning.omitted > 0);
  await at(everything, thinks, async (page) => {
    const text = await tab(page, "Response", ".block");
    for (const w of ["A file first.", "I'll write a file.", "→ Write", "a.txt"])
      assert.ok(text.includes(w), `${w}: ${text}`);
    const { detail } = await wire(thinks);
    const f = await told(page);
    assert.equal(f["Request id"], detail.exchange.request_id);
    assert.equal(f.Message, detail.exchange.message_id);
    assert.equal(f.Stopped, "tool_use");
    await goTo(page, everything, `s:${omits.span_id}`, "response");
    await until(page, (panel) => /omitted by the API/i.test(document.querySelector(panel).textContent), PANEL);
  });
});

test("3 inspector: Timing with its steps and every event of the stream", async () => {
  const span = (await spansOf(everything)).filter(main)[1],
    { detail } = await wire(span);
  await at(everything, span, async (page) => {
    const text = await tab(page, "Timing", ".hbars");
    for (const w of ["Request sent", "Waiting for the answer", "Stream"]) assert.ok(text.includes(w), w);
    assert.equal(text.includes("Connecting"), detail.exchange.timing.connect_ms !== null);
    const kinds = detail.events.reduce((m, e) => m.set(e.event, (m.get(e.event) ?? 0) + 1), new Map());
    for (const [kind, n] of kinds) assert.ok(text.includes(`${kind} ${n}`), `${kind} ${n}`);
    const chart = page.locator(`${PANEL} svg[role="img"]`).first();
    assert.ok((await chart.getAttribute("aria-label")).includes(`${detail.events.length} events`));
    assert.equal((await told(page)).Connection, detail.exchange.timing.reused ? "used again" : "new");
  });
});

test("3 inspector: Headers, all of them, none a credential", async () => {
  const span = (await spansOf(everything)).filter(main)[1],
    { detail } = await wire(span);
  await at(everything, span, async (page) => {
    await tab(page, "Headers", "table");
    const shown = await page
      .locator(`${PANEL} table tr`)
      .evaluateAll((list) => list.map((tr) => [...tr.cells].map((c) => c.textContent)));
    assert.deepEqual(shown, [
      ...detail.request_headers,
      ...detail.response_headers,
      ...(detail.response_trailers ?? []),
    ]);
    assert.ok(shown.some(([k, v]) => k.toLowerCase() === "x-claude-code-session-id" && v === everything));
    assert.ok(!JSON.stringify(shown).includes("made-up-key"), "the key is nowhere");
  });
});

test("3 inspector: Raw has the exact bytes, to look at, to download and as a command", async () => {
  const span = (await spansOf(everything)).filter(main)[3],
    { request, response, detail } = await wire(span);
  await at(everything, span, async (page, context) => {
    await tab(page, "Raw", "pre");
    const links = page.getByRole("link", { name: "download" });
    assert.ok((await download(page, () => links.first().click())).body.equals(request), "the request's bytes");
    assert.ok((await download(page, () => links.last().click())).body.equals(response), "the response's bytes");
    const copies = page.locator(`${PANEL} .block`).getByRole("button", { name: "copy", exact: true });
    assert.equal(await clipboard(page, context, () => copies.first().click()), request.toString());
    assert.equal(await clipboard(page, context, () => copies.last().click()), response.toString());
    const shown = await page.locator(`${PANEL} pre`).first().textContent();
    assert.ok(request.toString().startsWith(shown.slice(0, 5_000)), "what is shown is what was sent");
    const curl = await clipboard(page, context, () => page.getByRole("button", { name: /cURL/ }).click());
    assert.ok(
      curl.includes(detail.exchange.exchange_id) &&
        curl.includes(detail.exchange.path) &&
        !curl.includes("made-up-key"),
      curl,
    );
  });
});

test("3 inspector: Tool shows a diff with its lines, output in colours, a picture, a failure", async () => {
  const spans = await spansOf(pictures),
    of = (name, test = () => true) => spans.find((s) => s.kind === "tool" && s.tool_name === name && test(s));
  const edit = of("Edit"),
    bash = of("Bash", (s) => s.input.command.includes("printf")),
    read = of("Read");
  await at(pictures, edit, async (page) => {
    await tab(page, "Tool", ".block");
    const lines = await page.locator(`${PANEL} :is(tr, .line, [class*=diff] > *)`).allTextContents();
    assert.ok(
      lines.some((l) => /\+?let value_10 = 100;/.test(l)),
      lines.join("\n"),
    );
    assert.ok(lines.some((l) => /let value_10 = 10;/.test(l)));
    const text = await page.textContent(PANEL);
    for (const n of [7, 8, 9, 11, 12, 13]) assert.ok(text.includes(`let value_${n} = ${n};`), `line ${n} is context`);
    assert.ok(!text.includes("let value_5 = 5;"), "what is far away is not shown");
    assert.ok(/\b10\b/.test(text), "lines have numbers");
    const words = await page.locator(`${PANEL} :is(ins, del, b, mark, .w, [class*=word])`).allTextContents();
    assert.ok(
      words.some((w) => w.includes("0")),
      "the word that changed is marked",
    );
    await goTo(page, pictures, `s:${bash.span_id}`, "tool");
    await page.locator(`${PANEL} pre.term`).waitFor();
    assert.match(await page.textContent(`${PANEL} pre.term`), /a .*red.* word/);
    const red = page.locator(`${PANEL} pre.term span`, { hasText: /^red$/ });
    if ((await red.count()) > 0) {
      const [a, b] = await Promise.all(
        [red.first(), page.locator(`${PANEL} pre.term`)].map((l) => l.evaluate((el) => getComputedStyle(el).color)),
      );
      assert.notEqual(a, b, "red is not the colour of the rest");
    } else assert.ok(!JSON.stringify(bash.output).includes("\\u001b"), "colours that were recorded are shown");
    await goTo(page, pictures, `s:${read.span_id}`, "tool");
    const img = page.locator(`${PANEL} img`);
    await img.waitFor();
    await until(page, (panel) => document.querySelector(`${panel} img`).naturalWidth === 2, PANEL);
  });
  const failed = (await spansOf(everything)).find((s) => s.kind === "tool" && s.status === "error");
  await at(everything, failed, async (page) => {
    const text = await tab(page, "Tool", ".block");
    assert.ok(text.includes("echo failing >&2; exit 3") && text.includes("failing"), text);
  });
});

test("3 inspector: Related names who asked, what ran beside it, and every source that told of it", async () => {
  const spans = await spansOf(everything),
    tool = spans.find((s) => s.kind === "tool" && s.input?.command === "sleep 0.2; cat a.txt"),
    asked = spans.find((s) => s.span_id === tool.requested_by);
  const { records } = await api(`spans/${tool.span_id}/records`);
  await at(everything, tool, async (page) => {
    const text = await tab(page, "Related", ".records");
    const lanes = { hook: "Hooks", proxy: "Wire", transcript: "Transcript" };
    for (const source of tool.sources) assert.ok(text.includes(lanes[source]), `${source}: ${text}`);
    const sources = new Set(records.map((r) => r.source));
    same(sources, tool.sources, "records of every source");
    assert.ok(text.includes(tool.tool_use_id) && text.includes(tool.span_id), "its ids");
    for (const r of records) assert.ok(text.toLowerCase().includes(r.kind.toLowerCase()), `${r.kind}: ${text}`);
    const by = page.locator(`${PANEL} .block`, { has: page.getByRole("heading", { name: "Asked for by" }) });
    await by.locator("button.link").click();
    await until(page, (id) => location.hash.includes(id), asked.span_id);
  });
});

test("3 inspector: a row has the tabs that have something to say", async () => {
  const spans = await spansOf(flaky),
    failed = spans.find((s) => s.kind === "llm" && s.status === "error" && s.exchange_id),
    tool = spans.find((s) => s.kind === "tool");
  await at(flaky, failed, async (page) => {
    assert.deepEqual(await tabs(page), ["Summary", "Request", "Response", "Timing", "Headers", "Raw", "Related"]);
    const { detail } = await wire(failed).catch(() => ({ detail: null }));
    const text = await tab(page, "Response", ":is(.block, .facts)");
    if (detail) assert.ok(text.includes(String(detail.exchange.status)), text);
    await goTo(page, flaky, `s:${tool.span_id}`);
    await until(page, () => document.querySelector("#tab-tool"));
    assert.deepEqual(await tabs(page), ["Summary", "Tool", "Related"]);
  });
});

test("3 inspector: a detection has all that was done about it, each with its call", async () => {
  const { interventions } = await api(`heal?session=${looping}`),
    { detections } = await api(`detections?session=${looping}`);
  const about = (d) => interventions.filter((x) => x.detection_id === d.detection_id),
    d = detections.find((x) => about(x).length > 1);
  assert.ok(d, "something was done about one more than once");
  const want = about(d).sort((a, b) => (a.at < b.at ? -1 : 1));
  await visit(`#/s/${looping}/d:${d.detection_id}`, { strict: false }, async (page) => {
    await loaded(page);
    const deeds = page.locator(`${PANEL} .finding .deeds li`);
    await deeds.first().waitFor();
    assert.deepEqual(await deeds.locator(".chip").allTextContents(), want.map((x) => x.action));
    for (const [i, x] of want.entries()) assert.ok((await deeds.nth(i).textContent()).includes(x.text.slice(0, 80)));
    await axe(page);
    await deeds.last().getByRole("button", { name: "to the call" }).click();
    await until(page, (id) => location.hash.includes(id), want.at(-1).span_id);
  });
});

test("3 inspector: what a session is stands in its overview", async () => {
  const session = (await api("sessions?limit=0")).sessions.find((s) => s.session_id === pictures);
  await visit(`#/o/${pictures}`, {}, async (page) => {
    await page.waitForSelector(".sheet:not([hidden]) .facts");
    const text = await page.textContent(".sheet:not([hidden]) .facts");
    for (const w of [session.cwd, session.client, session.session_id]) assert.ok(text.includes(w), `${w}: ${text}`);
  });
});
