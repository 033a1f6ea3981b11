// The timeline of a session: bar, strip, rows with their waterfall, foot.
//
// Draws from the session's model whenever that or the state changes, at most once per frame, and less often while a lot
// comes in. What is looked at and what is selected stay in place whatever comes in above.

import { ContentSearch } from "./content-search.js";
import { button, fill, h, setText } from "./dom.js";
import { compile, facets, isEmpty, parseQuery } from "./filter.js";
import { Minimap, sessionAxis } from "./minimap.js";
import { isKind, nextRow, rowAt } from "./navigate.js";
import { createRow, updateRow } from "./row.js";
import { flatten } from "./rows.js";
import { drawFoot, drawTicks } from "./timeline-edges.js";
import { Toolbar } from "./toolbar.js";
import { VirtualList } from "./virtual.js";
import { makeAxis } from "./waterfall.js";

const LEAVES = new Set(["llm", "tool", "compaction"]);

export class Timeline {
  /** `get`, `set`: the state; `onselect(row)`; `actions(name)`. */
  constructor(root, { api, get, set, onselect, onopen, actions, now }) {
    Object.assign(this, { api, get, set, onselect, now });
    this.data = null;
    this.folded = new Set();
    this.axes = new WeakMap();
    this.content = new ContentSearch({ api, onfound: () => this.refresh() });
    this.flat = { rows: [], matched: 0, all: 0, context: new Set() };
    this.view = {
      now: 0,
      words: [],
      snippets: null,
      cwd: null,
      context: new Set(),
      zoom: [0, 1],
      open: (row) => !this.folded.has(row.key),
      axis: (row) => this.axisOf(row),
      exchange: (id) => (id ? (this.data?.model.byExchange?.get(id) ?? null) : null),
    };
    this.bar = new Toolbar({
      get,
      set,
      actions,
      facets: () => this.facets ?? { tools: [], agents: [], kinds: new Map(), statuses: new Map() },
      onkey: (key, shift) => {
        if (key === "Enter") this.go("match", shift ? -1 : 1);
        else {
          this.list.el.focus();
          this.list.move(key === "ArrowDown" ? 1 : -1);
        }
      },
    });
    this.map = new Minimap({
      onzoom: (zoom) => {
        set({ zoom, scale: "session" });
        if (zoom && this.axis) this.scrollToTime(this.axis.t(zoom[0]));
      },
      ongo: (t) => this.goTo(t),
    });
    this.ticks = h("span", { class: "ticks" });
    this.head = h(
      "div",
      { class: "head", "aria-hidden": "true" },
      h("span", { class: "when", text: "Time" }),
      h("span", { text: "What" }),
      h("span", { class: "num tok", text: "Tokens" }),
      h("span", { class: "num cost", text: "Cost" }),
      h("span", { class: "num", text: "Took" }),
      this.ticks,
    );
    this.list = new VirtualList({
      role: "treegrid",
      label: "Timeline",
      height: 24,
      key: (row) => row.key,
      create: createRow,
      update: (el, row) => updateRow(el, row, this.view),
      onselect: (row) => {
        this.told = row.key;
        onselect(row);
      },
      onopen,
      ontop: (index, y, view) => this.top(index, y, view),
      selectable: (row) => row.type !== "gap",
    });
    this.list.space.addEventListener("click", (e) => {
      if (e.target.closest(".tw")) {
        const row = this.list.items[this.list.at];
        if (row) this.fold(row, !this.folded.has(row.key));
      }
    });
    this.stickyRow = createRow();
    this.sticky = h("div", { class: "sticky", hidden: true, "aria-hidden": "true" }, this.stickyRow);
    this.sticky.addEventListener("click", () => {
      const i = this.list.find(this.stickyKey);
      if (i >= 0) this.list.select(i, true);
    });
    this.newer = button(
      "",
      () => {
        this.list.scrollToEnd();
      },
      { class: "newer line", hidden: true },
    );
    this.none = h("div", { class: "empty", hidden: true });
    this.grid = h("div", { class: "grid" }, this.head, this.sticky, this.list.el, this.none, this.newer);
    this.foot = h("div", { class: "foot" });
    root.append(this.bar.el, this.map.el, this.grid, this.foot);
    new ResizeObserver(() => {
      const w = this.grid.clientWidth,
        el = this.list.el;
      this.grid.classList.toggle("mid", w < 980 && w >= 720);
      this.grid.classList.toggle("slim", w < 720 && w >= 480);
      this.bar.el.classList.toggle("tight", w < 1080);
      this.grid.classList.toggle("tiny", w < 480);
      this.grid.style.setProperty("--bar-width", `${el.offsetWidth - el.clientWidth}px`);
      this.ticksWidth = this.ticks.clientWidth;
      this.drawTicks();
    }).observe(this.grid);
    setInterval(() => {
      if (!document.hidden && this.data?.live === "live" && this.data.isLive()) {
        this.view.now = this.now();
        this.list.draw(true);
      }
    }, 1000);
  }

