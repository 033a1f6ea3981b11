// What the page costs on a session of 50,000 spans: CPU time of its main thread, which depends least on who else uses the
// machine, and wall time beside it. For the development server; a daemon's answers cost their own.
//
//   node tests/web/bench.mjs [URL] [EVENTS PER SECOND THAT THE URL'S SESSION GETS]

import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { launch } from "./chromium.mjs";
import { serve } from "./dev-server.mjs";

const own = process.argv[2] ? null : serve({ spans: 50_000, many: 3000 });
const url = process.argv[2] ?? `http://127.0.0.1:${await own.listening}/#/s/gen-50000`;
const say = (text) => process.stdout.write(`${text}\n`);
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1600, height: 950 } });
const cdp = await browser.newBrowserCDPSession();
let pid = 0;

/** The renderer that did most: the page's. */
async function find() {
  const { processInfo } = await cdp.send("SystemInfo.getProcessInfo");
  pid = processInfo.filter((p) => p.type === "renderer").sort((a, b) => b.cpuTime - a.cpuTime)[0].id;
}
const cpu = () => Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;

async function measure(name, n, act, given) {
  const before = cpu();
  await page.evaluate(act, given);
  say(`${name}: ${((cpu() - before) / n).toFixed(2)} ms CPU each`);
}

/** One frame after the other, the list scrolled by so many pixels in each; 0: not at all, null: anywhere. */
const frames = ([n, by]) =>
  new Promise((done) => {
    const el = document.querySelector(".timeline .rows");
    let k = 0;
    const frame = () => {
      if (by === null) el.scrollTop = (k * 7919 * 24) % 1_190_000;
      else if (by > 0) el.scrollTop += by;
      k += 1;
      if (k < n) requestAnimationFrame(frame);
      else done();
    };
    requestAnimationFrame(frame);
  });

say(
  `load ${loadavg()
    .map((l) => l.toFixed(1))
    .join(" ")}`,
);
const began = Date.now(),
  wall = () => `${Date.now() - began} ms wall`;
await page.goto(url, { waitUntil: "commit" });
await page.waitForSelector(".rows .row[data-type=prompt]:not([hidden])");
const firstRow = wall();
await page.waitForSelector(".rows .row[data-type=llm]:not([hidden])");
say(`first row: ${firstRow}, first model call: ${wall()}`);
await page.waitForFunction(
  () =>
    /rows/.test(document.querySelector(".foot")?.textContent) &&
    !/loading/.test(document.querySelector(".foot").textContent),
  null,
  { timeout: 180_000 },
);
// Chromium keeps a spare renderer that starts busier than ours: by now it is clear which one works.
await find();
say(`every span: ${cpu().toFixed(0)} ms CPU, ${wall()}`);
await page.waitForTimeout(12_000);
await measure("idle frame", 120, frames, [120, 0]);
await measure("frame, scrolling 3 rows", 300, frames, [300, 72]);
await measure("frame, scrolling 25 rows", 300, frames, [300, 600]);
await measure("frame, anywhere", 100, frames, [100, null]);
const type = (text) =>
  new Promise((done) => {
    const input = document.querySelector(".bar input");
    input.value = text;
    input.dispatchEvent(new Event("input"));
    setTimeout(done, 900);
  });
for (const text of ["tool:Bash status:error", "assertion", "kind:llm", ""])
  await measure(`filter ${JSON.stringify(text)}, with what it draws`, 1, type, text);
await page.locator(".timeline .rows").focus();
await measure("j, with the inspector", 100, async () => {
  const el = document.querySelector(".timeline .rows");
  for (let i = 0; i < 100; i += 1) {
    el.dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true }));
    await new Promise((done) => {
      requestAnimationFrame(done);
    });
  }
});
const rate = Number(process.argv[3] ?? 0);
if (rate > 0) {
  const before = cpu();
  await page.waitForTimeout(20_000);
  say(`live: ${((cpu() - before) / 20 / rate).toFixed(2)} ms CPU per event at ${rate}/s`);
}
const heap = await page.context().newCDPSession(page);
await heap.send("HeapProfiler.collectGarbage");
const { usedSize } = await heap.send("Runtime.getHeapUsage");
const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
say(
  `heap ${Math.round(usedSize / 1048576)} MiB, renderer RSS ${Math.round(rss / 1024)} MiB, ${await page.evaluate(() => document.querySelectorAll("*").length)} elements`,
);
await browser.close();
own?.server.close();
own?.server.closeAllConnections();
