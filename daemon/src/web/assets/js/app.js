// The page: reads the address, opens what it names, and wires the panes together.
//
// All that is looked at is in the state, and the state is in the address (state.js). Must ask nothing of any other origin.
// Changes nothing in the daemon but what the user says of detections (inspector/findings.js).

import { Api } from "./api.js";
import { Address, makeActions, NOTHING } from "./actions.js";
import { Banner } from "./banner.js";
import { h, notice } from "./dom.js";
import { oneLine } from "./format.js";
import { Inspector } from "./inspector/inspector.js";
import { listen, Walk } from "./keyboard.js";
import { Keys } from "./keys.js";
import { rowKey, whereIs } from "./links.js";
import { AllOverview } from "./overview/all.js";
import { SessionOverview } from "./overview/session.js";
import { SessionData } from "./session-data.js";
import { SessionsPane } from "./sessions.js";
import { divider } from "./split.js";
import { format, parse } from "./state.js";
import { applyTheme, kept, onTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import { TopBar } from "./topbar.js";
import { drawStart } from "./start.js";

/** A page that nobody looks at hangs up after so long, and goes on where it was: browsers allow few connections at once. */
const UNSEEN_MS = 30_000;

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
const banner = new Banner($("main"), { retry: () => wake(), now });
api.onlogin = () => banner.login();
api.onjudged = (detection) => {
  if (data && detection.session_id === data.id) data.take([{ detection }]);
  if (state.view === "overview" && data) overview.show(data);
};

const main = $("main"),
  timelineRoot = h("div", { class: "timeline" }),
  overviewRoot = h("div", { class: "sheet", tabindex: "0", hidden: true, role: "region", "aria-label": "Overview" }),
  allRoot = h("div", { class: "sheet", tabindex: "0", hidden: true, role: "region", "aria-label": "Everything" }),
  startRoot = h("div", { class: "start", hidden: true });
main.append(timelineRoot, overviewRoot, allRoot, startRoot);

const pane = new SessionsPane($("sessions"), {
  api,
  now,
  onopen: (id) => {
    if (pane.list.moving) walk.to(id);
    else {
      app.classList.remove("drawer");
      openSession(id);
    }
  },
  onfind: (find) => set({ find }, true),
  onchange: listed,
  onstate: (s) => {
    banner.state("list", s);
    show(state);
  },
});
const address = new Address(() => state);
const walk = new Walk({ open: (id, quiet) => openSession(id, {}, quiet), current: () => state.session });
pane.list.el.addEventListener("focusout", () => walk.end());
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
const everything = new AllOverview(allRoot, { api, goToSpan, now });
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
  initial: Math.round(Math.min(600, Math.max(450, innerWidth * 0.33))),
  label: "Width of the inspector",
});
sideLeft.show();

/** Changes the state. `quiet`: no further entry in the history. */
function set(change, quiet = true) {
  const before = state;
  state = { ...state, ...change };
  address.write(quiet);
  show(before);
}

function openSession(id, more = {}, quiet = passing()) {
  walk.leave();
  const view = state.view === "overview" ? "overview" : "timeline";
  set({ view, session: id, span: null, zoom: null, tools: [], agents: [], ...more }, quiet);
}

/** The way back does not lead to an address that only leads on. */
const passing = () => state.view === "span";

/** Makes the page what the state says. */
function show(before) {
  const nothing = state.view !== "all" && !state.session && pane.complete && pane.sessions.length === 0;
  startRoot.hidden = !nothing;
  if (nothing) drawStart(startRoot);
  for (const [view, el] of [
    ["timeline", timelineRoot],
    ["overview", overviewRoot],
    ["all", allRoot],
  ])
    el.hidden = nothing || state.view !== view;
  if (state.session !== data?.id) openData();
  const timelineSeen = state.view === "timeline" && data !== null;
  if (timelineSeen && before && (before.view !== state.view || narrowing(before) !== narrowing(state)))
    timeline.refresh();
  if (timelineSeen && state.span !== timeline.told) {
    if (state.span) timeline.showSelected(state.span);
    else {
      timeline.told = null;
      timeline.list.selectKey(null);
    }
  }
  if (!state.span) row = null;
  if (state.view === "overview" && data) overview.show(data);
  if (state.view === "all") everything.show();
  const open = timelineSeen && row !== null;
  if ($("inspector").hidden === open) {
    $("inspector").hidden = !open;
    if (open) sideRight.show();
    else sideRight.hide();
  }
  if (open && before && (before.span !== state.span || before.tab !== state.tab)) inspector.show(row, data);
  bar.draw(state.view, data?.session ?? null);
}

