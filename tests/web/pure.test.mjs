// The pure modules: formats, visible text, escapes, differences, state, keys, filters, streams, axes.
//
// Properties hold for many made-up inputs; the seed is printed with a failure through the input itself.

import assert from "node:assert/strict";
import test from "node:test";
import { parse as ansi, palette256 } from "../../daemon/src/web/assets/js/ansi.js";
import { changes, clip, curl, readRequest, same, shellQuote } from "../../daemon/src/web/assets/js/conversation.js";
import { diffTexts, diffWords, fromPatch, hunks, splitLines, wordRanges } from "../../daemon/src/web/assets/js/diff.js";
import { filesTouched } from "../../daemon/src/web/assets/js/files.js";
import { compile, parseQuery, ranges } from "../../daemon/src/web/assets/js/filter.js";
import * as f from "../../daemon/src/web/assets/js/format.js";
import { BINDINGS, Keys } from "../../daemon/src/web/assets/js/keys.js";
import { niceScale, thin } from "../../daemon/src/web/assets/js/series.js";
import { format, initial, parse } from "../../daemon/src/web/assets/js/state.js";
import { Follow, Gate, Lines } from "../../daemon/src/web/assets/js/stream.js";
import { makeAxis, merge, place, ticks, zoom } from "../../daemon/src/web/assets/js/waterfall.js";
import { HOSTILE } from "./hostile.mjs";
import { random } from "./generate.mjs";

const many = (n, make) => {
  const rnd = random(42);
  for (let i = 0; i < n; i += 1) make(rnd, i);
};
const text = (rnd, alphabet, length) =>
  Array.from({ length: Math.floor(rnd() * length) }, () => alphabet[Math.floor(rnd() * alphabet.length)]).join("");

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

test("state survives its address, and no address breaks it", () => {
  const s = {
    ...initial(),
    session: "12784c0d-0fa4",
    span: "s:9505e0d67207e9e2",
    tab: "request",
    q: 'a "b c" ü&=#?/%',
    tools: ["mcp__x__y", "Bash"],
    kinds: ["tool"],
    statuses: ["error"],
    agents: ["a,b"],
    zoom: [0.25, 0.5],
    scale: "session",
  };
  assert.deepEqual(parse(format(s)), s);
  for (const view of ["timeline", "overview", "all"])
    assert.equal(parse(format({ ...initial(), view, session: "x" })).view, view);
  assert.deepEqual(parse("#/x/9505e0d67207e9e2").span, "9505e0d67207e9e2");
  for (const bad of [
    "",
    "#",
    "#/s/",
    "#/s/../../etc",
    "#/s/<script>",
    "#/constructor/x",
    "#/s/a?zoom=9-1&tab=evil&kind=__proto__",
    "#/%E0%A4%A",
    `#/s/${"x".repeat(999)}`,
  ])
    assert.doesNotThrow(() => parse(bad));
  assert.equal(parse("#/s/<script>").session, null);
  assert.equal(parse("#/s/a?zoom=9-1").zoom, null);
});

test("keys: sequences, text fields, modifiers", () => {
  const k = new Keys(),
    press = (key, where = "", at = 0, more = {}) => k.press({ key, ...more }, where, at);
  assert.equal(press("j"), "row.next");
  assert.equal(press("J"), "prompt.next");
  assert.equal(press("g"), "");
  assert.equal(press("o", "", 100), "view.overview");
  assert.equal(press("g"), "");
  assert.equal(press("o", "", 9000), null, "too late");
  assert.equal(press("g"), "");
  assert.equal(press("g", "", 10), "row.first");
  assert.equal(press("j", "text"), null);
  assert.equal(press("Escape", "text"), "escape");
  assert.equal(press("k", "text", 0, { ctrlKey: true }), "palette");
  assert.equal(press("c", "", 0, { ctrlKey: true }), null, "copying stays the browser's");
  assert.equal(press("j", "", 0, { altKey: true }), null);
  assert.equal(press("ArrowDown"), null);
  assert.equal(press("ArrowDown", "rows"), "row.next");
  assert.equal(press("3"), "tab.3");
  assert.equal(new Set(BINDINGS.map(([keys]) => keys)).size, BINDINGS.length, "no key twice");
});