  /** Another session. */
  open(data) {
    this.data = data;
    this.folded = new Set();
    this.content.reset();
    this.told = null;
    this.list.selected = null;
    this.list.at = -1;
    this.list.scrollTo(0);
    this.refresh();
  }

  /** Draws again, soon: at once where nothing was drawn lately. */
  soon() {
    if (this.planned) return;
    const wait = Math.max(0, (this.drawn ?? 0) + Math.max(60, (this.cost ?? 0) * 8) - performance.now());
    this.planned = setTimeout(
      () =>
        requestAnimationFrame(() => {
          this.planned = null;
          this.refresh();
        }),
      wait,
    );
  }

  refresh() {
    if (!this.data) return;
    const began = performance.now(),
      state = this.get(),
      { model } = this.data,
      follow = this.data.isLive() && this.list.atEnd();
    const blocks = model.blocks();
    this.view.now = this.now();
    this.view.cwd = this.data.session?.cwd ?? null;
    this.view.words = parseQuery(state.q).words;
    this.view.zoom = state.scale === "session" ? (state.zoom ?? [0, 1]) : [0, 1];
    this.content.ask(this.view.words, this.data.id);
    this.flat = flatten(model, { folded: this.folded, keep: compile(state, this.content.found?.ids ?? null) });
    this.view.context = this.flat.context;
    this.view.snippets = this.content.found?.snippets ?? null;
    // The strip and the menus cost more than the rows: a twentieth of the time at most, while more is coming.
    if (model.version !== this.seen) {
      const due = (this.mapped ?? -Infinity) + Math.max(400, (this.mapCost ?? 0) * 20);
      if (began >= due || (!this.data.isLive() && this.data.loaded === this.data.pieces)) {
        this.seen = model.version;
        this.axis = sessionAxis(blocks, this.view.now);
        this.facets = facets(blocks);
        this.map.set(blocks, this.axis, this.view.now);
        this.mapped = performance.now();
        this.mapCost = this.mapped - began;
      } else
        this.mapLater ??= setTimeout(
          () => {
            this.mapLater = null;
            this.soon();
          },
          due - began + 20,
        );
    }
    this.map.showZoom(state.scale === "session" ? state.zoom : null);
    const before = this.list.items.length;
    this.list.setItems(this.flat.rows);
    if (follow && this.flat.rows.length > before) this.list.scrollToEnd();
    if (state.span && this.told !== state.span) this.showSelected(state.span);
    const empty = this.flat.rows.length === 0;
    this.none.hidden = !empty;
    if (empty)
      fill(
        this.none,
        isEmpty(state)
          ? this.data.error
            ? [h("b", { text: "This session cannot be shown" }), this.data.error.message]
            : "Nothing yet"
          : [h("b", { text: "Nothing is like that" }), "Escape clears the filters"],
      );
    this.drawBar();
    this.drawTicks();
    drawFoot(this.foot, this.data, blocks, this.flat.all, this.view.now);
    this.drawn = performance.now();
    this.cost = this.drawn - began;
  }

  drawBar() {
    const d = this.data,
      live =
        d.live === "off" || !d.isLive() ? "off" : d.gate.paused ? "paused" : d.live === "waiting" ? "waiting" : "live";
    this.bar.show({
      state: this.get(),
      matched: this.flat.matched,
      all: this.flat.all,
      narrowed: !isEmpty(this.get()),
      searching: this.content.searching,
      live,
      held: d.held,
    });
  }

