// A session's spans as a list of rows: prompts, model calls, tool calls, subagents inside the call that started them,
// compactions, detections, interventions, and the gaps in which nothing went on.
//
// Pure: no DOM, no clock. Spans may come in any order, any number of times, and change: the list depends on the last
// state of each alone. Only the turns that something changed in are built again. Must be total: a span without its
// parent, its turn, or a time still gets its row.
// A row: { key, type, depth, span, agent, turn, t0, t1, kids, status, note }. `kids`: rows below it that belong to it.

import { parseTime } from "./format.js";
import { build, gapRow } from "./row-tree.js";

/** Nothing went on for so long between two turns, in ms. */
const GAP_BETWEEN = 60_000;

/** What the page keeps of a span of the API: fields under short names, times as numbers, no text twice. */
export function compact(s, words = new Map()) {
  const one = (text) => {
    if (text === null || text === undefined) return null;
    const known = words.get(text);
    if (known !== undefined) return known;
    words.set(text, text);
    return text;
  };
  const t0 = parseTime(s.started_at);
  const open = s.status === "running" || s.duration_ms === null || s.duration_ms === undefined;
  return {
    id: s.span_id,
    parent: s.parent_id ?? null,
    turn: one(s.turn_id) ?? "",
    agentId: one(s.agent_id),
    agentType: one(s.agent_type),
    kind: one(s.kind),
    status: one(s.status) ?? "ok",
    t0,
    t1: open ? (s.status === "running" ? null : t0) : t0 + s.duration_ms,
    exec: s.execution_ms ?? null,
    tool: one(s.tool_name),
    toolUse: s.tool_use_id ?? null,
    text: s.summary ?? "",
    error: s.error ?? null,
    model: one(s.model),
    purpose: one(s.purpose),
    exchange: s.exchange_id ?? null,
    by: s.requested_by ?? null,
    tokens: s.tokens ?? null,
    cost: s.cost_usd_micros ?? null,
    share: s.attributed_usd_micros ?? null,
    thinking: s.reasoning && s.reasoning.blocks > 0 ? [s.reasoning.blocks, s.reasoning.omitted] : null,
    sources: one((s.sources ?? []).join(" ")),
    ttfb: s.ttfb_ms ?? null,
  };
}

export class Model {
  constructor() {
    this.words = new Map();
    this.turns = new Map(); // turn id → block
    this.spans = new Map(); // span id → span
    this.order = [];
    this.sorted = true;
    this.detections = new Map(); // span id ("" where there is none) → detections
    this.interventions = new Map();
    this.version = 0;
  }

  block(id) {
    let block = this.turns.get(id);
    if (!block) {
      block = { id, info: null, spans: new Map(), rows: [], t0: Infinity, t1: -Infinity, dirty: true };
      this.turns.set(id, block);
      this.order.push(block);
      this.sorted = false;
    }
    return block;
  }

  /** What the API tells of turns: their number, prompt, result. */
  setTurns(turns) {
    for (const t of turns) {
      const block = this.block(t.turn_id);
      block.info = t;
      block.dirty = true;
      const t0 = parseTime(t.started_at);
      if (t0 < block.t0) {
        block.t0 = t0;
        this.sorted = false;
      }
    }
    this.version += 1;
  }

  /** Takes in spans as the API tells them. */
  upsert(spans) {
    for (const raw of spans) {
      const s = compact(raw, this.words),
        before = this.spans.get(s.id);
      if (before) {
        if (before.turn !== s.turn) {
          const b = this.block(before.turn);
          b.spans.delete(s.id);
          b.dirty = true;
        }
        s.ttfb ??= before.ttfb;
      }
      this.spans.set(s.id, s);
      const block = this.block(s.turn);
      block.spans.set(s.id, s);
      block.dirty = true;
      if (s.t0 < block.t0) {
        block.t0 = s.t0;
        this.sorted = false;
      }
    }
    this.version += 1;
  }

  /** When the first byte of each model call came, from its exchange. No row comes or goes by it. */
  setExchanges(exchanges) {
    this.byExchange ??= new Map();
    for (const e of exchanges) {
      this.byExchange.set(e.exchange_id, {
        ttfb: e.ttfb_ms ?? null,
        attempt: e.attempt ?? 1,
        retried: e.retried_by ?? null,
        stop: e.stop_reason ?? null,
      });
    }
  }

  setDetections(detections, interventions = []) {
    const by = (list) => {
      const map = new Map();
      for (const d of list) {
        const k = d.span_id ?? "";
        if (!map.has(k)) map.set(k, []);
        map.get(k).push(d);
      }
      return map;
    };
    this.detections = by(detections);
    this.interventions = by(interventions);
    for (const block of this.order) block.dirty = true;
    this.version += 1;
  }

  /** Blocks in the order of their beginnings, each with its rows. */
  blocks() {
    if (!this.sorted) {
      this.order.sort((a, b) => a.t0 - b.t0);
      this.sorted = true;
    }
    for (const block of this.order) if (block.dirty) build(this, block);
    return this.order;
  }
}

/** Folded rows leave out what is below them; `keep` (a function or null) leaves out what does not match. Gives the rows
    to be shown, how many matched, and how many rows there are in all. A row that something below it matched stays, as the
    place that it belongs to (`context`). */
export function flatten(model, { folded, keep = null }) {
  const rows = [],
    context = new Set();
  let matched = 0,
    all = 0,
    last = null;
  for (const block of model.blocks()) {
    if (last !== null && !keep && block.t0 - last >= GAP_BETWEEN)
      rows.push(gapRow(`g:t:${block.id}`, 0, block, last, block.t0));
    last = block.t1 === null ? null : Math.max(last ?? -Infinity, block.t1);
    const list = block.rows;
    all += list.length;
    if (keep) matched += sift(list, keep, rows, context);
    else {
      for (let i = 0; i < list.length; i += 1) {
        rows.push(list[i]);
        if (folded.has(list[i].key)) i += list[i].kids;
      }
    }
  }
  return { rows, matched: keep ? matched : all, all, context };
}

/** The rows that are kept, and the path to each. */
function sift(list, keep, rows, context) {
  const path = [];
  let matched = 0;
  for (let i = 0; i < list.length; i += 1) {
    const row = list[i];
    while (path.length > 0 && i > path[path.length - 1].end) path.pop();
    const entry = { row, end: i + row.kids, out: false };
    if (keep(row)) {
      for (const above of path)
        if (!above.out) {
          above.out = true;
          rows.push(above.row);
          context.add(above.row.key);
        }
      rows.push(row);
      entry.out = true;
      matched += 1;
    }
    if (row.kids > 0) path.push(entry);
  }
  return matched;
}
