// The strip above the timeline: the whole session at a glance, where one is in it, and the window that the waterfall shows.
//
// Drawn by hand on a canvas, once per change and not per frame. Idle stretches are squeezed, as in the waterfall. Drag: a
// window; click: the row there; double click: everything again.

import { colour, h } from "./dom.js";
import { makeAxis, ticks } from "./waterfall.js";
import { duration } from "./format.js";

/** Idle stretches of up to so many ms are drawn as long as they were. */
const SQUEEZE = 300;

/** The axis of a whole session. */
export function sessionAxis(blocks, now) {
  const busy = [];
  for (const b of blocks) if (Number.isFinite(b.t0)) busy.push([b.t0, b.t1 === null ? Math.max(b.t0, now) : b.t1]);
  const total = busy.reduce((n, [a, b]) => n + b - a, 0);
  return makeAxis(busy, { over: Math.max(SQUEEZE, total / 30) });
}

export class Minimap {
  constructor({ onzoom, ongo }) {
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.window = h("div", { class: "window", hidden: true });
    this.here = h("div", { class: "here", hidden: true });
    this.el = h(
      "div",
      { class: "strip", title: "Drag: look at a stretch of time · click: go there · double click: everything" },
      this.canvas,
      this.here,
      this.window,
    );
    this.axis = null;
    this.blocks = [];
    const x = (e) => {
      const r = this.el.getBoundingClientRect();
      return Math.min(1, Math.max(0, (e.clientX - r.left) / r.width));
    };
    this.el.addEventListener("pointerdown", (e) => {
      const from = x(e);
      let to = from;
      this.el.setPointerCapture(e.pointerId);
      const move = (m) => {
        to = x(m);
        if (Math.abs(to - from) > 0.004) this.showZoom([Math.min(from, to), Math.max(from, to)]);
      };
      this.el.addEventListener("pointermove", move);
      this.el.addEventListener(
        "pointerup",
        () => {
          this.el.removeEventListener("pointermove", move);
          if (Math.abs(to - from) > 0.004) onzoom([Math.min(from, to), Math.max(from, to)]);
          else if (this.axis) ongo(this.axis.t(from));
        },
        { once: true },
      );
    });
    this.el.addEventListener("dblclick", () => onzoom(null));
    new ResizeObserver(() => this.draw()).observe(this.el);
  }

  set(blocks, axis, now) {
    this.blocks = blocks;
    this.axis = axis;
    this.now = now;
    this.draw();
  }

  showZoom(zoom) {
    this.window.hidden = !zoom;
    if (zoom) {
      this.window.style.left = `${zoom[0] * 100}%`;
      this.window.style.width = `${(zoom[1] - zoom[0]) * 100}%`;
    }
  }

  /** Where the rows in sight are. */
  showHere(t0, t1) {
    this.here.hidden = !this.axis || !Number.isFinite(t0);
    if (this.here.hidden) return;
    const a = this.axis.x(t0),
      b = this.axis.x(t1);
    // All of it: nothing to point out.
    this.here.hidden = b - a > 0.97;
    this.here.style.left = `${a * 100}%`;
    this.here.style.width = `${Math.max(0, b - a) * 100}%`;
  }

  draw() {
    const { width, height } = this.el.getBoundingClientRect(),
      ratio = devicePixelRatio || 1;
    if (width === 0) return;
    const w = Math.round(width * ratio),
      hh = Math.round(height * ratio);
    if (this.canvas.width !== w || this.canvas.height !== hh) {
      this.canvas.width = w;
      this.canvas.height = hh;
    }
    const g = this.canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    if (!this.axis || this.blocks.length === 0) return;
    const columns = this.columns(Math.ceil(width));
    const colours = {
      line: colour("--line"),
      text: colour("--text-3"),
      llm: colour("--k-llm"),
      tool: colour("--k-tool"),
      bad: colour("--error"),
      found: colour("--detect"),
      compaction: colour("--k-compaction"),
    };
    g.font = `10px ${getComputedStyle(document.body).fontFamily}`;
    g.fillStyle = colours.text;
    for (const t of ticks(this.axis, [0, 1], Math.max(2, Math.floor(width / 110)))) {
      const x = Math.round(t.x * width) + 0.5;
      g.fillStyle = colours.line;
      g.fillRect(x, 0, 1, height);
      g.fillStyle = colours.text;
      g.fillText(duration(t.offset).replace(/^0 ms$/, "0"), x + 4, 10);
    }
    const lane = (values, y, high, c) => {
      g.fillStyle = c;
      for (let x = 0; x < values.length; x += 1)
        if (values[x] > 0) {
          const k = Math.max(2, Math.min(1, values[x]) * high);
          g.fillRect(x, y + high - k, 1, k);
        }
    };
    lane(columns.llm, 14, 12, colours.llm);
    lane(columns.tool, 28, 12, colours.tool);
    g.fillStyle = colours.bad;
    for (const x of columns.bad) g.fillRect(x, 36, 1.5, 5);
    g.fillStyle = colours.compaction;
    for (const x of columns.compaction) g.fillRect(x, 12, 2, 30);
    g.fillStyle = colours.found;
    let before = -Infinity;
    for (const x of columns.found) {
      // Those that stand together are one.
      if (x - before < 6) continue;
      before = x;
      g.beginPath();
      g.moveTo(x, 46);
      g.lineTo(x - 3.5, 41);
      g.lineTo(x + 3.5, 41);
      g.fill();
    }
  }

  /** How busy each column of pixels is, by kind. */
  columns(width) {
    const llm = new Float32Array(width),
      tool = new Float32Array(width),
      bad = [],
      found = [],
      compaction = [];
    const add = (lane, t0, t1) => {
      const a = this.axis.x(t0) * (width - 1),
        b = Math.max(this.axis.x(t1) * (width - 1), a + 0.02);
      for (let x = Math.floor(a); x <= Math.min(width - 1, b); x += 1) lane[x] += Math.min(b, x + 1) - Math.max(a, x);
    };
    for (const block of this.blocks) {
      for (const row of block.rows) {
        if (row.type === "detection") {
          found.push(this.axis.x(row.span?.t0 ?? row.t0) * width);
          continue;
        }
        if (row.type !== "llm" && row.type !== "tool" && row.type !== "compaction") continue;
        add(row.type === "tool" ? tool : llm, row.t0, row.t1 ?? this.now);
        if (row.type === "compaction") compaction.push(this.axis.x(row.t0) * width);
        if (row.type === "tool" && row.status === "error") bad.push(Math.round(this.axis.x(row.t0) * width));
      }
    }
    return { llm, tool, bad: [...new Set(bad)], found, compaction };
  }
}
