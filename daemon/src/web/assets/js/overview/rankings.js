// Lists of what stands out over all sessions: the tools that take longest, the loops that were found. Each leads to its row.

import { button, h } from "../dom.js";
import { date, duration, oneLine, parseTime, plural, visible, whole } from "../format.js";
import { link } from "../inspector/parts.js";
import { toolName } from "../row.js";
import { card, table } from "./plot.js";

const MOST = 12;

/** How long each tool takes; `go(span id)`. */
export function slowestTools({ tools, left_out: left = 0 }, go) {
  if (!tools || tools.length === 0) return null;
  const ms = (v) => (v === null || v === undefined ? "–" : duration(v));
  const row = (t) => [
    toolName(t.tool),
    whole(t.calls),
    t.errors + t.denied > 0 ? `${whole(t.errors)}${t.denied > 0 ? ` + ${whole(t.denied)} denied` : ""}` : "",
    ms(t.p50_ms),
    ms(t.p95_ms),
    t.slowest_span_id
      ? button(ms(t.max_ms), () => go(t.slowest_span_id), { class: "more inline", title: "To the slowest call" })
      : ms(t.max_ms),
    ms(t.total_ms),
  ];
  return card(
    "Slowest tools",
    left > 0 ? `${plural(left, "session")} not looked at: the question took too long` : "half of the calls, 95 of 100, the slowest",
    () => table(["Tool", "Calls", "Failed", "p50", "p95", "Slowest", "In all"], tools.slice(0, MOST).map(row)),
    tools.length > MOST
      ? () => table(["Tool", "Calls", "Failed", "p50", "p95", "Slowest", "In all"], tools.map(row))
      : null,
    true,
  );
}

/** The loops that were found, the worst first; `go(span id)`. */
export function topLoops(detections, go) {
  const list = detections
    .filter((d) => d.state !== "dismissed")
    .sort((a, b) => b.severity - a.severity || (a.at < b.at ? 1 : -1));
  if (list.length === 0) return null;
  return card("Top loops", plural(list.length, "loop"), () =>
    h(
      "div",
      {},
      list.slice(0, MOST).map((d) => {
        const where = `${visible(d.project ?? "")} ${date(parseTime(d.at))} · severity ${d.severity}`;
        return d.span_id
          ? link(oneLine(d.title, 160), where, () => go(d.span_id), "detection")
          : h("p", {}, oneLine(d.title, 160), " ", h("span", { class: "muted", text: where }));
      }),
    ),
  );
}
