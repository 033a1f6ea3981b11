// The timeline of a session: bar, strip, rows with their waterfall, foot.
//
// Draws from the session's model whenever that or the state changes, at most once per frame, and less often while a lot
// comes in. What is looked at and what is selected stay in place whatever comes in above.

import { button, fill, h, setText } from "./dom.js";
import { compile, facets, isEmpty, parseQuery } from "./filter.js";
import { count, duration, money, plural, promptTokens, whole } from "./format.js";
import { Minimap, sessionAxis } from "./minimap.js";
import { createRow, updateRow } from "./row.js";
import { flatten, nextRow } from "./rows.js";
import { Toolbar } from "./toolbar.js";
import { VirtualList } from "./virtual.js";
import { makeAxis, ticks } from "./waterfall.js";

const LEAVES = new Set(["llm", "tool", "compaction"]);

export class Timeline {
  /** `get`, `set`: the state; `onselect(row)`; `actions(name)`. */
  constructor(root, { api, get, set, onselect, onopen, actions, now }) {
    Object.assign(this, { api, get, set, onselect, now });
    this.data = null;
    this.folded = new Set();
    this.axes = new WeakMap();
    this.found = null;
    this.flat = { rows: [], matched: 0, all: 0, context: new Set() };
    this.view = {
      now: 0, words: [], snippets: null, cwd: null, context: new Set(), zoom: [0, 1], open: (row) => !this.folded.has(row.key),
      axis: (row) => this.axisOf(row), exchange: (id) => (id ? this.data?.model.byExchange?.get(id) ?? null : null),
    };
    this.bar = new Toolbar({ get, set, actions, facets: () => this.facets ?? { tools: [], agents: [], kinds: new Map(), statuses: new Map() }, onkey: (key, shift) => { if (key === "Enter") this.go("match", shift ? -1 : 1); else { this.list.el.focus(); this.list.move(key === "ArrowDown" ? 1 : -1); } } });
    this.map = new Minimap({ onzoom: (zoom) => set({ zoom, scale: "session" }), ongo: (t) => this.goTo(t) });
    this.ticks = h("span", { class: "ticks" });
    this.head = h("div", { class: "head", "aria-hidden": "true" }, h("span", { class: "when", text: "Time" }), h("span", { text: "What" }), h("span", { class: "num tok", text: "Tokens" }), h("span", { class: "num cost", text: "Cost" }), h("span", { class: "num", text: "Took" }), this.ticks);
    this.list = new VirtualList({
      role: "treegrid", label: "Timeline", height: 24, key: (row) => row.key, create: createRow, update: (el, row) => updateRow(el, row, this.view),
      onselect: (row) => { this.told = row.key; onselect(row); }, onopen, ontop: (index, y, view) => this.top(index, y, view), selectable: (row) => row.type !== "gap",
    });
    this.list.space.addEventListener("click", (e) => { if (e.target.closest(".tw")) { const row = this.list.items[this.list.at]; if (row) this.fold(row, !this.folded.has(row.key)); } });
    this.stickyRow = createRow();
    this.sticky = h("div", { class: "sticky", hidden: true, "aria-hidden": "true" }, this.stickyRow);
    this.sticky.addEventListener("click", () => { const i = this.list.find(this.stickyKey); if (i >= 0) this.list.select(i, true); });
    this.newer = button("", () => { this.list.scrollToEnd(); }, { class: "newer line", hidden: true });
    this.none = h("div", { class: "empty", hidden: true });
    this.grid = h("div", { class: "grid" }, this.head, this.sticky, this.list.el, this.none, this.newer);
    this.foot = h("div", { class: "foot" });
    root.append(this.bar.el, this.map.el, this.grid, this.foot);
    new ResizeObserver(() => {
      const w = this.grid.clientWidth, el = this.list.el;
      this.grid.classList.toggle("mid", w < 980 && w >= 720);
      this.grid.classList.toggle("slim", w < 720 && w >= 480);
      this.bar.el.classList.toggle("tight", w < 1080);
      this.grid.classList.toggle("tiny", w < 480);
      this.grid.style.setProperty("--bar-width", `${el.offsetWidth - el.clientWidth}px`);
      this.ticksWidth = this.ticks.clientWidth;
      this.drawTicks();
    }).observe(this.grid);
    setInterval(() => { if (!document.hidden && this.data?.live === "live" && this.data.isLive()) { this.view.now = this.now(); this.list.draw(true); } }, 1000);
  }

