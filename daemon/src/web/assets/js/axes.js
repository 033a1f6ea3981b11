// The axes of the waterfall: each turn's own.
//
// Pure: no DOM, no clock. Kept with a turn's rows. While a turn runs, its axis reaches further than its time and grows in
// steps: what is drawn stands still but for what runs.

import { makeAxis } from "./waterfall.js";

const LEAVES = new Set(["llm", "tool", "compaction"]);
/** The axis of a turn that runs is at least so long, and grows by this factor. */
const FIRST_MS = 2_000;
const STEP = 1.3;

/** How far an axis reaches for something that has run for so long. */
function reach(ms) {
  return FIRST_MS * STEP ** Math.max(0, Math.ceil(Math.log(Math.max(ms, 1) / FIRST_MS) / Math.log(STEP)));
}

export class Axes {
  constructor() {
    this.known = new WeakMap(); // turn → { rows, edge, axis }
  }

  /** The axis of a turn: the same object as long as it is the same axis. Idle stretches are squeezed, so that what went
      on has room. */
  of(turn, now) {
    const known = this.known.get(turn),
      edge = turn.t1 === null && Number.isFinite(turn.t0) ? turn.t0 + reach(now - turn.t0) : null;
    if (known && known.rows === turn.rows && known.edge === edge) return known.axis;
    const busy = [[turn.t0, turn.t0]];
    let last = turn.t0;
    for (const r of turn.rows) {
      if (!LEAVES.has(r.type)) continue;
      busy.push([r.t0, r.t1 ?? edge ?? r.t0]);
      if (r.t1 > last) last = r.t1;
    }
    if (edge !== null) busy.push([last, edge]);
    const total = busy.reduce((n, [a, b]) => n + (b - a || 0), 0);
    let axis = makeAxis(busy, { over: Math.max(1500, reach(total) / 10) });
    if (known && known.axis.equals(axis)) axis = known.axis;
    this.known.set(turn, { rows: turn.rows, edge, axis });
    return axis;
  }
}
