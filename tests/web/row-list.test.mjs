// The list of rows as it is kept up to date: the same as one made from scratch, and made again only where something changed.

import assert from "node:assert/strict";
import test from "node:test";
import { Axes } from "../../daemon/src/web/assets/js/axes.js";
import { compile } from "../../daemon/src/web/assets/js/filter.js";
import { RowList, Rows } from "../../daemon/src/web/assets/js/row-list.js";
import { Model } from "../../daemon/src/web/assets/js/rows.js";
import { initial } from "../../daemon/src/web/assets/js/state.js";
import { generate, random } from "./generate.mjs";

const g = generate({ spans: 3000, seed: 5 });
const shuffled = (list, seed) => {
  const rnd = random(seed),
    out = [...list];
  for (let i = out.length - 1; i > 0; i -= 1) {
    const j = Math.floor(rnd() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
};

test("rows that are kept up to date are those made from scratch, whatever came in which order", () => {
  const filters = [null, null, { ...initial(), statuses: ["error"] }, { ...initial(), q: "cargo" }];
  for (const seed of [1, 2, 3]) {
    const rnd = random(seed * 77),
      pick = (list) => list[Math.floor(rnd() * list.length)],
      m = new Model(),
      list = new RowList(m),
      queue = shuffled(g.spans.slice(0, 700), seed),
      last = new Map(),
      turns = new Map(),
      found = new Map();
    let keep = null,
      before = null;
    for (let step = 0; step < 60; step += 1) {
      const what = rnd();
      const put = (spans) => {
        m.upsert(spans);
        for (const s of spans) last.set(s.span_id, s);
      };
      if (what < 0.5) put(queue.splice(0, 1 + Math.floor(rnd() * 40)));
      else if (what < 0.6 && last.size > 0) put([{ ...pick([...last.values()]), status: "running", duration_ms: null }]);
      else if (what < 0.68 && last.size > 0) put([{ ...pick([...last.values()]), turn_id: pick(g.turns).turn_id }]);
      else if (what < 0.75) {
        const t = pick(g.turns);
        turns.set(t.turn_id, t);
        m.setTurns([t]);
      } else if (what < 0.82) {
        const d = { ...pick(g.detections), state: pick(["open", "dismissed"]) };
        found.set(d.detection_id, d);
        m.setDetection(d);
      } else if (what < 0.87 && last.size > 0) {
        const id = pick([...last.keys()]);
        last.delete(id);
        m.remove({ spans: [id] });
      } else if (what < 0.94) list.fold([pick(m.blocks())?.rows[0]].filter(Boolean), rnd() < 0.6);
      else {
        const f = pick(filters);
        keep = f && compile(f);
        list.narrow(keep);
      }
      const now = list.rows();
      if (before) assert.ok(before.length === [...before].length, "a list stays as it was");
      before = now;
      const scratch = new Model();
      scratch.upsert([...last.values()]);
      scratch.setTurns([...turns.values()]);
      for (const d of found.values()) scratch.setDetection(d);
      const want = new RowList(scratch);
      want.folded = list.folded;
      want.narrow(keep);
      const wanted = want.rows();
      const sign = (rows) => [...rows].map((r) => [r.key, r.type, r.depth, r.kids, r.status, r.t0, r.t1, r.turn.id]);
      assert.deepEqual(sign(now), sign(wanted));
      assert.deepEqual([now.length, now.matched, now.all], [wanted.length, wanted.matched, wanted.all]);
      assert.deepEqual([m.tally.tools, m.tally.agents, m.tally.rows], [scratch.tally.tools, scratch.tally.agents, scratch.tally.rows]);
      for (let k = 0; k < 5 && now.length > 0; k += 1) {
        const i = Math.floor(rnd() * now.length),
          row = now.at(i);
        assert.equal(now.place(row.key, m.turnOf(row.key)), i, row.key);
      }
    }
  }
  assert.equal(new Rows().at(0), undefined);
});

test("an event makes the rows of its own turn again, and no others", () => {
  const m = new Model();
  m.setTurns(g.turns);
  m.upsert(g.spans);
  const list = new RowList(m),
    before = list.rows(),
    one = g.spans.find((s) => s.kind === "tool" && s.turn_id === g.turns[3].turn_id);
  m.upsert([{ ...one, status: "error" }]);
  const after = list.rows(),
    old = new Set(before);
  for (const row of after)
    if (row.turn.id !== one.turn_id) assert.ok(old.has(row), row.key);
    else if (row.span?.id === one.span_id || row.type === "prompt") assert.ok(!old.has(row), row.key);
    else assert.ok(old.has(row), "a row that says the same is the same");
});

test("the axis of a turn that runs stands still between its steps, and holds all that went on", () => {
  const m = new Model(),
    t0 = Date.UTC(2026, 10, 21, 6),
    span = (i, ms, took) => ({
      span_id: `s${i}`,
      turn_id: "t",
      kind: "tool",
      started_at: new Date(t0 + ms).toISOString(),
      status: took === null ? "running" : "ok",
      duration_ms: took,
    });
  const axes = new Axes(),
    seen = new Set();
  for (let i = 0; i < 200; i += 1) {
    m.upsert([span(i, i * 100, 90), span("now", i * 100 + 95, null)]);
    const [turn] = m.blocks(),
      now = t0 + i * 100 + 99,
      axis = axes.of(turn, now);
    seen.add(axis);
    assert.equal(axes.of(turn, now), axis);
    assert.ok(axis.start === t0 && axis.end >= now);
  }
  assert.ok(seen.size < 15, `${seen.size} axes for 200 events`);
});

test("gaps between turns are found by their kind", () => {
  const m = new Model(),
    span = (span_id, turn_id, minutes) => ({
      ...{ span_id, turn_id, kind: "tool", status: "ok", duration_ms: 1000 },
      started_at: new Date(Date.UTC(2026, 10, 21, 6, minutes)).toISOString(),
    });
  m.upsert([span("a", "one", 0), span("b", "two", 30), span("c", "three", 31)]);
  const list = new RowList(m),
    keys = () => [...list.rows()].map((r) => r.key);
  assert.equal(keys().filter((k) => k.startsWith("g:")).length, 1);
  list.narrow(compile({ ...initial(), q: "kind:gap" }));
  assert.deepEqual(keys(), ["g:t:two"]);
  const rows = list.rows();
  assert.ok(rows.matched === 1 && rows.all > rows.matched);
  list.narrow(compile({ ...initial(), q: "kind:tool" }));
  assert.ok(keys().every((k) => !k.startsWith("g:")));
});
