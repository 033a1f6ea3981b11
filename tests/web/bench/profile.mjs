// Where our page's time goes: the same steps as in the comparison, one at a time, with a CPU profile of each.
//
// Written to a directory: STEP.cpuprofile (for the Performance panel of DevTools) and summary.txt, which is printed too.
// The profiler slows the page down: figures are for finding the dear places, not for comparing.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Sender } from "./live.mjs";
import { Visit } from "./measure.mjs";

/** Functions told of each step. */
const MOST = 18;
const EVENTS = 100;

/** Profile → [self ms, total ms, where], the dearest first. */
export function dearest({ nodes, samples, timeDeltas }) {
  const by = new Map(nodes.map((n) => [n.id, n])),
    self = new Map();
  samples.forEach((id, i) => self.set(id, (self.get(id) ?? 0) + timeDeltas[i] / 1000));
  const parents = new Map();
  for (const n of nodes) for (const child of n.children ?? []) parents.set(child, n.id);
  const where = ({ callFrame: f }) =>
    `${f.functionName || "(anonymous)"} ${f.url ? `${f.url.replace(/^.*?\/(js\/|$)/, "$1")}:${f.lineNumber + 1}` : ""}`.trim();
  const told = new Map();
  for (const [id, ms] of self) {
    const seen = new Set();
    for (let at = id; at !== undefined; at = parents.get(at)) {
      const name = where(by.get(at));
      if (seen.has(name)) continue;
      seen.add(name);
      const one = told.get(name) ?? [0, 0, name];
      if (at === id) one[0] += ms;
      one[1] += ms;
      told.set(name, one);
    }
  }
  return [...told.values()].filter(([, , name]) => !/^\(root\)|^\(idle\)/.test(name));
}

const number = (v) => v.toFixed(1).padStart(8);

/** The dearest by their own time, and those that cost most with what they call. */
export function summary(name, profile, used) {
  const all = dearest(profile);
  const list = (title, i) =>
    [
      `  ${title}`,
      ...[...all]
        .sort((a, b) => b[i] - a[i])
        .slice(0, MOST)
        .map(([self, total, where]) => `  ${number(self)} ${number(total)}  ${where}`),
    ].join("\n");
  const told = Object.entries(used).map(([k, v]) => `${k} ${typeof v === "number" ? v.toFixed(1) : v}`);
  return [
    `\n## ${name}: ${told.join(", ")}`,
    "      self    total  (ms)",
    list("by own time", 0),
    list("with what they call", 1),
  ].join("\n");
}

/** Profiles every step. */
export async function profiled({ browser, program, facts, rows, dir, turn, say }) {
  mkdirSync(dir, { recursive: true });
  const v = await Visit.open(browser, program, { profiler: true }),
    parts = [];
  const step = async (name, act) => {
    const before = await v.metrics();
    await v.cdp.send("Profiler.start");
    const got = await act();
    const { profile } = await v.cdp.send("Profiler.stop");
    const after = await v.metrics();
    const used = {};
    for (const key of ["task", "script", "style", "layout"]) used[`${key} ms`] = after[key] - before[key];
    writeFileSync(join(dir, `${name}.cpuprofile`), JSON.stringify(profile));
    parts.push(summary(name, profile, { ...used, ...got }));
    say(parts.at(-1));
  };
  try {
    const stream = new Map();
    const seen = (e) => {
      if (e.request?.url.includes("/v0/")) stream.set(e.requestId, { url: e.request.url, at: e.timestamp, bytes: 0 });
      const one = stream.get(e.requestId);
      if (!one || e.request) return;
      if (e.response) one.head = e.timestamp;
      else if (e.dataLength !== undefined) {
        one.first ??= e.timestamp;
        one.last = e.timestamp;
        one.bytes += e.dataLength;
      }
    };
    for (const name of ["requestWillBeSent", "responseReceived", "dataReceived"]) v.cdp.on(`Network.${name}`, seen);
    await v.cdp.send("Network.enable");
    await step("load", async () => {
      const { first, every } = await v.load(...rows);
      return { "first row ms": first, "all rows ms": every };
    });
    const entries = await v.cdp.send("Runtime.evaluate", {
      expression: `performance.getEntriesByType("resource").map((e) => [e.name.replace(location.origin, ""), e.startTime, e.responseStart, e.responseEnd, e.decodedBodySize])`,
      returnByValue: true,
    });
    const asked = entries.result.value.map(
      ([name, ...t]) => `  ${t.slice(0, 3).map(number).join(" ")} ${String(t[3]).padStart(10)}  ${name.slice(0, 140)}`,
    );
    const base = Math.min(...[...stream.values()].map((s) => s.at));
    for (const { url, at, head, first, last, bytes } of stream.values())
      asked.push(
        `  ${new URL(url).pathname.slice(0, 60)}: +${number((at - base) * 1000).trim()} ms asked, head, first and last data after ` +
          `${[head, first, last].map((t) => number((t - at) * 1000).trim()).join(", ")} ms, ${bytes} bytes`,
      );
    await v.cdp.send("Network.disable");
    parts.push(["\n## requests: start, first byte, end (ms), bytes", ...asked].join("\n"));
    say(parts.at(-1));
    await step("inspect", async () => {
      const told = await v.inspect();
      return Object.fromEntries(Object.entries(told).map(([k, list]) => [`${k} ms`, Math.max(...list)]));
    });
    await step("scroll", async () => {
      const { slow, fast, far } = await v.scroll();
      return { "slow ms/frame": slow.task, "fast ms/frame": fast.task, "far ms/frame": far.task };
    });
    await step("filter", async () => {
      const { filter, filterWhole, filterTask, unfilter } = await v.filter(facts);
      return { "rows ms": filter, "contents ms": filterWhole, "main ms": filterTask, "back ms": unfilter };
    });
    const send = new Sender(program.server, program.session, turn);
    await step("live", async () => {
      const told = {};
      await v.live({ send, alone: EVENTS / 10, burst: EVENTS / 4, pace: 50, most: 60_000, told });
      return { events: told.sent, "main ms/event": told.batches[0]?.task ?? NaN };
    });
  } finally {
    await v.close();
    writeFileSync(join(dir, "summary.txt"), `${parts.join("\n")}\n`);
  }
}
