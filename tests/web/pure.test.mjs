// The pure modules: formats, visible text, escapes, differences. page.test.mjs has state, keys, filters, axes.
//
// Properties hold for many made-up inputs; the seed is printed with a failure through the input itself.

import assert from "node:assert/strict";
import test from "node:test";
import { parse as ansi, palette256 } from "../../daemon/src/web/assets/js/ansi.js";
import { diffTexts, diffWords, fromPatch, hunks, splitLines, wordRanges } from "../../daemon/src/web/assets/js/diff.js";
import { permission } from "../../daemon/src/web/assets/js/decision.js";
import { lanesOf, lines } from "../../daemon/src/web/assets/js/inspector/records.js";
import * as f from "../../daemon/src/web/assets/js/format.js";
import { HOSTILE } from "./hostile.mjs";
import { random } from "./generate.mjs";

const many = (n, make) => {
  const rnd = random(42);
  for (let i = 0; i < n; i += 1) make(rnd, i);
};
const text = (rnd, alphabet, length) =>
  Array.from({ length: Math.floor(rnd() * length) }, () => alphabet[Math.floor(rnd() * alphabet.length)]).join("");

test("who allowed a call is told in words, and what is not known as it came", () => {
  const told = (decision, decidedBy) => permission({ decision, decidedBy });
  assert.equal(told(null, null), null);
  assert.equal(told("accept", "config"), "allowed by the settings");
  assert.equal(told("reject", "user_abort"), "refused by the user, who broke off");
  assert.equal(told("accept", null), "allowed");
  assert.equal(told(null, "hook"), "decided by a hook");
  assert.equal(told("constructor", "toString"), "constructor toString");
});

test("records stand in the lane of who told them; one of nobody known in a lane of its own", () => {
  const r = (source, at) => ({ source, at: `2026-11-21T13:02:0${at}Z` }),
    names = (list) => lanesOf(list).map(([source]) => source);
  assert.deepEqual(names([]), ["hook", "proxy", "transcript"]);
  const list = [r("hook", 1), r("telemetry", 1), r("claude-tap", 2)];
  assert.deepEqual(names(list), ["hook", "proxy", "transcript", "telemetry", "other"]);
  assert.deepEqual(
    lines(list).map((l) => l.cells.map((c) => c?.record.source ?? null)),
    [
      ["hook", null, null, "telemetry", null],
      [null, null, null, null, "claude-tap"],
    ],
  );
});

test("money is worded as the API words it", () => {
  for (const [micros, want] of [
    [0, "$0.00"],
    [7, "$0.000007"],
    [12_345, "$0.0123"],
    [999_999, "$1.0000"],
    [1_234_567, "$1.23"],
    [1_995_000, "$2.00"],
    [-12_345, "-$0.0123"],
    [null, "–"],
  ])
    assert.equal(f.money(micros), want);
});

test("times keep their microseconds, and what is none is not a number", () => {
  assert.equal(f.parseTime("2026-11-21T13:02:59.085519Z"), Date.UTC(2026, 10, 21, 13, 2, 59) + 85.519);
  assert.equal(f.parseTime("2026-11-21T13:02:59Z"), Date.UTC(2026, 10, 21, 13, 2, 59));
  assert.equal(f.parseTime("2026-11-21T15:02:59.5+02:00"), Date.UTC(2026, 10, 21, 13, 2, 59) + 500);
  for (const bad of ["", "yesterday", null, undefined, 7, "2026-11-21 13:02"])
    assert.ok(Number.isNaN(f.parseTime(bad)), String(bad));
});

test("durations and counts stay short and grow", () => {
  let before = "";
  for (const ms of [
    0, 0.04, 0.4, 9.94, 9.96, 87, 999.4, 999.6, 1430, 9994, 9996, 59_949, 59_951, 125_000, 3_599_600, 12_000_000,
    90_000_000,
  ]) {
    const d = f.duration(ms);
    assert.ok(d.length <= 9 && d !== before, d);
    before = d;
  }
  assert.deepEqual([999, 1234, 9949, 9951, 33_500, 999_499, 999_501, 1_234_000].map(f.count), [
    "999",
    "1.2k",
    "9.9k",
    "10k",
    "34k",
    "999k",
    "1M",
    "1.2M",
  ]);
});

