// Keys pressed anywhere on the page → actions (keys.js says which), and the walk through the list of sessions.

const LIST_STEPS = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };

/** The session that a walk through the list rests at for so long is opened: not each that is passed. */
const REST_MS = 150;

/** A walk through the list by keys. `open(id, quiet)`: only the first opened is a step of the history; `current()`: the
    session that is open. */
export class Walk {
  constructor({ open, current, timers = globalThis }) {
    Object.assign(this, { open, current, timers, later: null, id: null, on: false });
  }

  to(id) {
    this.stop();
    this.id = id;
    this.later = this.timers.setTimeout(() => this.arrive(), REST_MS);
  }

  /** Opens what it has come to now. */
  arrive() {
    const id = this.id,
      quiet = this.on;
    this.stop();
    if (id === null || id === this.current()) return;
    this.open(id, quiet);
    this.on = true;
  }

  /** What it has come to is not opened any more. */
  stop() {
    this.timers.clearTimeout(this.later);
    this.id = null;
  }

  /** Something else was opened: the next one is a step of the history again. */
  leave() {
    this.stop();
    this.on = false;
  }

  /** It ends where it has come to. */
  end() {
    this.arrive();
    this.on = false;
  }
}

/** Listens. `chosen()`: the session that the list has come to is the one; `layered()`: whether something lies above the
    page and has the keys. */
export function listen({ keys, act, timeline, pane, chosen, layered }) {
  addEventListener("keydown", (e) => {
    const t = e.target,
      text = t.matches?.("input:not([type=checkbox]), textarea, select"),
      inRows = timeline.list.el.contains(t);
    if (pane.list.el.contains(t) && !text && !e.ctrlKey && !e.metaKey && !e.altKey) {
      if (Object.hasOwn(LIST_STEPS, e.key)) {
        pane.list.move(LIST_STEPS[e.key]);
        e.preventDefault();
        return;
      }
      if (e.key === "Enter") {
        chosen();
        timeline.list.el.focus();
        e.preventDefault();
        return;
      }
    }
    if (layered() && e.key !== "Escape") return;
    if (!inRows && t.closest?.("button, summary, a, [role=tab]") && (e.key === "Enter" || e.key === " ")) return;
    const action = keys.press(e, text ? "text" : inRows ? "rows" : "", performance.now());
    if (action === null) return;
    e.preventDefault();
    if (action) act(action);
  });
}
