// What stands above, below and in place of the rows: the columns' heads, the waterfall's axis, the sums of the session, and
// what is said where there is no row.

import { fill, h, setText } from "./dom.js";
import { count, duration, money, plural, promptTokens, whole } from "./format.js";
import { segments, ticks } from "./waterfall.js";

/** The heads of the columns. */
export function head(axis) {
  return h(
    "div",
    { class: "head", "aria-hidden": "true" },
    h("span", { class: "when", text: "Time" }),
    h("span", { class: "what", text: "What" }),
    h("span", { class: "num tok", text: "Tokens" }),
    h("span", { class: "num cost", text: "Cost" }),
    h("span", { class: "num", text: "Took" }),
    axis,
  );
}

/** Columns and words for which there is no room are left out. */
export function fit(grid, bar, width) {
  grid.classList.toggle("mid", width < 980 && width >= 720);
  grid.classList.toggle("slim", width < 720 && width >= 480);
  grid.classList.toggle("tiny", width < 480);
  bar.classList.toggle("brief", width < 1480);
  bar.classList.toggle("tight", width < 940);
}

const DID = {
  wait: "waiting for the first byte",
  stream: "streaming",
  ask: "waiting before it ran",
  run: "running",
  denied: "denied, did not run",
  agent: "subagent",
  turn: "turn",
  gap: "nothing",
};

/** A bar under the pointer says what it is. */
export function hint(list, now) {
  list.space.addEventListener("pointerover", (e) => {
    const el = e.target.closest?.(".wf"),
      slot = el && list.slots.find((x) => x.el.contains(el));
    if (!slot?.item) return;
    const parts = segments(slot.item, now()).filter((s) => DID[s.what]);
    el.title = parts.map((s) => `${DID[s.what]} ${duration(s.t1 - s.t0)}${s.open ? " so far" : ""}`).join(" · ");
  });
}

/** The axis of what is looked at. */
export function drawTicks(el, axis, zoom, width) {
  const sign = axis ? `${axis.start} ${axis.end} ${zoom} ${width}` : "";
  if (el.sign === sign) return;
  el.sign = sign;
  if (!axis || width < 40) {
    fill(el);
    return;
  }
  // One at the very end would be cut.
  const shown = ticks(axis, zoom, Math.max(1, Math.floor(width / 84))).filter((t) => t.x < 0.94);
  fill(
    el,
    shown.map((t) => {
      const i = h("i", { text: t.offset === 0 ? "0" : duration(t.offset).replace(/\.0+ /, " ") });
      i.style.left = `${t.x * 100}%`;
      return i;
    }),
  );
}

/** The sums of a session: what its rows are, and what it cost. */
export function drawFoot(el, data, blocks, now) {
  const s = data.session,
    { tally } = data.model;
  let errors = 0,
    found = 0;
  for (const b of blocks) {
    errors += b.errors;
    found += b.findings;
  }
  const last = blocks[blocks.length - 1];
  const shown = [
    [whole(tally.rows), "rows"],
    [plural(blocks.length, "prompt"), ""],
    s ? [`${count(promptTokens(s.tokens))} → ${count(s.tokens.output)}`, "tokens"] : null,
    s ? [money(s.cost_usd_micros), ""] : null,
    errors > 0 ? [plural(errors, "failure"), ""] : null,
    found > 0 ? [plural(found, "detection"), ""] : null,
    last && Number.isFinite(blocks[0].t0) ? [duration((last.t1 ?? now) - blocks[0].t0), ""] : null,
    data.complete ? null : ["", `loading ${Math.floor(data.progress * 100)} %…`],
  ].filter(Boolean);
  while (el.children.length < shown.length) el.append(h("span", {}, h("b"), h("span")));
  while (el.children.length > shown.length) el.lastChild.remove();
  shown.forEach(([figure, words], i) => {
    const [b, rest] = el.children[i].children;
    setText(b, figure);
    setText(rest, figure && words ? ` ${words}` : words);
  });
}

/** What is said where there is no row. */
export function drawEmpty(el, empty, data, everything) {
  el.hidden = !empty;
  if (!empty) {
    if (el.firstChild) fill(el);
    return;
  }
  if (data.error) fill(el, h("b", { text: "This session cannot be shown" }), data.error.message);
  else if (!data.complete) fill(el, data.live === "waiting" ? "The daemon does not answer yet" : "Loading…");
  else if (everything) fill(el, h("b", { text: "Nothing happened in it yet" }), "The first prompt will be here.");
  else fill(el, h("b", { text: "Nothing is like that" }), "Escape clears the filters");
}
