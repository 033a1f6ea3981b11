// The two programs under measurement, each a process of its own with a directory of its own under one temporary one:
// `ccd` from the build directory, and cc-tracer from where pip put it. Both are given the same log.
//
// Must leave nothing behind: `stop` ends every process that was started here and deletes what was written, and is called
// whatever happens. Nothing is sent to any other machine: both have the same made-up API as their upstream.

import { spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect, createServer as listener } from "node:net";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { emptyFacts, lines } from "./session.mjs";

/** How long a program may take to answer anything, in ms. */
export const PATIENCE = 120_000;

/** Asks again until there is an answer, or says what there was instead. */
export async function eventually(what, ask, ms = PATIENCE) {
  const until = Date.now() + ms;
  for (let last = null; ;) {
    try {
      const got = await ask();
      if (got) return got;
    } catch (e) {
      last = e;
    }
    if (Date.now() > until) throw new Error(`${what}: not within ${ms / 1000} s${last ? ` (${last.message})` : ""}`);
    await new Promise((done) => {
      setTimeout(done, 25);
    });
  }
}

/** HTTP, over a port or a Unix socket: status, headers, text. */
export function ask(to, path, { method = "GET", body = null, headers = {}, timeout = PATIENCE } = {}) {
  const where = typeof to === "number" ? { host: "127.0.0.1", port: to } : { socketPath: to };
  return new Promise((done, reject) => {
    const req = request({ ...where, path, method, headers, timeout, agent: false }, (res) => {
      const parts = [];
      res.on("data", (part) => parts.push(part));
      res.on("error", reject);
      res.on("end", () =>
        done({ status: res.statusCode, headers: res.headers, text: Buffer.concat(parts).toString("utf8") }),
      );
    });
    req.on("error", reject);
    req.on("timeout", () => req.destroy(new Error(`no answer from ${path} in ${timeout / 1000} s`)));
    req.end(body);
  });
}

async function freePort() {
  const server = listener().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** CPU time of a process and all its threads, in ms; Linux's. */
export function cpuOf(pid) {
  let ns = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      // A thread that ended between two looks.
    }
  }
  return ns / 1e6;
}

/** Ends a process and waits for its end. */
async function end(child, signal = "SIGTERM") {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  const late = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await gone;
  clearTimeout(late);
}

/** A process whose output goes to a file; told when it ends early. */
function start(program, args, { env, log, cwd }) {
  const out = openSync(log, "a");
  const child = spawn(program, args, { env, cwd, stdio: ["ignore", out, out] });
  child.on("error", (e) => {
    child.failed = e;
  });
  child.alive = () => {
    if (child.failed) throw child.failed;
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(
        `${program} ended (${child.exitCode ?? child.signalCode}): ${readFileSync(log, "utf8").slice(-800)}`,
      );
    return true;
  };
  return child;
}

