// What a daemon would answer about made-up sessions (generate.mjs): the questions that the pages ask. The stream is in
// made-up-stream.mjs.

import { HOSTILE } from "./hostile.mjs";

/** The answer about one made-up session; undefined where it is none of ours. `ask`: the path behind `/v0/`. */
export function answer(g, ask, q) {
  const span = (id) => g.spans.find((s) => s.span_id === id),
    exchange = (id) => g.exchanges.find((x) => x.exchange_id === id);
  const [what, id, more] = ask.split("/");
  if (q.get("session") === g.session.session_id) {
    if (ask === "search")
      return { query: [q.get("q")], hits: hits(g, q.get("q")), more: false, complete: true, scanned_sessions: 1 };
    if (ask === "files") return { session_id: g.session.session_id, files: files(g, q) };
    if (ask === "heal") return { mode: "guard", interventions: g.interventions, exceptions: [], projects: {}, more: 0 };
    if (ask === "spans") return { spans: g.spans.slice(-Number(q.get("limit") || 50)), more: true };
    if (ask === "turns") return { turns: [...g.turns].reverse() };
  }
  if (what === "show" && span(id)) return { kind: "span", span: { ...span(id), ...(g.content.get(id) ?? {}) } };
  if (what === "spans" && more === "records" && span(id)) return { records: records(span(id)) };
  if (what === "records") {
    const s = span(id.split("-")[1]),
      record = s && records(s).find((r) => r.record_id === id);
    return record ? { record, payload: { ...g.content.get(s.span_id), hostile: HOSTILE }, text: null } : undefined;
  }
  if (what === "exchanges" && exchange(id)) {
    if (more === "changes") return changes(g, exchange(id));
    return more ? undefined : detail(exchange(id));
  }
  return undefined;
}

/** The exact bytes of a body; undefined where it is none of ours. */
export function body(g, ask) {
  const [what, id, side] = ask.split("/"),
    e = what === "exchanges" && g.exchanges.find((x) => x.exchange_id === id);
  if (!e || (side !== "request" && side !== "response")) return undefined;
  if (side === "response") return 'event: message_start\ndata: {"type":"message_start"}\n\n';
  const deep = `${"[".repeat(10_000)}${"]".repeat(10_000)}`;
  const messages = Array.from({ length: 40 }, (_, i) => ({
    role: i % 2 ? "assistant" : "user",
    content: [{ type: "text", text: `Message ${i}. ${HOSTILE[i % HOSTILE.length]}` }],
  }));
  return `{"model":${JSON.stringify(e.model)},"max_tokens":32000,"system":[{"type":"text","text":"You are a made-up assistant."}],"tools":[{"name":"Bash","description":"Runs a command","input_schema":{"type":"object"}}],"metadata":${deep},"messages":${JSON.stringify(messages)}}`;
}

function hits(g, words) {
  const out = [];
  for (const [span_id, c] of g.content) {
    const text = JSON.stringify(c),
      at = text.indexOf(words);
    if (at >= 0) out.push({ span_id, snippet: text.slice(Math.max(0, at - 20), at + 100) });
    if (out.length >= 50) break;
  }
  return out;
}

function records(s) {
  const at = (ms) => new Date(Date.parse(s.started_at) + ms).toISOString();
  const one = (i, source, kind, ms, joined_by, join_key) => ({
    record_id: `r${i}-${s.span_id}`,
    source,
    kind,
    at: at(ms),
    bytes: 400 + i * 731,
    exchange_id: source === "proxy" ? s.exchange_id : null,
    joined_by,
    join_key,
  });
  const took = s.duration_ms ?? 0,
    told = s.sources.includes("telemetry");
  if (s.kind === "llm")
    return [
      one(0, "proxy", "exchange", took, "message_id", "msg_made_up"),
      one(1, "transcript", "assistant", took + 4, "message_id", "msg_made_up"),
      ...(told ? [one(2, "telemetry", "api_request", took + 5, "request_id", "req_made_up")] : []),
    ];
  return [
    one(0, "hook", "PreToolUse", 0, "tool_use_id", s.tool_use_id ?? ""),
    one(1, "hook", "PostToolUse", took, "tool_use_id", s.tool_use_id ?? ""),
    one(2, "transcript", "user", took + 3, "tool_use_id", s.tool_use_id ?? ""),
    ...(told ? [one(3, "telemetry", "tool_decision", 6, "tool_use_id", s.tool_use_id ?? "")] : []),
  ];
}

function files(g, q) {
  const by = new Map();
  for (const s of g.spans)
    if (s.tool_name === "Edit" || s.tool_name === "Write") by.set(s.summary, [...(by.get(s.summary) ?? []), s.span_id]);
  const before = Array.from({ length: 60 }, (_, i) => `line ${i}\n`).join("");
  const side = (text) => (q.get("content") === "1" ? text : null),
    only = q.get("path");
  const all = [...by].map(([path, spans], i) => ({
    path,
    edits: spans.length,
    added: 4 + i,
    removed: i,
    before: i === 1 ? null : side(before),
    after: side(before.replace("line 7\n", `line 7 <b>changed</b>\n`).replace("line 40\n", "")),
    exact: i !== 2,
    created: i === 1,
    spans,
  }));
  return only === null ? all : all.filter((f) => f.path === only);
}

