// What the timeline of a session looks like: bar, strip, rows with their waterfall, foot. timeline.js moves in it.
//
// Draws from the session's model whenever that or the state changes, at most once per frame, and less often while a lot
// comes in. What comes in is drawn by what it changed: the rows of its turn, as far as they are in sight. What is looked at
// and what is selected stay in place whatever comes in above.

import { Axes } from "./axes.js";
import { ContentSearch } from "./content-search.js";
import { button, h } from "./dom.js";
import { compile, isEmpty, parseQuery } from "./filter.js";
import { Minimap, sessionAxis } from "./minimap.js";
import { createRow, updateRow } from "./row.js";
import { RowList, Rows } from "./row-list.js";
import { Sticky } from "./sticky.js";
import { drawEmpty, drawFoot, drawTicks, fit, head, hint } from "./timeline-edges.js";
import { liveState, Toolbar } from "./toolbar.js";
import { VirtualList } from "./virtual.js";

/** The strip's part of the time, at most, while something comes in. */
const STRIP_SHARE = 50;

export class TimelineView {
  /** `get`, `set`: the state; `onselect(row)`; `actions(name)`. */
  constructor(root, { api, get, set, onselect, onopen, actions, now }) {
    Object.assign(this, { api, get, set, onselect, now });
    this.data = null;
    this.rows = null;
    this.axes = new Axes();
    this.content = new ContentSearch({ api, onfound: () => this.refresh() });
    this.flat = new Rows();
    this.view = {
      now: 0,
      words: [],
      snippets: null,
      cwd: null,
      zoom: [0, 1],
      context: (row) => this.rows?.isContext(row) ?? false,
      open: (row) => !this.rows.folded.has(row.key),
      axis: (row) => this.axisOf(row),
    };
    this.bar = new Toolbar({
      get,
      set,
      actions,
      tally: () => this.data?.model.tally ?? null,
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
        if (zoom && this.axis) this.goTo(this.axis.t(zoom[0]), false);
      },
      ongo: (t) => this.goTo(t),
    });
    this.ticks = h("span", { class: "ticks" });
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
      place: (rows, key) => rows.place(key, this.data?.model.turnOf(key)),
    });
    this.list.items = this.flat;
    hint(this.list, () => this.view.now);
    this.list.space.addEventListener("click", (e) => {
      const row = e.target.closest(".tw") && this.list.items.at(this.list.at);
      if (row) this.fold(row, this.view.open(row));
    });
    this.sticky = new Sticky({
      onpick: (key) => {
        const i = this.list.find(key);
        if (i >= 0) this.list.select(i, true);
      },
    });
    this.newer = button("↓ newest", () => this.list.scrollToEnd(), { class: "newer line", hidden: true });
    this.none = h("div", { class: "empty", hidden: true });
    this.grid = h("div", { class: "grid" }, head(this.ticks), this.sticky.el, this.list.el, this.none, this.newer);
    this.foot = h("div", { class: "foot" });
    root.append(this.bar.el, this.map.el, this.grid, this.foot);
    new ResizeObserver(() => this.fit()).observe(this.grid);
    setInterval(() => this.tick(), 1000);
  }

  /** What there is room for. */
  fit() {
    const w = this.grid.clientWidth,
      el = this.list.el;
    fit(this.grid, this.bar.el, w);
    this.grid.style.setProperty("--bar-width", `${el.offsetWidth - el.clientWidth}px`);
    this.ticksWidth = this.ticks.clientWidth;
    this.drawTicks();
  }

  /** What runs gets longer. */
  tick() {
    if (document.hidden || !this.data?.isLive() || this.data.gate.paused) return;
    this.view.now = this.now();
    this.list.draw((row, el) => this.moves(row, el));
  }

  /** Whether a row that did not change is drawn otherwise than it was: it runs, or stands on another axis. */
  moves(row, el) {
    return row.t1 === null || el.axis !== this.axisOf(row);
  }

  /** Another session. */
  open(data) {
    this.data = data;
    this.rows = new RowList(data.model);
    this.content.reset();
    this.told = null;
    this.seen = -1;
    this.axis = null;
    this.list.selected = null;
    this.list.at = -1;
    this.list.scrollTo(0);
    this.refresh();
  }

  /** Something came in: draws it, soon; at once where nothing was drawn lately. */
  soon() {
    if (this.planned) return;
    const wait = Math.max(0, (this.drawn ?? 0) + Math.max(60, (this.cost ?? 0) * 8) - performance.now());
    this.planned = setTimeout(
      () =>
        requestAnimationFrame(() => {
          this.planned = null;
          this.refresh(false);
        }),
      wait,
    );
  }

  /** Draws what changed; `all`: whatever is in sight, since the state may have changed. */
  refresh(all = true) {
    if (!this.data) return;
    const began = performance.now(),
      state = this.get(),
      { model } = this.data,
      follow = this.data.complete && this.data.isLive() && this.list.atEnd();
    const blocks = model.blocks(),
      cwd = this.data.session?.cwd ?? null;
    let again = all || cwd !== this.view.cwd;
    this.view.now = this.now();
    this.view.cwd = cwd;
    if (all) {
      this.view.words = parseQuery(state.q).words;
      this.view.zoom = state.scale === "session" ? (state.zoom ?? [0, 1]) : [0, 1];
      this.content.ask(this.view.words, this.data.id);
      this.view.snippets = this.content.found?.snippets ?? null;
      this.rows.narrow(compile(state, this.content.found?.ids ?? null));
    }
    again = this.drawMap(blocks, began) || again;
    if (again) this.sticky.forget();
    if (all) this.map.showZoom(state.scale === "session" ? state.zoom : null);
    const before = this.flat.length;
    this.flat = this.rows.rows();
    this.list.setItems(this.flat, again || ((row, el) => this.moves(row, el)));
    if (follow && this.flat.length > before) this.list.scrollToEnd();
    if (state.span && this.told !== state.span) this.showSelected(state.span);
    drawEmpty(this.none, this.flat.length === 0, this.data, isEmpty(state));
    this.drawBar();
    this.drawTicks();
    drawFoot(this.foot, this.data, blocks, this.view.now);
    this.drawn = performance.now();
    this.cost = this.drawn - began;
  }

  /** The strip costs more than the rows: while something comes in it has a small part of the time. Whether rows that
      did not change stand elsewhere on its axis now. */
  drawMap(blocks, began) {
    if (this.data.model.version === this.seen) return false;
    const due = (this.mapped ?? -Infinity) + Math.max(500, (this.mapCost ?? 0) * STRIP_SHARE);
    if (began < due && this.axis) {
      const again = () => {
        this.mapLater = null;
        this.soon();
      };
      this.mapLater ??= setTimeout(again, due - began + 20);
      return false;
    }
    this.seen = this.data.model.version;
    this.axis = sessionAxis(blocks, this.view.now);
    this.map.set(blocks, this.axis, this.view.now);
    this.mapped = performance.now();
    this.mapCost = this.mapped - began;
    return this.get().scale === "session";
  }

  drawBar() {
    this.bar.show({
      state: this.get(),
      matched: this.flat.matched,
      all: this.flat.all,
      narrowed: !isEmpty(this.get()),
      searching: this.content.searching,
      live: liveState(this.data),
      held: this.data.held,
      active: this.data.isLive(),
    });
  }

  axisOf(row) {
    if (this.get().scale === "session") return this.axis;
    if (row.depth === 0 && row.type === "gap") return null;
    return this.axes.of(row.turn, this.view.now);
  }

  /** The first row in sight changed. */
  top(index, y, height) {
    const row = this.list.items.at(index);
    this.newer.hidden = !this.data?.isLive() || this.list.atEnd();
    this.sticky.show(row, y, this.view);
    if (this.shownTurn !== row?.turn) {
      this.shownTurn = row?.turn;
      if (this.get().scale === "turn") this.drawTicks();
    }
    const last = this.list.items.at(Math.min(this.list.items.length - 1, this.list.indexAt(y + height)));
    if (row && last) this.map.showHere(row.t0, last.t1 ?? this.view.now);
  }

  drawTicks() {
    const row = this.list.items.at(this.list.indexAt(this.list.y)),
      axis = row ? this.axisOf(row) : null;
    drawTicks(this.ticks, axis, this.view.zoom, this.ticksWidth ?? 0);
  }
}
