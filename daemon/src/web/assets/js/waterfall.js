// Where a row's time went, and where on the axis that is: waiting, streaming, running.
//
// Pure: no DOM, no clock (`now` is given). An axis squeezes the stretches in which nothing went on, so that hours of
// idleness leave room for the work; it is monotonic, and gives 0 at its beginning and 1 at its end. Must cope with any
// times: none, equal ones, ends before beginnings.

/** What a row did when: { what, t0, t1, open }. `what`: wait, stream, ask, run, agent, denied, turn, gap, point. */
export function segments(row, now) {
  const t1 = row.t1 === null ? Math.max(now, row.t0) : Math.max(row.t1, row.t0),
    open = row.t1 === null;
  const s = row.span;
  const one = (what) => [{ what, t0: row.t0, t1, open }];
  switch (row.type) {
    case "prompt":
      return one("turn");
    case "gap":
      return one("gap");
    case "detection":
    case "intervention":
      return [{ what: "point", t0: row.t0, t1: row.t0, open: false }];
    case "agent":
      return one("agent");
    case "llm":
    case "compaction": {
      const ttfb = s?.ttfb ?? null;
      if (ttfb === null) return one(open ? "wait" : "stream");
      const first = Math.min(row.t0 + ttfb, t1);
      return [
        { what: "wait", t0: row.t0, t1: first, open: false },
        { what: "stream", t0: first, t1, open },
      ];
    }
    default: {
      // What was denied never ran: somebody was asked, and said no.
      if (row.status === "denied") return one("denied");
      // Before a tool ran, it waited: for the user's permission, for its turn.
      const asked = s && s.exec !== null && !open ? t1 - row.t0 - s.exec : 0;
      if (asked < 3) return one("run");
      return [
        { what: "ask", t0: row.t0, t1: row.t0 + asked, open: false },
        { what: "run", t0: row.t0 + asked, t1, open },
      ];
    }
  }
}

/** What went on in a turn, for so many equal parts of its place on an axis: "error", "llm", "tool", "agent" or null. */
export function activity(turn, axis, now, parts) {
  const out = new Array(parts).fill(null),
    a = axis.x(turn.t0),
    width = axis.x(turn.t1 ?? Math.max(now, turn.t0)) - a;
  if (!(width > 0)) return out;
  const rank = { tool: 1, llm: 2, compaction: 3, error: 4 };
  for (const row of turn.rows) {
    if (row.type !== "llm" && row.type !== "tool" && row.type !== "compaction") continue;
    const kind = row.status === "error" ? "error" : row.type,
      from = Math.floor(((axis.x(row.t0) - a) / width) * parts),
      to = Math.floor(((axis.x(row.t1 ?? now) - a) / width) * parts);
    for (let i = Math.max(0, from); i <= Math.min(parts - 1, to); i += 1)
      if (out[i] === null || rank[kind] > rank[out[i]]) out[i] = kind;
  }
  return out;
}

/** Intervals in order of their beginnings, those that touch made one. */
export function merge(intervals) {
  const list = intervals
    .filter(([a, b]) => Number.isFinite(a) && Number.isFinite(b) && b >= a)
    .sort((x, y) => x[0] - y[0]);
  const out = [];
  for (const [a, b] of list) {
    const last = out[out.length - 1];
    if (last && a <= last[1]) last[1] = Math.max(last[1], b);
    else out.push([a, b]);
  }
  return out;
}

/** An axis over these busy intervals. Idle stretches longer than `over` ms are drawn as if they took `over`. */
export function makeAxis(intervals, { over = Infinity } = {}) {
  const busy = merge(intervals);
  if (busy.length === 0) return new Axis([0, 1], [0, 1], []);
  // Time goes evenly but where it is squeezed: only those places are kept.
  const ts = [busy[0][0]],
    ws = [0],
    squeezed = [];
  let w = 0,
    at = busy[0][0];
  const even = (t) => {
    if (t <= at) return;
    w += t - at;
    at = t;
    ts.push(t);
    ws.push(w);
  };
  for (let i = 1; i < busy.length; i += 1) {
    const before = busy[i - 1][1],
      next = busy[i][0];
    if (next - before <= over) continue;
    even(before);
    w += over;
    at = next;
    ts.push(next);
    ws.push(w);
    squeezed.push([before, next]);
  }
  even(busy[busy.length - 1][1]);
  if (w === 0) {
    ts.push(ts[0] + 1);
    ws.push(1);
    w = 1;
  }
  return new Axis(
    ts,
    ws.map((v) => v / w),
    squeezed,
  );
}

