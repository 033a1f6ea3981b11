// What keys, buttons and the palette do, by name (keys.js has the names).
//
// Changes the state through `set` and moves the focus; draws nothing itself. Here, too, is how a state gets into the address.

import { copy, h, notice } from "./dom.js";
import { exportName, FORMS, formUrl } from "./files.js";
import { openHelp } from "./help.js";
import { openPalette } from "./palette.js";
import { format } from "./state.js";
import { kept, toggleTheme } from "./theme.js";
import { closeMenu } from "./toolbar.js";

/** Narrower than this, the sessions are a drawer (layout.css). */
const DRAWER = 1100;
/** After so long, an address that was refused is written again. */
const AGAIN_MS = 1000;
const WORDS = { match: "match", prompt: "prompt", agent: "subagent", detection: "detection", error: "error" };
/** A state that leaves out no row. */
export const NOTHING = { q: "", kinds: [], tools: [], agents: [], statuses: [] };

/** Writes states into the address. Browsers refuse that when it is done too often: the last one is written a little later. */
export class Address {
  /** `get()`: the state as it is. */
  constructor(get, { history = globalThis.history, location = globalThis.location, timers = globalThis } = {}) {
    Object.assign(this, { get, history, location, timers, later: null, push: false });
  }

  /** `quiet`: no further entry in the history. */
  write(quiet) {
    this.timers.clearTimeout(this.later);
    // An entry that was refused is made once one is taken.
    this.push ||= !quiet;
    const hash = format(this.get());
    try {
      if (hash !== this.location.hash) this.history[this.push ? "pushState" : "replaceState"](null, "", hash);
      this.push = false;
    } catch {
      this.later = this.timers.setTimeout(() => this.write(true), AGAIN_MS);
    }
  }

  /** The address was changed by somebody else: nothing is left to be written. */
  forget() {
    this.timers.clearTimeout(this.later);
    this.push = false;
  }
}

