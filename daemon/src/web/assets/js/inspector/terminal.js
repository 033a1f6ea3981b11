// Terminal output with its colours, and pictures. Everything that would act is visible (ansi.js); pictures are shown only as
// data of a known kind.

import { isPlain, parse } from "../ansi.js";
import { h } from "../dom.js";
import { bytes } from "../format.js";
import { long } from "./parts.js";

const colour = (c) => (typeof c === "number" ? `var(--ansi-${c})` : c);

function run(r) {
  if (r.control) return h("span", { class: "ctl", text: r.text });
  if (isPlain(r)) return r.text;
  const names = [r.bold && "b", r.dim && "dim", r.italic && "i", r.underline && "u", r.strike && "s"]
    .filter(Boolean)
    .join(" ");
  const el = h("span", { class: names || null, text: r.text });
  let { fg, bg } = r;
  if (r.inverse) [fg, bg] = [bg ?? "var(--sunken)", fg ?? "var(--text)"];
  // A programme chose its colours for another ground: mixed with ours, they can be read on either.
  if (fg !== null)
    el.style.color = typeof fg === "string" && bg === null ? `color-mix(in oklab, ${fg} 55%, var(--text))` : colour(fg);
  if (bg !== null) el.style.backgroundColor = typeof bg === "number" && bg === 0 ? "var(--line)" : colour(bg);
  return el;
}

/** Output as a terminal shows it. */
export function terminal(text) {
  return long(text, (t) => h("pre", { class: "term", tabindex: "0" }, parse(t).map(run)), 40_000);
}

const KINDS = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

/** A picture of the API's form; null if it is none that we show. */
export function picture(source) {
  const kind = source?.media_type ?? source?.type,
    data = source?.data ?? source?.base64;
  if (!KINDS.has(kind) || typeof data !== "string" || data.length > 24 << 20 || !/^[A-Za-z0-9+/=]+$/.test(data))
    return null;
  return h(
    "figure",
    { class: "image" },
    h("img", {
      src: `data:${kind};base64,${data}`,
      alt: `A picture: ${kind}, ${bytes(Math.floor(data.length * 0.75))}`,
    }),
  );
}
