// A made-up session of any size, as the daemon's API tells it: turns, spans, exchanges, detections, contents. For
// development and for tests of size; the same seed gives the same session. Nothing in it was captured anywhere.

import { finding, random, sessions } from "./generate-list.mjs";
import { makers, PROMPTS } from "./generate-spans.mjs";
import { HOSTILE } from "./hostile.mjs";

export { random, sessions };

export function generate({
  id = "gen-50000",
  spans: wanted = 50_000,
  seed = 7,
  start = Date.UTC(2026, 10, 21, 6, 0, 0),
} = {}) {
  const rnd = random(seed),
    pick = (list) => list[Math.floor(rnd() * list.length)];
  const hex = (n) => Array.from({ length: n }, () => Math.floor(rnd() * 16).toString(16)).join("");
  const at = (ms) =>
    `${new Date(Math.floor(ms)).toISOString().slice(0, -1)}${String(Math.floor((ms % 1) * 1000)).padStart(3, "0")}Z`;
  const spans = [],
    turns = [],
    exchanges = [],
    detections = [],
    interventions = [],
    content = new Map();
  const box = { spans, exchanges, content, context: 24_000 };
  let now = start;
  const sum = (list) =>
    list.reduce(
      (t, s) => {
        if (s.tokens && s.kind === "llm") for (const k of Object.keys(t)) t[k] += s.tokens[k];
        return t;
      },
      { input: 0, output: 0, cache_read: 0, cache_write_5m: 0, cache_write_1h: 0 },
    );
  const { span, llm, tool } = makers({ rnd, pick, hex, at, id, box });
  const NAMES = ["Bash", "Bash", "Bash", "Read", "Read", "Edit", "Write", "Grep", "mcp__github__list_issues"];
  const steps = (ctx, many, purpose, depth) => {
    for (let i = 0; i < many; i += 1) {
      let l = llm(ctx, now, purpose, pick(PROMPTS));
      now += l.duration_ms + 5;
      if (l.status === "error") {
        now += 1200;
        l = llm(ctx, now, purpose, pick(PROMPTS), l);
        now += l.duration_ms + 5;
      }
      const calls = rnd() < 0.2 ? 2 + Math.floor(rnd() * 3) : 1;
      let end = now;
      for (let c = 0; c < calls; c += 1) {
        if (depth < 3 && rnd() < 0.018) {
          const call = span({
            ...ctx,
            kind: "tool",
            t0: now,
            more: {
              name: "execute_tool Agent",
              tool_name: "Agent",
              tool_use_id: `toolu_${hex(22)}`,
              summary: "Look at the rest",
              requested_by: l.span_id,
            },
          });
          const agent_id = hex(16),
            type = pick(["general-purpose", "Explore", "reviewer"]);
          const a = span({
            ...ctx,
            kind: "agent",
            t0: now + 3,
            parent_id: call.span_id,
            more: { name: `invoke_agent ${type}`, agent_id, agent_type: type, summary: "Look at the rest" },
          });
          const first = spans.length,
            began = now;
          steps(
            { ...ctx, parent_id: a.span_id, agent_id, agent_type: type },
            2 + Math.floor(rnd() * 12),
            "subagent",
            depth + 1,
          );
          a.duration_ms = now - began;
          call.duration_ms = now - began + 6;
          a.tokens = sum(spans.slice(first));
          a.cost_usd_micros = spans
            .slice(first)
            .reduce((t, s) => t + (s.kind === "llm" ? (s.cost_usd_micros ?? 0) : 0), 0);
          end = Math.max(end, now);
        } else {
          const t = tool(ctx, now + c * 3, l, pick(NAMES));
          end = Math.max(end, now + c * 3 + t.duration_ms);
        }
      }
      now = end + 4 + (rnd() < 0.01 ? 30_000 : 0);
    }
  };
  while (spans.length < wanted) {
    const turn_id = `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`,
      trace_id = hex(32),
      t0 = now,
      number = turns.length + 1;
    const prompt = rnd() < 0.04 ? pick(HOSTILE) : pick(PROMPTS);
    const root = span({ kind: "agent", turn_id, trace_id, t0, more: { name: "invoke_agent main", summary: prompt } }),
      first = spans.length;
    if (box.context > 900_000) {
      const c = llm(
        { turn_id, trace_id, parent_id: root.span_id },
        now,
        "compaction",
        "A summary of the conversation so far",
      );
      now += c.duration_ms;
      box.context = 32_000;
    }
    steps({ turn_id, trace_id, parent_id: root.span_id }, 6 + Math.floor(rnd() * 60), "main", 0);
    const mine = spans.slice(first),
      tools = mine.filter((s) => s.kind === "tool");
    root.duration_ms = now - t0;
    root.tokens = sum(mine);
    root.cost_usd_micros = mine.reduce((t, s) => t + (s.kind === "llm" ? (s.cost_usd_micros ?? 0) : 0), 0);
    turns.push({
      turn_id,
      trace_id,
      session_id: id,
      number,
      prompt,
      source: "user",
      started_at: at(t0),
      duration_ms: now - t0,
      status: "ok",
      error: null,
      exchanges: mine.filter((s) => s.kind === "llm").length,
      tool_calls: tools.length,
      tool_errors: tools.filter((s) => s.status !== "ok").length,
      agents: mine.filter((s) => s.kind === "agent").length,
      tokens: root.tokens,
      cost_usd_micros: root.cost_usd_micros,
      cost: "",
      result: "Done.",
      detections: [],
    });
    const bad = tools.filter((s) => s.status === "error");
    if (bad.length > 2)
      detections.push(
        finding(
          hex,
          id,
          bad[bad.length - 1],
          "loop",
          "repeated_failure",
          `\`${bad[0].summary.slice(0, 40)}\` failed ${bad.length} times in a row`,
          bad.slice(-3),
          at(now),
        ),
      );
    if (detections.length % 5 === 1 && bad.length > 2)
      interventions.push({
        intervention_id: hex(32),
        at: at(now),
        session_id: id,
        agent_id: null,
        detection_id: detections[detections.length - 1].detection_id,
        kind: "loop",
        rule: "repeated_failure",
        action: "denied",
        event: "PreToolUse",
        tool_use_id: null,
        span_id: bad[bad.length - 1].span_id,
        text: "This has failed three times. Look at the error before it is tried again.",
        delivered: true,
      });
    now += 4_000 + Math.floor(rnd() ** 3 * 3_600_000);
  }
  spans.sort((a, b) => (a.started_at < b.started_at ? -1 : a.started_at > b.started_at ? 1 : 0));
  const total = sum(spans);
  const session = {
    session_id: id,
    cwd: "/home/dev/shop",
    project: "shop",
    model: "claude-opus-5-5",
    models: ["claude-opus-5-5", "claude-haiku-4-5"],
    started_at: at(start),
    last_at: at(now),
    ended: true,
    turns: turns.length,
    exchanges: exchanges.length,
    tool_calls: spans.filter((s) => s.kind === "tool").length,
    tool_errors: spans.filter((s) => s.kind === "tool" && s.status !== "ok").length,
    agents: spans.filter((s) => s.kind === "agent").length - turns.length,
    tokens: total,
    cost_usd_micros: turns.reduce((t, x) => t + x.cost_usd_micros, 0),
    cost: "",
    unpriced_models: [],
    context: { used: box.context, window: 1_000_000, percent: Math.floor(box.context / 10_000) },
    detections: detections.length,
    client: "claude-code 2.1.329",
  };
  return { session, turns, spans, exchanges, detections, interventions, content };
}
