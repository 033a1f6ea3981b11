// The page: reads the address, opens what it names, and wires the panes together.
//
// All that is looked at is in the state, and the state is in the address (state.js). Must ask nothing of any other origin,
// and change nothing in the daemon: it only looks.

import { Api } from "./api.js";
import { button, copy, fill, h, notice, setText } from "./dom.js";
import { duration, model, money, oneLine, parseTime, clock, date } from "./format.js";
import { openHelp } from "./help.js";
import { icon } from "./icons.js";
import { Inspector } from "./inspector/inspector.js";
import { Keys } from "./keys.js";
import { AllOverview } from "./overview/all.js";
import { SessionOverview } from "./overview/session.js";
import { openPalette } from "./palette.js";
import { SessionData } from "./session-data.js";
import { SessionsPane } from "./sessions.js";
import { divider } from "./split.js";
import { format, parse } from "./state.js";
import { applyTheme, kept, onTheme, theme, toggleTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import { closeMenu } from "./toolbar.js";

const now = () => Date.now();
const $ = (id) => document.getElementById(id);
const api = new Api(), keys = new Keys();
let state = parse(location.hash), data = null, closeTop = null, row = null;

applyTheme();
const app = $("app");
if (kept.get("ccd.sessions") === "hidden") app.classList.add("no-sessions");

const what = h("div", { class: "what grow" }), themeButton = button(icon("system"), () => act("theme.toggle"));
const views = [["timeline", "Timeline"], ["overview", "Overview"], ["all", "Everything"]].map(([id, label]) => ({ id, el: button(label, () => act(`view.${id}`)) }));
fill($("top"), button(icon("menu"), () => act("sessions.toggle"), { "aria-label": "Sessions", title: "Show or hide the sessions (b)" }), h("span", { class: "brand optional", text: "ccd" }),
  h("nav", { "aria-label": "Views" }, views.map((v) => v.el)), what,
  button([icon("search"), h("span", { class: "optional", text: "Ctrl-K" }), h("span", { class: "sr", text: "Command palette" })], () => act("palette"), { class: "line", title: "Command palette (Ctrl-K)" }),
  themeButton, button(icon("help"), () => act("help"), { "aria-label": "Keyboard help", title: "Keyboard (?)" }));

const main = $("main"), timelineRoot = h("div", { class: "view" }), overviewRoot = h("div", { class: "sheet", tabindex: "0", hidden: true }), allRoot = h("div", { class: "sheet", tabindex: "0", hidden: true });
timelineRoot.setAttribute("class", "timeline");
main.append(timelineRoot, overviewRoot, allRoot);

const pane = new SessionsPane($("sessions"), { api, now, onopen: (id) => { app.classList.remove("drawer"); openSession(id); }, onfind: (find) => set({ find }, true), onload: () => { const s = data && pane.get(data.id); if (s && s.last_at !== data.session?.last_at) { data.session = s; timeline.soon(); drawTop(); } } });
const timeline = new Timeline(timelineRoot, { api, get: () => state, set, now, onselect: selected, onopen: () => act("inspector.focus"), actions: act });
const inspector = new Inspector($("inspector"), { api, now, get: () => state, set, go: goToSpan, close: () => set({ span: null }, false) });
const overview = new SessionOverview(overviewRoot, { api, go: goToSpan });
const everything = new AllOverview(allRoot, { api, openSession, now });
const sideLeft = divider($("sessions"), { variable: "--w-sessions", side: "left", least: 200, most: () => 480, initial: 272, label: "Width of the sessions" });
const sideRight = divider($("inspector"), { variable: "--w-inspector", side: "right", least: 320, most: () => innerWidth * 0.62, initial: Math.round(Math.min(560, Math.max(420, innerWidth * 0.32))), label: "Width of the inspector" });
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
  set({ view: state.view === "overview" ? "overview" : "timeline", session: id, span: null, zoom: null, tools: [], agents: [], ...more }, false);
}