function changes(g, e) {
  const i = g.exchanges.indexOf(e),
    before = g.exchanges.slice(0, i).findLast((x) => x.agent_id === e.agent_id && x.purpose === e.purpose);
  if (!before)
    return { previous: null, kept_messages: 0, dropped: [], added: [], system: [], tools: [], settings: [] };
  return {
    previous: before.exchange_id,
    previous_at: before.started_at,
    kept_messages: 38,
    dropped: i % 3 ? [] : [{ role: "user", content: "What was said before" }],
    added: [
      { role: "assistant", content: [{ type: "text", text: HOSTILE[0] }] },
      { role: "user", content: [{ type: "text", text: "And now?" }] },
    ],
    system: i % 3 ? [] : [{ name: "system 1", what: "changed", before: { type: "text", text: "You are." }, after: { type: "text", text: "You were." } }],
    tools: [{ name: "Glob", what: "added", before: null, after: { name: "Glob", description: "Finds files" } }],
    settings: [{ name: "max_tokens", what: "changed", before: 32000, after: 64000 }],
    cache_broken: i % 3 === 0,
  };
}

function detail(e) {
  const events = Array.from({ length: 200 }, (_, i) => ({
    event: i === 0 ? "message_start" : "content_block_delta",
    at_us: Math.floor((e.ttfb_ms + ((e.duration_ms - e.ttfb_ms) * i) / 200) * 1000),
    bytes: 120,
  }));
  return {
    exchange: e,
    request_headers: [
      ["content-type", "application/json"],
      ["user-agent", HOSTILE[0]],
    ],
    response_headers: [["content-type", "text/event-stream"]],
    response_trailers: [],
    http: ["HTTP/1.1", "HTTP/2"],
    request_kept: null,
    response_kept: null,
    message: {
      role: "assistant",
      model: e.model,
      stop_reason: e.stop_reason,
      content: [
        { type: "thinking", thinking: "", signature: "x".repeat(96) },
        { type: "text", text: HOSTILE.join("\n") },
      ],
      usage: { output_tokens: 5 },
    },
    events,
    rate_limits: null,
    retry_after_s: null,
  };
}

/** Questions about all sessions. */
export function everything(made, ask, q) {
  const sessions = made.map((g) => g.session);
  switch (ask) {
    case "usage":
      return usage(sessions, q);
    case "status":
      return { rate_limits: null };
    case "budget":
      return { scopes: [] };
    case "detections":
      return { detections: made.flatMap((g) => g.detections).filter((d) => d.kind === (q.get("kind") ?? d.kind)), more: 0 };
    case "detections/trend":
      return {
        by: ["kind", "project"],
        rows: [
          { key: { kind: "loop", project: "shop" }, detections: 7, dismissed: 1, intervened: 2, sessions: 3, worst: 80 },
        ],
        sessions: made.length,
      };
    case "tools":
      return tools(made);
    default:
      return undefined;
  }
}

function tools(made) {
  const by = new Map();
  for (const g of made)
    for (const s of g.spans)
      if (s.kind === "tool") by.set(s.tool_name, [...(by.get(s.tool_name) ?? []), s]);
  const list = [...by].map(([tool, spans]) => {
    const ms = spans.map((s) => s.duration_ms ?? 0).sort((a, b) => a - b),
      slowest = spans.reduce((a, b) => ((b.duration_ms ?? 0) > (a.duration_ms ?? 0) ? b : a));
    return {
      tool,
      calls: spans.length,
      errors: spans.filter((s) => s.status === "error").length,
      denied: spans.filter((s) => s.status === "denied").length,
      p50_ms: ms[Math.floor(ms.length / 2)],
      p95_ms: ms[Math.floor(ms.length * 0.95)],
      max_ms: ms.at(-1),
      total_ms: ms.reduce((a, b) => a + b, 0),
      slowest_span_id: slowest.span_id,
      slowest_session_id: slowest.session_id,
    };
  });
  return { tools: list.sort((a, b) => b.total_ms - a.total_ms), sessions: made.length, left_out: 0 };
}

/** Sums of sessions, as `usage` words them. */
function usage(sessions, q) {
  const sum = (list) => ({
    tokens: list.reduce((t, s) => Object.fromEntries(Object.keys(t).map((k) => [k, t[k] + s.tokens[k]])), {
      input: 0,
      output: 0,
      cache_read: 0,
      cache_write_5m: 0,
      cache_write_1h: 0,
    }),
    cost_usd_micros: list.reduce((n, s) => n + s.cost_usd_micros, 0),
    exchanges: list.reduce((n, s) => n + s.exchanges, 0),
  });
  const by = q.get("by"),
    daily = q.get("period") === "daily";
  const rows = sessions.map((s) => ({
    ...sum([s]),
    key: { ...(daily ? { date: s.started_at.slice(0, 10) } : {}), [by]: s[by] ?? HOSTILE[0] },
  }));
  return { timezone: "UTC", totals: sum(sessions), rows, unpriced_models: [], retries: { exchanges: 0 }, cache: null };
}
