// Where detections and interventions stand: at their span, or as near as is known; and again elsewhere as things come and go.

import assert from "node:assert/strict";
import test from "node:test";
import { Model } from "../../daemon/src/web/assets/js/rows.js";
import { generate, random } from "./generate.mjs";

const g = generate({ spans: 1500, seed: 11 });
const root = g.spans.find((s) => s.kind === "agent" && !s.parent_id && s.turn_id === g.turns[2].turn_id),
  call = g.spans.find((s) => s.kind === "tool" && s.turn_id === g.turns[1].turn_id);
const later = (at, ms) => new Date(Date.parse(at) + ms).toISOString();
const stop = (id, at, more = {}) => ({
  intervention_id: id,
  detection_id: null,
  span_id: null,
  at,
  session_id: g.session.session_id,
  kind: "loop",
  rule: "same_call",
  action: "blocked",
  event: "Stop",
  text: "Go on otherwise.",
  delivered: true,
  ...more,
});
const detection = (id, more = {}) => ({ ...g.detections[0], detection_id: id, span_id: null, turn_id: null, at: root.started_at, ...more });
const placeOf = (m, key) => {
  const found = m.blocks().flatMap((b) => b.rows.filter((r) => r.key === key).map((r) => [b.id, r.depth, r.span?.id ?? null]));
  assert.ok(found.length <= 1, `${key} stands once`);
  if (found.length === 1) assert.equal(m.turnOf(key), found[0][0]);
  return found[0] ?? null;
};
const whole = () => {
  const m = new Model();
  m.setTurns(g.turns);
  m.upsert(g.spans);
  return m;
};

test("what has neither span nor turn stands in the turn of its time", () => {
  const m = whole();
  m.setIntervention(stop("i1", later(root.started_at, 1)));
  m.setIntervention(stop("i0", "2001-01-01T00:00:00Z"));
  m.setIntervention(stop("i9", "2101-01-01T00:00:00Z"));
  m.setIntervention(stop("ix", "soon"));
  m.setDetection(detection("d1", { span_id: "not on record" }));
  const order = m.blocks().map((b) => b.id);
  assert.deepEqual(placeOf(m, "i:i1"), [root.turn_id, 1, null]);
  assert.equal(placeOf(m, "i:i0")[0], order[0]);
  assert.equal(placeOf(m, "i:i9")[0], order.at(-1));
  assert.ok(placeOf(m, "i:ix"));
  assert.equal(placeOf(m, "d:d1")[0], root.turn_id);
  m.remove({ interventions: ["i1", "i0", "i9", "ix"], detections: ["d1"] });
  for (const key of ["i:i1", "i:i0", "i:i9", "i:ix", "d:d1"]) assert.equal(placeOf(m, key), null);
  assert.deepEqual([m.about.found.size, m.about.done.size], [0, 0]);
});

test("an intervention stands where its detection does, and goes where that goes", () => {
  const m = whole();
  m.setIntervention(stop("i", root.started_at, { detection_id: "d" }));
  assert.equal(placeOf(m, "i:i")[0], root.turn_id);
  m.setDetection(detection("d", { span_id: call.span_id }));
  assert.equal(placeOf(m, "i:i")[2], call.span_id);
  m.setDetection(detection("d", { turn_id: g.turns[0].turn_id }));
  assert.deepEqual(placeOf(m, "i:i"), [g.turns[0].turn_id, 1, null]);
  m.remove({ detections: ["d"] });
  assert.equal(placeOf(m, "i:i")[0], root.turn_id);
});

