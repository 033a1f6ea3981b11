// What a made-up list of sessions, and findings in one of them, are made of (generate.mjs makes the session itself).

import { HOSTILE } from "./hostile.mjs";

/** Numbers that look random and are not. */
export function random(seed) {
  let s = seed >>> 0 || 1;
  return () => {
    s ^= s << 13;
    s >>>= 0;
    s ^= s >>> 17;
    s ^= s << 5;
    s >>>= 0;
    return s / 4294967296;
  };
}

export function finding(hex, session_id, span, kind, rule, title, seen, at) {
  return {
    detection_id: hex(32),
    kind,
    rule,
    severity: 60,
    confidence: 85,
    session_id,
    agent_id: span.agent_id,
    project: "shop",
    turn_id: span.turn_id,
    span_id: span.span_id,
    at,
    title,
    evidence: seen.map((s) => ({ span_id: s.span_id, text: `${s.tool_name} failed: ${s.error}` })),
    advice: "Read the error in full, change one thing, then run it again.",
    mast: "FM-1.3",
    intervention: null,
    state: "open",
    reason: null,
  };
}

/** Many sessions for the list. */
export function sessions(many, now = Date.now()) {
  const rnd = random(11),
    out = [];
  const names = ["shop", "engine", "website", "infra", "notes", "payments-service", "mobile-app", "data-pipeline"];
  let t = now - 9e5;
  for (let i = 0; i < many; i += 1) {
    t -= Math.floor(rnd() ** 2 * 9e6);
    const name = names[Math.floor(rnd() ** 1.6 * names.length)],
      cost = Math.floor(rnd() ** 4 * 2e7),
      percent = Math.floor(rnd() * 100),
      last = new Date(t).toISOString();
    out.push({
      session_id: `gen-s${String(i).padStart(5, "0")}-0000-4000-8000-${String(i).padStart(12, "0")}`,
      cwd: `/home/dev/${name}`,
      project: i === 17 ? HOSTILE[0] : name,
      model: rnd() < 0.8 ? "claude-opus-5-5" : "claude-haiku-4-5",
      models: [],
      started_at: new Date(t - Math.floor(rnd() ** 2 * 7.2e6)).toISOString(),
      last_at: last,
      ended: true,
      turns: 1 + Math.floor(rnd() * 20),
      exchanges: 30,
      tool_calls: Math.floor(rnd() * 300),
      tool_errors: rnd() < 0.4 ? Math.floor(rnd() * 9) : 0,
      agents: 0,
      tokens: { input: 1, output: 1, cache_read: 1, cache_write_5m: 0, cache_write_1h: 0 },
      cost_usd_micros: cost,
      cost: "",
      unpriced_models: [],
      context: { used: percent * 10_000, window: 1_000_000, percent },
      detections: rnd() < 0.12 ? 1 + Math.floor(rnd() * 3) : 0,
      client: "claude-code 2.1.329",
    });
  }
  return out;
}
