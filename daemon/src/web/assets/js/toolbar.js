// The timeline's bar: search, filters by kind and status, menus of tools and agents.
//
// Shows the state and asks for another one; keeps none of its own but the text that is being typed.

import { button, fill, h, setAttr, setText } from "./dom.js";
import { oneLine, whole } from "./format.js";
import { icon } from "./icons.js";
import { toolName } from "./row.js";

const KINDS = [
  ["prompt", "prompts"],
  ["llm", "model"],
  ["tool", "tools"],
  ["agent", "agents"],
  ["compaction", "compactions"],
  ["detection", "findings"],
  ["intervention", "interventions"],
];
const NONE = { tools: [], agents: [], kinds: new Map(), statuses: new Map(), byAgent: new Map() };
const STATUSES = [
  ["error", "failed"],
  ["denied", "denied"],
  ["running", "running"],
];

export class Toolbar {
  /** `get()`: the state; `set(change)`: changes it. */
  constructor({ get, set, onkey, tally, actions }) {
    Object.assign(this, { get, set, tally });
    this.input = h("input", {
      type: "search",
      placeholder: "Search, or tool:Bash is:error",
      "aria-label": "Search this session",
      spellcheck: "false",
      autocomplete: "off",
    });
    this.result = h("output", { "aria-live": "polite" });
    let timer = null;
    this.input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => set({ q: this.input.value }), 60);
    });
    this.input.addEventListener("keydown", (e) => {
      if (["Enter", "ArrowDown", "ArrowUp"].includes(e.key)) {
        clearTimeout(timer);
        set({ q: this.input.value });
        onkey(e.key, e.shiftKey);
        e.preventDefault();
      }
    });
    const toggle = (list, value, label, drawing) => {
      const n = h("span", { class: "n" });
      const b = button(
        drawing ? h("span", { class: "label", text: label }) : label,
        () => {
          const now = get()[list];
          set({ [list]: now.includes(value) ? now.filter((v) => v !== value) : [...now, value] });
        },
        { "aria-pressed": "false", title: `Only ${label}`, "data-filter": value },
      );
      if (drawing) b.prepend(icon(drawing));
      b.append(n);
      return { el: b, list, value, n };
    };
    this.toggles = [
      ...KINDS.map(([k, label]) => toggle("kinds", k, label, k)),
      ...STATUSES.map(([k, label]) => toggle("statuses", k, label, null)),
    ];
    this.tools = button("Tool", (e) => this.menu(e.currentTarget, "tools", "tools"), {
      "aria-haspopup": "true",
      "aria-expanded": "false",
    });
    this.agents = button("Agent", (e) => this.menu(e.currentTarget, "agents", "agents"), {
      "aria-haspopup": "true",
      "aria-expanded": "false",
    });
    this.clear = button("clear", () => set({ q: "", kinds: [], tools: [], agents: [], statuses: [] }), {
      title: "Clear search and filters (Escape)",
    });
    this.scaleName = h("span", { class: "label" });
    this.scale = button([icon("gap"), this.scaleName], () => actions("scale.toggle"), {
      title: "Waterfall: each prompt on its own axis, or all on the session's (s)",
    });
    this.live = button("", () => actions("live.toggle"), { title: "Pause what is live; nothing is lost (p)" });
    this.fold = button(icon("compaction"), () => actions("fold.all"), {
      title: "Fold all prompts, or unfold them (z)",
      "aria-label": "Fold or unfold all",
    });
    const split = this.toggles.length - STATUSES.length;
    this.el = h(
      "div",
      { class: "bar", role: "toolbar", "aria-label": "Search and filters" },
      h("span", { class: "search", role: "search" }, this.input, this.result),
      h(
        "span",
        { class: "filters", role: "group", "aria-label": "Filters" },
        this.toggles.slice(0, split).map((t) => t.el),
        h("span", { class: "sep" }),
        this.toggles.slice(split).map((t) => t.el),
        h("span", { class: "sep" }),
        this.tools,
        this.agents,
        this.clear,
      ),
      h("span", { class: "controls" }, this.live, this.scale, this.fold),
    );
  }

  /** Shows the state. */
  show({ state, matched, all, narrowed, searching, live, held, active }) {
    if (document.activeElement !== this.input && this.input.value !== state.q) this.input.value = state.q;
    setText(this.result, searching ? "searching…" : narrowed ? `${whole(matched)} of ${whole(all)}` : "");
    const f = this.tally() ?? NONE;
    for (const t of this.toggles) {
      setAttr(t.el, "aria-pressed", String(state[t.list].includes(t.value)));
      const n = (t.list === "kinds" ? f.kinds : f.statuses).get(t.value) ?? 0;
      setText(t.n, n > 0 && t.value !== "prompt" ? whole(n) : "");
      t.el.hidden = n === 0 && !state[t.list].includes(t.value);
    }
    setText(this.tools, `${state.tools.length > 0 ? state.tools.map(toolName).join(", ") : "Tool"} ▾`);
    setAttr(this.tools, "aria-pressed", String(state.tools.length > 0));
    setText(this.agents, `${state.agents.length > 0 ? state.agents.map((a) => oneLine(a, 40)).join(", ") : "Agent"} ▾`);
    setAttr(this.agents, "aria-pressed", String(state.agents.length > 0));
    this.agents.hidden = f.byAgent.size < 2 && state.agents.length === 0;
    this.clear.hidden = !narrowed;
    setText(this.scaleName, state.scale === "turn" ? "by prompt" : "session");
    this.showLive(live, held, active);
  }

  showLive(live, held, active) {
    this.live.hidden = live === "ended";
    const sign = `${live} ${held} ${active}`;
    if (this.liveSign === sign) return;
    this.liveSign = sign;
    fill(
      this.live,
      live === "paused"
        ? [icon("play"), `paused${held > 0 ? ` (${whole(held)} held)` : ""}`]
        : live === "waiting"
          ? [h("span", { class: "dot off" }), "reconnecting…"]
          : live === "connecting"
            ? [h("span", { class: "dot off" }), "connecting…"]
            : [h("span", { class: active ? "dot pulse" : "dot off" }), "live"],
    );
    this.live.setAttribute("aria-pressed", String(live === "paused"));
    this.live.dataset.state = live;
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  menu(anchor, list, facet) {
    const values = (this.tally() ?? NONE)[facet],
      chosen = () => this.get()[list];
    const items = values.map(([value, n]) =>
      h(
        "label",
        {},
        h("input", {
          type: "checkbox",
          checked: chosen().includes(value),
          onchange: (e) =>
            this.set({ [list]: e.target.checked ? [...chosen(), value] : chosen().filter((v) => v !== value) }),
        }),
        h("span", { class: "grow", text: toolName(value) }),
        h("span", { class: "muted", text: whole(n) }),
      ),
    );
    openMenu(anchor, items.length > 0 ? items : [h("p", { class: "empty", text: "None so far" })]);
  }
}