/** A made-up API: streams what it was told to answer, by the request's `x-bench` header. */
export async function upstream() {
  const answers = new Map();
  const server = createServer(async (req, res) => {
    for await (const _ of req);
    const events = answers.get(req.headers["x-bench"]);
    if (!events) {
      res.writeHead(404, { "content-type": "application/json" });
      return res.end('{"type":"error","error":{"type":"not_found_error","message":"nothing to say"}}');
    }
    res.writeHead(200, { "content-type": "text/event-stream", "request-id": `req_${req.headers["x-bench"]}` });
    return res.end(events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join(""));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { answers, url: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
}

/** Writes the session as a log. */
export async function writeLog(path, given) {
  const facts = emptyFacts(),
    file = createWriteStream(path, { mode: 0o600 });
  for (const line of lines({ ...given, facts })) if (!file.write(`${line}\n`)) await once(file, "drain");
  file.end();
  await once(file, "finish");
  return facts;
}

/** cc-tracer with the log in its directory. */
export async function ccTracer({ dir, tools, logs, api }) {
  const python = resolve(tools, "cc-tracer/bin/python");
  if (!existsSync(python))
    throw new Error(
      `${python} is not there: python3 -m venv ${tools}/cc-tracer && ${tools}/cc-tracer/bin/pip install cc-tracer==0.1.4`,
    );
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const env = { PATH: process.env.PATH, HOME: dir, TZ: "UTC", ANTHROPIC_UPSTREAM_URL: api.url, TRACER_LOG_DIR: logs };
  const args = ["-m", "cc_tracer", "_serve", "--host", "127.0.0.1", "--port", String(port), "--log-dir", logs];
  const child = start(python, args, { env, cwd: dir, log: join(dir, "server.log") });
  await eventually(
    "cc-tracer's server",
    async () => child.alive() && (await ask(port, "/")).status === 200,
    30_000,
  ).catch(async (e) => {
    await end(child);
    throw e;
  });
  return {
    pid: child.pid,
    port,
    hook: async (event) => {
      const body = JSON.stringify(event);
      const headers = { "content-type": "application/json" };
      const { status } = await ask(port, "/event", { method: "POST", body, headers });
      if (status !== 200) throw new Error(`cc-tracer answered ${status} to an event`);
    },
    proxy: port,
    base: "",
    stop: () => end(child),
  };
}

/** The daemon with the log taken in. */
export async function ours({ dir, bin, logs, api, session, rows }) {
  const program = (name) => {
    const path = resolve(bin, name);
    if (!existsSync(path)) throw new Error(`${path} is not there: cargo build -p ccd -p ccctl`);
    return path;
  };
  const home = join(dir, "home");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const any = "127.0.0.1:0";
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    CCD_HOME: join(dir, "ccd"),
    CLAUDE_CONFIG_DIR: join(home, ".claude"),
  };
  Object.assign(env, { TZ: "UTC", CCD_UPSTREAM: api.url, CCD_WEB_LISTEN: any, CCD_PROXY_LISTEN: any });
  const socket = join(env.CCD_HOME, "run/ccd.sock"),
    log = join(dir, "ccd.log");
  const child = start(program("ccd"), ["run"], { env, cwd: home, log });
  const json = async (path) => JSON.parse((await ask(socket, path)).text);
  try {
    const status = await eventually("ccd", async () => child.alive() && (await json("/v0/status")), 30_000);
    const began = Date.now(),
      taker = start(program("ccctl"), ["import", logs], { env, cwd: home, log });
    await once(taker, "exit");
    if (taker.exitCode !== 0) throw new Error(`ccctl import failed: ${readFileSync(log, "utf8").slice(-800)}`);
    // Model calls and prompts are rows, tool calls too: whatever was taken in is there before anything is measured.
    const taken = await eventually("the imported session", async () => {
      const found = (await json("/v0/sessions?limit=0")).sessions.find((s) => s.session_id === session);
      return found && found.turns + found.exchanges + found.tool_calls === rows && found;
    });
    return {
      pid: child.pid,
      importMs: Date.now() - began,
      taken,
      socket,
      json,
      web: Number(status.web.listen.split(":").pop()),
      proxy: Number(status.proxy.listen.split(":").pop()),
      // Only who can read the store's directory may use the proxy.
      base: `/${readFileSync(join(env.CCD_HOME, "state/token"), "utf8").trim()}`,
      hook: (event) => frame(join(env.CCD_HOME, "run/hook.sock"), event),
      stop: () => end(child),
    };
  } catch (e) {
    await end(child);
    throw e;
  }
}

/** One hook event as `cc-hook` hands it over (see ccd-proto's `frame`); waits until it is acknowledged. */
export function frame(path, event) {
  const body = Buffer.from(`${JSON.stringify(event)}\n`),
    head = Buffer.alloc(16);
  head.write("CH", 0, "latin1");
  head[2] = 1;
  head.writeUInt32BE(body.length, 4);
  head.writeBigUInt64BE(BigInt(Date.now()) * 1_000_000n, 8);
  return new Promise((done, reject) => {
    const socket = connect(path);
    socket.setTimeout(PATIENCE, () => socket.destroy(new Error("no acknowledgement of a hook event")));
    socket.on("error", reject);
    socket.once("data", (reply) => {
      socket.destroy();
      if (reply.toString("latin1", 0, 2) === "CR" && reply[3] === 0) done();
      else reject(new Error("ccd did not take a hook event"));
    });
    socket.write(Buffer.concat([head, body, Buffer.alloc(2)]));
  });
}

export function remove(dir) {
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}