  /** Another session. */
  open(data) {
    this.data = data;
    this.folded = new Set();
    this.found = null;
    this.searched = "";
    this.told = null;
    this.list.selected = null;
    this.list.at = -1;
    this.list.scrollTo(0);
    this.refresh();
  }

  /** Draws again, soon: at once where nothing was drawn lately. */
  soon() {
    if (this.planned) return;
    const wait = Math.max(0, (this.drawn ?? 0) + (this.cost ?? 0) * 4 - performance.now());
    this.planned = setTimeout(() => requestAnimationFrame(() => { this.planned = null; this.refresh(); }), wait);
  }

  refresh() {
    if (!this.data) return;
    const began = performance.now(), state = this.get(), { model } = this.data, follow = this.data.isLive() && this.list.atEnd();
    const blocks = model.blocks();
    this.view.now = this.now();
    this.view.cwd = this.data.session?.cwd ?? null;
    this.view.words = parseQuery(state.q).words;
    this.view.zoom = state.scale === "session" ? state.zoom ?? [0, 1] : [0, 1];
    this.ask(state);
    this.flat = flatten(model, { folded: this.folded, keep: compile(state, this.found?.ids ?? null) });
    this.view.context = this.flat.context;
    this.view.snippets = this.found?.snippets ?? null;
    // The strip and the menus cost more than the rows: not more often than once in a while.
    if (model.version !== this.seen && (began - (this.mapped ?? -1e9) > 400 || !this.data.isLive() && this.data.loaded === this.data.pieces)) {
      this.seen = model.version;
      this.mapped = began;
      this.axis = sessionAxis(blocks, this.view.now);
      this.facets = facets(blocks);
      this.map.set(blocks, this.axis, this.view.now);
    } else if (model.version !== this.seen) setTimeout(() => this.soon(), 450);
    this.map.showZoom(state.scale === "session" ? state.zoom : null);
    const before = this.list.items.length;
    this.list.setItems(this.flat.rows);
    if (follow && this.flat.rows.length > before) this.list.scrollToEnd();
    if (state.span && this.told !== state.span) this.showSelected(state.span);
    const empty = this.flat.rows.length === 0;
    this.none.hidden = !empty;
    if (empty) fill(this.none, isEmpty(state) ? this.data.error ? [h("b", { text: "This session cannot be shown" }), this.data.error.message] : "Nothing yet" : [h("b", { text: "Nothing is like that" }), "Escape clears the filters"]);
    this.drawBar();
    this.drawTicks();
    this.drawFoot(blocks);
    this.drawn = performance.now();
    this.cost = this.drawn - began;
  }

  drawBar() {
    const d = this.data, live = d.live === "off" || !d.isLive() ? "off" : d.gate.paused ? "paused" : d.live === "waiting" ? "waiting" : "live";
    this.bar.show({ state: this.get(), matched: this.flat.matched, all: this.flat.all, narrowed: !isEmpty(this.get()), searching: this.searching, live, held: d.held });
  }

  /** Words are looked for in contents by the daemon; what the rows themselves show is searched here. */
  ask(state) {
    const words = parseQuery(state.q).words.filter((w) => w.length > 1).join(" ");
    if (words === (this.searched ?? "")) return;
    this.searched = words;
    this.found = null;
    this.searching = words !== "";
    this.search?.abort();
    clearTimeout(this.timer);
    if (!words) return;
    this.timer = setTimeout(async () => {
      const abort = this.search = new AbortController(), ids = new Set(), snippets = new Map();
      try {
        const got = await this.api.optional("search", { q: words, session: this.data.id, limit: 1000, timeout_s: 10 }, { hits: [] }, abort.signal);
        for (const hit of got.hits) if (hit.span_id) { ids.add(hit.span_id); if (!snippets.has(hit.span_id)) snippets.set(hit.span_id, hit.snippet); }
        this.found = { ids, snippets };
      } catch { /* what the rows show is found all the same */ }
      if (abort.signal.aborted) return;
      this.searching = false;
      this.refresh();
    }, 250);
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
    const pinned = row && row.turn.rows[0] && row.key !== row.turn.rows[0].key && row.type !== "gap" ? row.turn.rows[0] : null;
    const show = pinned !== null && y > 4;
    if (this.sticky.hidden === show) this.sticky.hidden = !show;
    if (show && (this.stickyKey !== pinned.key || this.stickySign !== pinned)) { this.stickyKey = pinned.key; this.stickySign = pinned; updateRow(this.stickyRow, pinned, this.view); }
    if (this.shownTurn !== row?.turn) { this.shownTurn = row?.turn; if (this.get().scale === "turn") this.drawTicks(); }
    const last = this.list.items[Math.min(this.list.items.length - 1, this.list.indexAt(y + height))];
    if (row && last) this.map.showHere(row.t0, last.t1 ?? this.view.now);
  }

