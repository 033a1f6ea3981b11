// Terminal output as styled runs: colours and weights (SGR) are kept, every other escape is made visible.
//
// Pure: no DOM. Must never let an escape through as itself, never lose a printable character, never loop without
// end: linear in the text, and bounded in the number of runs (the rest comes as one plain run).
// A run: { text, fg, bg, bold, dim, italic, underline, inverse, strike, control }. Colours are 0–15 (the palette), or "#rrggbb".

import { visible } from "./format.js";

const PLAIN = Object.freeze({
  fg: null,
  bg: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  inverse: false,
  strike: false,
});
const MOST_RUNS = 20_000;

/** The colour of the 256-colour table. */
export function palette256(n) {
  if (n < 16) return n;
  const hex = (v) => v.toString(16).padStart(2, "0");
  if (n >= 232) {
    const v = hex(8 + (n - 232) * 10);
    return `#${v}${v}${v}`;
  }
  const level = (v) => hex(v === 0 ? 0 : 55 + v * 40);
  const c = n - 16;
  return `#${level(Math.floor(c / 36))}${level(Math.floor(c / 6) % 6)}${level(c % 6)}`;
}

function colour(codes, at) {
  if (codes[at + 1] === 5 && codes[at + 2] >= 0 && codes[at + 2] <= 255) return [palette256(codes[at + 2]), 3];
  if (codes[at + 1] === 2) {
    const [r, g, b] = codes.slice(at + 2, at + 5).map((v) => Math.min(255, v | 0));
    if (b !== undefined) return [`#${[r, g, b].map((v) => v.toString(16).padStart(2, "0")).join("")}`, 5];
  }
  return [null, codes.length - at];
}

/** The style after the codes of one SGR sequence. */
export function applySgr(style, body) {
  const codes =
    body === ""
      ? [0]
      : body
          .split(/[;:]/)
          .slice(0, 64)
          .map((c) => (c === "" ? 0 : Number(c)));
  let s = { ...style };
  for (let i = 0; i < codes.length; i += 1) {
    const c = codes[i];
    if (c === 0) s = { ...PLAIN };
    else if (c === 1) s.bold = true;
    else if (c === 2) s.dim = true;
    else if (c === 3) s.italic = true;
    else if (c === 4) s.underline = true;
    else if (c === 7) s.inverse = true;
    else if (c === 9) s.strike = true;
    else if (c === 22) {
      s.bold = false;
      s.dim = false;
    } else if (c === 23) s.italic = false;
    else if (c === 24) s.underline = false;
    else if (c === 27) s.inverse = false;
    else if (c === 29) s.strike = false;
    else if (c >= 30 && c <= 37) s.fg = c - 30;
    else if (c >= 40 && c <= 47) s.bg = c - 40;
    else if (c >= 90 && c <= 97) s.fg = c - 82;
    else if (c >= 100 && c <= 107) s.bg = c - 92;
    else if (c === 39) s.fg = null;
    else if (c === 49) s.bg = null;
    else if (c === 38 || c === 48) {
      const [value, used] = colour(codes, i);
      if (value !== null) s[c === 38 ? "fg" : "bg"] = value;
      i += used - 1;
    }
  }
  return s;
}

// An SGR sequence; any other CSI, OSC or lone escape; a carriage return that does more than end a line.
const ESCAPES =
  /\x1b\[([0-9;:]*)m|\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)?|[^[\]])?|\r(?!\n)|\r/g;

/** Text with escapes → runs. */
export function parse(text) {
  const runs = [];
  let style = PLAIN,
    last = 0;
  const plain = (to) => {
    if (to > last) runs.push({ text: visible(text.slice(last, to)), ...style, control: false });
  };
  ESCAPES.lastIndex = 0;
  for (let m = ESCAPES.exec(text); m; m = ESCAPES.exec(text)) {
    plain(m.index);
    last = m.index + m[0].length;
    if (m[1] !== undefined) style = applySgr(style, m[1]);
    else if (m[0] !== "\r" || text[last] !== "\n") runs.push({ text: visible(m[0]), ...PLAIN, control: true });
    if (runs.length >= MOST_RUNS) {
      runs.push({ text: visible(text.slice(last)), ...PLAIN, control: false });
      return runs;
    }
  }
  plain(text.length);
  return runs;
}

/** Whether two runs look the same. */
export function isPlain(run) {
  return (
    run.fg === null &&
    run.bg === null &&
    !run.bold &&
    !run.dim &&
    !run.italic &&
    !run.underline &&
    !run.inverse &&
    !run.strike &&
    !run.control
  );
}
