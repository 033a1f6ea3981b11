// The inspector: a row's tabs. One file per tab; each says whether it has anything to say of a row, and draws itself.
//
// While it is used (a selection, a field, a folded part that has the focus) it is not drawn again.
// A tab: { id, label, applies(ctx), render(ctx) → element or a promise of one }. What is drawn late for a row that is no
// longer selected is thrown away.

import { button, fill, h, s } from "../dom.js";
import { clockMs, duration, oneLine } from "../format.js";
import { icon, pathOf } from "../icons.js";
import { nameOf } from "../row.js";
import { kept } from "../theme.js";
import { headers } from "./headers.js";
import { raw } from "./raw.js";
import { related } from "./related.js";
import { request } from "./request.js";
import { response } from "./response.js";
import { summary } from "./summary.js";
import { timing } from "./timing.js";
import { tool } from "./tool.js";

const TABS = [summary, tool, request, response, timing, headers, raw, related];

/** It is drawn again so often at most while its row changes, and looked at so often whether it may be. */
const REDRAW_MS = 1000;

/** Whether a redraw would take something from the user's hands: the focus within, or what is selected or pressed there.
    `apart`: what may have the focus, since it gets it back. */
export function inUse(el, apart = [], doc = document) {
  const at = doc.activeElement;
  if (at && at !== el && el.contains(at) && !apart.includes(at)) return true;
  const chosen = doc.getSelection();
  if (chosen && !chosen.isCollapsed && (el.contains(chosen.anchorNode) || el.contains(chosen.focusNode))) return true;
  return el.querySelector(":active") !== null;
}

export class Inspector {
  constructor(root, { api, now, get, set, go, close }) {
    Object.assign(this, { root, api, now, get, set, go });
    this.head = h("div", { class: "i-head" });
    this.bar = h("div", { class: "tabs", role: "tablist", "aria-label": "Inspector" });
    this.panel = h("div", { class: "panel", role: "tabpanel", tabindex: "0" });
    this.shut = button(icon("close"), close, { "aria-label": "Close the inspector", title: "Close (Escape)" });
    root.append(this.head, this.bar, this.panel);
    this.bar.addEventListener("keydown", (e) => {
      const step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
      if (!step) return;
      const i = this.tabs.findIndex((t) => t.id === this.current.id);
      this.tab((i + step + this.tabs.length) % this.tabs.length);
      this.bar.querySelector('[aria-selected="true"]')?.focus();
      e.preventDefault();
    });
    this.turn = 0;
  }

  /** What the tabs are given. */
  context(row, data) {
    const span = row.span,
      model = row.agent && row.type === "agent" ? row.agent : null;
    const final = span ? span.status !== "running" : true;
    return {
      row,
      data,
      api: this.api,
      go: this.go,
      now: this.now(),
      span,
      agent: model,
      exchange: span?.exchange ?? null,
      cwd: data.session?.cwd ?? null,
      again: () => this.show(row, data),
      tab: (id) => this.tab(this.tabs.findIndex((t) => t.id === id)),
      chose: (this.memory ??= {}),
      full: () => (span ? this.api.span(span.id, final) : Promise.resolve(null)),
      detail: () => this.api.exchange(span.exchange),
    };
  }