const narrowing = (s) => JSON.stringify([s.q, s.kinds, s.tools, s.agents, s.statuses, s.scale, s.zoom]);

function openData() {
  data?.stop();
  banner.state("session", "live");
  row = null;
  data = null;
  if (!state.session) return;
  pane.select(state.session);
  const mine = new SessionData(api, state.session, {
    now,
    onchange: (what) => {
      if (data === mine) changed(what);
    },
  });
  data = mine;
  data.session = pane.get(data.id);
  timeline.open(data);
  data.load();
}

/** Something came in. */
function changed(what) {
  if (what === "live") {
    timeline.drawBar();
    banner.state("session", data.live);
  }
  if (what === "session") bar.draw(state.view, data.session);
  if (what === "rows" || what === "complete" || what === "error") timeline.soon();
  if (state.view === "overview") overview.soon(data);
  if (row && what === "rows") inspector.refresh(data);
}

function selected(r) {
  row = r;
  if (state.span === r.key) show({ ...state, span: null });
  // Steps through rows are no steps of the history.
  else set({ span: r.key });
}

async function goToSpan(id) {
  const known = data?.model.spans.get(id);
  if (known) {
    const key = rowKey(data.model, known);
    set({ view: "timeline", session: data.id, span: key, ...NOTHING }, passing());
    timeline.showSelected(key);
    timeline.list.el.focus();
    return;
  }
  const at = await whereIs(api, id);
  if (at) openSession(at.session, { view: "timeline", span: at.key });
  else notice("That span is not on record any more", "error");
}

/** The list of sessions has something: the newest is opened where the address names none. */
function listed() {
  if (!state.session && state.view !== "span" && state.view !== "all" && pane.sessions.length > 0) {
    const id = pane.sessions[0].session_id;
    // The way back does not lead to an address without a session, which would lead here again.
    set({ view: state.view, session: id });
  } else if (data && !data.session && pane.get(data.id)) {
    data.session = pane.get(data.id);
    show(state);
    pane.select(data.id);
  } else if (pane.sessions.length === 0) show(state);
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
  drawTop: () => bar.draw(state.view, data?.session ?? null),
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
const chosen = () => {
  app.classList.remove("drawer");
  walk.end();
};
listen({ keys, act, timeline, pane, chosen, layered: () => closeTop !== null });

/** Goes where the address says. */
function read() {
  address.forget();
  walk.leave();
  const before = state,
    next = parse(location.hash);
  if (format(next) === format(state)) return;
  state = next;
  if (state.view === "span") goToSpan(state.span);
  else show(before);
}
addEventListener("hashchange", read);
addEventListener("popstate", read);
onTheme(() => timeline.map.draw());

const feeds = () => [pane.feed, data?.feed].filter(Boolean);
function wake() {
  for (const f of feeds()) f.wake();
}
let unseen = null;
addEventListener("visibilitychange", () => {
  clearTimeout(unseen);
  if (document.hidden)
    unseen = setTimeout(() => {
      for (const f of feeds()) f.rest();
    }, UNSEEN_MS);
  else wake();
});
addEventListener("online", wake);
// Anything that goes wrong is said, not swallowed.
addEventListener("unhandledrejection", (e) => {
  if (e.reason?.name !== "AbortError" && e.reason?.status !== 401)
    notice(`Something went wrong: ${oneLine(e.reason?.message ?? e.reason, 200)}`, "error");
});

pane.find(state.find);
if (state.view === "span") goToSpan(state.span);
else show(null);
pane.load();