/** How the stream of a session is, in one word. */
export function liveState(data) {
  if (data.live === "ended" || data.live === "login") return "ended";
  if (data.gate.paused) return "paused";
  return data.live;
}

let open = null;

/** A menu below a button; pressed again, the button closes it. */
export function openMenu(anchor, items) {
  const again = open?.anchor === anchor;
  closeMenu();
  if (again) return;
  const r = anchor.getBoundingClientRect();
  const el = h("div", { class: "menu", role: "group", "aria-label": anchor.getAttribute("aria-label") ?? anchor.textContent }, items);
  el.addEventListener("keydown", (e) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!step) return;
    const stops = [...el.querySelectorAll("input, button")],
      at = stops.indexOf(document.activeElement);
    stops[(at + step + stops.length) % stops.length]?.focus();
    e.preventDefault();
  });
  document.body.append(el);
  el.style.left = `${Math.min(r.left, innerWidth - el.offsetWidth - 8)}px`;
  el.style.top = `${r.bottom + 4}px`;
  anchor.setAttribute("aria-expanded", "true");
  const away = (e) => {
    if (!el.contains(e.target) && !anchor.contains(e.target)) closeMenu();
  };
  open = { el, anchor, away };
  setTimeout(() => addEventListener("pointerdown", away), 0);
  el.querySelector("input, button")?.focus();
}

/** Closes it; whether there was one. */
export function closeMenu() {
  if (!open) return false;
  removeEventListener("pointerdown", open.away);
  open.el.remove();
  open.anchor.setAttribute("aria-expanded", "false");
  open.anchor.focus();
  open = null;
  return true;
}