  drawTicks() {
    const row = this.list.items[this.list.indexAt(this.list.y)], width = this.ticksWidth ?? 0;
    const axis = row ? this.axisOf(row) : null;
    if (!axis || width < 40) { fill(this.ticks); return; }
    const made = ticks(axis, this.view.zoom, Math.max(1, Math.floor(width / 84)));
    fill(this.ticks, made.filter((t) => t.x < 0.94).map((t) => {
      const i = h("i", { text: t.offset === 0 ? "0" : duration(t.offset).replace(/\.0+ /, " ") });
      i.style.left = `${t.x * 100}%`;
      return i;
    }));
  }

  drawFoot(blocks) {
    const s = this.data.session, d = this.data, b = (text) => h("b", { text });
    const errors = blocks.reduce((n, x) => n + x.errors, 0), found = blocks.reduce((n, x) => n + (x.findings ?? 0), 0);
    const last = blocks[blocks.length - 1];
    fill(this.foot,
      h("span", {}, b(whole(this.flat.all)), " rows"), h("span", {}, b(plural(blocks.length, "prompt"))),
      s ? h("span", {}, b(`${count(promptTokens(s.tokens))} → ${count(s.tokens.output)}`), " tokens") : null,
      s ? h("span", {}, b(money(s.cost_usd_micros))) : null,
      h("span", {}, b(plural(errors, "failure"))), found ? h("span", {}, b(plural(found, "detection"))) : null,
      last ? h("span", {}, b(duration((last.t1 ?? this.view.now) - blocks[0].t0))) : null,
      d.loaded < d.pieces ? h("span", { text: `loading ${d.loaded}/${d.pieces}…` }) : null);
  }

  fold(row, on) {
    if (row.kids === 0) return;
    if (on) this.folded.add(row.key); else this.folded.delete(row.key);
    this.refresh();
  }

  /** Shows the row of the address: unfolds what hides it. */
  showSelected(key) {
    if (this.list.selectKey(key, "middle")) { this.told = key; this.onselect(this.list.items[this.list.at]); return; }
    for (const block of this.data.model.blocks()) {
      const i = block.rows.findIndex((r) => r.key === key);
      if (i < 0) continue;
      for (let j = i - 1; j >= 0; j -= 1) if (j + block.rows[j].kids >= i) this.folded.delete(block.rows[j].key);
      this.flat = flatten(this.data.model, { folded: this.folded, keep: compile(this.get(), this.found?.ids ?? null) });
      this.list.setItems(this.flat.rows);
      this.told = key;
      this.list.selectKey(key, "middle");
      this.onselect(block.rows[i]);
      return;
    }
  }

  /** To the next of a kind. Folded ones count: they are unfolded. */
  go(what, step) {
    const wanted = {
      prompt: (r) => r.type === "prompt", agent: (r) => r.type === "agent", detection: (r) => r.type === "detection" || r.type === "intervention",
      error: (r) => r.type !== "prompt" && (r.status === "error" || r.status === "denied"), match: (r) => !this.flat.context.has(r.key) && r.type !== "gap",
    }[what];
    const from = this.list.at >= 0 ? this.list.at : this.list.indexAt(this.list.y) - (step > 0 ? 1 : 0);
    if (this.folded.size > 0 && what !== "prompt" && isEmpty(this.get())) { const key = this.list.selected; this.folded.clear(); this.refresh(); if (key) this.list.selectKey(key); }
    const at = nextRow(this.list.items, this.list.at >= 0 ? this.list.at : from, step, wanted);
    if (at >= 0) this.list.select(at, true, "middle");
    return at >= 0;
  }

  goTo(t) {
    const rows = this.list.items;
    let lo = 0, hi = rows.length - 1;
    // Rows are not quite in the order of time; prompts are.
    const prompts = rows.map((r, i) => (r.type === "prompt" ? i : -1)).filter((i) => i >= 0);
    for (const i of prompts) if (rows[i].t0 <= t) lo = i; else { hi = i - 1; break; }
    let best = lo;
    for (let i = lo; i <= hi; i += 1) if (rows[i].t0 <= t && rows[i].type !== "gap") best = i;
    if (rows.length > 0) this.list.select(best, true, "middle");
  }
}
