// One row of the timeline: how it is made, and what of a row's data stands where.
//
// Made once and filled many times, some of it on each frame while somebody scrolls: only what differs is written.
// Captured text goes through `oneLine`, which makes visible what would act.

import { h, s, setAttr, setText, marked } from "./dom.js";
import { around, ranges } from "./filter.js";
import { clock, count, duration, model, money, oneLine, promptTokens } from "./format.js";
import { pathOf } from "./icons.js";
import { activity, place, segments } from "./waterfall.js";

const MOST_SEGMENTS = 2;

export function createRow() {
  const path = s("path"),
    parts = {
      when: h("span", { class: "when", role: "gridcell" }),
      tw: h("span", { class: "tw" }),
      icon: s("svg", { class: "icon svg", viewBox: "0 0 16 16", "aria-hidden": "true" }, path),
      name: h("span", { class: "name" }),
      text: h("span", { class: "text" }),
      marks: h("span", { class: "marks" }),
      tok: h("span", { class: "num tok", role: "gridcell" }),
      cost: h("span", { class: "num cost", role: "gridcell" }),
      took: h("span", { class: "num took", role: "gridcell" }),
      wf: h("span", { class: "wf", role: "gridcell" }),
    };
  const bars = Array.from({ length: MOST_SEGMENTS }, () => h("i", { hidden: true }));
  parts.wf.append(...bars);
  const el = h(
    "div",
    { class: "row" },
    parts.when,
    h("span", { class: "main", role: "gridcell" }, parts.tw, parts.icon, parts.name, parts.text, parts.marks),
    parts.tok,
    parts.cost,
    parts.took,
    parts.wf,
  );
  el.parts = Object.assign(parts, { path, bars });
  return el;
}

/** What a row is called. */
export function nameOf(row) {
  const s2 = row.span;
  switch (row.type) {
    case "prompt":
      return row.turn.info ? `#${row.turn.info.number}` : "#";
    case "llm":
      return s2.purpose && s2.purpose !== "main" && s2.purpose !== "subagent"
        ? `${model(s2.model)} · ${s2.purpose}`
        : model(s2.model);
    case "agent":
      return oneLine(row.agent?.agentType ?? s2?.tool ?? "agent", 60);
    case "compaction":
      return "Compaction";
    case "gap":
      return "idle";
    case "detection":
      return oneLine(row.detection.kind, 40);
    case "intervention":
      return oneLine(row.intervention.action, 40);
    default:
      return toolName(s2.tool ?? "tool");
  }
}

/** An MCP tool's name without its prefix. */
export function toolName(tool) {
  const m = /^mcp__(.+?)__(.+)$/.exec(tool);
  return oneLine(m ? `${m[1]} › ${m[2]}` : tool, 60);
}

const MONO = new Set(["Bash", "Grep", "Glob", "Read", "Edit", "Write", "MultiEdit", "LS", "NotebookEdit"]);

/** How we begin what we tell the model: the same in every row. */
const VOICE = /^ccd, the flight recorder of this machine, /;

function textOf(row) {
  if (row.type === "gap") return "";
  if (row.type === "llm" && row.span.error) return row.span.error;
  if (row.type === "intervention") return row.note.replace(VOICE, "");
  return row.note;
}

/** Paths start where the project does. */
export function shorten(text, cwd) {
  return cwd && text.startsWith(`${cwd}/`) ? text.slice(cwd.length + 1) : text;
}

/** What a model call usually stops for. */
const ORDINARY = new Set(["tool_use", "end_turn", "stop_sequence"]);

/** Chips behind the text. */
function marksOf(row, view) {
  const out = [],
    chip = (kind, text) => out.push([kind, text]),
    s2 = row.span;
  if (row.type === "prompt") {
    if (row.turn.findings) chip("detect", `${row.turn.findings} found`);
    if (row.turn.errors) chip("error", `${row.turn.errors} failed`);
    if (row.turn.info?.source === "machine") chip("", "machine");
    if (row.status === "interrupted") chip("denied", "interrupted");
  } else if (row.type === "agent" && row.kids > 0 && !view.open(row)) chip("", `${row.kids} inside`);
  if (row.par > 1) chip("", `∥ ${row.par}`);
  if (row.status === "error") chip("error", row.type === "prompt" ? "error" : "failed");
  if (row.status === "denied" && row.type !== "intervention") chip("denied", "denied");
  if (row.status === "running") chip("running", "running");
  if (row.status === "dismissed") chip("", "dismissed");
  if (row.type === "llm") {
    if (row.attempt > 1) chip("denied", `attempt ${row.attempt}`);
    if (s2.copied) chip("", "copied");
    if (s2.thinking?.[1]) chip("", "∅ thinking");
    if (s2.stop && !ORDINARY.has(s2.stop)) chip("denied", oneLine(s2.stop, 24));
  }
  return out;
}

