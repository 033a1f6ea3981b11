// A small server for work on the pages, and for tests without a daemon: the assets with the headers that the daemon's web
// door sends, and `/v0/…` from a running daemon's socket, from recorded answers, or made up.
//
//   node tests/web/dev-server.mjs [--port 8099] [--socket …/ccd.sock] [--record DIR] [--fixtures DIR] [--spans N] [--sessions N]
//
// Listens on 127.0.0.1 only. `--record` writes what the daemon answered; `--fixtures` gives it back.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { generate, pretend, sessions } from "./generate.mjs";
import { HOSTILE } from "./hostile.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
export const ASSETS = join(HERE, "../../daemon/src/web/assets");
/** As in daemon/src/web/guard.rs. */
export const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

export function serve({ port = 0, socket = null, record = null, fixtures = null, spans = 0, many = 0 } = {}) {
  const made = new Map();
  if (spans) {
    const g = generate({ spans });
    made.set(g.session.session_id, g);
  }
  const list = many ? sessions(many) : [];
  const name = (url) => `${createHash("sha256").update(url).digest("hex").slice(0, 24)}.json`;
  const server = createServer((req, res) =>
    answer(req, res).catch((e) => {
      res.writeHead(500, HEADERS);
      res.end(String(e));
    }),
  );

  const send = (res, status, type, body) => {
    res.writeHead(status, { ...HEADERS, "content-type": type });
    res.end(body);
  };
  const json = (res, body, status = 200) =>
    send(res, status, "application/json", JSON.stringify({ schema_version: 1, ...body }));
  const missing = (res) => json(res, { error: { code: "not_found", message: "no such thing" } }, 404);

  async function answer(req, res) {
    const url = new URL(req.url, "http://localhost");
    if (req.method !== "GET" && req.method !== "HEAD") return send(res, 405, "text/plain", "");
    if (url.pathname.startsWith("/v0/")) return api(url, req, res);
    const path = url.pathname === "/" ? "index.html" : normalize(url.pathname).replace(/^[/\\]+/, "");
    if (path.startsWith("..")) return send(res, 404, "text/plain", "");
    try {
      return send(res, 200, TYPES[extname(path)] ?? "application/octet-stream", readFileSync(join(ASSETS, path)));
    } catch {
      return send(res, 404, "text/plain; charset=utf-8", "no such page\n");
    }
  }

  async function api(url, req, res) {
    const q = url.searchParams,
      path = url.pathname;
    const g = made.get(q.get("session"));
    if (g && path === "/v0/spans/follow") {
      res.writeHead(200, { ...HEADERS, "content-type": "application/x-ndjson" });
      res.flushHeaders();
      return follow(g, q, req, res);
    }
    if (g && path === "/v0/spans") return json(res, window(g, q));
    if (g && path === "/v0/turns")
      return json(res, { turns: [...g.turns].reverse().slice(0, Number(q.get("limit")) || undefined) });
    if (g && path === "/v0/exchanges")
      return json(res, {
        exchanges: g.exchanges
          .filter((x) => x.started_at >= (q.get("since") ?? "") && x.started_at < (q.get("until") ?? "~"))
          .reverse(),
      });
    if (g && path === "/v0/detections") return json(res, { detections: g.detections, more: 0 });
    if (g && path === "/v0/heal")
      return json(res, { mode: "guard", interventions: g.interventions, exceptions: [], projects: {}, more: 0 });
    if (g && path === "/v0/search")
      return json(res, {
        query: [q.get("q")],
        hits: [],
        more: false,
        complete: true,
        scanned_sessions: 1,
        cursor: null,
      });
    const shown = path.match(/^\/v0\/show\/([\w-]+)$/);
    for (const m of made.values()) {
      const s = shown && m.spans.find((x) => x.span_id === shown[1]);
      if (s) return json(res, { kind: "span", span: { ...s, ...(m.content.get(s.span_id) ?? {}) } });
      const e = path.startsWith("/v0/exchanges/") && m.exchanges.find((x) => path.includes(x.exchange_id));
      if (e) return madeExchange(m, e, path, res);
    }
    if (!socket && !fixtures) {
      if (path === "/v0/usage")
        return json(
          res,
          madeUsage(
            [...made.values()].map((m) => m.session),
            q,
          ),
        );
      if (path === "/v0/status") return json(res, { rate_limits: null });
      if (path === "/v0/budget") return json(res, { scopes: [] });
      if (path === "/v0/detections/trend") return json(res, { by: [], rows: [], sessions: made.size });
    }
    if (path === "/v0/detections" && (socket || fixtures)) {
      const body = await upstream(`/v0/spans?session=${encodeURIComponent(q.get("session") ?? "")}&limit=0`).catch(
        () => null,
      );
      return json(res, {
        detections: body && q.get("session") ? pretend(JSON.parse(body.body).spans ?? []) : [],
        more: 0,
      });
    }
    if (path === "/v0/heal")
      return json(res, { mode: "advise", interventions: [], exceptions: [], projects: {}, more: 0 });
    const got = socket || fixtures ? await upstream(req.url, res) : { status: 404, body: "{}" };
    if (!got) return undefined;
    if (path === "/v0/sessions" && got.status < 500) {
      const body = JSON.parse(String(got.body));
      const since = q.get("since") ?? "";
      return json(res, {
        sessions: [...[...made.values()].map((x) => x.session), ...(body.sessions ?? []), ...list].filter(
          (x) => x.last_at >= since,
        ),
      });
    }
    if (got.status === 404) return missing(res);
    return send(res, got.status, got.type ?? "application/json", got.body);
  }

  function upstream(target, stream = null) {
    if (fixtures) {
      try {
        const f = JSON.parse(readFileSync(join(fixtures, name(target))));
        return Promise.resolve({ status: f.status, type: f.type, body: Buffer.from(f.body, "base64") });
      } catch {
        return Promise.resolve({ status: 404, body: "{}" });
      }
    }
    return new Promise((done, fail) => {
      const r = request({ socketPath: socket, path: target, headers: { host: "ccd" } }, (answer) => {
        const type = answer.headers["content-type"];
        if (type === "application/x-ndjson" && stream) {
          stream.writeHead(answer.statusCode, { ...HEADERS, "content-type": type });
          answer.pipe(stream);
          stream.on("close", () => r.destroy());
          return done(null);
        }
        const parts = [];
        answer.on("data", (d) => parts.push(d));
        answer.on("end", () => {
          const body = Buffer.concat(parts);
          if (record) {
            mkdirSync(record, { recursive: true });
            writeFileSync(
              join(record, name(target)),
              JSON.stringify({ target, status: answer.statusCode, type, body: body.toString("base64") }),
            );
          }
          done({ status: answer.statusCode, type, body });
        });
        return undefined;
      });
      r.on("error", fail);
      r.end();
    });
  }

  const listening = new Promise((done) => server.listen(port, "127.0.0.1", () => done(server.address().port)));
  return { server, listening, made };
}