/** Makes the page what the state says. */
function show(before) {
  for (const [view, el] of [["timeline", timelineRoot], ["overview", overviewRoot], ["all", allRoot]]) el.hidden = state.view !== view;
  for (const v of views) if (v.id === state.view) v.el.setAttribute("aria-current", "page"); else v.el.removeAttribute("aria-current");
  if (state.session !== data?.id) openData();
  if (state.view === "timeline" && data && before && (before.view !== state.view || narrowing(before) !== narrowing(state))) timeline.refresh();
  if (state.view === "timeline" && state.span !== timeline.told && data) { if (state.span) timeline.showSelected(state.span); else { timeline.told = null; timeline.list.selectKey(null); } }
  if (!state.span) row = null;
  if (state.view === "overview" && data) overview.show(data);
  if (state.view === "all") everything.show();
  const open = state.view === "timeline" && row !== null;
  if ($("inspector").hidden === open) { $("inspector").hidden = !open; if (open) sideRight.show(); else sideRight.hide(); }
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
  const id = state.session, mine = new SessionData(api, id, {
    now,
    onchange: (event) => {
      if (data !== mine) return;
      if (event === "live") { timeline.drawBar(); return; }
      if (event === "exchanges") { timeline.list.draw(true); return; }
      if (event === "error") notice(mine.error.message, "error");
      timeline.soon();
      if (state.view === "overview") overview.soon(mine);
      if (event === "loaded") { drawTop(); if (state.view === "overview") overview.show(mine); }
      if (row && event === "rows") inspector.refresh(mine);
    },
  });
  data = mine;
  data.session = pane.get(id);
  timeline.open(data);
  const key = state.span;
  if (key?.startsWith("s:") || key?.startsWith("t:")) turnOf(key).then((turn) => mine.load(turn)); else mine.load();
}

/** The turn of a row that is asked for, so that it is loaded first. */
async function turnOf(key) {
  if (key.startsWith("t:")) return key.slice(2);
  try { return (await api.span(key.slice(2), true))?.turn_id ?? null; } catch { return null; }
}

function selected(r) {
  row = r;
  if (state.span === r.key) { show({ ...state, span: null }); return; }
  // Steps through rows are no steps of the history.
  set({ span: r.key });
}

async function goToSpan(id) {
  const known = data?.model.spans.get(id);
  if (known) { set({ view: "timeline", span: rowKey(known), q: "", kinds: [], tools: [], agents: [], statuses: [] }, false); timeline.showSelected(state.span); timeline.list.el.focus(); return; }
  try {
    const span = (await api.json(`show/${encodeURIComponent(id)}`)).span;
    if (span) openSession(span.session_id, { view: "timeline", span: `s:${span.span_id}` });
  } catch { notice("That span is not on record any more", "error"); }
}

/** The row that shows a span: a prompt's root and a helper's agent have their caller's. */
function rowKey(s) {
  if (s.kind === "agent" && !s.parent) return `t:${s.turn}`;
  const parent = s.kind === "agent" && data.model.spans.get(s.parent);
  return parent && parent.kind === "tool" ? `s:${parent.id}` : `s:${s.id}`;
}

function drawTop() {
  const s = data?.session;
  if (state.view === "all") fill(what, h("h1", { text: "Everything" }));
  else if (s) fill(what, h("h1", { text: oneLine(s.project ?? "session", 60) }), h("span", { class: "muted optional", text: `${model(s.model)} · ${date(parseTime(s.started_at))} ${clock(parseTime(s.started_at)).slice(0, 5)} · ${duration(parseTime(s.last_at) - parseTime(s.started_at))} · ${money(s.cost_usd_micros)}` }));
  else fill(what);
  const name = theme();
  fill(themeButton, icon({ system: "system", light: "sun", dark: "moon" }[name]));
  themeButton.setAttribute("aria-label", `Colours: ${name}`);
  themeButton.title = `Colours: ${name} (t)`;
  document.title = s && state.view !== "all" ? `${oneLine(s.project ?? "session", 40)} – ccd` : "ccd";
}