  axisOf(row) {
    if (this.get().scale === "session") return this.axis ?? null;
    if (row.depth === 0 && row.type === "gap") return null;
    const rows = row.turn.rows;
    let axis = this.axes.get(rows);
    if (!axis || row.turn.t1 === null) {
      const busy = [[row.turn.t0, row.turn.t0]];
      for (const r of rows) if (LEAVES.has(r.type)) busy.push([r.t0, r.t1 ?? Math.max(r.t0, this.view.now)]);
      const total = busy.reduce((n, [a, b]) => n + b - a, 0);
      axis = makeAxis(busy, { over: Math.max(1500, total / 10) });
      this.axes.set(rows, axis);
    }
    return axis;
  }

  /** The first row in sight changed. */
  top(index, y, height) {
    const row = this.list.items[index];
    this.newer.hidden = !this.data?.isLive() || this.list.atEnd();
    if (!this.newer.hidden) setText(this.newer, "↓ newest");
    const pinned =
      row && row.turn.rows[0] && row.key !== row.turn.rows[0].key && row.type !== "gap" ? row.turn.rows[0] : null;
    const show = pinned !== null && y > 4;
    if (this.sticky.hidden === show) this.sticky.hidden = !show;
    if (show && (this.stickyKey !== pinned.key || this.stickySign !== pinned)) {
      this.stickyKey = pinned.key;
      this.stickySign = pinned;
      updateRow(this.stickyRow, pinned, this.view);
    }
    if (this.shownTurn !== row?.turn) {
      this.shownTurn = row?.turn;
      if (this.get().scale === "turn") this.drawTicks();
    }
    const last = this.list.items[Math.min(this.list.items.length - 1, this.list.indexAt(y + height))];
    if (row && last) this.map.showHere(row.t0, last.t1 ?? this.view.now);
  }

  drawTicks() {
    const row = this.list.items[this.list.indexAt(this.list.y)];
    drawTicks(this.ticks, row ? this.axisOf(row) : null, this.view.zoom, this.ticksWidth ?? 0);
  }

  fold(row, on) {
    if (row.kids === 0) return;
    if (on) this.folded.add(row.key);
    else this.folded.delete(row.key);
    this.refresh();
  }

  /** Shows the row of the address: unfolds what hides it. */
  showSelected(key) {
    if (this.list.selectKey(key, "middle")) {
      this.told = key;
      this.onselect(this.list.items[this.list.at]);
      return;
    }
    for (const block of this.data.model.blocks()) {
      const i = block.rows.findIndex((r) => r.key === key);
      if (i < 0) continue;
      for (let j = i - 1; j >= 0; j -= 1) if (j + block.rows[j].kids >= i) this.folded.delete(block.rows[j].key);
      this.flat = flatten(this.data.model, {
        folded: this.folded,
        keep: compile(this.get(), this.content.found?.ids ?? null),
      });
      this.list.setItems(this.flat.rows);
      this.told = key;
      this.list.selectKey(key, "middle");
      this.onselect(block.rows[i]);
      return;
    }
  }

  /** To the next of a kind (navigate.js). */
  go(what, step) {
    // What is folded counts: it is unfolded.
    if (this.folded.size > 0 && what !== "prompt" && isEmpty(this.get())) {
      const key = this.list.selected;
      this.folded.clear();
      this.refresh();
      if (key) this.list.selectKey(key);
    }
    const from = this.list.at >= 0 ? this.list.at : this.list.indexAt(this.list.y) - (step > 0 ? 1 : 0);
    const at = nextRow(
      this.list.items,
      from,
      step,
      (r) => isKind(what, r) && !(what === "match" && this.flat.context.has(r.key)),
    );
    if (at >= 0) this.list.select(at, true, "middle");
  }

  /** Scrolls to what went on at a time. */
  scrollToTime(t) {
    const at = rowAt(this.list.items, t);
    if (at >= 0) this.list.scrollTo(this.list.offset(at) - this.list.height);
  }

  /** To what went on at a time. */
  goTo(t) {
    const at = rowAt(this.list.items, t);
    if (at >= 0) this.list.select(at, true, "middle");
  }
}