class Axis {
  constructor(ts, xs, squeezed) {
    this.ts = ts;
    this.xs = xs;
    this.squeezed = squeezed;
  }

  equals(other) {
    return (
      this.ts.length === other.ts.length &&
      this.ts.every((t, i) => t === other.ts[i]) &&
      this.xs.every((x, i) => x === other.xs[i])
    );
  }

  get start() {
    return this.ts[0];
  }
  get end() {
    return this.ts[this.ts.length - 1];
  }

  /** A time's place, 0 to 1. */
  x(t) {
    return between(this.ts, this.xs, t);
  }

  /** A place's time. */
  t(x) {
    return between(this.xs, this.ts, x);
  }
}

function between(from, to, v) {
  if (!(v > from[0])) return to[0];
  const n = from.length - 1;
  if (v >= from[n]) return to[n];
  let lo = 0,
    hi = n;
  while (hi - lo > 1) {
    const mid = (lo + hi) >> 1;
    if (from[mid] <= v) lo = mid;
    else hi = mid;
  }
  const span = from[hi] - from[lo];
  return span > 0 ? to[lo] + ((v - from[lo]) / span) * (to[hi] - to[lo]) : to[lo];
}

/** A window [a, b] of an axis, made wider or narrower around `at` (0 to 1 within the window), and kept within 0 to 1. */
export function zoom([a, b], at, factor) {
  const width = Math.min(1, Math.max(1e-6, (b - a) * factor)),
    middle = a + (b - a) * at;
  const from = Math.min(Math.max(0, middle - width * at), 1 - width);
  return [from, from + width];
}

/** Where a segment is in a window: [left, width] in percent, or null outside. `least` is the least width, in percent. */
export function place(segment, axis, [a, b] = [0, 1], least = 0.3) {
  const w = b - a,
    x0 = (axis.x(segment.t0) - a) / w,
    x1 = (axis.x(segment.t1) - a) / w;
  if (x1 < 0 || x0 > 1) return null;
  const left = Math.max(0, x0) * 100,
    right = Math.min(1, x1) * 100;
  const width = Math.max(right - left, least);
  return [Math.min(left, 100 - width), width];
}

const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5,
  432e5, 864e5,
];

/** Round offsets from the axis's beginning that lie in the window, about `wanted` of them: { x (0 to 1), offset }. */
export function ticks(axis, [a, b] = [0, 1], wanted = 4) {
  const visible = axis.t(b) - axis.t(a);
  // Squeezed stretches have no ticks in them, so they do not count.
  const idle = axis.squeezed.reduce(
    (sum, [s, e]) => sum + Math.max(0, Math.min(e, axis.t(b)) - Math.max(s, axis.t(a))),
    0,
  );
  const step = STEPS.find((s) => s >= (visible - idle) / wanted) ?? 864e5;
  const out = [];
  let k = Math.ceil((axis.t(a) - axis.start) / step),
    last = -1;
  for (let guard = 0; guard < 500; guard += 1, k += 1) {
    const t = axis.start + k * step;
    if (t > axis.t(b) + 1e-6) break;
    const gap = axis.squeezed.find(([s, e]) => t > s && t < e);
    if (gap) {
      k = Math.floor((gap[1] - axis.start) / step);
      continue;
    }
    const x = (axis.x(t) - a) / (b - a);
    if (x - last > 0.5 / wanted) {
      out.push({ x, offset: k * step });
      last = x;
    }
  }
  return out;
}
