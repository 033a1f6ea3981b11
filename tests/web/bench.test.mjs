// What the bench is made of: the session that both pages are given, and the figures that are told.

import assert from "node:assert/strict";
import test from "node:test";
import { dearest } from "./bench/profile.mjs";
import { collect, figure, ofScrolling, quantile, ratio, table } from "./bench/report.mjs";
import { emptyFacts, lines, NEEDLE, requestSize } from "./bench/session.mjs";
import { random } from "./generate.mjs";

const SESSION = "0199c0de-0000-7000-8000-00000000be9c";
const END = Date.UTC(2026, 10, 21, 12);

function made(events, seed) {
  const facts = emptyFacts();
  const text = [...lines({ session: SESSION, events, end: END, seed, budget: 3e6, facts })];
  return { facts, text, list: text.map((line) => JSON.parse(line)) };
}

test("a session has as many events as were asked for, each call its end, each time its place", () => {
  for (const [events, seed] of [
    [1, 1],
    [9, 2],
    [100, 3],
    [777, 4],
    [3000, 5],
  ]) {
    const { facts, list, text } = made(events, seed);
    assert.equal(list.length, events);
    assert.equal(facts.events, events);
    assert.equal(
      facts.bytes,
      text.reduce((n, line) => n + line.length + 1, 0),
    );
    const named = (name) => list.filter((e) => e.hook_event_name === name);
    assert.equal(named("UserPromptSubmit").length, facts.prompts);
    assert.equal(named("ApiCall").length, facts.calls);
    assert.equal(named("PreToolUse").length, facts.tools);
    const ids = named("PreToolUse").map((e) => e.tool_use_id);
    assert.equal(new Set(ids).size, ids.length);
    const ended = list.filter((e) => /^PostToolUse/.test(e.hook_event_name)).map((e) => e.tool_use_id);
    assert.deepEqual([...ended].sort(), [...ids].sort());
    assert.equal(new Set(named("ApiCall").map((e) => e.response.id)).size, facts.calls);
    const times = list.map((e) => Date.parse(`${e._ts.slice(0, 23)}Z`));
    for (let i = 1; i < times.length; i += 1) {
      assert.ok(times[i] > times[i - 1], "in order");
      // Where nothing goes on for five seconds, our page has a row more.
      assert.ok(times[i] - times[i - 1] < 5_000);
    }
    assert.ok(times.at(-1) - END < 1_000);
  }
});

test("the word that is searched for is where the facts say", () => {
  const { facts, list } = made(3000, 5);
  const commands = list.filter((e) => e.tool_input?.command?.includes(NEEDLE));
  assert.equal(commands.length, facts.needleEvents);
  assert.ok(facts.needles > 5);
  for (const e of list)
    if (e.hook_event_name !== "ApiCall" && !commands.includes(e)) assert.ok(!JSON.stringify(e).includes(NEEDLE));
});

test("the same seed gives the same session, another one another", () => {
  assert.deepEqual(made(300, 9).text, made(300, 9).text);
  assert.notDeepEqual(made(300, 9).text, made(300, 10).text);
});

test("requests are as large as the client's until the whole would be too much", () => {
  assert.ok(requestSize(1000, 200e6).fixed === 77_000);
  for (const events of [1, 1000, 10_000, 50_000, 1e6]) {
    const { fixed, most } = requestSize(events, 200e6);
    assert.ok(fixed > 0 && fixed <= most && most <= 400_000);
    assert.ok(events < 5000 || ((fixed + most) / 2) * events * 0.34 < 260e6);
  }
});

test("figures lie between the least and the most", () => {
  const rnd = random(3);
  for (let k = 0; k < 200; k += 1) {
    const samples = Array.from({ length: 1 + Math.floor(rnd() * 20) }, () => rnd() * 1000);
    const f = figure(samples);
    assert.ok(f.min <= f.median && f.median <= f.max && f.n === samples.length);
    const qs = [0, 0.25, 0.5, 0.95, 1].map((q) => quantile(samples, q));
    assert.deepEqual(
      qs,
      [...qs].sort((a, b) => a - b),
    );
    assert.equal(qs[0], f.min);
    assert.equal(qs[4], f.max);
  }
  assert.equal(figure([]), null);
  assert.equal(figure([NaN]), null);
  assert.equal(quantile([3, 1, 2], 0.5), 2);
});

test("a table tells what is missing", () => {
  const samples = { ours: {}, "cc-tracer": {} };
  collect(samples.ours, { first: 100, seen: [1, 2, 3] });
  collect(samples.ours, { first: 300 });
  collect(samples["cc-tracer"], { first: 1000 });
  const told = Object.fromEntries(
    Object.entries(samples).map(([k, of]) => [
      k,
      Object.fromEntries(Object.entries(of).map(([n, s]) => [n, figure(s)])),
    ]),
  );
  const text = table("title", told).split("\n");
  assert.equal(text[0], "title");
  const row = (name) => text.find((line) => line.startsWith(name));
  assert.match(row("first row painted"), /200 \(100–300\) +1000 \(1000–1000\) +5\.0×/);
  assert.match(row("live: event sent"), /2\.00 \(1\.00–3\.00\) +—/);
  assert.equal(row("all rows there"), undefined);
  assert.equal(ratio(null, figure([1])), "");
  assert.equal(ratio(figure([30]), figure([2])), "15×");
});

test("scrolling is told by its frames", () => {
  const one = { times: [16, 17, 90], long: [70], task: 3 };
  const told = ofScrolling({ slow: one, fast: one, far: { ...one, long: [] } });
  assert.deepEqual([told.long, told.slow50, told.farMax, told.fastTask], [2, 17, 90, 3]);
});

test("a profile's time is where it was spent, once for functions that call themselves", () => {
  const frame = (functionName) => ({ functionName, url: "http://x/js/a.js", lineNumber: 0 });
  const nodes = [
    { id: 1, callFrame: { functionName: "(root)", url: "", lineNumber: -1 }, children: [2] },
    { id: 2, callFrame: frame("f"), children: [3] },
    { id: 3, callFrame: frame("f"), children: [4] },
    { id: 4, callFrame: frame("g") },
  ];
  const told = dearest({ nodes, samples: [2, 3, 4, 1], timeDeltas: [1000, 2000, 4000, 9000] });
  assert.deepEqual(
    told.sort((a, b) => b[1] - a[1]),
    [
      [3, 7, "f js/a.js:1"],
      [4, 4, "g js/a.js:1"],
    ],
  );
});
