// Tab "Related": what belongs to a row: who asked for it, what it started, what it is part of, who told of it.

import { h } from "../dom.js";
import { duration, oneLine } from "../format.js";
import { nameOf } from "../row.js";
import { block, facts, link } from "./parts.js";

const NAMES = {
  hook: "Claude Code's hooks: what it did",
  proxy: "the API proxy: what went over the wire",
  transcript: "Claude Code's own transcript",
};

/** Spans that belong to this one. */
export function relations(model, span, agent) {
  const out = {
    asked: model.spans.get(span.by) ?? null,
    parent: model.spans.get(span.parent) ?? null,
    calls: [],
    below: [],
    beside: [],
  };
  for (const s of model.turns.get(span.turn)?.spans.values() ?? []) {
    if (s === span) continue;
    if (s.by === span.id) out.calls.push(s);
    if (s.parent === span.id || (agent && s.parent === agent.id && s !== agent)) out.below.push(s);
    if (span.by && s.by === span.by) out.beside.push(s);
  }
  for (const k of ["calls", "below", "beside"]) out[k].sort((a, b) => a.t0 - b.t0);
  return out;
}

export const related = {
  id: "related",
  label: "Related",
  applies: ({ span }) => span !== null,
  render({ row, data, span, agent, go }) {
    const r = relations(data.model, span, agent);
    const entry = (s) =>
      link(
        `${nameOf({ type: s.kind === "llm" ? "llm" : s.kind, span: s, agent: s })}  ${oneLine(s.text, 90)}`,
        s.t1 === null ? "running" : duration(s.t1 - s.t0),
        () => go(s.id),
        s.kind === "tool" ? "tool" : s.kind,
      );
    const list = (title, items) =>
      items.length > 0
        ? block(
            title,
            null,
            items.slice(0, 100).map(entry),
            items.length > 100 ? h("p", { class: "muted", text: `and ${items.length - 100} more` }) : null,
          )
        : null;
    return [
      r.asked ? block("Asked for by", null, entry(r.asked)) : null,
      r.parent ? block("Part of", null, entry(r.parent)) : null,
      list("Calls that it asked for", r.calls),
      list("Asked for together with", r.beside),
      row.type === "prompt" ? null : list("Inside", r.below),
      block(
        "Told by",
        null,
        (span.sources ?? "")
          .split(" ")
          .filter(Boolean)
          .map((x) => h("p", { text: NAMES[x] ?? x })),
      ),
      facts([
        ["Session", data.id],
        ["Turn", span.turn],
        ["Span", span.id],
        ["Tool use", span.toolUse],
        ["Exchange", span.exchange],
        ["Agent", span.agentId],
      ]),
    ];
  },
};
