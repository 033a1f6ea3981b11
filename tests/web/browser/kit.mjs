// What every browser test stands on: Chromium, a way in, questions to the daemon, and a watch over all that a page does.
//
// A test is a script that Rust starts (`tests/e2e/browser`): it finds its facts as JSON on standard input, and its daemon,
// `ccctl` and `cc-hook` through its environment. Must never reach beyond this machine, never sleep and hope (`until` and
// `eventually` wait for what must come true), and never forgive what a page did wrong unless the test names it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { after } from "node:test";
import { launch as start, require } from "../chromium.mjs";

/** What Rust tells: programs, sockets, and what the scene has in it. */
export const facts = JSON.parse(readFileSync(0, "utf8"));
/** How long anything may take to come true. Only what hangs gets near it. */
export const PATIENCE = 120_000;

const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
let browser = null,
  door = null;

/** The browser of this script. */
export async function chromium(options = {}) {
  browser ??= await start(options);
  return browser;
}
after(() => browser?.close());

/** Runs a program with `input`; its output. Fails where it fails. */
export function run(program, args, input = "") {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    const out = [],
      err = [];
    child.stdout.on("data", (d) => out.push(d));
    child.stderr.on("data", (d) => err.push(d));
    child.on("error", fail);
    child.on("close", (code) => {
      if (code === 0) done(Buffer.concat(out).toString());
      else fail(new Error(`${program} ${args.join(" ")}: ${code}\n${Buffer.concat(err)}`));
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** `ccctl … --json`. */
export const ccctl = async (...args) => JSON.parse(await run(facts.ccctl, [...args, "--json"]));

/** One event as Claude Code's hook hands it over. */
export const hook = (event) => run(facts.cc_hook, [], `${JSON.stringify(event)}\n`);

/** A question on the daemon's own socket, around the web door: { status, headers, body }. */
export function ask(path, { method = "GET", body = null } = {}) {
  return new Promise((done, fail) => {
    const headers = { host: "ccd", ...(body === null ? {} : { "content-type": "application/json" }) };
    const r = request({ socketPath: facts.socket, path, method, headers }, (answer) => {
      const parts = [];
      answer.on("data", (d) => parts.push(d));
      answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(parts) }));
    });
    r.on("error", fail);
    r.end(body);
  });
}

/** The same, as an object. */
export async function api(path) {
  const { status, body } = await ask(`/v0/${path}`);
  assert.equal(status, 200, `${path}: ${body}`);
  return JSON.parse(body);
}

/** A link that lets in once; `args`: what `ccctl open` is given. */
export const link = async (...args) => {
  const { url } = await ccctl("open", ...args, "--print");
  return url;
};

/** The origin of the pages. */
export const origin = async () => (door ??= new URL(await link())).origin;

/** Asks until it is true. */
export async function eventually(what, probe) {
  const end = Date.now() + PATIENCE;
  let last = null;
  for (;;) {
    try {
      const found = await probe();
      if (found) return found;
    } catch (e) {
      last = e;
    }
    if (Date.now() > end) throw new Error(`this did not come true: ${what}${last ? `\n${last.message}` : ""}`);
    await new Promise((done) => setTimeout(done, 30));
  }
}

/** What is wrong with the pages of a context. `allow`: console messages that the test brings about itself. */
export class Watch {
  constructor(context, { allow = [] } = {}) {
    this.wrong = [];
    this.allow = allow;
    context.on("page", (page) => this.page(page));
    context.on("request", (r) => this.request(r.url()));
    context.on("console", (m) => {
      if (["error", "warning"].includes(m.type()) && !this.allow.some((a) => a.test(m.text())))
        this.wrong.push(`console: ${m.text()}`);
    });
    context.on("weberror", (e) => this.wrong.push(`error: ${e.error().stack ?? e.error().message}`));
    context.on("dialog", (d) => {
      this.wrong.push(`dialog: ${d.message()}`);
      d.dismiss();
    });
  }

  page(page) {
    page.on("websocket", (w) => this.wrong.push(`websocket: ${w.url()}`));
    page.on("crash", () => this.wrong.push("the page crashed"));
    page.on("popup", (p) => this.wrong.push(`popup: ${p.url()}`));
  }

  request(url) {
    if (!url.startsWith(`${this.origin}/`) && !url.startsWith("data:")) this.wrong.push(`request: ${url}`);
  }

  /** Fails where anything was wrong, or anything captured was executed. */
  async nothingWrong(page) {
    if (page) {
      const { pwned, breaches } = await page.evaluate(() => ({ pwned: window.__pwned, breaches: window.__breaches }));
      assert.equal(pwned, undefined, "captured text was executed");
      assert.deepEqual(breaches, [], "the policy was broken");
    }
    assert.deepEqual(this.wrong, []);
  }
}

let state = null;

/** A context that is let in, and the watch over it. */
export async function context({ allow = [], strict = true, ...options } = {}) {
  const b = await chromium();
  const at = await origin();
  state ??= await enter(b);
  const c = await b.newContext({
    viewport: { width: 1600, height: 950 },
    colorScheme: "light",
    reducedMotion: "reduce",
    timezoneId: "UTC",
    locale: "en-GB",
    bypassCSP: !strict,
    storageState: state,
    ...options,
  });
  c.setDefaultTimeout(PATIENCE);
  await c.addInitScript(() => {
    window.__breaches = [];
    addEventListener("securitypolicyviolation", (e) =>
      window.__breaches.push(`${e.violatedDirective} ${e.blockedURI}`),
    );
  });
  const watch = new Watch(c, { allow });
  watch.origin = at;
  return { context: c, watch };
}

/** The login, once: its cookie is what the other contexts have. */
async function enter(b) {
  const c = await b.newContext();
  const page = await c.newPage();
  await page.goto(door.href);
  await page.waitForSelector("#app");
  const kept = await c.storageState();
  await c.close();
  return kept;
}

/** Opens a page of ours in a fresh context, does `act(page, context, watch)`, and sees that nothing was wrong. */
export async function visit(hash, options, act) {
  const { context: c, watch } = await context(options);
  try {
    const page = await c.newPage();
    await page.goto(`${await origin()}/${hash}`);
    const result = await act(page, c, watch);
    await watch.nothingWrong(page);
    return result;
  } catch (e) {
    if (watch.wrong.length > 0) e.message += `\nwrong besides: ${watch.wrong.join("\n")}`;
    throw e;
  } finally {
    await c.close();
  }
}

/** What axe finds that is serious, in words. */
export async function axe(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  const places = (v) =>
    v.nodes
      .slice(0, 3)
      .map((n) => `${n.target.join(" ")} (${n.html.slice(0, 120)})`)
      .join(", ");
  const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(
    serious.map((v) => `${v.id}: ${places(v)}`),
    [],
    "axe",
  );
}
