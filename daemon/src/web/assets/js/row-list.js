// The rows that are shown: those of all turns, without what is folded away and what a filter leaves out.
//
// Pure: no DOM. What one turn shows is kept and made again only when that turn changed: an event costs what its own turn
// costs, however long the session. A list is a snapshot: it stays as it was when the next one is made.

import { gapRow } from "./row-tree.js";

/** Nothing went on for so long between two turns, in ms. */
const GAP_BETWEEN = 60_000;

/** A list of rows in pieces. Looks like an array to whoever reads it by `length` and `at`. */
export class Rows {
  constructor() {
    this.pieces = [];
    this.starts = [];
    this.length = 0;
    /** Rows that match the filter; all rows there are, folded ones included. */
    this.matched = 0;
    this.all = 0;
    this.last = 0;
    this.places = new Map();
  }

  push(piece, key) {
    if (piece.length === 0) return;
    this.places.set(key, this.pieces.length);
    this.pieces.push(piece);
    this.starts.push(this.length);
    this.length += piece.length;
  }

  piece(i) {
    const at = this.last;
    if (i >= this.starts[at] && i < this.starts[at] + this.pieces[at].length) return at;
    let lo = 0,
      hi = this.starts.length - 1;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if (this.starts[mid] <= i) lo = mid;
      else hi = mid - 1;
    }
    this.last = lo;
    return lo;
  }

  at(i) {
    if (!(i >= 0 && i < this.length)) return undefined;
    const p = this.piece(i);
    return this.pieces[p][i - this.starts[p]];
  }

  /** Where the row with this key is among those of the turn that it belongs to; -1: not shown. */
  place(key, turn) {
    const p = this.places.get(key.startsWith("g:t:") ? key : turn);
    if (p === undefined) return -1;
    const i = this.pieces[p].findIndex((row) => row.key === key);
    return i < 0 ? -1 : this.starts[p] + i;
  }

  *[Symbol.iterator]() {
    for (const piece of this.pieces) yield* piece;
  }
}

export class RowList {
  constructor(model) {
    this.model = model;
    this.folded = new Set();
    this.keep = null;
    this.cuts = new WeakMap(); // turn → what is shown of it
    this.gaps = new WeakMap(); // turn → the row of the gap before it
    this.age = 0;
  }

  /** Shows only rows that `keep` says so of, and the way to each; null: all. */
  narrow(keep) {
    if (keep === null && this.keep === null) return;
    this.keep = keep;
    this.age += 1;
  }

  /** Folds rows, or unfolds them. */
  fold(rows, on) {
    for (const row of rows) {
      if (on) this.folded.add(row.key);
      else this.folded.delete(row.key);
      this.cuts.delete(row.turn);
    }
  }

  unfoldAll() {
    this.folded.clear();
    this.age += 1;
  }

  /** Unfolds what hides a row. */
  reveal(rows, i) {
    for (let j = i - 1; j >= 0; j -= 1) if (j + rows[j].kids >= i) this.fold([rows[j]], false);
  }

  /** Whether a row is there only as the place of what matches below it. */
  isContext(row) {
    return this.cuts.get(row.turn)?.context?.has(row) ?? false;
  }

  /** What is shown now. */
  rows() {
    const out = new Rows();
    let last = null;
    for (const block of this.model.blocks()) {
      if (last !== null && block.t0 - last >= GAP_BETWEEN) this.gap(out, block, last);
      last = block.t1 === null ? null : Math.max(last ?? -Infinity, block.t1);
      const cut = this.cut(block);
      out.push(cut.rows, block.id);
      out.matched += cut.matched;
      out.all += block.rows.length;
    }
    return out;
  }

  gap(out, block, from) {
    let row = this.gaps.get(block);
    if (!row || row.t0 !== from || row.t1 !== block.t0) {
      row = gapRow(`g:t:${block.id}`, 0, block, from, block.t0);
      this.gaps.set(block, row);
    }
    out.all += 1;
    if (this.keep && !this.keep(row)) return;
    out.matched += 1;
    out.push([row], row.key);
  }

  cut(block) {
    const known = this.cuts.get(block);
    if (known && known.of === block.rows && known.age === this.age) return known;
    const cut = { of: block.rows, age: this.age, rows: block.rows, matched: block.rows.length, context: null };
    if (this.keep) sift(block.rows, this.keep, cut);
    else if (this.folded.size > 0) cut.rows = unfolded(block.rows, this.folded);
    this.cuts.set(block, cut);
    return cut;
  }
}

function unfolded(list, folded) {
  const rows = [];
  for (let i = 0; i < list.length; i += 1) {
    rows.push(list[i]);
    if (folded.has(list[i].key)) i += list[i].kids;
  }
  return rows.length === list.length ? list : rows;
}

/** The rows that are kept, and the path to each. */
function sift(list, keep, cut) {
  const path = [],
    rows = [],
    context = new Set();
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
          context.add(above.row);
        }
      rows.push(row);
      entry.out = true;
      matched += 1;
    }
    if (row.kids > 0) path.push(entry);
  }
  Object.assign(cut, { rows, matched, context });
}
