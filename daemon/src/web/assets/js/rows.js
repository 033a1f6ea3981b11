// A session's spans as rows, turn by turn: prompts, model calls, tool calls, subagents inside the call that started them,
// compactions, detections, interventions, and the gaps in which nothing went on.
//
// Pure: no DOM, no clock. Spans may come in any order, any number of times, and change: the rows depend on the last
// state of each alone. Only what something changed in is built again: turns, and in them branches. Must be total: a span without its
// parent, its turn, or a time still gets its row.
// A row: { key, type, depth, span, agent, turn, t0, t1, kids, status, note }. `kids`: rows below it that belong to it.

import { parseTime } from "./format.js";
import { build } from "./row-branches.js";
import { MOST_ATTEMPTS } from "./row-tree.js";
import { compact } from "./span.js";
import { Tally } from "./tally.js";

export class Model {
  constructor() {
    this.words = new Map();
    this.turns = new Map(); // turn id → block
    this.spans = new Map(); // span id → span
    this.again = new Map(); // span id → the one that repeats it
    this.order = [];
    this.sorted = true;
    this.dirty = new Set(); // blocks
    this.found = new Map(); // detection id → detection
    this.done = new Map(); // intervention id → intervention
    this.about = { found: new Map(), done: new Map() }; // span id, or turn id where no span is known → ids
    this.places = { found: new Map(), done: new Map() }; // id → { key: where it is in `about`, turn }
    this.loose = { found: new Set(), done: new Set() }; // ids of what does not stand at its own span
    this.unsettled = false;
    this.tally = new Tally();
    this.version = 0;
  }

  block(id) {
    let block = this.turns.get(id);
    if (!block) {
      block = { id, info: null, spans: new Map(), rows: [], t0: Infinity, t1: -Infinity, errors: 0, findings: 0 };
      // As row-branches.js keeps it: ids of what changed, branches by their first span, the rows that are in none.
      Object.assign(block, { changed: new Set(), branches: new Map(), rest: [] });
      this.turns.set(id, block);
      this.order.push(block);
      this.touch(block);
    }
    return block;
  }

  /** Its rows are made again before they are looked at: those of these spans, and what depends on all. */
  touch(block, ...spans) {
    if (!block) return;
    this.dirty.add(block);
    for (const id of spans) if (id !== null) block.changed.add(id);
  }

  /** What the API tells of turns: their number, prompt, result. */
  setTurns(turns) {
    for (const t of turns) {
      const block = this.block(t.turn_id);
      block.info = t;
      this.touch(block);
    }
    this.version += 1;
  }

  /** Takes in spans as the API tells them. */
  upsert(spans) {
    for (const raw of spans) {
      const s = compact(raw, this.words),
        before = this.spans.get(s.id);
      if (before && before.turn !== s.turn) this.drop(before);
      this.spans.set(s.id, s);
      const block = this.block(s.turn);
      block.spans.set(s.id, s);
      this.touch(block, s.id, before?.parent ?? null);
      if (s.retryOf !== null) this.again.set(s.retryOf, s.id);
      this.recount(s.id);
    }
    this.version += 1;
  }

  /** Which attempt a later call is depends on there being this one. */
  recount(id) {
    for (let n = 0, next = this.again.get(id); next !== undefined && n < MOST_ATTEMPTS; n += 1, next = this.again.get(next))
      this.touch(this.turns.get(this.spans.get(next)?.turn), next);
  }

  drop(s) {
    const block = this.turns.get(s.turn);
    this.spans.delete(s.id);
    block.spans.delete(s.id);
    // What stood there finds another place before rows are looked at.
    for (const what of WHAT) for (const id of this.about[what].get(s.id) ?? []) this.loose[what].add(id);
    this.touch(block, s.parent);
    this.recount(s.id);
  }

  setDetection(d) {
    this.put("found", d.detection_id, d);
  }

  setIntervention(i) {
    this.put("done", i.intervention_id, i);
  }

  /** Notes a detection or an intervention, and has the rows of its turn made again. */
  put(what, id, x) {
    this.move(what, id, null);
    this[what].delete(id);
    this.loose[what].delete(id);
    if (x !== null) {
      this[what].set(id, x);
      this.loose[what].add(id);
      // Where that is known already, its turn need not be built twice.
      if (this.spans.has(x.span_id)) this.seat(what, id);
    }
    this.unsettled = true;
    this.version += 1;
  }

  /** Gives it a place, or (null) takes it away; both turns' rows are made again where that is another. */
  move(what, id, to) {
    const about = this.about[what],
      from = this.places[what].get(id);
    if (from?.key === to?.key && from?.turn === to?.turn) return;
    if (from) {
      const ids = about.get(from.key);
      ids.delete(id);
      if (ids.size === 0) about.delete(from.key);
      this.places[what].delete(id);
      this.touch(this.turns.get(from.turn), from.key);
    }
    if (!to) return;
    if (!about.has(to.key)) about.set(to.key, new Set());
    about.get(to.key).add(id);
    this.places[what].set(id, to);
    this.touch(this.turns.get(to.turn), to.key);
  }

