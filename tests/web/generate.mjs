// A made-up session of any size, as the daemon's API tells it: turns, spans, exchanges, detections, contents. For
// development and for tests of size; the same seed gives the same session. Nothing in it was captured anywhere.

import { HOSTILE } from "./hostile.mjs";

const FILES = [
  "src/cart.py",
  "src/api/server.ts",
  "test/test_cart.py",
  "README.md",
  "src/ui/list.tsx",
  "Cargo.toml",
  "docs/how.md",
];
const PROMPTS = [
  "Find out why totals are off by fractions of a cent, and make them exact",
  "Now the same for refunds",
  "Add a test for empty carts",
  "Why is the build slow since yesterday?",
  "Rename `Cart` to `Basket` everywhere",
  "Look at the failing job and fix what is wrong",
  "Write down how it works, one page",
  "Please review what changed since main",
];
const COMMANDS = [
  "cargo test -p store",
  "npm test --silent",
  "git status --short",
  "rg -n 'fn total' src",
  "ls -la src",
  "python3 -m pytest -q",
  "make lint",
];

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
  let now = start,
    context = 24_000;
  const sum = (list) =>
    list.reduce(
      (t, s) => {
        if (s.tokens && s.kind === "llm") for (const k of Object.keys(t)) t[k] += s.tokens[k];
        return t;
      },
      { input: 0, output: 0, cache_read: 0, cache_write_5m: 0, cache_write_1h: 0 },
    );
  const span = (o) => {
    const s = {
      span_id: hex(16),
      trace_id: o.trace_id,
      parent_id: o.parent_id ?? null,
      session_id: id,
      turn_id: o.turn_id,
      agent_id: null,
      agent_type: null,
      kind: o.kind,
      name: "",
      started_at: at(o.t0),
      duration_ms: null,
      execution_ms: null,
      status: "ok",
      tool_use_id: null,
      tool_name: null,
      input: null,
      output: null,
      summary: null,
      error: null,
      model: null,
      purpose: null,
      exchange_id: null,
      requested_by: null,
      tokens: null,
      cost_usd_micros: null,
      attributed_usd_micros: null,
      reasoning: null,
      copied_from: null,
      sources: ["hook", "proxy", "transcript"],
      ...o.more,
    };
    spans.push(s);
    return s;
  };
  const llm = (ctx, t0, purpose, words) => {
    const ttfb = 300 + Math.floor(rnd() * 2200),
      out = 40 + Math.floor(rnd() * 900),
      ms = ttfb + out * 9;
    context = Math.min(context + 300 + Math.floor(rnd() * 900), 999_000);
    const fresh = Math.floor(rnd() * 600),
      write = Math.floor(rnd() * 1500);
    const tokens = {
      input: fresh,
      output: out,
      cache_read: context - fresh - write,
      cache_write_5m: write,
      cache_write_1h: 0,
    };
    const cost = Math.round(tokens.input * 5 + out * 25 + tokens.cache_read * 0.5 + write * 6.25);
    const ex = `01${hex(6)}-${hex(4)}-7${hex(3)}-9${hex(3)}-${hex(12)}`,
      failed = rnd() < 0.004;
    const s = span({
      ...ctx,
      kind: "llm",
      t0,
      more: {
        name: "chat claude-opus-5-5",
        model: rnd() < 0.9 ? "claude-opus-5-5" : "claude-haiku-4-5",
        purpose,
        duration_ms: failed ? 900 : ms,
        summary: failed ? null : words,
        exchange_id: ex,
        tokens: failed ? null : tokens,
        cost_usd_micros: failed ? null : cost,
        reasoning: { blocks: rnd() < 0.6 ? 1 : 0, omitted: rnd() < 0.4 ? 1 : 0 },
        agent_id: ctx.agent_id ?? null,
        agent_type: ctx.agent_type ?? null,
        status: failed ? "error" : "ok",
        error: failed ? "overloaded_error: Overloaded" : null,
      },
    });
    exchanges.push({
      exchange_id: ex,
      session_id: id,
      agent_id: ctx.agent_id ?? null,
      method: "POST",
      path: "/v1/messages?beta=true",
      status: failed ? 529 : 200,
      request_id: `req_${hex(20)}`,
      message_id: `msg_${hex(20)}`,
      model: s.model,
      purpose,
      started_at: at(t0),
      ttfb_ms: failed ? 890 : ttfb,
      duration_ms: s.duration_ms,
      request_bytes: context * 4,
      response_bytes: out * 40,
      complete: true,
      stream: true,
      stop_reason: failed ? null : "tool_use",
      error: s.error,
      tokens: s.tokens,
      cost_usd_micros: s.cost_usd_micros,
      cost: "",
      reasoning: s.reasoning,
      timing: {
        reused: true,
        tunnelled: false,
        peer: "203.0.113.9:443",
        resolve_ms: null,
        connect_ms: null,
        tls_ms: null,
        sent_ms: 3.2,
        head_ms: ttfb - 20,
        first_byte_ms: ttfb,
        total_ms: s.duration_ms,
        longest_gap_ms: 140,
        stalls: [],
      },
      retry_of: null,
      attempt: 1,
      retried_by: null,
    });
    content.set(s.span_id, { input: [{ role: "user", content: "…" }], output: [{ type: "text", text: words }] });
    return s;
  };
  const tool = (ctx, t0, by, name) => {
    const file = pick(FILES),
      hostile = rnd() < 0.02,
      bad = rnd() < 0.06,
      denied = !bad && rnd() < 0.012;
    const ran = name === "Bash" ? 40 + Math.floor(rnd() ** 4 * 40_000) : 4 + Math.floor(rnd() * 60),
      asked = rnd() < 0.05 ? Math.floor(rnd() * 20_000) : 8;
    const command = hostile ? pick(HOSTILE) : pick(COMMANDS);
    const summary = name === "Bash" ? command : name === "Grep" ? "fn total" : `/home/dev/shop/${file}`;
    const s = span({
      ...ctx,
      kind: "tool",
      t0,
      more: {
        name: `execute_tool ${name}`,
        tool_name: name,
        tool_use_id: `toolu_${hex(22)}`,
        duration_ms: ran + asked,
        execution_ms: denied ? null : ran,
        summary,
        requested_by: by.span_id,
        attributed_usd_micros: Math.floor(rnd() * 3000),
        status: bad ? "error" : denied ? "denied" : "ok",
        error: bad
          ? `Exit code 1\n${hostile ? pick(HOSTILE) : "assertion failed: left == right"}`
          : denied
            ? `Permission to use ${name} has been denied.`
            : null,
        agent_id: ctx.agent_id ?? null,
        agent_type: ctx.agent_type ?? null,
      },
    });
    const input =
      name === "Bash"
        ? { command, description: "Run it" }
        : name === "Edit"
          ? {
              file_path: summary,
              old_string: "let total = 0;\nfor (const l of lines) total += l.price;",
              new_string: "let total = new Decimal(0);\nfor (const l of lines) total = total.plus(l.price);",
            }
          : { file_path: summary };
    content.set(s.span_id, {
      input,
      output: name === "Bash" ? { stdout: `\u001b[32mok\u001b[0m ${command}\n`, stderr: "" } : "done",
    });
    return s;
  };
  const NAMES = ["Bash", "Bash", "Bash", "Read", "Read", "Edit", "Write", "Grep", "mcp__github__list_issues"];
  const steps = (ctx, many, purpose, depth) => {
    for (let i = 0; i < many; i += 1) {
      const l = llm(ctx, now, purpose, pick(PROMPTS));
      now += l.duration_ms + 5;
      if (l.status === "error") continue;
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
    if (context > 900_000) {
      const c = llm(
        { turn_id, trace_id, parent_id: root.span_id },
        now,
        "compaction",
        "A summary of the conversation so far",
      );
      now += c.duration_ms;
      context = 32_000;
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
    context: { used: context, window: 1_000_000, percent: Math.floor(context / 10_000) },
    detections: detections.length,
    client: "claude-code 2.1.329",
  };
  return { session, turns, spans, exchanges, detections, interventions, content };
}

function finding(hex, session_id, span, kind, rule, title, seen, at) {
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

/** Detections as they would be made of real spans: calls that failed alike. For development only. */
export function pretend(spans) {
  const hex = random(3),
    digits = (n) => Array.from({ length: n }, () => Math.floor(hex() * 16).toString(16)).join("");
  const by = new Map();
  for (const s of spans)
    if (s.kind === "tool" && s.status === "error") {
      const k = `${s.turn_id} ${s.summary}`;
      by.set(k, [...(by.get(k) ?? []), s]);
    }
  return [...by.values()]
    .filter((l) => l.length > 1)
    .map((l) =>
      finding(
        digits,
        l[0].session_id,
        l[l.length - 1],
        "loop",
        "repeated_failure",
        `\`${l[0].summary}\` failed ${l.length} times`,
        l,
        l[l.length - 1].started_at,
      ),
    );
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
