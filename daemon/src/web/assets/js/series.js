// A session as series and sums, for plots: context, tokens, cost over time; cost by tool and by subagent.
//
// Pure: no DOM. Sums add up to what the rows say; nothing is counted twice: an agent's own figures contain those below it,
// so only model calls are added up.

import { promptTokens } from "./format.js";

/** The main thread's model calls and compactions in time. */
export function mainCalls(model) {
  const out = [];
  for (const s of model.spans.values())
    if (
      s.agentId === null &&
      (s.kind === "compaction" || (s.kind === "llm" && s.tokens && (s.purpose === "main" || s.purpose === "compaction")))
    )
      out.push(s);
  return out.sort((a, b) => a.t0 - b.t0);
}

/** How full the context was at each call: { points: [{ span, used }], drops: [index of the first call behind a compaction] }. */
export function contextFill(model) {
  const points = [],
    drops = [];
  for (const s of mainCalls(model)) {
    if (s.kind === "compaction" || s.purpose === "compaction") {
      drops.push(points.length);
      continue;
    }
    points.push({ span: s, used: promptTokens(s.tokens) });
  }
  return { points, drops };
}

/** The cost of all model calls, added up in time: [{ span, sum }] in micro-dollars. */
export function costOverTime(model) {
  const calls = [...model.spans.values()]
    .filter((s) => s.kind === "llm" && s.cost !== null)
    .sort((a, b) => a.t0 - b.t0);
  let sum = 0;
  return calls.map((span) => ({ span, sum: (sum += span.cost) }));
}

/** Tokens by kind for each turn. */
export function tokensPerTurn(blocks) {
  return blocks.filter((b) => b.info?.tokens).map((b) => ({ block: b, ...b.info.tokens }));
}

/** Per tool: calls, failures, those that were denied, time, the slowest call, and its share of the cost. */
export function byTool(model) {
  const out = new Map();
  for (const s of model.spans.values()) {
    if (s.kind !== "tool" || !s.tool) continue;
    const r = out.get(s.tool) ?? { tool: s.tool, calls: 0, failed: 0, denied: 0, ms: 0, slowest: null, share: 0 };
    r.calls += 1;
    if (s.status === "error") r.failed += 1;
    if (s.status === "denied") r.denied += 1;
    const ms = s.exec ?? (s.t1 === null ? 0 : s.t1 - s.t0);
    r.ms += ms;
    if (!r.slowest || ms > r.slowest.ms) r.slowest = { ms, id: s.id };
    r.share += s.share ?? 0;
    out.set(s.tool, r);
  }
  return [...out.values()].sort((a, b) => b.share - a.share || b.ms - a.ms);
}

/** Per thread: the main one, and each subagent: its own calls, without those of subagents below. */
export function byAgent(model) {
  const out = new Map();
  for (const s of model.spans.values()) {
    if (s.kind !== "llm" || s.cost === null) continue;
    const key = s.agentId ?? "main";
    const r = out.get(key) ?? {
      key,
      type: s.agentType ?? (s.agentId ? "agent" : "main"),
      calls: 0,
      cost: 0,
      output: 0,
      first: s,
    };
    r.calls += 1;
    r.cost += s.cost;
    r.output += s.tokens?.output ?? 0;
    if (s.t0 < r.first.t0) r.first = s;
    out.set(key, r);
  }
  return [...out.values()].sort((a, b) => b.cost - a.cost);
}

/** At most `most` points, of each stretch the highest: what stands out stays. */
export function thin(points, most, value) {
  if (points.length <= most) return points.map((p, i) => ({ p, i }));
  const out = [],
    step = points.length / most;
  for (let k = 0; k < most; k += 1) {
    let best = Math.floor(k * step);
    for (let i = best; i < Math.min(points.length, Math.floor((k + 1) * step)); i += 1)
      if (value(points[i]) > value(points[best])) best = i;
    out.push({ p: points[best], i: best });
  }
  return out;
}

/** A round number at or above this, and its steps. */
export function niceScale(top, steps = 4) {
  if (!(top > 0)) return { top: 1, ticks: [0, 1] };
  const raw = top / steps,
    size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * size).find((s) => s >= raw - 1e-12);
  const n = Math.ceil(top / step - 1e-9);
  return { top: n * step, ticks: Array.from({ length: n + 1 }, (_, i) => i * step) };
}