  /** `again`: it is shown already, and changed. */
  show(row, data, again = false) {
    row = latest(row, data) ?? row;
    this.row = row;
    this.data = data;
    this.shownAt = performance.now();
    clearTimeout(this.later);
    this.later = null;
    this.sign = signOf(row, data.model);
    const ctx = this.context(row, data);
    this.tabs = TABS.filter((t) => t.applies(ctx));
    const wanted = this.get().tab ?? kept.get("ccd.tab");
    this.current = this.tabs.find((t) => t.id === wanted) ?? this.tabs[0];
    fill(
      this.head,
      s("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: pathOf(row) })),
      h("h2", { class: "cut", text: nameOf(row) }),
      row.status && row.status !== "ok" ? h("span", { class: `chip ${row.status}`, text: row.status }) : null,
      h("span", {
        class: "muted cut grow",
        text: `${clockMs(row.t0)}${row.t1 !== null && row.t1 > row.t0 ? ` · ${duration(row.t1 - row.t0)}` : ""}`,
      }),
      this.shut,
    );
    fill(
      this.bar,
      this.tabs.map((t, i) =>
        button(t.label, () => this.tab(i), {
          role: "tab",
          id: `tab-${t.id}`,
          "aria-selected": String(t === this.current),
          "aria-controls": "tabpanel",
          tabindex: t === this.current ? "0" : "-1",
        }),
      ),
    );
    this.panel.id = "tabpanel";
    this.panel.setAttribute("aria-labelledby", `tab-${this.current.id}`);
    this.draw(ctx, again);
  }

  async draw(ctx, again) {
    const turn = (this.turn += 1),
      tab = this.current,
      what = `${ctx.row.key} ${tab.id}`,
      changed = again && this.drawnFor === what,
      slow = setTimeout(() => {
        if (turn === this.turn && !changed) fill(this.panel, h("p", { class: "muted", text: "Loading…" }));
      }, 120);
    let content;
    this.drawing = true;
    try {
      content = await tab.render(ctx);
    } catch (e) {
      content = h(
        "div",
        { class: "empty" },
        h("b", { text: "This cannot be shown" }),
        oneLine(e.message, 300),
        e.hint ? h("p", { text: oneLine(e.hint, 300) }) : null,
      );
    }
    clearTimeout(slow);
    if (turn !== this.turn) return;
    this.drawing = false;
    if (changed && inUse(this.panel)) {
      // Meanwhile something was taken hold of.
      this.sign = null;
      this.refresh(ctx.data);
      return;
    }
    fill(this.panel, content);
    if (this.drawnFor !== what) this.panel.scrollTop = 0;
    this.drawnFor = what;
  }

  /** Something came in: draws again if this row changed, a little later. */
  refresh(data) {
    if (!this.row || data !== this.data || this.later) return;
    const wait = Math.max(0, (this.shownAt ?? 0) + REDRAW_MS - performance.now());
    this.later = setTimeout(() => this.due(data), this.sign === null ? REDRAW_MS : wait);
  }

  due(data) {
    this.later = null;
    if (data !== this.data || this.root.hidden) return;
    // Its turn's rows are made again now, not when they are drawn next; it may have come to another turn.
    data.model.blocks();
    const row = latest(this.row, data);
    if (!row || signOf(row, data.model) === this.sign) return;
    const tabs = [...this.bar.children],
      at = document.activeElement;
    // What is on its way is shown first: or else, where answers are slow, nothing ever would be.
    if (this.drawing || inUse(this.root, [this.panel, this.shut, ...tabs])) {
      this.later = setTimeout(() => this.due(data), REDRAW_MS);
      return;
    }
    this.show(row, data, true);
    if (at === this.shut) at.focus();
    else if (tabs.includes(at)) this.bar.querySelector('[aria-selected="true"]')?.focus();
  }

  tab(i) {
    const t = this.tabs?.[i];
    if (!t) return;
    kept.set("ccd.tab", t.id);
    if (this.get().tab === t.id) this.show(this.row, this.data);
    else this.set({ tab: t.id });
  }

  focus() {
    if (this.root.hidden) return;
    this.panel.focus();
  }
}

/** A row as its turn has it now; undefined where it is not there any more. */
const latest = ({ key }, { model }) => model.turns.get(model.turnOf(key))?.rows.find((r) => r.key === key);

const signOf = (row, model) =>
  `${row.detection ? model.doneAbout(row.detection).length : ""} ${row.status} ${row.t1} ${row.kids} ${row.span?.cost ?? ""} ${row.detection?.reason ?? ""} ${row.findings ?? ""} ${row.info?.cost_usd_micros ?? ""}`;