/** `c`: the panes, and functions that give and change what the page has. Gives `act(name)`. */
export function makeActions(c) {
  const page = (n) => c.timeline.list.move(n * c.timeline.list.page());
  const step = (n) => {
    const next = c.pane.next(c.state().session, n);
    if (next) c.openSession(next);
  };
  const SIMPLE = {
    "row.next": () => c.timeline.list.move(1),
    "row.previous": () => c.timeline.list.move(-1),
    "page.next": () => page(1),
    "page.previous": () => page(-1),
    "row.first": () => c.timeline.list.select(0, true),
    "row.last": () => c.timeline.list.select(c.timeline.list.items.length - 1, true),
    "row.collapse": () => collapse(),
    "row.expand": () => {
      const r = c.timeline.list.items.at(c.timeline.list.at);
      if (r && c.timeline.list.at >= 0) c.timeline.fold(r, false);
    },
    "session.next": () => step(1),
    "session.previous": () => step(-1),
    search: () => {
      // From another view it is a step of the history: the way back leads there.
      c.set({ view: "timeline" }, c.state().view === "timeline");
      c.timeline.bar.focus();
    },
    "sessions.find": () => {
      showSessions();
      c.pane.input.focus();
    },
    "sessions.focus": () => {
      showSessions();
      c.pane.list.el.focus();
    },
    "sessions.toggle": () => {
      if (innerWidth < DRAWER) {
        c.app.classList.remove("no-sessions");
        c.app.classList.toggle("drawer");
        return;
      }
      kept.set("ccd.sessions", c.app.classList.toggle("no-sessions") ? "hidden" : "shown");
    },
    "view.timeline": () => {
      c.set({ view: "timeline" }, false);
      c.timeline.list.el.focus();
    },
    "view.overview": () => {
      c.set({ view: "overview" }, false);
      c.overviewRoot.focus();
    },
    "view.all": () => {
      c.set({ view: "all" }, false);
      c.allRoot.focus();
    },
    "scale.toggle": () => c.set({ scale: c.state().scale === "turn" ? "session" : "turn", zoom: null }),
    "zoom.in": () => c.timeline.zoom(0.5),
    "zoom.out": () => c.timeline.zoom(2),
    "zoom.all": () => c.set({ zoom: null }),
    "live.toggle": () => {
      const data = c.data();
      if (data) {
        data.pause(!data.gate.paused);
        c.timeline.refresh();
      }
    },
    "theme.toggle": () => {
      notice(`Colours: ${toggleTheme()}`);
      c.drawTop();
    },
    "inspector.focus": () => {
      if (c.row()) c.inspector.focus();
    },
    "fold.all": () => {
      if (c.data()) c.timeline.foldAll();
    },
    copy: () => {
      const row = c.row();
      if (row) copy(row.span?.error ? `${row.note}\n${row.span.error}` : row.note, "Text copied");
    },
    export: () => take("html", "One page"),
    ...Object.fromEntries(FORMS.map(([form, name]) => [`export.${form}`, () => take(form, name)])),
    "copy.link": () => copy(`${location.origin}/${format(c.state())}`, "Link copied"),
    help: () => {
      if (c.layer.get()) return;
      c.layer.set(
        openHelp({
          onclose: () => c.layer.set(null),
        }),
      );
    },
    palette: () => {
      if (c.layer.get()) return;
      c.layer.set(
        openPalette({
          act,
          sessions: c.pane.sessions,
          openSession: c.openSession,
          onclose: () => c.layer.set(null),
        }),
      );
    },
    escape: () => {
      if (closeMenu()) return;
      if (c.layer.get()) c.layer.get()();
      else if (c.app.classList.contains("drawer")) c.app.classList.remove("drawer");
      else if ([c.pane.input, c.timeline.bar.input].includes(document.activeElement)) {
        const input = document.activeElement;
        if (!input.value) c.timeline.list.el.focus();
        else {
          if (input === c.pane.input) c.pane.find("");
          else c.set({ q: "" });
          input.value = "";
        }
      } else if (document.activeElement?.matches("input:not([type=checkbox])")) {
        // What was typed elsewhere is nobody's search: it goes first, then the focus.
        if (document.activeElement.value) document.activeElement.value = "";
        else (document.activeElement.closest('[role="tabpanel"], [role="region"]') ?? c.timeline.list.el).focus();
      } else if (c.inspectorRoot.contains(document.activeElement)) c.timeline.list.el.focus();
      else if (
        c.state().q ||
        c.state().kinds.length + c.state().tools.length + c.state().agents.length + c.state().statuses.length > 0
      )
        c.set(NOTHING);
      else if (c.state().zoom) c.set({ zoom: null });
      else if (c.state().span) c.set({ span: null });
    },
  };

  /** Downloads the session. */
  function take(form, name) {
    const id = c.data()?.id;
    if (!id) return;
    // Whatever the browser does with a download, and nothing of this page goes away for it.
    h("a", { href: formUrl(id, form), download: exportName(id, form) }).click();
    notice(`The session as a file, redacted: ${name}`);
  }

  function showSessions() {
    c.app.classList.remove("no-sessions");
    if (innerWidth < DRAWER) c.app.classList.add("drawer");
  }

  function collapse() {
    const list = c.timeline.list,
      r = list.at < 0 ? undefined : list.items.at(list.at);
    if (!r) return;
    if (r.kids > 0 && c.timeline.view.open(r)) {
      c.timeline.fold(r, true);
      return;
    }
    for (let i = list.at - 1; i >= 0; i -= 1)
      if (list.items.at(i).depth < r.depth && list.items.at(i).turn === r.turn) {
        list.select(i, true);
        return;
      }
  }

  /** Does what a key, a button or the palette names. */
  function act(name) {
    if (Object.hasOwn(SIMPLE, name)) {
      SIMPLE[name]();
      return;
    }
    const [thing, direction] = name.split(".");
    if (thing === "tab") c.inspector.tab(Number(direction) - 1);
    else if (c.data()) {
      if (c.state().view !== "timeline") c.set({ view: "timeline" }, false);
      if (!c.timeline.go(thing, direction === "next" ? 1 : -1)) notice(`No ${WORDS[thing] ?? thing} here`);
      c.timeline.list.el.focus();
    }
  }

  return act;
}
