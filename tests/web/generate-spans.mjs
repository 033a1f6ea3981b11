// The spans of a made-up session: model calls and tool calls, each with its exchange and content (generate.mjs puts them
// together).

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
export const PROMPTS = [
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

/** Makers of spans. `box`: what is made is added to its lists; `box.context` is how full the context is. */
export function makers({ rnd, pick, hex, at, id, box }) {
  const { spans, exchanges, content } = box;
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
      ttfb_ms: null,
      stop_reason: null,
      retry_of: null,
      requested_by: null,
      tokens: null,
      cost_usd_micros: null,
      attributed_usd_micros: null,
      reasoning: null,
      copied_from: null,
      decision: null,
      decided_by: null,
      asked_by: null,
      client_usd_micros: null,
      sources: ["hook", "proxy", "transcript"],
      detections: [],
      ...o.more,
    };
    spans.push(s);
    return s;
  };
  const llm = (ctx, t0, purpose, words, retried = null) => {
    const ttfb = 300 + Math.floor(rnd() * 2200),
      out = 40 + Math.floor(rnd() * 900),
      ms = ttfb + out * 9;
    box.context = Math.min(box.context + 300 + Math.floor(rnd() * 900), 999_000);
    const fresh = Math.floor(rnd() * 600),
      write = Math.floor(rnd() * 1500);
    const tokens = {
      input: fresh,
      output: out,
      cache_read: box.context - fresh - write,
      cache_write_5m: write,
      cache_write_1h: 0,
    };
    const cost = Math.round(tokens.input * 5 + out * 25 + tokens.cache_read * 0.5 + write * 6.25);
    const ex = `01${hex(6)}-${hex(4)}-7${hex(3)}-9${hex(3)}-${hex(12)}`,
      failed = !retried && rnd() < 0.004;
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
        ttfb_ms: failed ? 890 : ttfb,
        stop_reason: failed ? null : "tool_use",
        retry_of: retried?.span_id ?? null,
        tokens: failed ? null : tokens,
        cost_usd_micros: failed ? null : cost,
        reasoning: { blocks: rnd() < 0.6 ? 1 : 0, omitted: rnd() < 0.4 ? 1 : 0 },
        agent_id: ctx.agent_id ?? null,
        agent_type: ctx.agent_type ?? null,
        asked_by: ctx.agent_type ? `agent:builtin:${ctx.agent_type}` : "sdk",
        client_usd_micros: failed ? null : cost,
        sources: ["hook", "proxy", "transcript", "telemetry"],
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
      request_bytes: box.context * 4,
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
      retry_of: retried?.exchange_id ?? null,
      attempt: retried ? 2 : 1,
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
        decision: denied ? "reject" : asked > 8 ? "accept" : null,
        decided_by: denied ? "config" : asked > 8 ? "user_temporary" : null,
        sources: ["hook", "proxy", "transcript", ...(denied || asked > 8 ? ["telemetry"] : [])],
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
  return { span, llm, tool };
}
