// Where "next error" and the like lead.
//
// Pure: no DOM. Rows are read by `length` and `at`.

const KINDS = {
  prompt: (r) => r.type === "prompt",
  agent: (r) => r.type === "agent",
  detection: (r) => r.type === "detection" || r.type === "intervention",
  // As the bar's button "failed" means it: what was denied did not fail.
  error: (r) => r.type !== "prompt" && r.status === "error",
  match: (r) => r.type !== "gap",
};

/** Whether a row is what somebody jumps to by this name. */
export function isKind(what, row) {
  return Object.hasOwn(KINDS, what) && KINDS[what](row);
}

/** The next row from `from` on (exclusive) that `wanted`, in this direction, round the end; -1 where there is none. */
export function nextRow(rows, from, step, wanted) {
  const n = rows.length;
  for (let i = 1; i <= n; i += 1) {
    const at = (((from + step * i) % n) + n) % n;
    if (wanted(rows.at(at))) return at;
  }
  return -1;
}

/** The row that was going on at a time: the last one that had begun, of the prompt that had. -1 where there is none. */
export function rowAt(rows, t) {
  let from = 0,
    to = rows.length;
  for (let i = 0; i < rows.length; i += 1) {
    const row = rows.at(i);
    if (row.type !== "prompt") continue;
    if (row.t0 > t && i > 0) {
      to = i;
      break;
    }
    from = i;
  }
  let best = rows.length > 0 ? from : -1;
  for (let i = from; i < to; i += 1) {
    const row = rows.at(i);
    if (row.t0 <= t && row.type !== "gap") best = i;
  }
  return best;
}