test("a thing goes to its span when that comes, and away when it goes", () => {
  const m = whole();
  m.remove({ spans: [call.span_id] });
  m.setDetection(detection("d", { span_id: call.span_id, turn_id: g.turns[3].turn_id }));
  m.setIntervention(stop("i", root.started_at, { span_id: call.span_id }));
  assert.equal(placeOf(m, "d:d")[0], g.turns[3].turn_id);
  assert.equal(placeOf(m, "i:i")[0], root.turn_id);
  for (let again = 0; again < 2; again += 1) {
    m.upsert([call]);
    assert.equal(placeOf(m, "d:d")[2], call.span_id);
    assert.equal(placeOf(m, "i:i")[2], call.span_id);
    m.upsert([{ ...call, turn_id: g.turns[0].turn_id }]);
    assert.equal(placeOf(m, "d:d")[0], g.turns[0].turn_id);
    m.remove({ spans: [call.span_id] });
    assert.equal(placeOf(m, "d:d")[0], g.turns[3].turn_id);
    assert.equal(placeOf(m, "i:i")[0], root.turn_id);
  }
});

test("places that are kept up to date are those found from scratch", () => {
  for (const seed of [1, 2, 3, 4]) {
    const rnd = random(seed * 31),
      pick = (list) => list[Math.floor(rnd() * list.length)],
      maybe = (value) => (rnd() < 0.5 ? value : null),
      m = new Model(),
      spans = new Map(),
      turns = new Map(),
      found = new Map(),
      done = new Map();
    for (let step = 0; step < 250; step += 1) {
      const what = rnd(),
        any = pick(g.spans),
        n = `${Math.floor(rnd() * 12)}`;
      if (what < 0.3) {
        const some = Array.from({ length: 20 }, () => pick(g.spans)).map((s) => (rnd() < 0.1 ? { ...s, turn_id: pick(g.turns).turn_id } : s));
        m.upsert(some);
        for (const s of some) spans.set(s.span_id, s);
      } else if (what < 0.4) {
        const ids = [...spans.keys()].filter(() => rnd() < 0.3);
        m.remove({ spans: ids });
        for (const id of ids) spans.delete(id);
      } else if (what < 0.48) {
        const t = pick(g.turns);
        m.setTurns([t]);
        turns.set(t.turn_id, t);
      } else if (what < 0.54) {
        const t = pick(g.turns).turn_id;
        m.remove({ turns: [t] });
        turns.delete(t);
      } else if (what < 0.7) {
        const d = detection(`d${n}`, { span_id: maybe(any.span_id), turn_id: maybe(any.turn_id), at: any.started_at });
        m.setDetection(d);
        found.set(d.detection_id, d);
      } else if (what < 0.86) {
        const i = stop(`i${n}`, any.started_at, { span_id: maybe(any.span_id), detection_id: maybe(`d${Math.floor(rnd() * 12)}`) });
        m.setIntervention(i);
        done.set(i.intervention_id, i);
      } else if (what < 0.93) {
        m.remove({ detections: [`d${n}`] });
        found.delete(`d${n}`);
      } else {
        m.remove({ interventions: [`i${n}`] });
        done.delete(`i${n}`);
      }
      if (rnd() < 0.4) continue;
      const scratch = new Model();
      for (const i of done.values()) scratch.setIntervention(i);
      for (const d of found.values()) scratch.setDetection(d);
      scratch.upsert([...spans.values()]);
      scratch.setTurns([...turns.values()]);
      const sign = (x) => x.blocks().flatMap((b) => b.rows.map((r) => [b.id, r.key, r.depth, r.kids, r.span?.id, b.findings]));
      assert.deepEqual(sign(m), sign(scratch), `seed ${seed}, step ${step}`);
      assert.equal(m.tally.rows, scratch.tally.rows);
      if (m.blocks().length > 0) for (const key of [...found.keys()].map((id) => `d:${id}`)) assert.ok(placeOf(m, key), key);
      if (m.blocks().length > 0) for (const key of [...done.keys()].map((id) => `i:${id}`)) assert.ok(placeOf(m, key), key);
    }
  }
});

test("where a thing stands can be asked before rows are looked at", () => {
  const m = whole();
  m.blocks();
  m.setIntervention(stop("i", root.started_at));
  assert.equal(m.turnOf("i:i"), root.turn_id);
  assert.equal(m.turnOf("i:none"), undefined);
});
