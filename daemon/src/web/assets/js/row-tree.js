// Spans as rows: a tree, a subagent below the call that started it, detections and interventions below what they are about.
//
// Pure: no DOM, no clock; called by row-branches.js for what something changed in. Must end: spans in a circle are given up
// where they come again, those nested without end at a depth.

import { parseTime } from "./format.js";

const beginning = (s) => (Number.isNaN(s.t0) ? Infinity : s.t0);
/** Spans in the order of their beginnings. */
export const byStart = (a, b) => {
  const x = beginning(a),
    y = beginning(b);
  return x < y ? -1 : x > y ? 1 : a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : a.id < b.id ? -1 : 1;
};

/** New rows; those that say what an old one said are the old one. */
export function sameAgain(before, rows) {
  if (before.length === 0) return rows;
  const old = new Map();
  for (const r of before) old.set(r.key, r);
  for (let i = 0; i < rows.length; i += 1) {
    const o = old.get(rows[i].key);
    if (o && alike(o, rows[i])) rows[i] = o;
  }
  return rows;
}

/** Whether a row says what another one says. */
export function alike(a, b) {
  for (const k in b) if (a[k] !== b[k] && !(Number.isNaN(a[k]) && Number.isNaN(b[k]))) return false;
  return true;
}

/** What is drawn deeper than this stays at this depth. */
const DEEPEST = 24;
/** What is nested deeper than this stands at its turn's first level. */
export const NESTED = 100;

/** The rows of these spans and of what hangs below them, put to `rows`; the ids of their spans, to `seen`. */
export function emit(model, block, rows, list, children, depth, seen, parallel = parallels(list)) {
  for (const s of list) {
    if (seen.has(s.id)) continue;
    seen.add(s.id);
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
      emit(model, block, rows, below.sort(byStart), children, depth + 1, seen);
    row.kids = rows.length - at;
  }
}

/** Attempts are counted so far. */
export const MOST_ATTEMPTS = 50;

/** 1, or one more than that of the call that it repeats. */
function attempt(model, s) {
  let n = 1;
  for (let at = s; at?.retryOf && n < MOST_ATTEMPTS; at = model.spans.get(at.retryOf)) n += 1;
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
export function parallels(list) {
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

/** The rows of what is about a span or a turn. */
export function about(model, block, rows, id, depth) {
  if (id === undefined) return;
  const place = { depth: Math.min(depth, DEEPEST), span: model.spans.get(id) ?? null, agent: null, turn: block, kids: 0 };
  const put = (key, type, t, more) => rows.push({ key, type, ...place, t0: t, t1: t, ...more });
  for (const x of model.aboutOf("found", id)) {
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
