// What stands above and below the rows: the waterfall's axis, and the sums of the session.

import { fill, h } from "./dom.js";
import { count, duration, money, plural, promptTokens, whole } from "./format.js";
import { ticks } from "./waterfall.js";

/** The axis of what is looked at. */
export function drawTicks(el, axis, zoom, width) {
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
export function drawFoot(el, data, blocks, rows, now) {
  const s = data.session,
    b = (text) => h("b", { text });
  const sum = (key) => blocks.reduce((n, block) => n + (block[key] ?? 0), 0),
    found = sum("findings"),
    last = blocks[blocks.length - 1];
  fill(
    el,
    h("span", {}, b(whole(rows)), " rows"),
    h("span", {}, b(plural(blocks.length, "prompt"))),
    s ? h("span", {}, b(`${count(promptTokens(s.tokens))} → ${count(s.tokens.output)}`), " tokens") : null,
    s ? h("span", {}, b(money(s.cost_usd_micros))) : null,
    h("span", {}, b(plural(sum("errors"), "failure"))),
    found ? h("span", {}, b(plural(found, "detection"))) : null,
    last ? h("span", {}, b(duration((last.t1 ?? now) - blocks[0].t0))) : null,
    data.loaded < data.pieces ? h("span", { text: `loading ${data.loaded}/${data.pieces}…` }) : null,
  );
}
