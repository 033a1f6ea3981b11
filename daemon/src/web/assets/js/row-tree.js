// The rows of one turn: its spans as a tree, a subagent below the call that started it, detections and interventions below
// what they are about.
//
// Pure: no DOM, no clock; called by rows.js for turns that something changed in. Must be total: spans without a parent, in a
// circle, or nested without end get their rows all the same.

import { parseTime } from "./format.js";

/** Nothing went on for so long within a turn, in ms. */
const GAP_WITHIN = 5_000;
/** Rows about what other rows show. */
const ABOUT_OTHERS = new Set(["prompt", "detection", "intervention"]);

const beginning = (s) => (Number.isNaN(s.t0) ? Infinity : s.t0);
const byStart = (a, b) => {
  const x = beginning(a),
    y = beginning(b);
  return x < y ? -1 : x > y ? 1 : a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : a.id < b.id ? -1 : 1;
};

/** Builds a turn's rows from its spans. */
export function build(model, block) {
  const children = new Map(),
    top = [];
  let root = null,
    t0 = parseTime(block.info?.started_at);
  if (Number.isNaN(t0)) t0 = Infinity;
  for (const s of block.spans.values()) {
    if (s.t0 < t0) t0 = s.t0;
    if (s.kind === "agent" && s.parent === null && (!root || byStart(s, root) < 0)) root = s;
  }
  block.t0 = t0;
  let t1 = root?.t1 ?? -Infinity,
    open = root?.t1 === null;
  for (const s of block.spans.values()) {
    if (s === root) continue;
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
  about(model, block, rows, block.id, 1);
  rows[0].kids = rows.length - 1;
  // As the bar's button counts: what was denied has a word of its own.
  const errors = rows.filter((r) => !ABOUT_OTHERS.has(r.type) && r.status === "error").length;
  block.errors = errors;
  Object.assign(rows[0], { info: block.info, errors, findings: block.findings });
  block.rows = sameAgain(block.rows, rows);
}

/** New rows; those that say what an old one said are the old one, so that they need not be drawn again. */
function sameAgain(before, rows) {
  if (before.length === 0) return rows;
  const old = new Map();
  for (const r of before) old.set(r.key, r);
  for (let i = 0; i < rows.length; i += 1) {
    const o = old.get(rows[i].key);
    if (o && alike(o, rows[i])) rows[i] = o;
  }
  return rows;
}

function alike(a, b) {
  for (const k in b) if (a[k] !== b[k] && !(Number.isNaN(a[k]) && Number.isNaN(b[k]))) return false;
  return true;
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
      attempt: s.retryOf === null ? 1 : attempt(model, s),
    };
    const at = rows.push(row);
    about(model, block, rows, s.id, row.depth + 1);
    if (agent) about(model, block, rows, agent.id, row.depth + 1);
    if (below.length > 0 && depth < NESTED)
      emit(model, block, rows, below.sort(byStart), children, depth + 1, seen, false);
    row.kids = rows.length - at;
  }
}

/** 1, or one more than that of the call that it repeats. */
function attempt(model, s) {
  let n = 1;
  for (let at = s; at?.retryOf && n < 50; at = model.spans.get(at.retryOf)) n += 1;
  return n;
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

/** Calls of one model call that overlap: the most that ran at once while each did, by span. */
function parallels(list) {
  const found = new Map();
  for (let i = 0; i < list.length;) {
    let end = list[i].kind === "tool" ? (list[i].t1 ?? Infinity) : -Infinity,
      j = i + 1;
    while (j < list.length && list[j].kind === "tool" && list[i].kind === "tool" && list[j].t0 < end) {
      end = Math.max(end, list[j].t1 ?? Infinity);
      j += 1;
    }
    if (j - i > 1) atOnce(list.slice(i, j)).forEach((n, k) => n > 1 && found.set(list[i + k].id, n));
    i = j;
  }
  return found;
}

/** Calls by their beginnings → for each, the most that ran at once while it did. Takes no longer than sorting them. */
function atOnce(calls) {
  // One that took no time ran all the same: for less than the clock tells apart.
  const end = calls.map((s) => Math.max(s.t1 ?? Infinity, s.t0 + 0.001)),
    ended = [...end].sort((a, b) => a - b),
    running = [];
  let over = 0;
  for (let k = 0; k < calls.length; k += 1) {
    while (ended[over] <= calls[k].t0) over += 1;
    running.push(k + 1 - over);
  }
  // The most is reached where one begins. From the last one back, `peaks` has the beginnings from here on at which more run
  // than at any before, the nearest last.
  const most = [],
    peaks = [];
  for (let k = calls.length - 1; k >= 0; k -= 1) {
    while (peaks.length > 0 && running[peaks[peaks.length - 1]] <= running[k]) peaks.pop();
    peaks.push(k);
    let lo = 0,
      hi = peaks.length - 1;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (calls[peaks[mid]].t0 < end[k]) hi = mid;
      else lo = mid + 1;
    }
    most[k] = running[peaks[lo]];
  }
  return most;
}

function about(model, block, rows, id, depth) {
  if (id === undefined) return;
  const place = { depth: Math.min(depth, DEEPEST), span: model.spans.get(id) ?? null, agent: null, turn: block, kids: 0 };
  const put = (key, type, t, more) => rows.push({ key, type, ...place, t0: t, t1: t, ...more });
  for (const x of model.aboutOf("found", id)) {
    block.findings += 1;
    put(`d:${x.detection_id}`, "detection", parseTime(x.at), { status: x.state, note: x.title, detection: x });
  }
  for (const x of model.aboutOf("done", id)) {
    const status = x.delivered ? "delivered" : "unknown";
    put(`i:${x.intervention_id}`, "intervention", parseTime(x.at), { status, note: x.text, intervention: x });
  }
}

export function gapRow(key, depth, turn, t0, t1) {
  return { key, type: "gap", depth, span: null, agent: null, turn, t0, t1, kids: 0, status: "", note: "" };
}