const page = (n) => timeline.list.move(n * timeline.list.page());
const step = (n) => { const next = pane.next(state.session, n); if (next) openSession(next); };
const SIMPLE = {
  "row.next": () => timeline.list.move(1), "row.previous": () => timeline.list.move(-1), "page.next": () => page(1), "page.previous": () => page(-1),
  "row.first": () => timeline.list.select(0, true), "row.last": () => timeline.list.select(timeline.list.items.length - 1, true),
  "row.collapse": () => collapse(), "row.expand": () => { const r = timeline.list.items[timeline.list.at]; if (r) timeline.fold(r, false); },
  "session.next": () => step(1), "session.previous": () => step(-1), search: () => { set({ view: "timeline" }); timeline.bar.focus(); },
  "sessions.find": () => { showSessions(); pane.input.focus(); }, "sessions.focus": () => { showSessions(); pane.list.el.focus(); },
  "sessions.toggle": () => { if (innerWidth < 1100) { app.classList.remove("no-sessions"); app.classList.toggle("drawer"); return; } kept.set("ccd.sessions", app.classList.toggle("no-sessions") ? "hidden" : "shown"); },
  "view.timeline": () => { set({ view: "timeline" }, false); timeline.list.el.focus(); }, "view.overview": () => { set({ view: "overview" }, false); overviewRoot.focus(); }, "view.all": () => { set({ view: "all" }, false); allRoot.focus(); },
  "scale.toggle": () => set({ scale: state.scale === "turn" ? "session" : "turn", zoom: null }),
  "live.toggle": () => { if (data) { data.pause(!data.gate.paused); timeline.refresh(); } },
  "theme.toggle": () => { notice(`Colours: ${toggleTheme()}`); drawTop(); }, "inspector.focus": () => { if (row) inspector.focus(); },
  "fold.all": () => { const prompts = timeline.list.items.filter((r) => r.type === "prompt"), fold = prompts.some((r) => !timeline.folded.has(r.key)); for (const r of prompts) if (fold) timeline.folded.add(r.key); else timeline.folded.delete(r.key); timeline.refresh(); },
  copy: () => { if (row) copy(row.span?.error ? `${row.note}\n${row.span.error}` : row.note, "Text copied"); },
  "copy.link": () => copy(location.href, "Link copied"), help: () => { closeTop ??= openHelp({ onclose: () => { closeTop = null; } }); },
  palette: () => { closeTop ??= openPalette({ act, sessions: pane.sessions, openSession, onclose: () => { closeTop = null; } }); },
  escape: () => { if (closeMenu()) return; if (closeTop) closeTop(); else if (app.classList.contains("drawer")) app.classList.remove("drawer"); else if (document.activeElement?.matches("input")) { if (document.activeElement.value) { if (document.activeElement === pane.input) pane.find(""); else set({ q: "" }); document.activeElement.value = ""; } else timeline.list.el.focus(); } else if ($("inspector").contains(document.activeElement)) timeline.list.el.focus(); else if (state.q || state.kinds.length + state.tools.length + state.agents.length + state.statuses.length > 0) set({ q: "", kinds: [], tools: [], agents: [], statuses: [] }); else if (state.zoom) set({ zoom: null }); else if (state.span) set({ span: null }); },
};

function showSessions() { app.classList.remove("no-sessions"); if (innerWidth < 1100) app.classList.add("drawer"); }

function collapse() {
  const list = timeline.list, r = list.items[list.at];
  if (!r) return;
  if (r.kids > 0 && !timeline.folded.has(r.key)) { timeline.fold(r, true); return; }
  for (let i = list.at - 1; i >= 0; i -= 1) if (list.items[i].depth < r.depth && list.items[i].turn === r.turn) { list.select(i, true); return; }
}

/** Does what a key, a button or the palette names. */
function act(name) {
  if (Object.hasOwn(SIMPLE, name)) { SIMPLE[name](); return; }
  const [thing, direction] = name.split(".");
  if (thing === "tab") inspector.tab(Number(direction) - 1);
  else if (data) { timeline.go(thing, direction === "next" ? 1 : -1); timeline.list.el.focus(); }
}

addEventListener("keydown", (e) => {
  const t = e.target, text = t.matches?.("input, textarea, select"), inRows = timeline.list.el.contains(t);
  if (pane.list.el.contains(t) && !text) {
    const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[e.key];
    if (steps) { pane.list.move(steps); e.preventDefault(); return; }
    if (e.key === "Enter") { timeline.list.el.focus(); e.preventDefault(); return; }
  }
  if (closeTop && e.key !== "Escape") return;
  if (!inRows && (t.closest?.("button, summary, a") && (e.key === "Enter" || e.key === " "))) return;
  const action = keys.press(e, text ? "text" : inRows ? "rows" : "", performance.now());
  if (action === null) return;
  e.preventDefault();
  if (action) act(action);
});
addEventListener("hashchange", () => { const before = state; state = parse(location.hash); if (state.view === "span") goToSpan(state.span); else show(before); });
addEventListener("popstate", () => { const next = parse(location.hash), before = state; if (format(next) !== format(state)) { state = next; show(before); } });
onTheme(() => { timeline.map.draw(); });
// Anything that goes wrong is said, not swallowed.
addEventListener("unhandledrejection", (e) => { if (e.reason?.name !== "AbortError") notice(`Something went wrong: ${oneLine(e.reason?.message ?? e.reason, 200)}`, "error"); });

pane.find(state.find);
if (state.view === "span") goToSpan(state.span); else show(null);
pane.load().then(() => {
  if (!state.session && state.view !== "span" && state.view !== "all" && pane.sessions.length > 0) openSession(pane.sessions[0].session_id);
  else if (data) { data.session = pane.get(data.id); pane.select(data.id); timeline.refresh(); show(null); }
  setText($("notices"), "");
});
