// What keys, buttons and the palette do, by name (keys.js has the names).
//
// Changes the state through `set` and moves the focus; draws nothing itself.

import { copy, notice } from "./dom.js";
import { openHelp } from "./help.js";
import { openPalette } from "./palette.js";
import { kept, toggleTheme } from "./theme.js";
import { closeMenu } from "./toolbar.js";

/** Narrower than this, the sessions are a drawer (layout.css). */
const DRAWER = 1100;
const NOTHING = { q: "", kinds: [], tools: [], agents: [], statuses: [] };

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
      const r = c.timeline.list.items[c.timeline.list.at];
      if (r) c.timeline.fold(r, false);
    },
    "session.next": () => step(1),
    "session.previous": () => step(-1),
    search: () => {
      c.set({ view: "timeline" });
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
    "c.inspector.focus": () => {
      if (c.row()) c.inspector.focus();
    },
    "fold.all": () => {
      const prompts = c.timeline.list.items.filter((r) => r.type === "prompt"),
        fold = prompts.some((r) => !c.timeline.folded.has(r.key));
      for (const r of prompts)
        if (fold) c.timeline.folded.add(r.key);
        else c.timeline.folded.delete(r.key);
      c.timeline.refresh();
    },
    copy: () => {
      const row = c.row();
      if (row) copy(row.span?.error ? `${row.note}\n${row.span.error}` : row.note, "Text copied");
    },
    "copy.link": () => copy(location.href, "Link copied"),
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
      else if (document.activeElement?.matches("input")) {
        if (document.activeElement.value) {
          if (document.activeElement === c.pane.input) c.pane.find("");
          else c.set({ q: "" });
          document.activeElement.value = "";
        } else c.timeline.list.el.focus();
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

  function showSessions() {
    c.app.classList.remove("no-sessions");
    if (innerWidth < DRAWER) c.app.classList.add("drawer");
  }

  function collapse() {
    const list = c.timeline.list,
      r = list.items[list.at];
    if (!r) return;
    if (r.kids > 0 && !c.timeline.folded.has(r.key)) {
      c.timeline.fold(r, true);
      return;
    }
    for (let i = list.at - 1; i >= 0; i -= 1)
      if (list.items[i].depth < r.depth && list.items[i].turn === r.turn) {
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
      c.timeline.go(thing, direction === "next" ? 1 : -1);
      c.timeline.list.el.focus();
    }
  }

  return act;
}