/** Sums of made-up sessions, as `usage` words them. */
function madeUsage(sessions, q) {
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

/** The newest `limit` spans of a range of time, as the API gives them. */
function window(g, q) {
  const limit = Number(q.get("limit") ?? 50),
    until = q.get("until"),
    since = q.get("since"),
    tool = q.get("tool"),
    content = q.get("content") === "1";
  let list = g.spans;
  if (until) list = list.filter((s) => s.started_at < until);
  if (since) list = list.filter((s) => s.started_at >= since);
  if (tool) list = list.filter((s) => s.tool_name === tool);
  const cut = limit > 0 && list.length > limit ? list.slice(-limit) : list;
  return {
    spans: content ? cut.map((s) => ({ ...s, ...g.content.get(s.span_id) })) : cut,
    more: cut.length < list.length,
  };
}

/** Plays the first spans again as if they came now. */
function follow(g, q, req, res) {
  const rate = Number(g.rate ?? 0);
  if (!rate) return;
  let i = 0;
  const timer = setInterval(() => {
    const now = new Date().toISOString().replace("Z", "000Z"),
      s = g.spans[i % g.spans.length];
    i += 1;
    res.write(
      `${JSON.stringify({ ...s, span_id: `live${String(i).padStart(12, "0")}`, parent_id: g.spans[0].span_id, turn_id: g.turns[g.turns.length - 1].turn_id, started_at: now })}\n`,
    );
  }, 1000 / rate);
  res.on("close", () => clearInterval(timer));
}

function madeExchange(g, e, path, res) {
  const head = {
    ...HEADERS,
    "content-type": path.endsWith("quest") || path.endsWith("sponse") ? "application/octet-stream" : "application/json",
  };
  const deep = `${"[".repeat(10_000)}${"]".repeat(10_000)}`;
  if (path.endsWith("/request")) {
    res.writeHead(200, head);
    const messages = Array.from({ length: 40 }, (_, i) => ({
      role: i % 2 ? "assistant" : "user",
      content: [{ type: "text", text: `Message ${i}. ${HOSTILE[i % HOSTILE.length]}` }],
    }));
    return res.end(
      `{"model":${JSON.stringify(e.model)},"max_tokens":32000,"system":[{"type":"text","text":"You are a made-up assistant."}],"tools":[{"name":"Bash","description":"Runs a command","input_schema":{"type":"object"}}],"metadata":${deep},"messages":${JSON.stringify(messages)}}`,
    );
  }
  if (path.endsWith("/response")) {
    res.writeHead(200, head);
    return res.end('event: message_start\ndata: {"type":"message_start"}\n\n');
  }
  res.writeHead(200, head);
  const events = Array.from({ length: 200 }, (_, i) => ({
    event: i === 0 ? "message_start" : "content_block_delta",
    at_us: Math.floor((e.ttfb_ms + ((e.duration_ms - e.ttfb_ms) * i) / 200) * 1000),
    bytes: 120,
  }));
  return res.end(
    JSON.stringify({
      schema_version: 1,
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
    }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const arg = (key, otherwise = null) => {
    const i = process.argv.indexOf(`--${key}`);
    return i < 0 ? otherwise : process.argv[i + 1];
  };
  const s = serve({
    port: Number(arg("port", 8099)),
    socket: arg("socket"),
    record: arg("record"),
    fixtures: arg("fixtures"),
    spans: Number(arg("spans", 0)),
    many: Number(arg("sessions", 0)),
  });
  for (const g of s.made.values()) g.rate = Number(arg("rate", 0));
  process.stdout.write(`http://127.0.0.1:${await s.listening}\n`);
}