test("queries: words, phrases, fields; ranges never lie", () => {
  const q = parseQuery('foo "two words" tool:Bash is:error http://x kind:tool');
  assert.deepEqual(q.words, ["foo", "two words", "http://x"]);
  assert.deepEqual([q.extra.tools, q.extra.statuses, q.extra.kinds], [["bash"], ["error"], ["tool"]]);
  assert.equal(compile(initial()), null);
  many(200, (rnd) => {
    const t = text(rnd, ["a", "B", "c ", "İ", ".*"], 30),
      words = ["a", "b", ".*"];
    for (const [from, to] of ranges(t, words))
      assert.ok(
        words.some((w) => t.slice(from, to).toLowerCase().includes(w)),
        t,
      );
  });
});

test("lines: any cut of the bytes gives the same values; what is no JSON is counted", () => {
  const bytes = new TextEncoder().encode('{"a":"é漢👩"}\n\n{"b":2}\nnot json\n{"c":[1,2]}\n');
  many(60, (rnd) => {
    const l = new Lines(),
      got = [];
    for (let i = 0; i < bytes.length;) {
      const n = 1 + Math.floor(rnd() * 9);
      got.push(...l.push(bytes.slice(i, i + n)));
      i += n;
    }
    assert.deepEqual(got, [{ a: "é漢👩" }, { b: 2 }, { c: [1, 2] }]);
    assert.equal(l.skipped, 1);
  });
});

test("following goes on after a break from the last thing seen; a pause keeps the last state of each", async () => {
  const asked = [],
    got = [];
  let n = 0;
  const fetch = async (url) => {
    asked.push(url);
    n += 1;
    if (n === 2) throw new Error("gone");
    const body = new ReadableStream({
      start(c) {
        c.enqueue(new TextEncoder().encode(`{"id":${n},"at":${n * 1000}}\n`));
        c.close();
      },
    });
    return { ok: true, status: 200, body };
  };
  const follow = new Follow({
    url: (since) => since,
    stamp: (v) => v.at + 1_000_000,
    fetch,
    setTimeout: (g) => setImmediate(g),
    onState: () => {},
    onValues: (v) => {
      got.push(...v);
      if (n >= 4) follow.stop();
    },
  });
  await follow.run();
  assert.deepEqual(
    got.map((v) => v.id),
    [1, 3, 4],
  );
  assert.deepEqual(asked.slice(0, 3), [
    null,
    new Date(1_001_000 - 5000).toISOString(),
    new Date(1_001_000 - 5000).toISOString(),
  ]);
  const out = [],
    gate = new Gate(
      (v) => v.id,
      (v) => out.push(v),
    );
  gate.take([{ id: 1, v: 1 }]);
  gate.pause();
  gate.take([
    { id: 2, v: 1 },
    { id: 3, v: 1 },
  ]);
  gate.take([{ id: 2, v: 2 }]);
  assert.equal(gate.held.size, 2);
  gate.resume();
  assert.deepEqual(out, [
    [{ id: 1, v: 1 }],
    [
      { id: 3, v: 1 },
      { id: 2, v: 2 },
    ],
  ]);
});

test("axes are monotonic, end at 0 and 1, squeeze idleness, and find back", () => {
  many(200, (rnd) => {
    const list = Array.from({ length: 1 + Math.floor(rnd() * 20) }, () => {
      const a = rnd() * 1e6;
      return [a, a + rnd() * 5e4];
    });
    const axis = makeAxis(list, { over: 1000 + rnd() * 1e5 }),
      m = merge(list);
    assert.equal(axis.x(m[0][0]), 0);
    assert.ok(Math.abs(axis.x(m[m.length - 1][1]) - 1) < 1e-9);
    let before = -1;
    for (let t = axis.start - 10; t < axis.end + 10; t += (axis.end - axis.start) / 97 + 1) {
      const x = axis.x(t);
      assert.ok(x >= before && x >= 0 && x <= 1);
      before = x;
    }
    for (let x = 0; x <= 1; x += 0.13) assert.ok(Math.abs(axis.x(axis.t(x)) - x) < 1e-6);
    for (const t of ticks(axis, [0.2, 0.7], 6)) assert.ok(t.x >= -1e-9 && t.x <= 1 + 1e-9);
  });
  assert.ok(
    makeAxis(
      [
        [0, 10],
        [1e9, 1e9 + 10],
      ],
      { over: 10 },
    ).x(1e9) < 0.7,
  );
  for (const odd of [[], [[NaN, 1]], [[5, 5]], [[3, 1]]]) assert.doesNotThrow(() => makeAxis(odd).x(4));
  assert.deepEqual(zoom([0, 1], 0.5, 0.5), [0.25, 0.75]);
  assert.equal(place({ t0: 0, t1: 1 }, makeAxis([[0, 10]]), [0.5, 1]), null);
});

