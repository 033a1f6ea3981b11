// The page: reads the address, opens what it names, and wires the panes together.
//
// All that is looked at is in the state, and the state is in the address (state.js). Must ask nothing of any other origin,
// and change nothing in the daemon: it only looks.

import { Api } from "./api.js";
import { makeActions } from "./actions.js";
import { h, notice, setText } from "./dom.js";
import { oneLine } from "./format.js";
import { Inspector } from "./inspector/inspector.js";
import { Keys } from "./keys.js";
import { AllOverview } from "./overview/all.js";
import { SessionOverview } from "./overview/session.js";
import { SessionData } from "./session-data.js";
import { SessionsPane } from "./sessions.js";
import { divider } from "./split.js";
import { format, parse } from "./state.js";
import { applyTheme, kept, onTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import { TopBar } from "./topbar.js";

const now = () => Date.now();
const $ = (id) => document.getElementById(id);
const api = new Api(),
  keys = new Keys();
let state = parse(location.hash),
  data = null,
  closeTop = null,
  row = null;

applyTheme();
const app = $("app");
if (kept.get("ccd.sessions") === "hidden") app.classList.add("no-sessions");

const bar = new TopBar($("top"), { act: (name) => act(name) });

const main = $("main"),
  timelineRoot = h("div", { class: "view" }),
  overviewRoot = h("div", { class: "sheet", tabindex: "0", hidden: true }),
  allRoot = h("div", { class: "sheet", tabindex: "0", hidden: true });
timelineRoot.setAttribute("class", "timeline");
main.append(timelineRoot, overviewRoot, allRoot);

const pane = new SessionsPane($("sessions"), {
  api,
  now,
  onopen: (id) => {
    app.classList.remove("drawer");
    openSession(id);
  },
  onfind: (find) => set({ find }, true),
  onload: () => {
    const s = data && pane.get(data.id);
    if (s && s.last_at !== data.session?.last_at) {
      data.session = s;
      timeline.soon();
      drawTop();
    }
  },
});
const timeline = new Timeline(timelineRoot, {
  api,
  get: () => state,
  set,
  now,
  onselect: selected,
  onopen: () => act("inspector.focus"),
  actions: (name) => act(name),
});
const inspector = new Inspector($("inspector"), {
  api,
  now,
  get: () => state,
  set,
  go: goToSpan,
  close: () => set({ span: null }, false),
});
const overview = new SessionOverview(overviewRoot, { api, go: goToSpan });
const everything = new AllOverview(allRoot, { api, openSession, now });
const sideLeft = divider($("sessions"), {
  variable: "--w-sessions",
  side: "left",
  least: 200,
  most: () => 480,
  initial: 272,
  label: "Width of the sessions",
});
const sideRight = divider($("inspector"), {
  variable: "--w-inspector",
  side: "right",
  least: 320,
  most: () => innerWidth * 0.62,
  initial: Math.round(Math.min(560, Math.max(420, innerWidth * 0.32))),
  label: "Width of the inspector",
});
sideLeft.show();

/** Changes the state. `quiet`: no further entry in the history. */
function set(change, quiet = true) {
  const before = state;
  state = { ...state, ...change };
  const hash = format(state);
  if (hash !== location.hash) history[quiet ? "replaceState" : "pushState"](null, "", hash);
  show(before);
}

function openSession(id, more = {}) {
  set(
    {
      view: state.view === "overview" ? "overview" : "timeline",
      session: id,
      span: null,
      zoom: null,
      tools: [],
      agents: [],
      ...more,
    },
    false,
  );
}

/** Makes the page what the state says. */
function show(before) {
  for (const [view, el] of [
    ["timeline", timelineRoot],
    ["overview", overviewRoot],
    ["all", allRoot],
  ])
    el.hidden = state.view !== view;
  if (state.session !== data?.id) openData();
  if (
    state.view === "timeline" &&
    data &&
    before &&
    (before.view !== state.view || narrowing(before) !== narrowing(state))
  )
    timeline.refresh();
  if (state.view === "timeline" && state.span !== timeline.told && data) {
    if (state.span) timeline.showSelected(state.span);
    else {
      timeline.told = null;
      timeline.list.selectKey(null);
    }
  }
  if (!state.span) row = null;
  if (state.view === "overview" && data) overview.show(data);
  if (state.view === "all") everything.show();
  const open = state.view === "timeline" && row !== null;
  if ($("inspector").hidden === open) {
    $("inspector").hidden = !open;
    if (open) sideRight.show();
    else sideRight.hide();
  }
  if (open && before && (before.span !== state.span || before.tab !== state.tab)) inspector.show(row, data);
  drawTop();
}

const narrowing = (s) => JSON.stringify([s.q, s.kinds, s.tools, s.agents, s.statuses, s.scale, s.zoom]);

function openData() {
  data?.stop();
  row = null;
  data = null;
  if (!state.session) return;
  pane.select(state.session);
  const id = state.session,
    mine = new SessionData(api, id, {
      now,
      onchange: (event) => {
        if (data !== mine) return;
        if (event === "live") {
          timeline.drawBar();
          return;
        }
        if (event === "exchanges") {
          timeline.list.draw(true);
          return;
        }
        if (event === "error") notice(mine.error.message, "error");
        timeline.soon();
        if (state.view === "overview") overview.soon(mine);
        if (event === "loaded") {
          drawTop();
          if (state.view === "overview") overview.show(mine);
        }
        if (row && event === "rows") inspector.refresh(mine);
      },
    });
  data = mine;
  data.session = pane.get(id);
  timeline.open(data);
  const key = state.span;
  if (key?.startsWith("s:") || key?.startsWith("t:")) turnOf(key).then((turn) => mine.load(turn));
  else mine.load();
}

/** The turn of a row that is asked for, so that it is loaded first. */
async function turnOf(key) {
  if (key.startsWith("t:")) return key.slice(2);
  try {
    return (await api.span(key.slice(2), true))?.turn_id ?? null;
  } catch {
    return null;
  }
}

function selected(r) {
  row = r;
  if (state.span === r.key) {
    show({ ...state, span: null });
    return;
  }
  // Steps through rows are no steps of the history.
  set({ span: r.key });
}

async function goToSpan(id) {
  const known = data?.model.spans.get(id);
  if (known) {
    set({ view: "timeline", span: rowKey(known), q: "", kinds: [], tools: [], agents: [], statuses: [] }, false);
    timeline.showSelected(state.span);
    timeline.list.el.focus();
    return;
  }
  try {
    const span = (await api.json(`show/${encodeURIComponent(id)}`)).span;
    if (span) openSession(span.session_id, { view: "timeline", span: `s:${span.span_id}` });
  } catch {
    notice("That span is not on record any more", "error");
  }
}

/** The row that shows a span: a prompt's root and a helper's agent have their caller's. */
function rowKey(s) {
  if (s.kind === "agent" && !s.parent) return `t:${s.turn}`;
  const parent = s.kind === "agent" && data.model.spans.get(s.parent);
  return parent && parent.kind === "tool" ? `s:${parent.id}` : `s:${s.id}`;
}

function drawTop() {
  bar.draw(state.view, data?.session ?? null);
}

const act = makeActions({
  app,
  timeline,
  pane,
  inspector,
  inspectorRoot: $("inspector"),
  overviewRoot,
  allRoot,
  set,
  openSession,
  drawTop,
  state: () => state,
  data: () => data,
  row: () => row,
  layer: {
    get: () => closeTop,
    set: (close) => {
      closeTop = close;
    },
  },
});

addEventListener("keydown", (e) => {
  const t = e.target,
    text = t.matches?.("input, textarea, select"),
    inRows = timeline.list.el.contains(t);
  if (pane.list.el.contains(t) && !text) {
    const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[e.key];
    if (steps) {
      pane.list.move(steps);
      e.preventDefault();
      return;
    }
    if (e.key === "Enter") {
      timeline.list.el.focus();
      e.preventDefault();
      return;
    }
  }
  if (closeTop && e.key !== "Escape") return;
  if (!inRows && t.closest?.("button, summary, a") && (e.key === "Enter" || e.key === " ")) return;
  const action = keys.press(e, text ? "text" : inRows ? "rows" : "", performance.now());
  if (action === null) return;
  e.preventDefault();
  if (action) act(action);
});
addEventListener("hashchange", () => {
  const before = state;
  state = parse(location.hash);
  if (state.view === "span") goToSpan(state.span);
  else show(before);
});
addEventListener("popstate", () => {
  const next = parse(location.hash),
    before = state;
  if (format(next) !== format(state)) {
    state = next;
    show(before);
  }
});
onTheme(() => {
  timeline.map.draw();
});
// Anything that goes wrong is said, not swallowed.
addEventListener("unhandledrejection", (e) => {
  if (e.reason?.name !== "AbortError")
    notice(`Something went wrong: ${oneLine(e.reason?.message ?? e.reason, 200)}`, "error");
});

pane.find(state.find);
if (state.view === "span") goToSpan(state.span);
else show(null);
pane.load().then(() => {
  if (!state.session && state.view !== "span" && state.view !== "all" && pane.sessions.length > 0)
    openSession(pane.sessions[0].session_id);
  else if (data) {
    data.session = pane.get(data.id);
    pane.select(data.id);
    timeline.refresh();
    show(null);
  }
  setText($("notices"), "");
});
