// The list of sessions: live ones, by day, searched and filtered.
//
// The list is followed: each session comes again when it changes. Search is over what the list shows, in the browser:
// thousands of sessions take a millisecond.

import { button, h, setAttr, setText } from "./dom.js";
import { ranges } from "./filter.js";
import { byDay, findSessions, isLive, SessionSet } from "./find-sessions.js";
import { ago, clock, duration, model, money, oneLine, parseTime, whole } from "./format.js";
import { Feed } from "./stream.js";
import { VirtualList } from "./virtual.js";

/** The list is drawn so often at most, while sessions change. */
const DRAW_MS = 250;
/** What is "live" grows old. */
const TICK_MS = 15_000;

export class SessionsPane {
  /** `onopen(id)`, `onfind(text)`, `onchange()`: the list has something; `onstate(state)`: how its stream is. */
  constructor(root, { api, onopen, onfind, onchange, onstate, now }) {
    Object.assign(this, { root, api, onopen, onfind, onchange, onstate, now });
    this.set = new SessionSet();
    this.complete = false;
    this.error = null;
    this.text = "";
    this.input = h("input", {
      type: "search",
      placeholder: "Find a session",
      "aria-label": "Find a session",
      spellcheck: "false",
      autocomplete: "off",
    });
    this.input.addEventListener("input", () => {
      this.text = this.input.value;
      this.show();
      this.onfind(this.text);
    });
    this.input.addEventListener("keydown", (e) => {
      if (e.key === "ArrowDown" || e.key === "Enter") {
        this.list.el.focus();
        if (this.list.at < 0) this.list.move(1);
        e.preventDefault();
      }
    });
    const only = (word, label, title) => {
      const b = button(
        label,
        () => {
          const words = this.text.split(/\s+/).filter(Boolean),
            on = !words.includes(word);
          this.find((on ? [...words, word] : words.filter((w) => w !== word)).join(" "));
        },
        { "aria-pressed": "false", title, "data-word": word },
      );
      return b;
    };
    this.only = [
      only("is:live", "live", "Sessions that run"),
      only("has:errors", "failed", "With failed tools"),
      only("has:detections", "found", "In which detectors found something"),
    ];
    this.list = new VirtualList({
      role: "listbox",
      label: "Sessions",
      height: 50,
      heightOf: (s) => (s.day ? 28 : 52),
      key: (s) => s.key ?? s.session_id,
      selectable: (s) => !s.day,
      create: createItem,
      update: (el, s) => updateItem(el, s, this.words, this.now()),
      onselect: (s) => this.onopen(s.session_id),
    });
    this.sum = h("span", { class: "muted" });
    root.append(
      h(
        "div",
        { class: "s-head", role: "search" },
        this.input,
        h("div", { class: "s-only", role: "group", "aria-label": "Only sessions" }, ...this.only, this.sum),
      ),
      this.list.el,
    );
    setInterval(() => {
      if (!document.hidden) this.show();
    }, TICK_MS);
    this.feed = new Feed({
      url: (after) => api.url("follow", { after }),
      take: (lines) => this.take(lines),
      onState: (state, error) => this.state(state, error),
      fetch: api.fetch,
    });
  }

  get sessions() {
    return this.set.list;
  }

  load() {
    this.feed.start();
  }

  take(lines) {
    const first = this.set.size === 0;
    this.complete = this.set.take(lines) || this.complete;
    if (first || this.complete !== this.told) {
      this.told = this.complete;
      this.show();
      this.onchange();
    } else
      this.later ??= setTimeout(() => {
        this.later = null;
        this.show();
        this.onchange();
      }, DRAW_MS);
  }

  state(state, error) {
    this.error = state === "ended" ? (error?.message ?? "The list cannot be followed") : null;
    if (state === "login") this.api.onlogin?.();
    this.live = state;
    this.onstate(state);
    if (this.set.size === 0) this.show();
  }

  get words() {
    return this.text
      .toLowerCase()
      .split(/\s+/)
      .filter((w) => w && !w.includes(":"));
  }

  find(text) {
    this.text = text;
    this.input.value = text;
    this.show();
    this.onfind(text);
  }

