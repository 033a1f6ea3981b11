// Requests to the API as objects, the shape of a stream, and a command that sends a request again.
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

const LEFT_OUT = new Set([
  "host",
  "content-length",
  "connection",
  "accept-encoding",
  "transfer-encoding",
  // Never kept; and if one were, it has no place in a text that is passed on.
  "authorization",
  "x-api-key",
  "cookie",
]);

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
