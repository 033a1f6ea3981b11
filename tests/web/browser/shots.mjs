// How the pages look: pictures of fixed scenes beside those that were taken before. What is shown is made up, and the clock
// stands still, so that nothing but the pages can change a pixel.
//
// Letters look different on another machine: references name the browser and the fonts that they were taken with. Elsewhere,
// pictures are taken and kept, and not compared, which is said. `UPDATE_SHOTS=1` takes the references anew.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import test, { after } from "node:test";
import { fileURLToPath } from "node:url";
import { require } from "../chromium.mjs";
import { serve } from "../dev-server.mjs";
import { PATIENCE, Watch, chromium } from "./kit.mjs";
import { ROW, press } from "./page.mjs";

const { PNG } = require("pngjs");
const pixelmatch = (await import(require.resolve("pixelmatch"))).default;
const REFERENCES = join(dirname(fileURLToPath(import.meta.url)), "../shots");
const OUT = process.env.WEB_SHOTS ?? "target/web-shots";
const UPDATE = process.env.UPDATE_SHOTS === "1";
/** Pixels of a picture that may differ, of a thousand: edges of letters are never quite the same. */
const TOLERANCE = 2;
/** The strip above the rows is drawn anew when there is time for it: a page is at rest once nothing changed for so many ms. */
const REST = 2_000;
/** Bytes that a reference may have. */
const MOST = 100_000;

/** When it is, in every picture: the day of the session that is shown. */
const NOW = Date.UTC(2026, 10, 21, 18, 0, 0);
const { server, listening, made } = serve({ spans: 1500, many: 60, now: NOW });
const origin = `http://127.0.0.1:${await listening}`;
after(() => {
  server.close();
  server.closeAllConnections();
});
const [g] = made.values();
const id = g.session.session_id;
const llm = g.spans.find((s) => s.kind === "llm" && s.status === "ok" && s.exchange_id),
  edit = g.spans.find((s) => s.tool_name === "Edit" && s.status === "ok");

const fonts = execFileSync("fc-list", [":", "family", "style"], { encoding: "utf8" }).split("\n").sort().join("\n");
const browser = await chromium();
const machine = { chromium: browser.version(), fonts: createHash("sha256").update(fonts).digest("hex").slice(0, 16) };
const taken = join(REFERENCES, "machine.json");
const known = existsSync(taken) ? JSON.parse(readFileSync(taken, "utf8")) : null;
const compared = UPDATE || JSON.stringify(known) === JSON.stringify(machine);
if (!compared)
  process.stdout.write(
    `counted: pictures are taken and not compared: the references are of ${JSON.stringify(known)}, this is ${JSON.stringify(machine)}\n`,
  );
for (const dir of ["actual", "expected", "diff"]) mkdirSync(join(OUT, dir), { recursive: true });
if (UPDATE) {
  mkdirSync(REFERENCES, { recursive: true });
  writeFileSync(taken, `${JSON.stringify(machine, null, 2)}\n`);
}

const WIDE = { viewport: { width: 1140, height: 440 } };
const NARROW = { viewport: { width: 420, height: 640 } };
const rows = async (page) => {
  await page.waitForSelector(ROW);
  // The strip above them is drawn when there is time for it.
  await page.waitForFunction(() => {
    const strip = document.querySelector(".timeline canvas");
    if (!strip || strip.width === 0 || strip.height === 0) return strip !== null && strip.offsetParent === null;
    const copy = Object.assign(document.createElement("canvas"), { width: strip.width, height: strip.height });
    const pen = copy.getContext("2d", { willReadFrequently: true });
    pen.drawImage(strip, 0, 0);
    return pen.getImageData(0, 0, copy.width, copy.height).data.some((v) => v > 0);
  });
};
const panel = async (page) => {
  await rows(page);
  await page.waitForSelector("#tabpanel :is(.block, .facts, .msg, table, pre)");
};
const sheet = (page) => page.waitForSelector(".sheet:not([hidden]) .card svg");

