// Differences of texts: lines (Myers), hunks with context, and the words that changed within a line.
//
// Pure: no DOM. Bounded: beyond `BOUND` edits, or for texts of too many lines, what lies between the common beginning and
// end is told as replaced as a whole, which is true, if coarse. Applying the operations always gives the new text.
// An operation: { type: "same" | "del" | "add", text, a, b }; `a`, `b` are line numbers from 1, null where there is none.

const BOUND = 1500;

/** Lines of a text, without their ends. A final newline makes no further line. */
export function splitLines(text) {
  if (text === "") return [];
  const lines = text.split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  return lines;
}

/** The middle part by Myers' greedy algorithm; null beyond `bound` edits. Pairs [type, index]. */
function myers(a, b, bound) {
  const n = a.length,
    m = b.length,
    max = Math.min(n + m, bound);
  const v = new Int32Array(2 * max + 3),
    trace = [];
  const at = (k) => k + max + 1;
  for (let d = 0; d <= max; d += 1) {
    trace.push(v.slice(at(-d) - 1, at(d) + 2));
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && v[at(k - 1)] < v[at(k + 1)]) ? v[at(k + 1)] : v[at(k - 1)] + 1;
      let y = x - k;
      while (x < n && y < m && a[x] === b[y]) {
        x += 1;
        y += 1;
      }
      v[at(k)] = x;
      if (x >= n && y >= m) return walkBack(trace, n, m);
    }
  }
  return null;
}

function walkBack(trace, n, m) {
  const steps = [];
  let x = n,
    y = m;
  for (let d = trace.length - 1; d > 0; d -= 1) {
    const v = trace[d],
      get = (k) => v[k + d + 1],
      k = x - y;
    const before = k === -d || (k !== d && get(k - 1) < get(k + 1)) ? k + 1 : k - 1;
    const px = get(before),
      py = px - before;
    while (x > px && y > py) {
      x -= 1;
      y -= 1;
      steps.push(["same", x, y]);
    }
    if (x === px) {
      y -= 1;
      steps.push(["add", x, y]);
    } else {
      x -= 1;
      steps.push(["del", x, y]);
    }
  }
  while (x > 0 && y > 0) {
    x -= 1;
    y -= 1;
    steps.push(["same", x, y]);
  }
  return steps.reverse();
}

/** Two lists of lines → operations. */
export function diffLines(a, b, bound = BOUND) {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail])
    tail += 1;
  const am = a.slice(head, a.length - tail),
    bm = b.slice(head, b.length - tail);
  const steps = am.length && bm.length && am.length + bm.length < 40_000 ? myers(am, bm, bound) : null;
  const ops = [];
  const push = (type, i, j) =>
    ops.push({
      type,
      text: type === "add" ? b[j] : a[i],
      a: type === "add" ? null : i + 1,
      b: type === "del" ? null : j + 1,
    });
  for (let i = 0; i < head; i += 1) push("same", i, i);
  if (steps) for (const [type, i, j] of steps) push(type, i + head, j + head);
  else {
    for (let i = 0; i < am.length; i += 1) push("del", i + head, 0);
    for (let j = 0; j < bm.length; j += 1) push("add", 0, j + head);
  }
  for (let i = tail; i > 0; i -= 1) push("same", a.length - i, b.length - i);
  return ops;
}

/** Two texts → operations. */
export function diffTexts(a, b) {
  return diffLines(splitLines(a), splitLines(b));
}

/** Operations → hunks: the changes with `context` lines around them; changes that are near share one. */
export function hunks(ops, context = 3) {
  const ranges = [];
  for (let i = 0; i < ops.length; i += 1) {
    if (ops[i].type === "same") continue;
    const from = Math.max(0, i - context),
      to = Math.min(ops.length, i + context + 1),
      last = ranges[ranges.length - 1];
    if (last && from <= last[1]) last[1] = to;
    else ranges.push([from, to]);
  }
  return ranges.map(([from, to]) => {
    const list = ops.slice(from, to);
    return { a: list.find((o) => o.a !== null)?.a ?? 0, b: list.find((o) => o.b !== null)?.b ?? 0, ops: list };
  });
}

/** The client's own patch (`structuredPatch` of a tool's answer) → hunks; null if it is none. */
export function fromPatch(patch) {
  if (!Array.isArray(patch) || patch.length === 0) return null;
  const found = [];
  for (const part of patch) {
    if (!part || !Array.isArray(part.lines)) return null;
    let a = Number(part.oldStart) || 1,
      b = Number(part.newStart) || 1;
    const ops = [];
    for (const line of part.lines) {
      if (typeof line !== "string") return null;
      const mark = line[0],
        text = line.slice(1);
      if (mark === "-") {
        ops.push({ type: "del", text, a, b: null });
        a += 1;
      } else if (mark === "+") {
        ops.push({ type: "add", text, a: null, b });
        b += 1;
      } else if (mark === " ") {
        ops.push({ type: "same", text, a, b });
        a += 1;
        b += 1;
      }
    }
    found.push({ a: Number(part.oldStart) || 1, b: Number(part.newStart) || 1, ops });
  }
  return found;
}

const WORDS = /[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu;

/** What changed between two lines: ranges [from, to) in each, in UTF-16 units. Null where nearly all of it did. */
export function diffWords(a, b) {
  if (a.length > 2000 || b.length > 2000) return null;
  const aw = a.match(WORDS) ?? [],
    bw = b.match(WORDS) ?? [];
  const ops = diffLines(aw, bw, 400);
  const ranges = { a: [], b: [] },
    at = { a: 0, b: 0 };
  let same = 0;
  const add = (side, length) => {
    const list = ranges[side],
      last = list[list.length - 1];
    // Words that changed on both sides of a space are one change.
    if (last && /^\s*$/.test((side === "a" ? a : b).slice(last[1], at[side]))) last[1] = at[side] + length;
    else list.push([at[side], at[side] + length]);
  };
  for (const op of ops) {
    if (op.type === "same") {
      same += op.text.trim().length;
      at.a += op.text.length;
      at.b += op.text.length;
    } else if (op.type === "del") {
      add("a", op.text.length);
      at.a += op.text.length;
    } else {
      add("b", op.text.length);
      at.b += op.text.length;
    }
  }
  const longer = Math.max(a.trim().length, b.trim().length);
  return longer > 0 && same / longer < 0.4 ? null : ranges;
}

/** Pairs each deleted line with the added one that took its place: a Map from operation to its word ranges. */
export function wordRanges(ops) {
  const found = new Map();
  for (let i = 0; i < ops.length;) {
    if (ops[i].type !== "del") {
      i += 1;
      continue;
    }
    let d = i;
    while (d < ops.length && ops[d].type === "del") d += 1;
    let e = d;
    while (e < ops.length && ops[e].type === "add") e += 1;
    for (let k = 0; k < Math.min(d - i, e - d); k += 1) {
      const ranges = diffWords(ops[i + k].text, ops[d + k].text);
      if (ranges) {
        found.set(ops[i + k], ranges.a);
        found.set(ops[d + k], ranges.b);
      }
    }
    i = e;
  }
  return found;
}

/** Lines added and removed. */
export function countChanges(ops) {
  let added = 0,
    removed = 0;
  for (const op of ops) {
    if (op.type === "add") added += 1;
    else if (op.type === "del") removed += 1;
  }
  return { added, removed };
}
