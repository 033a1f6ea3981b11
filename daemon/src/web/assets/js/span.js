// A span as the page keeps it.
//
// Pure: no DOM, no clock. Fifty thousand of them are kept: nothing in it that no view shows.

import { parseTime } from "./format.js";

/** What the page keeps of a span of the API: fields under short names, times as numbers, no text twice. */
export function compact(s, words = new Map()) {
  const one = (text) => {
    if (text === null || text === undefined) return null;
    const known = words.get(text);
    if (known !== undefined) return known;
    words.set(text, text);
    return text;
  };
  const t0 = parseTime(s.started_at),
    status = one(s.status) || "ok",
    took = s.duration_ms ?? null;
  return {
    id: s.span_id,
    parent: s.parent_id ?? null,
    turn: one(s.turn_id) ?? "",
    agentId: one(s.agent_id),
    agentType: one(s.agent_type),
    kind: one(s.kind),
    status,
    t0,
    t1: status === "running" ? null : t0 + (took ?? 0),
    exec: s.execution_ms ?? null,
    tool: one(s.tool_name),
    toolUse: s.tool_use_id ?? null,
    text: s.summary ?? "",
    error: s.error ?? null,
    model: one(s.model),
    purpose: one(s.purpose),
    exchange: s.exchange_id ?? null,
    ttfb: s.ttfb_ms ?? null,
    stop: one(s.stop_reason),
    retryOf: s.retry_of ?? null,
    by: s.requested_by ?? null,
    tokens: s.tokens ?? null,
    cost: s.cost_usd_micros ?? null,
    share: s.attributed_usd_micros ?? null,
    copied: s.copied_from ?? null,
    decision: one(s.decision),
    decidedBy: one(s.decided_by),
    askedBy: one(s.asked_by),
    clientCost: s.client_usd_micros ?? null,
    thinking: s.reasoning && s.reasoning.blocks > 0 ? [s.reasoning.blocks, s.reasoning.omitted ?? 0] : null,
    sources: one((s.sources ?? []).join(" ")),
  };
}