const SCENES = [
  ["timeline-light", `#/s/${id}`, WIDE, rows],
  ["timeline-dark", `#/s/${id}`, { ...WIDE, colorScheme: "dark" }, rows],
  ["timeline-narrow", `#/s/${id}`, NARROW, rows],
  ["request-light", `#/s/${id}/s:${llm.span_id}?tab=request`, WIDE, panel],
  [
    "response-dark",
    `#/s/${id}/s:${llm.span_id}?tab=response`,
    { viewport: { width: 1140, height: 380 }, colorScheme: "dark" },
    panel,
  ],
  ["timing-light", `#/s/${id}/s:${llm.span_id}?tab=timing`, WIDE, panel],
  ["tool-dark", `#/s/${id}/s:${edit.span_id}?tab=tool`, { ...WIDE, colorScheme: "dark" }, panel],
  ["overview-light", `#/o/${id}`, WIDE, sheet],
  ["overview-dark", `#/o/${id}`, { ...WIDE, colorScheme: "dark" }, sheet],
  ["overview-narrow", `#/o/${id}`, NARROW, sheet],
  [
    "help-dark",
    `#/s/${id}`,
    { ...WIDE, colorScheme: "dark" },
    async (page) => {
      await rows(page);
      await press(page, "?");
      await page.getByRole("dialog").waitFor();
    },
  ],
  [
    "palette-light",
    `#/s/${id}`,
    WIDE,
    async (page) => {
      await rows(page);
      await press(page, "Ctrl-k");
      await page.getByRole("dialog").getByRole("option").first().waitFor();
    },
  ],
];

/** A picture as it is kept: in 17 steps of each colour, which no eye misses, and half as large. */
function small(bytes) {
  const { width, height, data } = PNG.sync.read(bytes),
    out = new PNG({ width, height });
  for (let i = 0; i < data.length; i += 1)
    out.data[i] = i % 4 === 3 ? 255 : Math.min(255, Math.round(data[i] / 16) * 16);
  return PNG.sync.write(out, { colorType: 2, deflateLevel: 9, filterType: 4 });
}

/** Takes the picture, once it has been the same for a while. */
async function take(name, hash, options, act) {
  const context = await browser.newContext({
    colorScheme: "light",
    reducedMotion: "reduce",
    timezoneId: "UTC",
    locale: "en-GB",
    deviceScaleFactor: 1,
    ...options,
  });
  const watch = new Watch(context);
  watch.origin = origin;
  const page = await context.newPage();
  await page.clock.setFixedTime(NOW);
  await page.goto(`${origin}/${hash}`);
  await act(page);
  await page.waitForFunction(() => !/loading/i.test(document.querySelector(".foot")?.textContent ?? ""));
  // The list of sessions shows the one that is open, or its top, as its parts came: its top here.
  await page.evaluate(() => {
    for (const list of document.querySelectorAll("#sessions .scroll")) list.scrollTop = 0;
  });
  let shot = null,
    since = 0;
  const until = Date.now() + PATIENCE;
  for (;;) {
    const next = await page.screenshot({ animations: "disabled", caret: "hide" });
    if (!shot?.equals(next)) since = Date.now();
    else if (Date.now() - since >= REST) break;
    assert.ok(Date.now() < until, "the page does not come to rest");
    shot = next;
  }
  await watch.nothingWrong();
  await context.close();
  return shot;
}

for (const [name, hash, options, act] of SCENES) {
  test(`looks: ${name}`, async () => {
    const actual = small(await take(name, hash, options, act));
    writeFileSync(join(OUT, "actual", `${name}.png`), actual);
    const reference = join(REFERENCES, `${name}.png`);
    if (UPDATE) {
      assert.ok(actual.length <= MOST, `${actual.length} bytes`);
      writeFileSync(reference, actual);
    }
    if (!compared) return;
    const expected = readFileSync(reference),
      [a, b] = [PNG.sync.read(actual), PNG.sync.read(expected)];
    writeFileSync(join(OUT, "expected", `${name}.png`), expected);
    assert.deepEqual([a.width, a.height], [b.width, b.height]);
    const diff = new PNG({ width: a.width, height: a.height });
    const different = pixelmatch(a.data, b.data, diff.data, a.width, a.height, { threshold: 0.15 });
    const file = join(OUT, "diff", `${name}.png`);
    if (different === 0) rmSync(file, { force: true });
    else writeFileSync(file, PNG.sync.write(diff));
    assert.ok(different * 1000 <= a.width * a.height * TOLERANCE, `${different} pixels are different: ${file}`);
  });
}
