// Rows of a session: every span has exactly one, whatever order and however often spans come; folding and filters.

import assert from "node:assert/strict";
import test from "node:test";
import { agentOf, compile } from "../../daemon/src/web/assets/js/filter.js";
import { isKind, nextRow, rowAt } from "../../daemon/src/web/assets/js/navigate.js";
import { RowList } from "../../daemon/src/web/assets/js/row-list.js";
import { Model } from "../../daemon/src/web/assets/js/rows.js";
import { byAgent, byTool, contextFill, costOverTime, tokensPerTurn } from "../../daemon/src/web/assets/js/series.js";
import { byDay, findSessions } from "../../daemon/src/web/assets/js/find-sessions.js";
import { initial } from "../../daemon/src/web/assets/js/state.js";
import { segments } from "../../daemon/src/web/assets/js/waterfall.js";
import { generate, random, sessions } from "./generate.mjs";

const g = generate({ spans: 3000, seed: 5 });
const about = (m) => {
  for (const d of g.detections) m.setDetection(d);
  for (const i of g.interventions) m.setIntervention(i);
};
const build = (spans, turns = g.turns) => {
  const m = new Model();
  m.setTurns(turns);
  m.upsert(spans);
  about(m);
  return m;
};
const shuffled = (list, seed) => {
  const rnd = random(seed),
    out = [...list];
  for (let i = out.length - 1; i > 0; i -= 1) {
    const j = Math.floor(rnd() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
};
const shown = (m, { folded = [], keep = null } = {}) => {
  const list = new RowList(m);
  list.fold(folded, true);
  list.narrow(keep);
  return { list, rows: list.rows() };
};
const all = (m) => [...shown(m).rows];

test("a detection has all that was done about it, oldest first, and each thing once", () => {
  const m = build(g.spans),
    d = g.detections[0],
    done = (n, at, detection_id = d.detection_id) => ({ intervention_id: n, at, detection_id, action: "advised", text: n });
  const before = m.doneAbout(d).map((x) => x.intervention_id);
  m.setIntervention(done("late", "2030-01-02T00:00:00Z"));
  m.setIntervention(done("early", "2020-01-02T00:00:00Z"));
  m.setIntervention(done("another's", "2021-01-02T00:00:00Z", "another"));
  assert.deepEqual(m.doneAbout(d).map((x) => x.intervention_id), ["early", ...before, "late"]);
  const late = done("late", "2030-01-02T00:00:00Z"),
    alone = done("alone", "2030-01-03T00:00:00Z");
  assert.deepEqual(m.doneAbout({ ...d, intervention: late }).map((x) => x.intervention_id), ["early", ...before, "late"]);
  assert.deepEqual(m.doneAbout({ ...d, detection_id: "", intervention: alone }).map((x) => x.intervention_id), ["alone"]);
});

test("what was denied did not run", () => {
  const span = { exec: null },
    of = (status) => segments({ type: "tool", status, t0: 0, t1: 100, span }, 200).map((x) => x.what);
  assert.deepEqual([of("denied"), of("ok")], [["denied"], ["run"]]);
});

test("every span has one row; a subagent's is that of the call that started it", () => {
  const m = build(g.spans),
    seen = new Set();
  for (const row of all(m)) {
    if (row.type === "detection" || row.type === "intervention" || row.type === "gap") continue;
    for (const s of new Set([row.span, row.agent].filter(Boolean))) {
      assert.ok(!seen.has(s.id), s.id);
      seen.add(s.id);
    }
  }
  assert.equal(seen.size, g.spans.length);
});

test("the order and the number of times in which spans come make no difference", () => {
  const want = all(build(g.spans)).map((r) => [r.key, r.depth, r.kids, r.status]);
  for (const seed of [1, 2, 3]) {
    const m = new Model(),
      list = shuffled([...g.spans, ...g.spans.slice(0, 500)], seed);
    for (let i = 0; i < list.length; i += 97) {
      m.upsert(list.slice(i, i + 97));
      if (i % 3 === 0) m.blocks();
    }
    m.setTurns(shuffled(g.turns, seed));
    about(m);
    assert.deepEqual(
      all(m).map((r) => [r.key, r.depth, r.kids, r.status]),
      want,
    );
  }
});

test("a span that changed shows its last state, and only its turn is built again", () => {
  const m = build(g.spans.map((s) => (s.kind === "tool" ? { ...s, status: "running", duration_ms: null } : s)));
  const before = new Map(m.blocks().map((b) => [b.id, b.rows])),
    one = g.spans.find((s) => s.kind === "tool");
  m.upsert([one]);
  const changed = m
    .blocks()
    .filter((b) => before.get(b.id) !== b.rows)
    .map((b) => b.id);
  assert.deepEqual(changed, [one.turn_id]);
  assert.equal(all(m).find((r) => r.key === `s:${one.span_id}`).status, one.status);
});

test("rows below a row are those that `kids` counts, and each is deeper", () => {
  for (const block of build(g.spans).blocks())
    block.rows.forEach((row, i) => {
      for (let k = 1; k <= row.kids; k += 1) assert.ok(block.rows[i + k].depth > row.depth, row.key);
      if (block.rows[i + row.kids + 1]) assert.ok(block.rows[i + row.kids + 1].depth <= row.depth, row.key);
    });
});

test("folding leaves out what is below, and nothing else", () => {
  const m = build(g.spans),
    { rows } = shown(m, { folded: m.blocks().map((b) => b.rows[0]) });
  assert.ok([...rows].every((r) => r.type === "prompt" || r.type === "gap"));
  assert.equal([...rows].filter((r) => r.type === "prompt").length, g.turns.length);
  assert.ok(rows.all > rows.length);
});

test("filters keep what matches, and the way to it", () => {
  const m = build(g.spans),
    keep = compile({ ...initial(), statuses: ["error"], kinds: ["tool"] });
  const cut = shown(m, { keep }),
    rows = [...cut.rows];
  assert.equal(
    cut.rows.matched,
    g.spans.filter(
      (s) =>
        s.kind === "tool" &&
        s.status === "error" &&
        !g.spans.some((a) => a.kind === "agent" && a.parent_id === s.span_id),
    ).length,
  );
  for (const r of rows) assert.ok(cut.list.isContext(r) !== (r.type === "tool" && r.status === "error"), r.key);
  for (let i = 0; i < rows.length; i += 1)
    if (rows[i].depth > 0) assert.ok(rows.slice(0, i).some((r) => r.turn === rows[i].turn && r.depth < rows[i].depth));
  const words = compile({ ...initial(), q: "CARGO test" });
  assert.ok(
    all(m)
      .filter(words)
      .every((r) => /cargo test/i.test([r.note, r.span?.error].join(" "))),
  );
  const found = compile({ ...initial(), q: "nowhere" }, new Set([g.spans[5].span_id]));
  assert.equal(all(m).filter(found).length, 1);
});

test("strange spans get their rows: no parent, in a circle, no time, an unknown turn", () => {
  const base = { ...g.spans.find((s) => s.kind === "tool"), turn_id: "t" };
  const m = new Model();
  m.upsert([
    { ...base, span_id: "a", parent_id: "b" },
    { ...base, span_id: "b", parent_id: "a" },
    { ...base, span_id: "c", parent_id: "c" },
    { ...base, span_id: "d", parent_id: "gone" },
    { ...base, span_id: "e", parent_id: null, started_at: "soon", duration_ms: -5 },
    { span_id: "f", kind: "agent" },
    { span_id: "g" },
  ]);
  const keys = new Set(all(m).flatMap((r) => [r.span?.id, r.agent?.id]));
  for (const id of "abcdefg") assert.ok(keys.has(id), id);
  for (const row of all(m)) assert.doesNotThrow(() => segments(row, 0));
  let parent = null;
  const deep = Array.from({ length: 30_000 }, (_, i) => {
    const s = { ...base, span_id: `n${i}`, parent_id: parent, kind: i % 2 ? "agent" : "tool" };
    parent = s.span_id;
    return s;
  });
  const x = new Model();
  x.upsert(deep);
  assert.equal(
    new Set(
      all(x)
        .flatMap((r) => [r.span?.id, r.agent?.id])
        .filter(Boolean),
    ).size,
    deep.length,
  );
});

test("jumping goes round and finds nothing where there is nothing", () => {
  const rows = [1, 2, 3, 2];
  assert.equal(
    nextRow(rows, 1, 1, (r) => r === 2),
    3,
  );
  assert.equal(
    nextRow(rows, 3, 1, (r) => r === 2),
    1,
  );
  assert.equal(
    nextRow(rows, 0, -1, (r) => r === 2),
    3,
  );
  assert.equal(
    nextRow(rows, 0, 1, (r) => r === 9),
    -1,
  );
  assert.equal(
    nextRow([], -1, 1, () => true),
    -1,
  );
});

test("sums agree with the spans that they are made of", () => {
  const m = build(g.spans),
    llm = g.spans.filter((s) => s.kind === "llm"),
    cost = llm.reduce((n, s) => n + (s.cost_usd_micros ?? 0), 0);
  assert.equal(costOverTime(m).at(-1).sum, cost);
  assert.equal(
    byAgent(m).reduce((n, a) => n + a.cost, 0),
    cost,
  );
  assert.equal(
    byTool(m).reduce((n, t) => n + t.calls, 0),
    g.spans.filter((s) => s.kind === "tool").length,
  );
  assert.equal(tokensPerTurn(m.blocks()).length, g.turns.length);
  assert.ok(contextFill(m).points.length > 0);
  const f = m.tally;
  assert.equal(f.rows, m.blocks().reduce((n, b) => n + b.rows.length, 0));
  assert.equal(
    f.tools.reduce((n, [, k]) => n + k, 0),
    g.spans.filter((s) => s.kind === "tool").length,
  );
  assert.ok(all(m).every((r) => typeof agentOf(r) === "string"));
});

test("sessions are found by what is typed, and stand below their days", () => {
  const now = Date.UTC(2026, 10, 21),
    list = sessions(500, now);
  assert.ok(findSessions(list, "SHOP opus", now).every((s) => s.cwd.includes("shop") && s.model.includes("opus")));
  assert.ok(findSessions(list, "has:errors", now).every((s) => s.tool_errors > 0));
  const days = byDay(list, now);
  assert.equal(days.filter((d) => !d.day).length, 500);
  assert.equal(
    days.filter((d) => d.day).reduce((n, d) => n + d.n, 0),
    500,
  );
});

test("a time leads to what went on then", () => {
  const rows = all(build(g.spans));
  for (const i of [0, 5, 300, rows.length - 1]) {
    if (rows[i].type === "gap") continue;
    const at = rowAt(rows, rows[i].t0);
    assert.ok(rows[at].t0 <= rows[i].t0 && rows[at].turn === rows[i].turn);
  }
  assert.equal(rowAt([], 5), -1);
  assert.ok(rows.some((r) => isKind("error", r)) && !rows.some((r) => isKind("constructor", r)));
});

test("what was denied did not fail", () => {
  const at = "2026-11-21T06:00:00Z",
    tool = (span_id, status) => ({ span_id, turn_id: "t", kind: "tool", tool_name: "Bash", status, started_at: at, duration_ms: 5 }),
    m = build([tool("a", "ok"), tool("b", "error"), tool("c", "denied"), tool("d", "denied")]);
  const [{ calls, failed, denied }] = byTool(m);
  assert.deepEqual([calls, failed, denied], [4, 1, 2]);
  const keep = compile({ ...initial(), statuses: ["error"] }),
    keys = (f) => all(m).filter(f).map((r) => r.key);
  assert.deepEqual(keys((r) => isKind("error", r)), ["s:b"]);
  assert.deepEqual(keys((r) => r.type === "tool" && keep(r)), ["s:b"]);
});

test("a call tells the most that ran at once while it did", () => {
  const t0 = Date.UTC(2026, 10, 21, 6),
    rnd = random(7);
  const par = (times) => {
    const spans = times.map(([from, to], i) => ({
      ...{ span_id: `s${i}`, turn_id: "t", kind: "tool", duration_ms: to === null ? null : to - from },
      ...{ status: to === null ? "running" : "ok", started_at: new Date(t0 + from).toISOString() },
    }));
    const of = new Map(all(build(spans)).map((r) => [r.span?.id, r.par]));
    return spans.map((s) => of.get(s.span_id));
  };
  // A chain in which no three run at once; the middle of a long one; what still runs; what took no time.
  assert.deepEqual(par([[0, 10], [8, 20], [18, 30], [28, 40]]), [2, 2, 2, 2]);
  assert.deepEqual(par([[0, 100], [10, 20], [30, 40], [35, 50], [100, 110]]), [3, 2, 3, 3, 0]);
  assert.deepEqual(par([[0, null], [5, 6], [7, 7]]), [2, 2, 2]);
  for (let k = 0; k < 200; k += 1) {
    const times = Array.from({ length: 2 + Math.floor(rnd() * 12) }, () => {
      const from = Math.floor(rnd() * 60);
      return [from, rnd() < 0.1 ? null : from + 1 + Math.floor(rnd() * 25)];
    });
    const runs = ([from, to], t) => from <= t && t < (to ?? Infinity),
      most = (one) => Math.max(...times.map(([t]) => (runs(one, t) ? times.filter((x) => runs(x, t)).length : 0)));
    assert.deepEqual(par(times), times.map((one) => (most(one) > 1 ? most(one) : 0)), JSON.stringify(times));
  }
});