/** Puts a row's data into its element. `view`: what is the same for all rows (see timeline.js). */
export function updateRow(el, row, view) {
  const p = el.parts,
    s2 = row.span,
    type = row.type;
  setAttr(el, "data-type", type);
  setAttr(el, "data-status", row.status || null);
  setAttr(el, "data-mono", type === "tool" && MONO.has(s2.tool) ? "" : null);
  setAttr(el, "aria-level", String(row.depth + 1));
  setAttr(el, "aria-expanded", row.kids > 0 ? String(view.open(row)) : null);
  el.classList.toggle("context", view.context(row));
  if (el.depth !== row.depth) {
    el.depth = row.depth;
    el.style.setProperty("--d", row.depth);
  }
  setText(p.when, type === "gap" ? "" : clock(row.t0));
  const path = pathOf(row);
  if (p.d !== path) {
    p.d = path;
    p.path.setAttribute("d", path);
  }
  setText(
    p.name,
    type === "gap" ? `${duration(row.t1 - row.t0)} ${row.depth === 0 ? "idle" : "of nothing"}` : nameOf(row),
  );
  const text = shorten(view.words.length > 0 ? around(textOf(row), view.words) : oneLine(textOf(row), 300), view.cwd);
  const found = view.words.length > 0 ? ranges(text, view.words) : [];
  const snippet = view.words.length > 0 && found.length === 0 && s2 ? view.snippets?.get(s2.id) : null;
  if (snippet) p.text.replaceChildren(...marked(oneLine(snippet, 300), ranges(oneLine(snippet, 300), view.words)));
  else if (found.length > 0) p.text.replaceChildren(...marked(text, found));
  else setText(p.text, text);
  const marks = marksOf(row, view),
    sign = marks.join("|");
  if (p.sign !== sign) {
    p.sign = sign;
    p.marks.replaceChildren(...marks.map(([kind, t]) => h("span", { class: `chip ${kind}`, text: t })));
  }
  const tokens = type === "prompt" || type === "agent" ? (row.agent?.tokens ?? s2?.tokens) : s2?.tokens;
  setText(p.tok, tokens && type !== "detection" ? `${count(promptTokens(tokens))} → ${count(tokens.output)}` : "");
  const cost =
    row.type === "prompt"
      ? (row.turn.info?.cost_usd_micros ?? s2?.cost)
      : (row.agent?.cost ?? (type === "llm" || type === "compaction" ? s2?.cost : null));
  setText(p.cost, cost === null || cost === undefined ? "" : money(cost));
  setText(
    p.took,
    type === "gap" || type === "detection" || type === "intervention"
      ? ""
      : row.t1 === null
        ? duration(Math.max(0, view.now - row.t0))
        : duration(row.t1 - row.t0),
  );
  drawBars(el, row, view);
}

const PARTS = 96;
const HUES = { llm: "--k-llm", tool: "--k-tool", compaction: "--k-compaction", error: "--error" };
const stripes = new WeakMap(); // a turn's rows → { axis, image }

/** A folded turn's bar: what went on in it, as stripes. */
function striped(turn, axis, now) {
  const known = stripes.get(turn.rows);
  if (known && known.axis === axis && turn.t1 !== null) return known.image;
  const stops = [];
  activity(turn, axis, now, PARTS).forEach((kind, i) => {
    const c = kind ? `var(${HUES[kind]})` : "transparent",
      last = stops[stops.length - 1];
    if (last && last[0] === c) last[2] = i + 1;
    else stops.push([c, i, i + 1]);
  });
  const at = (i) => `${((i / PARTS) * 100).toFixed(2)}%`,
    image = `linear-gradient(90deg, ${stops.map(([c, a, b]) => `${c} ${at(a)} ${at(b)}`).join(", ")})`;
  stripes.set(turn.rows, { axis, image });
  return image;
}

function drawBars(el, row, view) {
  const p = el.parts,
    list = segments(row, view.now),
    axis = view.axis(row),
    bad = row.status === "error" && row.type !== "prompt" && row.type !== "agent";
  el.axis = axis;
  for (let i = 0; i < MOST_SEGMENTS; i += 1) {
    const bar = p.bars[i],
      segment = list[i],
      at = segment && axis ? place(segment, axis, view.zoom, 0) : null;
    if (!at) {
      if (!bar.hidden) bar.hidden = true;
      continue;
    }
    if (bar.hidden) bar.hidden = false;
    // Stripes are of the whole turn: where only a part of the time is looked at, a line has to do.
    const whole = view.zoom[0] === 0 && view.zoom[1] === 1,
      folded = whole && segment.what === "turn" && row.kids > 0 && !view.open(row),
      image = folded ? striped(row.turn, axis, view.now) : "";
    setAttr(bar, "data-what", folded ? "folded" : segment.what);
    if ((bar.image ?? "") !== image) {
      bar.image = image;
      bar.style.backgroundImage = image;
    }
    setAttr(bar, "data-open", segment.open ? "" : null);
    setAttr(bar, "data-bad", bad && segment.what !== "ask" && segment.what !== "wait" ? "error" : null);
    const left = `${at[0].toFixed(3)}%`,
      width = `${at[1].toFixed(3)}%`;
    if (bar.l !== left) {
      bar.l = left;
      bar.style.left = left;
    }
    if (bar.w !== width) {
      bar.w = width;
      bar.style.width = width;
    }
  }
}