  show() {
    const now = this.now(),
      found = findSessions(this.sessions, this.text, now);
    this.shown = found;
    for (const b of this.only) b.setAttribute("aria-pressed", String(this.text.split(/\s+/).includes(b.dataset.word)));
    this.list.setItems(byDay(found, now));
    setText(
      this.sum,
      found.length === this.sessions.length ? whole(found.length) : `${whole(found.length)} of ${whole(this.sessions.length)}`,
    );
    this.none ??= this.root.appendChild(h("div", { class: "empty" }));
    this.none.hidden = found.length > 0;
    setText(
      this.none,
      found.length > 0
        ? ""
        : (this.error ??
          (this.sessions.length > 0
            ? "No session is like that."
            : this.complete
              ? "No session yet."
              : this.live === "waiting"
                ? "The daemon does not answer yet."
                : "Loading…")),
    );
    this.list.el.hidden = found.length === 0;
  }

  select(id) {
    this.list.selectKey(id, "nearest");
  }

  get(id) {
    return this.set.get(id);
  }

  /** The session `step` further in the list. */
  next(id, step) {
    const i = (this.shown ?? []).findIndex((s) => s.session_id === id);
    return this.shown?.[i + step]?.session_id ?? null;
  }
}

function createItem() {
  const p = {
    dot: h("span", { class: "dot pulse", title: "live" }),
    name: h("span", { class: "cut" }),
    cost: h("span", { class: "cost" }),
    sub: h("span", { class: "sub cut" }),
    errors: h("span", { class: "e" }),
    found: h("span", { class: "d" }),
    took: h("span"),
    bar: h("i"),
    day: h("span"),
    total: h("span"),
  };
  p.ctx = h("span", { class: "ctx" }, p.bar);
  const inner = [
    h("span", { class: "name" }, p.dot, p.name),
    p.cost,
    p.sub,
    h("span", { class: "marks" }, p.errors, p.found, p.took),
    p.ctx,
  ];
  const el = h("div", {});
  el.parts = p;
  el.inner = inner;
  return el;
}

function updateItem(el, s, words, now) {
  const p = el.parts;
  if (s.day) {
    if (el.what !== "day") {
      el.what = "day";
      el.className = "s-day";
      el.replaceChildren(p.day, p.total);
    }
    setText(p.day, s.day);
    setText(p.total, money(s.cost));
    setAttr(p.total, "title", "All that the sessions last used on this day cost, on earlier days too");
    setAttr(el, "aria-label", null);
    return;
  }
  if (el.what !== "item") {
    el.what = "item";
    el.className = "s-item";
    el.replaceChildren(...el.inner);
  }
  const live = isLive(s, now),
    project = oneLine(s.project ?? "(no project)", 60),
    start = parseTime(s.started_at),
    last = parseTime(s.last_at);
  p.dot.hidden = !live;
  const at = ranges(project, words);
  if (at.length > 0)
    p.name.replaceChildren(
      ...at.flatMap(([a, b], i) => [project.slice(i ? at[i - 1][1] : 0, a), h("mark", { text: project.slice(a, b) })]),
      project.slice(at[at.length - 1][1]),
    );
  else setText(p.name, project);
  setText(p.cost, money(s.cost_usd_micros));
  setText(
    p.sub,
    `${live ? ago(start, now) : clock(start).slice(0, 5)} · ${model(s.model)} · ${s.turns} ${s.turns === 1 ? "prompt" : "prompts"}`,
  );
  setText(p.errors, s.tool_errors > 0 ? `${s.tool_errors}×` : "");
  setAttr(p.errors, "title", s.tool_errors > 0 ? `${s.tool_errors} tool calls failed` : null);
  setText(p.found, s.detections > 0 ? `▲${s.detections}` : "");
  setAttr(p.found, "title", s.detections > 0 ? `${s.detections} detections` : null);
  setText(p.took, duration(last - start));
  const percent = s.context?.percent ?? 0;
  p.bar.style.setProperty("--p", String(Math.min(100, percent)));
  p.ctx.className = `ctx${percent >= 85 ? " full" : percent >= 70 ? " high" : ""}`;
  setAttr(p.ctx, "title", `context ${percent} % full`);
}