  /** To its span; else its turn; else where its detection stands; else the turn of its time. */
  seat(what, id) {
    const x = this[what].get(id),
      span = this.spans.get(x.span_id);
    if (span) {
      this.loose[what].delete(id);
      this.move(what, id, { key: span.id, turn: span.turn });
      return;
    }
    const turn = this.turns.has(x.turn_id) ? x.turn_id : null,
      cause = what === "done" ? this.places.found.get(x.detection_id) : null;
    this.move(what, id, turn !== null ? { key: turn, turn } : (cause ?? this.placeAt(parseTime(x.at))));
  }

  /** The last turn that had begun, or the first where none had; null where there is none. Needs the turns in order. */
  placeAt(at) {
    let lo = 0,
      hi = this.order.length;
    if (hi === 0) return null;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.order[mid].t0 <= at) lo = mid + 1;
      else hi = mid;
    }
    const turn = this.order[Math.max(0, lo - 1)].id;
    return { key: turn, turn };
  }

  /** Places again what may stand elsewhere, now that spans, turns or detections came or went. */
  settle() {
    this.unsettled = false;
    for (const what of WHAT) for (const id of [...this.loose[what]]) this.seat(what, id);
  }

  /** What is about a span or a turn: detections ("found") or interventions ("done"), oldest first. */
  aboutOf(what, id) {
    const ids = this.about[what].get(id);
    if (!ids || ids.size === 0) return [];
    return [...ids].map((x) => this[what].get(x)).sort(byTime);
  }

  /** All that was done about a detection, oldest first. What the detection itself names is among it, whatever else is known. */
  doneAbout(d) {
    const list = new Map();
    if (d.intervention) list.set(d.intervention.intervention_id, d.intervention);
    for (const x of this.done.values())
      if (d.detection_id && x.detection_id === d.detection_id) list.set(x.intervention_id, x);
    return [...list.values()].sort(byTime);
  }

  /** What is not there any more: ids, as the API tells them. */
  remove({ turns = [], spans = [], detections = [], interventions = [] }) {
    for (const id of spans) {
      const s = this.spans.get(id);
      if (s) this.drop(s);
    }
    for (const id of turns) {
      const block = this.turns.get(id);
      if (!block) continue;
      block.info = null;
      this.touch(block);
    }
    for (const id of detections) this.put("found", id, null);
    for (const id of interventions) this.put("done", id, null);
    this.version += 1;
  }

  /** Everything was told again: what is not among it is not there any more. */
  keepOnly({ spans, turns, detections, interventions }) {
    const gone = (map, kept) => [...map.keys()].filter((id) => !kept.has(id));
    this.remove({
      spans: gone(this.spans, spans),
      turns: gone(this.turns, turns),
      detections: gone(this.found, detections),
      interventions: gone(this.done, interventions),
    });
  }

  /** The turn whose rows have the one with this key; undefined where it is not known. */
  turnOf(key) {
    const id = key.slice(2);
    switch (key[0]) {
      case "t":
        return id;
      case "d":
      case "i": {
        if (this.unsettled) this.blocks();
        const place = this.places[key[0] === "d" ? "found" : "done"].get(id);
        return this.spans.get(place?.key)?.turn ?? place?.turn;
      }
      default:
        return this.spans.get(id)?.turn;
    }
  }

  /** Blocks in the order of their beginnings, each with its rows. */
  blocks() {
    if (this.dirty.size === 0 && !this.unsettled && this.sorted) return this.order;
    // When a turn began is known once it is built; where things stand by their time, once all are.
    this.rebuild();
    this.settle();
    this.rebuild();
    return this.order;
  }

  rebuild() {
    let gone = false;
    for (const block of this.dirty) {
      const { t0 } = block;
      if (block.spans.size === 0 && block.info === null) {
        this.tally.take(block.rows, -1);
        this.turns.delete(block.id);
        block.rows = [];
        gone = true;
        continue;
      }
      const { off, on } = build(this, block);
      for (const rows of off) this.tally.take(rows, -1);
      for (const rows of on) this.tally.take(rows, 1);
      if (block.t0 !== t0 || block.number !== block.info?.number) this.sorted = false;
      block.number = block.info?.number;
    }
    this.dirty.clear();
    if (gone) this.order = this.order.filter((b) => this.turns.get(b.id) === b);
    if (!this.sorted) {
      this.order.sort(byBeginning);
      this.sorted = true;
    }
  }
}

/** Detections before interventions: these may stand where those do. */
const WHAT = ["found", "done"];
const idOf = (x) => x.intervention_id ?? x.detection_id;
const byTime = (a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : idOf(a) < idOf(b) ? -1 : 1);

function byBeginning(a, b) {
  if (a.t0 !== b.t0) return a.t0 < b.t0 ? -1 : 1;
  return (a.number ?? 0) - (b.number ?? 0) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
