// The pure modules: state, keys, queries, axes, requests, plots, downloads.
//
// Properties hold for many made-up inputs; the seed is printed with a failure through the input itself.

import assert from "node:assert/strict";
import test from "node:test";
import { clip, curl, readRequest, shellQuote } from "../../daemon/src/web/assets/js/conversation.js";
import { bodyName, bodyUrl, exportName, exportUrl, FORMS, formUrl } from "../../daemon/src/web/assets/js/files.js";
import { compile, parseQuery, ranges } from "../../daemon/src/web/assets/js/filter.js";
import { BINDINGS, Keys } from "../../daemon/src/web/assets/js/keys.js";
import { niceScale, thin } from "../../daemon/src/web/assets/js/series.js";
import { format, initial, parse } from "../../daemon/src/web/assets/js/state.js";
import { activity, makeAxis, merge, place, ticks, zoom } from "../../daemon/src/web/assets/js/waterfall.js";
import { random } from "./generate.mjs";

const many = (n, make) => {
  const rnd = random(42);
  for (let i = 0; i < n; i += 1) make(rnd, i);
};
const text = (rnd, alphabet, length) =>
  Array.from({ length: Math.floor(rnd() * length) }, () => alphabet[Math.floor(rnd() * alphabet.length)]).join("");

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

test("what went on in a turn fills its parts, what failed before all else", () => {
  const row = (type, t0, t1, status = "ok") => ({ type, t0, t1, status }),
    turn = {
      t0: 0,
      t1: 100,
      rows: [row("prompt", 0, 100), row("llm", 0, 50), row("tool", 40, 60), row("tool", 70, 71, "error"), row("tool", 90, null)],
    },
    got = activity(turn, makeAxis([[0, 100]]), 95, 10);
  assert.deepEqual(got, ["llm", "llm", "llm", "llm", "llm", "llm", "tool", "error", null, "tool"]);
  assert.deepEqual(activity({ ...turn, t0: 5, t1: 5 }, makeAxis([]), 0, 3), [null, null, null]);
});

test("requests are read, whatever they are", () => {
  const a = readRequest('{"model":"m","system":"s","tools":[{"name":"A"}],"messages":[{"role":"user","content":"x"}]}');
  assert.deepEqual(a.system, [{ type: "text", text: "s" }]);
  assert.deepEqual([a.tools.length, a.messages.length, a.settings], [1, 1, { model: "m" }]);
  const deep = readRequest(
    `{"metadata":${"[".repeat(10_000)}${"]".repeat(10_000)},"messages":[null,7,{"role":{}},[]],"tools":[null,"x"],"system":[null]}`,
  );
  assert.equal(deep.messages.length, 4);
  assert.ok(JSON.stringify(clip(deep, 5)).length < 500, "what is deeper is told as such");
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

test("downloads have our names, whatever an id is", () => {
  assert.equal(exportUrl("a/../b?c"), "/v0/export/session/a%2F..%2Fb%3Fc.html");
  assert.equal(exportName("../../x"), "session.html");
  for (const [form] of FORMS) {
    assert.match(formUrl("a/../b?c&reveal=1", form), /^\/v0\/export[\w./?=&%-]*$/);
    assert.ok(!formUrl("a&reveal=1", form).includes("&reveal"), form);
    assert.match(exportName("<b>", form), /^session\.(html|jsonl|csv|har|otlp\.jsonl)$/);
  }
  assert.equal(bodyName("018f-1", "request"), "018f-1-request.json");
  assert.equal(bodyName("<b>", "response"), "exchange-response.txt");
  assert.equal(bodyUrl("a b", "response"), "/v0/exchanges/a%20b/response");
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
