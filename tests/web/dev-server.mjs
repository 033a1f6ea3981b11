// A small server for work on the pages, and for tests without a daemon: the assets with the headers that the daemon's web
// door sends, and `/v0/…` from a running daemon's socket, or made up.
//
//   node tests/web/dev-server.mjs [--port 8099] [--socket …/ccd.sock] [--spans N] [--sessions N] [--rate EVENTS PER SECOND]
//
// Listens on 127.0.0.1 only. Lets everybody in who is on this machine: not for a daemon whose sessions nobody else may see.

import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { generate, sessions } from "./generate.mjs";
import { answer as about, body, everything } from "./made-up.mjs";
import { follow, play, Told } from "./made-up-stream.mjs";

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

/** `spans`: a made-up session of so many; `many`: further sessions in the list, as of `now`; `rate`: events per second in the first.
    Gives { server, listening, made: id → session, told: id → what is pushed to its readers }. */
export function serve({ port = 0, socket = null, spans = 0, many = 0, rate = 0, now = Date.now() } = {}) {
  const made = new Map(),
    told = new Map();
  if (spans) {
    const g = generate({ spans });
    made.set(g.session.session_id, g);
    told.set(g.session.session_id, new Told(g));
  }
  const list = many ? sessions(many, now) : [];
  let playing = null;
  const server = createServer((req, res) =>
    answer(req, res).catch((e) => {
      if (!res.headersSent) res.writeHead(500, HEADERS);
      res.end(String(e));
    }),
  );
  const send = (res, status, type, text, more = {}) => {
    res.writeHead(status, { ...HEADERS, ...more, "content-type": type });
    res.end(text);
  };
  const json = (res, value, status = 200) =>
    send(res, status, "application/json", JSON.stringify({ schema_version: 1, ...value }));

  async function answer(req, res) {
    const url = new URL(req.url, "http://localhost");
    if (url.pathname.startsWith("/v0/")) return api(url, req, res);
    if (req.method !== "GET" && req.method !== "HEAD") return send(res, 405, "text/plain", "");
    const path = url.pathname === "/" ? "index.html" : normalize(url.pathname).replace(/^[/\\]+/, "");
    if (path.startsWith("..")) return send(res, 404, "text/plain", "");
    try {
      return send(res, 200, TYPES[extname(path)] ?? "application/octet-stream", readFileSync(join(ASSETS, path)));
    } catch {
      return send(res, 404, "text/plain; charset=utf-8", "no such page\n");
    }
  }

  function api(url, req, res) {
    const q = url.searchParams,
      ask = url.pathname.slice("/v0/".length),
      id = q.get("session");
    if (ask === "follow") {
      if (id && told.has(id)) {
        if (rate && !playing) playing = play(told.get(id), rate);
        return follow(res, HEADERS, told.get(id).since(q.get("after")), told.get(id));
      }
      if (socket) return upstream(req, res);
      const listed = list.find((s) => s.session_id === id);
      if (listed) return follow(res, HEADERS, [{ open: { session_id: id } }, { session: listed }, { cursor: "0" }], null);
      if (id) return json(res, { error: { code: "not_found", message: "no such session" } }, 404);
      const all = [...[...made.values()].map((g) => g.session), ...list];
      const lines = [{ open: { session_id: null, resumed: false, turns: 0, spans: 0 } }];
      for (const session of all) lines.push({ session });
      return follow(res, HEADERS, [...lines, { cursor: "list" }], null);
    }
    if (req.method === "POST" && !socket) return judge(ask, q, req, res);
    for (const g of made.values()) {
      const bytes = body(g, ask);
      if (bytes !== undefined) return send(res, 200, "application/octet-stream", bytes);
      const known = about(g, ask, q);
      if (known) return json(res, known);
      if (ask === `export/session/${g.session.session_id}.html`)
        return send(res, 200, "text/html; charset=utf-8", "<!doctype html><title>made up</title>", {
          "content-disposition": "attachment",
        });
    }
    if (socket) return upstream(req, res);
    const all = everything([...made.values()], ask, q);
    return all ? json(res, all) : json(res, { error: { code: "not_found", message: "no such thing" } }, 404);
  }

  /** What the user says of a detection. */
  function judge(ask, q, req, res) {
    const [what, id, verdict] = ask.split("/");
    if (req.headers["content-type"] !== "application/json") return send(res, 415, "text/plain", "");
    if (what === "heal") return json(res, { mode: "guard", interventions: [], exceptions: [], projects: {}, more: 0 });
    for (const t of told.values()) {
      const d = what === "detections" && t.g.detections.find((x) => x.detection_id === id);
      if (!d) continue;
      const dismissed = verdict === "dismiss",
        detection = { ...d, state: dismissed ? "dismissed" : "open", reason: dismissed ? q.get("reason") : null };
      t.push([{ detection }]);
      return json(res, { detection, others: 0 });
    }
    return json(res, { error: { code: "not_found", message: "no such detection" } }, 404);
  }

  /** Asks the daemon, and hands its answer on as it comes. */
  function upstream(req, res) {
    const headers = { host: "ccd" };
    for (const name of ["content-type", "content-length"]) if (req.headers[name]) headers[name] = req.headers[name];
    const r = request({ socketPath: socket, method: req.method, path: req.url, headers }, (got) => {
      const { connection, ...rest } = got.headers;
      res.writeHead(got.statusCode, { ...rest, ...HEADERS });
      got.pipe(res);
      // One that breaks off is broken off here, too.
      got.on("close", () => got.complete || res.destroy());
    });
    r.on("error", (e) => {
      if (!res.headersSent) res.writeHead(502, HEADERS);
      res.end(String(e));
    });
    res.on("close", () => r.destroy());
    req.pipe(r);
  }

  server.on("close", () => playing?.());
  const listening = new Promise((done) => {
    server.listen(port, "127.0.0.1", () => done(server.address().port));
  });
  return { server, listening, made, told };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const arg = (key, otherwise = null) => {
    const i = process.argv.indexOf(`--${key}`);
    return i < 0 ? otherwise : process.argv[i + 1];
  };
  const s = serve({
    port: Number(arg("port", 8099)),
    socket: arg("socket"),
    spans: Number(arg("spans", 0)),
    many: Number(arg("sessions", 0)),
    rate: Number(arg("rate", 0)),
  });
  process.stdout.write(`http://127.0.0.1:${await s.listening}\n`);
}
