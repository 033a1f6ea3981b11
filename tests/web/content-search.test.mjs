// Words that the daemon looks for in contents: how it is asked, what becomes of answers that are late, cut or none, and which
// rows its hits are.

import assert from "node:assert/strict";
import test from "node:test";
import { ContentSearch, quoted } from "../../daemon/src/web/assets/js/content-search.js";
import { compile, parseQuery } from "../../daemon/src/web/assets/js/filter.js";
import { whole } from "../../daemon/src/web/assets/js/format.js";
import { rowKey } from "../../daemon/src/web/assets/js/links.js";
import { RowList } from "../../daemon/src/web/assets/js/row-list.js";
import { Model } from "../../daemon/src/web/assets/js/rows.js";
import { initial } from "../../daemon/src/web/assets/js/state.js";

const settle = () => new Promise((done) => setImmediate(done));

/** A search whose answers and timers are given by hand. */
function search(answers) {
  const s = { asked: [], due: [], drawn: 0 };
  const api = {
    json: async (path, query, signal) => {
      s.asked.push(query.q);
      const a = await answers.shift();
      if (a instanceof Error) throw a;
      return { signal, ...a };
    },
  };
  const timers = {
    setTimeout: (f, ms) => s.due.push({ f, ms }) && s.due.at(-1),
    clearTimeout: (t) => {
      s.due = s.due.filter((x) => x !== t);
    },
  };
  s.content = new ContentSearch({ api, timers, onfound: () => (s.drawn += 1) });
  s.pass = async () => {
    const t = s.due.shift();
    t.f();
    await settle();
    return t.ms;
  };
  return s;
}
const hits = (n) => Array.from({ length: n }, (_, i) => ({ span_id: `s${i}`, snippet: "…" }));

/** The words of a query as the daemon reads them (daemon/src/query/search/words.rs). */
function read(query) {
  const words = [];
  for (const m of query.matchAll(/"((?:\\["\\]|[^"])*)"?|(\S+)/g))
    words.push(m[1] === undefined ? m[2] : m[1].replace(/\\(["\\])/g, "$1"));
  return words.filter((w) => w.trim());
}

test("phrases reach the daemon as phrases, whatever is in them", async () => {
  for (const words of [["disk", "no such file"], ['say "so"', "c:\\new dir\\"], ["\\", '"', 'it"s'], ["tab\tin it"]])
    assert.deepEqual(read(words.map(quoted).join(" ")), words);
  assert.equal(quoted("plain:word/x"), "plain:word/x");
  const s = search([{ hits: hits(1), complete: true }]);
  s.content.ask(parseQuery('Disk "no such file" x').words, "id");
  await s.pass();
  assert.deepEqual(s.asked, ['disk "no such file"']);
  assert.deepEqual([...s.content.found.ids], ["s0"]);
  assert.equal(s.content.limits, null);
});

test("what an answer leaves out is told", async () => {
  for (const [answer, limits] of [
    [{ hits: hits(1000), more: true, complete: true }, `first ${whole(1000)} in contents`],
    [{ hits: hits(3), more: false, complete: false }, "not finished"],
    [{ hits: hits(3), more: false, complete: true }, null],
  ]) {
    const s = search([answer]);
    s.content.ask(["word"], "id");
    await s.pass();
    assert.equal(s.content.limits, limits);
    s.content.ask([], "id");
    assert.equal(s.content.limits, null);
  }
});

test("after a failure it is told and asked again, less and less often; what is refused is not", async () => {
  const s = search([new Error("busy"), new Error("busy"), { hits: hits(2), complete: true }]);
  s.content.ask(["word"], "id");
  await s.pass();
  assert.deepEqual([s.content.limits, s.content.searching, s.drawn], ["contents not searched", false, 1]);
  s.content.ask(["word"], "id");
  assert.equal(s.due.length, 1, "drawing does not ask at once");
  const first = await s.pass(),
    second = await s.pass();
  assert.ok(second > first);
  assert.deepEqual([s.asked.length, s.content.limits, s.content.found.ids.size], [3, null, 2]);
  for (const [status, limits] of [
    [400, "contents not searched"],
    [404, null],
  ]) {
    const refused = search([Object.assign(new Error("refused"), { status })]);
    refused.content.ask(["word"], "id");
    await refused.pass();
    assert.deepEqual([refused.content.limits, refused.due.length, refused.drawn], [limits, 0, 1]);
  }
});

test("an answer to words that are not asked for any more is dropped", async () => {
  let late;
  const s = search([new Promise((done) => (late = done)), { hits: hits(2), complete: true }]);
  s.content.ask(["old"], "id");
  await s.pass();
  s.content.ask(["new"], "id");
  await s.pass();
  late({ hits: hits(9), more: true });
  await settle();
  assert.deepEqual([s.content.found.ids.size, s.content.limits, s.drawn], [2, null, 1]);
});

test("a hit on a helper's own span is the row of the call that started it, and so is the way to it", () => {
  const m = new Model(),
    span = (span_id, kind, parent_id, s) => ({
      ...{ span_id, kind, parent_id, turn_id: "t", duration_ms: 900, status: "ok" },
      started_at: new Date(Date.UTC(2026, 10, 21, 6, 0, s)).toISOString(),
    });
  m.upsert([
    span("root", "agent", null, 0),
    span("call", "tool", "root", 1),
    span("helper", "agent", "call", 2),
    span("second", "agent", "call", 3),
    span("other", "tool", "root", 4),
  ]);
  const rows = new RowList(m);
  rows.narrow(compile({ ...initial(), q: "nowhere" }, new Set(["helper"])));
  const shown = rows.rows();
  assert.equal(shown.matched, 1);
  assert.equal([...shown].at(-1).key, "s:call");
  const where = (id) => rowKey(m, m.spans.get(id));
  assert.deepEqual(["root", "call", "helper", "second", "other"].map(where), ["t:t", "s:call", "s:call", "s:second", "s:other"]);
});
