// Measuring one page in one Chromium: each visit is a browser context of its own, hence a renderer and a cache of its own.
//
// Times are the page's own, of frames that were made; CPU time is the renderer's, which depends least on who else uses the
// machine. Input goes in where a person's would, through the browser. Must fail rather than measure a page that shows
// something else than it should.

import { readFileSync } from "node:fs";
import { probe } from "./probe.mjs";
import { cpuOf, PATIENCE } from "./servers.mjs";
import { NEEDLE } from "./session.mjs";

/** Rows that are clicked in one visit, of each kind. */
const CLICKS = 3;
/** Times that a number of events is sent while nobody looks. */
export const BATCHES = 4;
/** Frames of one way of scrolling. */
const FRAMES = 200;

/** Promise or an error that says what took too long. */
export function within(what, promise, ms = PATIENCE) {
  let timer = null;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms / 1000} s`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A page, opened once. `program`: { name, url, cookies }. */
export class Visit {
  static async open(browser, program, { profiler = false } = {}) {
    const visit = new Visit();
    Object.assign(visit, { program, wrong: [] });
    visit.context = await browser.newContext({ viewport: { width: 1600, height: 950 } });
    try {
      if (program.cookies) await visit.context.addCookies(program.cookies);
      visit.page = await visit.context.newPage();
      // What its list of sessions says of a log that is being written to is no error of the page's.
      visit.page.on("pageerror", (e) => visit.wrong.push(e.message));
      await visit.page.addInitScript(probe, program.name);
      visit.cdp = await visit.context.newCDPSession(visit.page);
      visit.all = await browser.newBrowserCDPSession();
      // Main thread times are CPU times: what else runs on the machine counts for nothing.
      await visit.cdp.send("Performance.enable", { timeDomain: "threadTicks" });
      await visit.cdp.send("Runtime.enable");
      if (profiler) {
        await visit.cdp.send("Profiler.enable");
        await visit.cdp.send("Profiler.setSamplingInterval", { interval: 200 });
      }
      return visit;
    } catch (e) {
      await visit.close();
      throw e;
    }
  }

  async close() {
    await this.all?.detach().catch(() => {});
    // A page that is beyond answering is not waited for: it goes with the browser.
    await within("closing the page", this.context.close(), 30_000).catch(() => {});
  }

  /** Calls what was put into the page. */
  async call(what, name, args = [], ms = PATIENCE) {
    const given = args.map((a) => JSON.stringify(a) ?? "null").join(",");
    const expression = `__bench.${name}(${given})`;
    const asked = this.cdp.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    const { result, exceptionDetails: e } = await within(`${this.program.name}: ${what}`, asked, ms);
    if (e) throw new Error(`${this.program.name}: ${what}: ${e.exception?.description ?? e.text}`.split("\n")[0]);
    return result.value;
  }

  async metrics() {
    const { metrics } = await this.cdp.send("Performance.getMetrics");
    const of = Object.fromEntries(metrics.map((m) => [m.name, m.value]));
    const [task, script, style, layout] = ["Task", "Script", "RecalcStyle", "Layout"].map(
      (k) => of[`${k}Duration`] * 1000,
    );
    return { task, script, style, layout, heap: of.JSHeapUsedSize, nodes: of.Nodes };
  }

  /** From the navigation to all rows, which are at least `n`. */
  async load(n, most) {
    const go = this.page.goto(this.program.url, { waitUntil: "commit", timeout: PATIENCE });
    await within(`${this.program.name}: the page`, go);
    const times = await this.call("the session's rows", "load", [n, most]);
    const { task, script } = await this.metrics();
    await this.whose();
    return { ...times, task, script };
  }

  /** Which process draws this page: the one that works when it is asked to. */
  async whose() {
    const list = async () => {
      const { processInfo } = await this.all.send("SystemInfo.getProcessInfo");
      return processInfo.filter((p) => p.type === "renderer").map((p) => [p.id, cpuOf(p.id)]);
    };
    const before = new Map(await list());
    await this.call("the renderer", "busy", [120]);
    const worked = (await list()).map(([pid, cpu]) => [pid, cpu - (before.get(pid) ?? cpu)]);
    this.pid = worked.sort((a, b) => b[1] - a[1])[0][0];
  }

  /** Clicks a row and waits until the inspector shows it. */
  async click(token) {
    const row = await this.call(`the row of ${token}`, "at", [token]);
    if (!row) throw new Error(`${this.program.name}: no row of ${token} is in sight`);
    await this.call("clicking", "arm");
    const filled = this.call(`the inspector of ${token}`, "inspected", [token]);
    for (const type of ["mousePressed", "mouseReleased"])
      await this.cdp.send("Input.dispatchMouseEvent", { type, x: row.x, y: row.y, button: "left", clickCount: 1 });
    return filled;
  }

  /** Rows clicked for the first time, and once more: ms each, of tool calls and of model calls. */
  async inspect() {
    await this.call("the end of the rows", "end");
    const rows = await this.call("the rows in sight", "tokens");
    const out = { toolCold: [], toolWarm: [], callCold: [], callWarm: [] };
    for (const [kind, start] of [
      ["tool", "cmd-"],
      ["call", "say-"],
    ]) {
      const tokens = [...new Set(rows.map((r) => r.token).filter((t) => t.startsWith(start)))].slice(-CLICKS);
      if (tokens.length < CLICKS)
        throw new Error(`${this.program.name}: only ${tokens.length} rows of ${start} in sight`);
      for (const age of ["Cold", "Warm"]) for (const t of tokens) out[kind + age].push(await this.click(t));
    }
    return out;
  }

  /** Types a word as fast as the page takes it: ms from its first letter, ms of CPU time. */
  async filter(facts) {
    const before = await this.call("the search field", "focus"),
      cpu = await this.metrics();
    const [least, most] =
      this.program.name === "ours" ? [facts.needles, facts.needles * 3] : [facts.needleEvents, facts.needleEvents];
    const settled = this.call(`rows with ${NEEDLE}`, "filtered", [before, NEEDLE, least, most]);
    settled.catch(() => {});
    for (const letter of NEEDLE) await within("typing", this.page.keyboard.press(letter));
    const filter = await settled,
      after = await this.metrics();
    const filterWhole = await this.call(`contents with ${NEEDLE}`, "whole");
    await this.call("the search field", "focus");
    const back = this.call("all rows again", "unfiltered", [before]);
    back.catch(() => {});
    await within("deleting", this.page.keyboard.press("Backspace"));
    return { filter, filterWhole, filterTask: after.task - cpu.task, unfilter: await back };
  }

  async scroll() {
    const out = {};
    for (const [name, by] of [
      ["slow", 72],
      ["fast", 600],
      ["far", null],
    ]) {
      const cpu = await this.metrics();
      const { times, long, moved } = await this.call(`scrolling (${name})`, "scroll", [FRAMES, by]);
      if (!(moved > 0)) throw new Error(`${this.program.name}: it did not scroll`);
      out[name] = { times, long, task: ((await this.metrics()).task - cpu.task) / times.length };
    }
    return out;
  }

  async memory() {
    for (let i = 0; i < 2; i += 1) await this.cdp.send("HeapProfiler.collectGarbage");
    const { heap, nodes } = await this.metrics();
    const pss = Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${this.pid}/smaps_rollup`, "utf8"))[1]) * 1024;
    return { heap, nodes, pss };
  }

  /**
   * Events sent one by one, each once the one before was seen: ms from the sending to the frame. Then `burst` of them at an
   * even pace, nobody looking: CPU time per event of the renderer and of its main thread. Each half ends after `most` ms;
   * what was measured until then, or until it failed, is in `told`.
   */
  async live({ send, alone, burst, pace, most, told }) {
    Object.assign(told, { latencies: [], batches: [], sent: 0 });
    await this.call("the end of the rows", "end");
    const event = async (which) => {
      const token = send.next(which);
      await send.now();
      told.sent += 1;
      return token;
    };
    for (let i = 0, stop = Date.now() + most; i < alone && Date.now() < stop; i += 1) {
      const token = send.peek(),
        seen = this.call(`the row of ${token}`, "appeared", [token]);
      seen.catch(() => {});
      const at = performance.timeOrigin + performance.now();
      await event("before");
      told.latencies.push((await seen) - at);
      await event("after");
    }
    for (let b = 0, stop = Date.now() + most; b < BATCHES && Date.now() < stop; b += 1) {
      const [m0, c0] = [await this.metrics(), cpuOf(this.pid)];
      let token = "",
        n = 0;
      for (const began = Date.now(); n < burst; n += 1) {
        token = (await event(n % 2 === 0 ? "before" : "after")) ?? token;
        await until(began + (n + 1) * pace);
      }
      await this.call(`the row of ${token}`, "appeared", [token]);
      const [m1, c1] = [await this.metrics(), cpuOf(this.pid)];
      told.batches.push({ task: (m1.task - m0.task) / n, script: (m1.script - m0.script) / n, cpu: (c1 - c0) / n });
    }
  }
}

/** The pace of a made-up sender: nothing waits for an outcome here. */
function until(time) {
  return new Promise((done) => {
    setTimeout(done, Math.max(0, time - Date.now()));
  });
}