test("requests: what changed is told, whatever they are; marks of the cache are no change", () => {
  const a = readRequest(
    '{"model":"m","system":"s","tools":[{"name":"A"},{"name":"B"}],"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{}}]}]}',
  );
  const b = readRequest(
    '{"model":"n","system":[{"type":"text","text":"t"}],"tools":[{"name":"B","x":1},{"name":"C"}],"messages":[{"role":"user","content":[{"type":"text","text":"x"}]},{"role":"assistant","content":"y"}]}',
  );
  const c = changes(a, b);
  assert.deepEqual([c.kept, c.dropped, c.added.length], [1, 0, 1]);
  assert.deepEqual(
    c.tools.map((t) => [t.name, t.what]),
    [
      ["B", "changed"],
      ["C", "added"],
      ["A", "removed"],
    ],
  );
  assert.deepEqual(c.settings, [{ key: "model", before: "m", after: "n" }]);
  assert.deepEqual([c.system[0].before, c.system[0].after], ["s", "t"]);
  const deep = readRequest(
    `{"metadata":${"[".repeat(10_000)}${"]".repeat(10_000)},"messages":[null,7,{"role":{}},[]],"tools":[null,"x"],"system":[null]}`,
  );
  assert.doesNotThrow(() => {
    changes(a, deep);
    changes(deep, deep);
    clip(deep, 5);
    same(deep, deep);
  });
  for (const bad of ["", "[]", "null", "{", "7"]) assert.ok(readRequest(bad).error);
});

test("a cURL command quotes what it is given", () => {
  assert.equal(shellQuote("a'b; rm -rf $HOME"), "'a'\\''b; rm -rf $HOME'");
  const c = curl({ exchange_id: "x", path: "/v1/messages", method: "POST; evil" }, [
    ["x-a", "1'$(id)"],
    ["host", "h"],
  ]);
  assert.ok(c.includes("-H 'x-a: 1'\\''$(id)'") && !c.includes("evil") && !c.includes("host: h"));
});

test("files: edits are followed exactly or said not to be", () => {
  const span = (id, input, output) => ({ span_id: id, status: "ok", input, output });
  const [a, b] = filesTouched([
    span("1", { file_path: "/a", old_string: "x", new_string: "y" }, { originalFile: "1\nx\n" }),
    span("2", { file_path: "/a", old_string: "y", new_string: "$& z" }, {}),
    span("3", { file_path: "/b", old_string: "gone", new_string: "y" }, {}),
    { status: "error", input: { file_path: "/c" } },
    span("4", null, null),
  ]);
  assert.deepEqual([a.before, a.after, a.exact], ["1\nx\n", "1\n$& z\n", true]);
  assert.deepEqual([b.path, b.exact], ["/b", false]);
});

test("scales are round and hold their values; thinning keeps what stands out", () => {
  many(200, (rnd) => {
    const top = 10 ** (rnd() * 12 - 3),
      s = niceScale(top);
    assert.ok(s.top >= top * (1 - 1e-9) && s.ticks.length <= 7, String(top));
  });
  const points = Array.from({ length: 5000 }, (_, i) => (i === 777 ? 99 : 1));
  assert.ok(thin(points, 50, (v) => v).some((t) => t.p === 99 && t.i === 777));
});