test("nothing that acts is left in visible text", () => {
  const acts =
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
  for (const h of HOSTILE) {
    assert.ok(!acts.test(f.visible(h)), JSON.stringify(f.visible(h)));
    assert.ok(!acts.test(f.oneLine(h)) && !f.oneLine(h).includes("\n"));
  }
  assert.equal(f.visible("a\tb\nc é 漢 👩 \u001b[1m"), "a\tb\nc é 漢 👩 \\u{1b}[1m");
  many(300, (rnd) => {
    const s = String.fromCharCode(...Array.from({ length: 30 }, () => Math.floor(rnd() * 65536)));
    assert.ok(!acts.test(f.visible(s)), JSON.stringify(s));
  });
});

test("terminal output keeps its characters and shows what it does not understand", () => {
  const runs = ansi(
    "\u001b[31;1mred\u001b[0m \u001b[38;5;208mo\u001b[48;2;1;2;3mx\u001b[m\u001b[2J\u001b]0;t\u0007end\r\nnext\rover",
  );
  assert.deepEqual(
    runs.map((r) => r.text),
    ["red", " ", "o", "x", "\\u{1b}[2J", "\\u{1b}]0;t\\u{7}", "end", "\nnext", "\\u{d}", "over"],
  );
  assert.equal(runs[0].fg, 1);
  assert.ok(runs[0].bold);
  assert.equal(runs[2].fg, palette256(208));
  assert.equal(runs[3].bg, "#010203");
  assert.equal(runs[6].fg, null);
  many(400, (rnd) => {
    const s = text(
      rnd,
      ["\u001b[", "\u001b]", "\u001b", "3", "1", "m", ";", "38;5;", "48;2;", "x", "\r", "\n", "\u0007", "é", ":"],
      60,
    );
    for (const r of ansi(s)) assert.ok(!/[\u0000-\u0008\u000b-\u001f]/.test(r.text), JSON.stringify(s));
  });
  assert.ok(ansi("\u001b[1mx".repeat(100_000)).length < 25_000, "bounded");
});

test("a difference applied gives the new text, and its hunks hold every change once", () => {
  many(400, (rnd) => {
    const a = text(rnd, ["a\n", "b\n", "c\n", "d\n"], 40),
      b = rnd() < 0.5 ? text(rnd, ["a\n", "b\n", "c\n", "x\n"], 40) : a.replace("b\n", "x\ny\n");
    const ops = diffTexts(a, b);
    assert.equal(
      ops
        .filter((o) => o.type !== "add")
        .map((o) => o.text)
        .join("\n"),
      splitLines(a).join("\n"),
    );
    assert.equal(
      ops
        .filter((o) => o.type !== "del")
        .map((o) => o.text)
        .join("\n"),
      splitLines(b).join("\n"),
    );
    for (const o of ops) {
      if (o.a) assert.equal(splitLines(a)[o.a - 1], o.text);
      if (o.b) assert.equal(splitLines(b)[o.b - 1], o.text);
    }
    const inside = hunks(ops).flatMap((x) => x.ops);
    assert.equal(new Set(inside).size, inside.length);
    assert.deepEqual(
      inside.filter((o) => o.type !== "same"),
      ops.filter((o) => o.type !== "same"),
    );
  });
});

test("a difference is the shortest, and bounded where texts are large", () => {
  assert.equal(diffTexts("a\nb\nc\nd\n", "a\nx\nc\nd\n").filter((o) => o.type !== "same").length, 2);
  const big = Array.from({ length: 30_000 }, (_, i) => `l${i}`).join("\n"),
    other = Array.from({ length: 30_000 }, (_, i) => `m${i}`).join("\n");
  assert.equal(diffTexts(big, other).length, 60_000);
});

test("words that changed are marked, and unlike lines are not", () => {
  const [a, b] = ["return self.total() * 2", "return self.sum() * 2"],
    r = diffWords(a, b);
  assert.deepEqual(
    r.a.map(([x, y]) => a.slice(x, y)),
    ["total"],
  );
  assert.deepEqual(
    r.b.map(([x, y]) => b.slice(x, y)),
    ["sum"],
  );
  assert.equal(diffWords("entirely different words", "nothing of that is here at all"), null);
  assert.equal(wordRanges(diffTexts("let x = one;\nb\n", "let x = two;\nb\n")).size, 2);
});

test("the client's own patch becomes hunks with its numbers; anything else does not", () => {
  const [h] = fromPatch([{ oldStart: 12, newStart: 12, lines: [" x", "-old", "+new", "+more", " y"] }]);
  assert.deepEqual(
    h.ops.map((o) => [o.type, o.a, o.b]),
    [
      ["same", 12, 12],
      ["del", 13, null],
      ["add", null, 13],
      ["add", null, 14],
      ["same", 14, 15],
    ],
  );
  for (const bad of [null, [], "x", [1], [{ lines: [1] }], [{}]]) assert.equal(fromPatch(bad), null);
});
