// The rows of one turn: its spans as a tree, a subagent below the call that started it, detections and interventions below
// what they are about.
//
// Pure: no DOM, no clock; called by rows.js for turns that something changed in. Must be total: spans without a parent, in a
// circle, or nested without end get their rows all the same.

import { parseTime } from "./format.js";

/** Nothing went on for so long within a turn, in ms. */
const GAP_WITHIN = 5_000;

const byStart = (a, b) => a.t0 - b.t0 || (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : a.id < b.id ? -1 : 1);

/** Builds a turn's rows from its spans. */
export function build(model, block) {
  block.dirty = false;
  const children = new Map(),
    top = [];
  let root = null;
  for (const s of block.spans.values()) {
    if (s.kind === "agent" && s.parent === null && (!root || s.t0 < root.t0)) root = s;
  }
  let t1 = root?.t1 ?? -Infinity,
    open = root?.t1 === null,
    errors = 0,
    tools = 0;
  for (const s of block.spans.values()) {
    if (s === root) continue;
    if (s.kind === "tool") {
      tools += 1;
      if (s.status === "error" || s.status === "denied") errors += 1;
    }
    if (s.t1 === null) open = true;
    else if (s.t1 > t1) t1 = s.t1;
    const parent = s.parent !== null && s.parent !== s.id && block.spans.get(s.parent);
    if (!parent || parent === root) top.push(s);
    else {
      const list = children.get(parent.id);
      if (list) list.push(s);
      else children.set(parent.id, [s]);
    }
  }
  block.t1 = open ? null : Math.max(t1, block.t0);
  block.root = root;
  block.errors = errors;
  block.tools = tools;
  block.findings = 0;
  const info = block.info;
  const rows = [
    {
      key: `t:${block.id}`,
      type: "prompt",
      depth: 0,
      span: root,
      agent: null,
      turn: block,
      t0: block.t0,
      t1: block.t1,
      kids: 0,
      status: root?.status ?? info?.status ?? "ok",
      note: info?.prompt ?? root?.text ?? "",
    },
  ];
  const seen = new Set();
  emit(model, block, rows, top.sort(byStart), children, 1, seen, true);
  // Spans in a circle, or below one: shown all the same.
  if (seen.size < block.spans.size - (root ? 1 : 0)) {
    const lost = [...block.spans.values()].filter((s) => s !== root && !seen.has(s.id)).sort(byStart);
    for (const s of lost) if (!seen.has(s.id)) emit(model, block, rows, [s], new Map(), 1, seen, false);
  }
  about(model, block, rows, root?.id, 1);
  rows[0].kids = rows.length - 1;
  block.rows = rows;
}

/** What is drawn deeper than this stays at this depth. */
const DEEPEST = 24;
/** What is nested deeper than this stands at its turn's first level. */
const NESTED = 100;

function emit(model, block, rows, list, children, depth, seen, gaps) {
  let busyUntil = null;
  const parallel = parallels(list);
  for (const s of list) {
    if (seen.has(s.id)) continue;
    seen.add(s.id);
    if (gaps && busyUntil !== null && s.t0 - busyUntil >= GAP_WITHIN) {
      rows.push(gapRow(`g:${s.id}`, depth, block, busyUntil, s.t0));
    }
    busyUntil = busyUntil === null ? (s.t1 ?? Infinity) : Math.max(busyUntil, s.t1 ?? Infinity);
    let below = children.get(s.id) ?? [],
      agent = null;
    if (s.kind === "tool") {
      const started = below.filter((c) => c.kind === "agent");
      if (started.length > 0) {
        agent = started[0];
        seen.add(agent.id);
        below = [...below.filter((c) => c !== agent), ...(children.get(agent.id) ?? [])];
      }
    }
    const type = agent || s.kind === "agent" ? "agent" : s.purpose === "compaction" ? "compaction" : s.kind;
    const row = {
      key: `s:${s.id}`,
      type,
      depth: Math.min(depth, DEEPEST),
      span: s,
      agent: s.kind === "agent" ? s : agent,
      turn: block,
      t0: s.t0,
      t1: later(s.t1, agent),
      kids: 0,
      status: worse(s, agent),
      note: s.text,
      par: parallel.get(s.id) ?? 0,
    };
    const at = rows.push(row);
    about(model, block, rows, s.id, row.depth + 1);
    if (agent) about(model, block, rows, agent.id, row.depth + 1);
    if (below.length > 0 && depth < NESTED)
      emit(model, block, rows, below.sort(byStart), children, depth + 1, seen, false);
    row.kids = rows.length - at;
  }
}

/** A background helper's call ends before the helper does. */
function later(t1, agent) {
  if (!agent) return t1;
  return t1 === null || agent.t1 === null ? null : Math.max(t1, agent.t1);
}

function worse(s, agent) {
  if (!agent || s.status === "error" || s.status === "denied") return s.status;
  return agent.status === "ok" ? s.status : agent.status;
}

/** Calls of one model call that overlap: how many ran at once, by span. */
function parallels(list) {
  const found = new Map();
  for (let i = 0; i < list.length;) {
    let end = list[i].kind === "tool" ? (list[i].t1 ?? Infinity) : -Infinity,
      j = i + 1;
    while (j < list.length && list[j].kind === "tool" && list[i].kind === "tool" && list[j].t0 < end) {
      end = Math.max(end, list[j].t1 ?? Infinity);
      j += 1;
    }
    if (j - i > 1) for (let k = i; k < j; k += 1) found.set(list[k].id, j - i);
    i = j;
  }
  return found;
}

function about(model, block, rows, id, depth) {
  if (id === undefined) return;
  const d = Math.min(depth, DEEPEST);
  for (const x of model.detections.get(id) ?? []) {
    const t0 = parseTime(x.at);
    block.findings += 1;
    rows.push({
      key: `d:${x.detection_id}`,
      type: "detection",
      depth: d,
      span: model.spans.get(id) ?? null,
      agent: null,
      turn: block,
      t0,
      t1: t0,
      kids: 0,
      status: x.state,
      note: x.title,
      detection: x,
    });
  }
  for (const x of model.interventions.get(id) ?? []) {
    const t0 = parseTime(x.at);
    rows.push({
      key: `i:${x.at}:${id}`,
      type: "intervention",
      depth: d,
      span: model.spans.get(id) ?? null,
      agent: null,
      turn: block,
      t0,
      t1: t0,
      kids: 0,
      status: x.delivered ? "delivered" : "unknown",
      note: x.text,
      intervention: x,
    });
  }
}

export function gapRow(key, depth, turn, t0, t1) {
  return { key, type: "gap", depth, span: null, agent: null, turn, t0, t1, kids: 0, status: "", note: "" };
}
