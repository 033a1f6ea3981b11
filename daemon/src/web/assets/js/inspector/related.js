// Tab "Related": what belongs to a row: the records that told of it, who asked for it, what it started, what it is part of.

import { h } from "../dom.js";
import { duration, oneLine } from "../format.js";
import { nameOf } from "../row.js";
import { block, facts, link } from "./parts.js";
import { showRecords } from "./records.js";

/** Spans that belong to this one. */
export function relations(model, span, agent) {
  const out = {
    asked: model.spans.get(span.by) ?? null,
    parent: model.spans.get(span.parent) ?? null,
    retried: model.spans.get(span.retryOf) ?? null,
    again: null,
    calls: [],
    below: [],
    beside: [],
  };
  for (const s of model.turns.get(span.turn)?.spans.values() ?? []) {
    if (s === span) continue;
    if (s.retryOf === span.id) out.again = s;
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
  async render({ row, data, span, agent, go, api, tab }) {
    const r = relations(data.model, span, agent);
    // An exchange has a row of its own, with all its tabs; where that is not known, its record is shown. Whether there is one.
    const openExchange = (id) => {
      if (span.exchange === id) {
        tab("raw");
        return true;
      }
      for (const s of data.model.turns.get(span.turn)?.spans.values() ?? [])
        if (s.exchange === id) {
          go(s.id);
          return true;
        }
      return false;
    };
    const records = await api.optional(`spans/${encodeURIComponent(span.id)}/records`, {}, { records: [] }).then(
      (a) => showRecords(a.records, { api, t0: span.t0, openExchange }),
      (e) => block("Told by", null, h("p", { class: "muted", text: oneLine(e.message, 300) })),
    );
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
      records,
      r.retried ? block("The attempt before", null, entry(r.retried)) : null,
      r.again ? block("Made again by", null, entry(r.again)) : null,
      r.asked ? block("Asked for by", null, entry(r.asked)) : null,
      r.parent ? block("Part of", null, entry(r.parent)) : null,
      list("Calls that it asked for", r.calls),
      list("Asked for together with", r.beside),
      row.type === "prompt" ? null : list("Inside", r.below),
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
