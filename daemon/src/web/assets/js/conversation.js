// Requests to the API as objects, and what changed from one to the next.
//
// Pure: no DOM. A request is somebody's JSON: anything may be missing or of another kind, and deeper than a stack is. Must
// never throw on what `JSON.parse` gave.

const MOST_DEPTH = 60;

/** Text → request; { error } where it is no JSON object. */
export function readRequest(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (e) {
    return { error: String(e.message) };
  }
  if (!value || typeof value !== "object" || Array.isArray(value)) return { error: "not an object" };
  const { system, tools, messages, ...rest } = value;
  const asList = (v) => (Array.isArray(v) ? v : v === undefined || v === null ? [] : [v]);
  return {
    system: asList(system).map((b) => (typeof b === "string" ? { type: "text", text: b } : b)),
    tools: asList(tools),
    messages: asList(messages),
    settings: clip(rest, MOST_DEPTH),
  };
}

/** A value no deeper than this: what is deeper is told as such. Total for any depth that was parsed. */
export function clip(value, depth) {
  if (value === null || typeof value !== "object") return value;
  if (depth <= 0) return Array.isArray(value) ? "[… deeper]" : "{… deeper}";
  if (Array.isArray(value)) return value.map((v) => clip(v, depth - 1));
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, clip(v, depth - 1)]));
}

/** Equal, but for where the cache's marks are: those move with each request and are not part of what is said. */
export function same(a, b, depth = MOST_DEPTH) {
  if (a === b) return true;
  if (
    depth <= 0 ||
    a === null ||
    b === null ||
    typeof a !== "object" ||
    typeof b !== "object" ||
    Array.isArray(a) !== Array.isArray(b)
  )
    return false;
  if (Array.isArray(a)) return a.length === b.length && a.every((v, i) => same(v, b[i], depth - 1));
  const keys = (o) => Object.keys(o).filter((k) => k !== "cache_control");
  const ka = keys(a),
    kb = keys(b);
  return ka.length === kb.length && ka.every((k) => Object.hasOwn(b, k) && same(a[k], b[k], depth - 1));
}

const textOf = (b) => (typeof b?.text === "string" ? b.text : JSON.stringify(clip(b, 8), null, 2));
const nameOf = (t) => (typeof t?.name === "string" ? t.name : JSON.stringify(clip(t, 2)));

/** What changed: { kept, dropped, added (messages), changed, system, tools, settings }. Messages that are the same at the
    beginning are `kept`; those behind them of the earlier request are `dropped`: the conversation was rewritten. */
export function changes(before, after) {
  let kept = 0;
  while (
    kept < before.messages.length &&
    kept < after.messages.length &&
    same(before.messages[kept], after.messages[kept])
  )
    kept += 1;
  const system = [],
    n = Math.max(before.system.length, after.system.length);
  for (let i = 0; i < n; i += 1) {
    const a = before.system[i],
      b = after.system[i];
    if (a === undefined || b === undefined || !same(a, b))
      system.push({ index: i, before: a === undefined ? "" : textOf(a), after: b === undefined ? "" : textOf(b) });
  }
  const old = new Map(before.tools.map((t) => [nameOf(t), t])),
    now = new Map(after.tools.map((t) => [nameOf(t), t]));
  const tools = [];
  for (const [name, t] of now)
    if (!old.has(name)) tools.push({ name, what: "added" });
    else if (!same(old.get(name), t))
      tools.push({
        name,
        what: "changed",
        before: JSON.stringify(clip(old.get(name), 12), null, 2),
        after: JSON.stringify(clip(t, 12), null, 2),
      });
  for (const name of old.keys()) if (!now.has(name)) tools.push({ name, what: "removed" });
  const settings = [];
  for (const key of new Set([...Object.keys(before.settings), ...Object.keys(after.settings)])) {
    if (!same(before.settings[key], after.settings[key]))
      settings.push({ key, before: before.settings[key], after: after.settings[key] });
  }
  return { kept, dropped: before.messages.length - kept, added: after.messages.slice(kept), system, tools, settings };
}

/** Per event of a stream: the time in ms since the request, bytes so far, and silences longer than `silence` ms. */
export function streamShape(events, silence = 1000) {
  let sum = 0,
    last = 0;
  const points = [],
    gaps = [];
  for (const e of events) {
    const at = e.at_us / 1000;
    sum += e.bytes;
    points.push([at, sum, e.event]);
    if (points.length > 1 && at - last >= silence) gaps.push([last, at]);
    last = at;
  }
  return { points, gaps, bytes: sum };
}

/** Headers for a shell, quoted so that nothing in them acts. */
export function shellQuote(text) {
  return `'${String(text).replace(/'/g, "'\\''")}'`;
}

const LEFT_OUT = new Set(["host", "content-length", "connection", "accept-encoding", "transfer-encoding"]);

/** A command that sends the same again: the exact body comes from `ccctl`, the key from the environment. */
export function curl(exchange, headers, upstream = "https://api.anthropic.com") {
  const lines = [
    `ccctl exchange ${shellQuote(exchange.exchange_id)} --request |`,
    `curl ${shellQuote(`${upstream}${exchange.path}`)} -X ${/^[A-Z]+$/.test(exchange.method) ? exchange.method : "POST"} \\`,
    `  -H "x-api-key: $ANTHROPIC_API_KEY" \\`,
  ];
  for (const [k, v] of headers) if (!LEFT_OUT.has(k.toLowerCase())) lines.push(`  -H ${shellQuote(`${k}: ${v}`)} \\`);
  lines.push("  --compressed --data-binary @-");
  return lines.join("\n");
}
