// The rows of one turn, made of branches: a span of the first level with all that hangs below it.
//
// Pure: no DOM, no clock; called by rows.js for turns that something changed in. Rows are made again only in the branches that
// something changed in, so that an event costs little in a turn of thousands of rows; what comes out is the same as if all were
// made anew. Must be total: spans without a parent, in a circle, or nested without end get their rows all the same.

import { parseTime } from "./format.js";
import { about, alike, byStart, emit, gapRow, NESTED, parallels, sameAgain } from "./row-tree.js";

/** Nothing went on for so long within a turn, in ms. */
const GAP_WITHIN = 5_000;
/** Rows about what other rows show. */
const ABOUT_OTHERS = new Set(["prompt", "detection", "intervention"]);

/** Builds a turn's rows from its spans: `block.rows`. Says which rows went and which came: { off, on }, lists of lists.

    A branch is a span of the first level with all that hangs below it. Where spans hang is found anew each time, which is cheap;
    the rows of a branch are made again only where something changed in it (`block.changed`: ids of what did). */
export function build(model, block) {
  const { root, top, children } = outline(block);
  block.root = root;
  let made = firstLevel(model, block, top, children, touched(block));
  // Spans in a circle, below one, or nested too deep: shown all the same. Only what is broken has them.
  if (made.count < block.spans.size - (root ? 1 : 0)) {
    const { off, on } = made;
    made = firstLevel(model, block, top, children, null);
    // What came a moment ago went again.
    made.off.push(...off);
    made.on.push(...on);
  }
  const { rows, kept, on, off } = made,
    { info } = block;
  const from = rows.length;
  about(model, block, rows, root?.id, 1);
  about(model, block, rows, block.id, 1);
  for (let i = from; i < rows.length; i += 1) {
    if (rows[i].type === "detection") made.findings += 1;
    rows[i] = kept(rows[i]);
  }
  block.errors = made.errors;
  block.findings = made.findings;
  rows[0] = kept({
    key: `t:${block.id}`,
    type: "prompt",
    depth: 0,
    span: root,
    agent: null,
    turn: block,
    t0: block.t0,
    t1: block.t1,
    kids: rows.length - 1,
    status: root?.status ?? info?.status ?? "ok",
    note: info?.prompt ?? root?.text ?? "",
    info,
    errors: block.errors,
    findings: block.findings,
  });
  off.push(block.rest);
  on.push(made.rest);
  block.rest = made.rest;
  block.rows = rows;
  block.changed.clear();
  return { off, on };
}

/** What a span hangs below; undefined where that is not here. */
const above = (block, s) => (s.parent !== null && s.parent !== s.id ? block.spans.get(s.parent) : undefined);

/** Where the spans of a turn hang, and its times. */
function outline(block) {
  const children = new Map(),
    top = [];
  let root = null,
    t0 = parseTime(block.info?.started_at);
  if (Number.isNaN(t0)) t0 = Infinity;
  for (const s of block.spans.values()) {
    if (s.t0 < t0) t0 = s.t0;
    if (s.kind === "agent" && s.parent === null && (!root || byStart(s, root) < 0)) root = s;
  }
  let t1 = root?.t1 ?? -Infinity,
    open = root?.t1 === null;
  for (const s of block.spans.values()) {
    if (s === root) continue;
    if (s.t1 === null) open = true;
    else if (s.t1 > t1) t1 = s.t1;
    const parent = above(block, s);
    if (!parent || parent === root) top.push(s);
    else {
      const list = children.get(parent.id);
      if (list) list.push(s);
      else children.set(parent.id, [s]);
    }
  }
  block.t0 = t0;
  block.t1 = open ? null : Math.max(t1, t0);
  return { root, top: top.sort(byStart), children };
}

/** The branches that something changed in, by the id of their first span. */
function touched(block) {
  const out = new Set();
  for (const id of block.changed) {
    let s = block.spans.get(id);
    // In a circle there is no way out: then what is broken is built as a whole.
    for (let n = 0; s && n < 3 * NESTED; n += 1) {
      const parent = above(block, s);
      if (!parent || parent === block.root) {
        out.add(s.id);
        break;
      }
      s = parent;
    }
  }
  return out;
}

/** The rows of the first level's branches, a place for the prompt's before them, gaps between them. `fresh`: the branches
    that are made again; null: all, and spans that are in none have rows of their own. */
function firstLevel(model, block, top, children, fresh) {
  const { branches } = block,
    old = new Map(block.rest.map((r) => [r.key, r])),
    rest = [],
    rows = [null],
    on = [],
    off = [],
    seen = new Set(),
    parallel = parallels(top);
  // A row that says what an old one said is the old one, so that it need not be drawn again.
  const kept = (row) => {
    const before = old.get(row.key),
      r = before && alike(before, row) ? before : row;
    rest.push(r);
    return r;
  };
  let busyUntil = null,
    count = 0,
    errors = 0,
    findings = 0;
  for (const s of top) {
    if (busyUntil !== null && s.t0 - busyUntil >= GAP_WITHIN) rows.push(kept(gapRow(`g:${s.id}`, 1, block, busyUntil, s.t0)));
    busyUntil = busyUntil === null ? (s.t1 ?? Infinity) : Math.max(busyUntil, s.t1 ?? Infinity);
    const before = branches.get(s.id),
      par = parallel.get(s.id) ?? 0;
    let branch = before;
    if (!before || fresh === null || fresh.has(s.id) || before.par !== par) {
      branch = makeBranch(model, block, s, children, parallel, before, fresh === null ? seen : new Set());
      branch.par = par;
      branches.set(s.id, branch);
      if (before) off.push(before.rows);
      on.push(branch.rows);
    }
    for (const r of branch.rows) rows.push(r);
    count += branch.count;
    errors += branch.errors;
    findings += branch.findings;
  }
  if (branches.size > top.length) {
    const here = new Set(top.map((s) => s.id));
    for (const [id, branch] of branches)
      if (!here.has(id)) {
        branches.delete(id);
        off.push(branch.rows);
      }
  }
  if (fresh === null) {
    const from = rows.length;
    const lost = [...block.spans.values()].filter((s) => s !== block.root && !seen.has(s.id)).sort(byStart);
    for (const s of lost) if (!seen.has(s.id)) emit(model, block, rows, [s], new Map(), 1, seen);
    for (let i = from; i < rows.length; i += 1) {
      if (isFailure(rows[i])) errors += 1;
      if (rows[i].type === "detection") findings += 1;
      rows[i] = kept(rows[i]);
    }
  }
  return { rows, rest, on, off, kept, count, errors, findings };
}

function makeBranch(model, block, s, children, parallel, before, seen) {
  const made = [],
    already = seen.size;
  emit(model, block, made, [s], children, 1, seen, parallel);
  const rows = sameAgain(before?.rows ?? [], made);
  return {
    rows,
    count: seen.size - already,
    errors: rows.filter(isFailure).length,
    findings: rows.filter((r) => r.type === "detection").length,
  };
}

/** As the bar's button counts: what was denied has a word of its own. */
const isFailure = (r) => !ABOUT_OTHERS.has(r.type) && r.status === "error";
