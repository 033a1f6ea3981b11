// Rows made branch by branch, as things come in: the same as if all were made at once, and only those that changed.

import assert from "node:assert/strict";
import test from "node:test";
import { Model } from "../../daemon/src/web/assets/js/rows.js";
import { generate, random } from "./generate.mjs";

test("what is built step by step is what is built at once: rows, sums, places, whatever came and went", () => {
  const small = generate({ spans: 160, seed: 12 }),
    says = (m) => {
      const t = m.tally;
      return {
        rows: m.blocks().map((b) => [
          b.id,
          b.t0,
          b.t1,
          b.errors,
          b.findings,
          b.rows.map((r) => [r.key, r.type, r.depth, r.t0, r.t1, r.kids, r.status, r.note, r.par, r.attempt, r.agent?.id, r.span?.id]),
        ]),
        tally: [t.rows, ...[t.kinds, t.statuses, t.byTool, t.byAgent].map((map) => [...map].sort())],
      };
    };
  for (let seed = 1; seed <= 40; seed += 1) {
    const rnd = random(seed),
      pick = (list) => list[Math.floor(rnd() * list.length)],
      m = new Model(),
      now = new Map(),
      found = new Map(),
      done = new Map();
    m.setTurns(small.turns);
    const put = (s) => {
      now.set(s.span_id, s);
      m.upsert([s]);
    };
    for (const s of small.spans) if (rnd() < 0.7) put(s);
    for (let step = 0; step < 60; step += 1) {
      const what = rnd(),
        s = pick(small.spans),
        other = pick(small.spans);
      if (what < 0.3) put({ ...s, status: pick(["ok", "error", "running", "denied"]), duration_ms: pick([null, 5, 90_000]) });
      else if (what < 0.4) put({ ...s, parent_id: pick([other.span_id, s.span_id, null, "nowhere"]) });
      else if (what < 0.45) put({ ...s, turn_id: pick(small.turns).turn_id });
      else if (what < 0.5) put({ ...s, retry_of: other.span_id });
      else if (what < 0.6) put({ ...s, started_at: pick([other.started_at, "never"]) });
      else if (what < 0.65) put({ ...s, kind: pick(["tool", "llm", "agent"]) });
      else if (what < 0.75) {
        now.delete(s.span_id);
        m.remove({ spans: [s.span_id] });
      } else if (what < 0.88) {
        const d = { detection_id: `d${Math.floor(rnd() * 6)}`, span_id: pick([s.span_id, null]), turn_id: pick([s.turn_id, null]) };
        Object.assign(d, { at: s.started_at, state: "open", title: String(step) });
        found.set(d.detection_id, d);
        m.setDetection(d);
      } else {
        const i = { intervention_id: `i${Math.floor(rnd() * 6)}`, detection_id: `d${Math.floor(rnd() * 6)}`, span_id: pick([s.span_id, null]) };
        Object.assign(i, { at: s.started_at, text: String(step) });
        done.set(i.intervention_id, i);
        m.setIntervention(i);
      }
      if (rnd() < 0.6) m.blocks();
    }
    const anew = new Model();
    anew.setTurns(small.turns);
    anew.upsert([...now.values()]);
    for (const d of found.values()) anew.setDetection(d);
    for (const i of done.values()) anew.setIntervention(i);
    assert.deepEqual(says(m), says(anew), `seed ${seed}`);
  }
});

test("what comes in makes the rows of its own branch anew, and no others", () => {
  const g = generate({ spans: 1500, seed: 5 }),
    m = new Model();
  m.setTurns(g.turns);
  m.upsert(g.spans);
  m.blocks();
  const block = [...m.turns.values()].sort((a, b) => b.rows.length - a.rows.length)[0],
    before = new Map(block.rows.map((r) => [r.key, r])),
    branches = new Map(block.branches),
    tool = g.spans.find((s) => s.turn_id === block.id && s.kind === "tool" && s.status === "ok" && s.parent_id === block.root.id);
  m.upsert([{ ...tool, status: "error", error: "no" }]);
  m.blocks();
  const changed = block.rows.filter((r) => before.get(r.key) !== r).map((r) => r.key);
  assert.deepEqual(changed, [`t:${block.id}`, `s:${tool.span_id}`]);
  const made = [...block.branches].filter(([id, b]) => branches.get(id) !== b).map(([id]) => id);
  assert.deepEqual(made, [tool.span_id]);
});
