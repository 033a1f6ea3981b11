// Our page beside cc-tracer's, in one Chromium, of one session, in turns: what it costs to open, to look into a row, to
// search, to scroll, to keep in memory, and to follow.
//
//   node tests/web/bench.mjs [--quick] [--sizes 1000,10000,50000] [--rounds 5] [--only ours|cc-tracer] [--json FILE]
//                            [--bin target/release] [--tools target/tools] [--profile DIR]
//
// Needs `ccd` and `ccctl` in --bin (default: target/release, else target/debug), cc-tracer 0.1.4 in --tools/cc-tracer (see
// bench/servers.mjs) and playwright-core (see chromium.mjs). `--quick`: one small session, twice; it proves that the bench
// works, its figures count for nothing. `--profile`: our page alone, with where its script's time goes.
// cc-tracer opens no session by its address: a click on it is made as soon as its list is there, which is what it takes.
// Ends with 1 where a page shows anything but the session it was given.

import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { lastTurn, Sender } from "./bench/live.mjs";
import { BATCHES, Visit } from "./bench/measure.mjs";
import { profiled } from "./bench/profile.mjs";
import { collect, figure, FIGURES, ofScrolling, table } from "./bench/report.mjs";
import { ccTracer, cpuOf, eventually, ours, remove, upstream, writeLog } from "./bench/servers.mjs";
import { door } from "./bench/door.mjs";
import { launch } from "./chromium.mjs";

const { values: given } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    sizes: { type: "string" },
    rounds: { type: "string" },
    only: { type: "string" },
    json: { type: "string" },
    bin: { type: "string", default: existsSync("target/release/ccd") ? "target/release" : "target/debug" },
    tools: { type: "string", default: "target/tools" },
    profile: { type: "string" },
  },
});
const SIZES = (given.sizes ?? (given.quick ? "1000" : "1000,10000,50000")).split(",").map(Number);
const ROUNDS = Number(given.rounds ?? (given.quick ? 2 : 5));
const LIVE = given.quick ? { alone: 5, burst: 10 } : { alone: 40, burst: 40 };
/** Bytes of all requests of a session: what cc-tracer can read at all. */
const BUDGET = 200e6;
const SESSION = "0199c0de-0000-7000-8000-00000000be9c";
/** Model calls of the turn that goes through both proxies. */
const STEPS = 12;
const only = given.profile ? "ours" : given.only;
const say = (text) => process.stdout.write(`${text}\n`);

const dir = mkdtempSync(join(tmpdir(), "ccd-bench-"));
const open = [];
/** Ends everything that was started, the last first. */
async function clear() {
  for (const close of open.splice(0).reverse()) await close().catch((e) => say(`while clearing up: ${e.message}`));
  remove(dir);
}
for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => {
    clear().finally(() => process.exit(130));
  });

/** One size: both programs filled, measured in turns, ended. */
async function size(events, browser, api) {
  const place = join(dir, String(events)),
    logs = join(place, "logs"),
    notes = [];
  mkdirSync(logs, { recursive: true });
  const ends = [];
  try {
    // The last turn is played live, through both proxies.
    const logged = events - STEPS * 3 - 1;
    const facts = await writeLog(join(logs, `${SESSION}.jsonl`), {
      session: SESSION,
      events: logged,
      end: Date.now(),
      budget: BUDGET,
    });
    say(
      `\n${events} events: ${(facts.bytes / 1e6).toFixed(0)} MB of log, of which ${(facts.requestBytes / 1e6).toFixed(0)} MB are ` +
        `${facts.calls} whole requests of ${(facts.requestBytes / facts.calls / 1e3).toFixed(0)} kB on average`,
    );
    const programs = [];
    const rows = facts.prompts + facts.calls + facts.tools;
    const mine = await ours({ dir: join(place, "ours"), bin: given.bin, logs, api, session: SESSION, rows });
    ends.push(mine.stop);
    say(`taken in by ccd in ${(mine.importMs / 1000).toFixed(1)} s`);
    const entry = await door(mine, SESSION);
    if (only !== "cc-tracer") programs.push({ name: "ours", session: SESSION, server: mine, ...entry });
    const theirs =
      only === "ours" ? null : await ccTracer({ dir: join(place, "cc-tracer"), tools: given.tools, logs, api });
    if (theirs) {
      ends.push(theirs.stop);
      programs.push({ name: "cc-tracer", session: SESSION, server: theirs, url: `http://127.0.0.1:${theirs.port}/` });
    }
    const servers = theirs ? [mine, theirs] : [mine];
    const bytes = facts.requestBytes / facts.calls;
    const last = await lastTurn({ programs: servers, session: SESSION, api, steps: STEPS, bytes, first: facts });
    const told = {};
    for (const key of ["events", "prompts", "calls", "tools"]) facts[key] += last[key];
    const spans = facts.prompts + facts.calls + facts.tools;
    const found = await eventually("the last turn in ccd", async () => {
      const s = (await mine.json("/v0/sessions?limit=0")).sessions.find((x) => x.session_id === SESSION);
      return (
        s &&
        s.turns + s.exchanges + s.tool_calls === spans &&
        (await mine.json(`/v0/detections?session=${SESSION}&limit=0`))
      );
    });
    // A row each, those of detections and of pauses besides.
    const expected = {
      ours: [spans, spans + (found.detections?.length ?? 0) + 4],
      "cc-tracer": [facts.events, facts.events],
    };
    if (given.profile) {
      const rows = expected.ours;
      await profiled({
        browser,
        program: programs[0],
        facts,
        rows,
        dir: join(given.profile, String(events)),
        turn: last.turn,
        say,
      });
      return null;
    }
    const samples = { ours: {}, "cc-tracer": {} };
    const gone = new Set();
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const program of round % 2 === 0 ? programs : [...programs].reverse()) {
        if (gone.has(program.name)) continue;
        try {
          await visit(browser, program, expected[program.name], facts, samples[program.name]);
        } catch (e) {
          if (program.name === "ours" || !/not within/.test(e.message)) throw e;
          // It cannot show so much: that is a result.
          gone.add(program.name);
          notes.push(e.message);
          say(e.message);
        }
      }
      say(`round ${round + 1} of ${ROUNDS}; load ${loadavg()[0].toFixed(1)}`);
    }
    for (const program of programs.filter((p) => !gone.has(p.name)))
      await follow(browser, program, expected[program.name], samples[program.name], last.turn, notes);
    for (const [name, of] of Object.entries(samples)) {
      told[name] = Object.fromEntries(FIGURES.map(([key]) => [key, figure(of[key] ?? [])]).filter(([, f]) => f));
    }
    say(`\n${table(`${events} events, ${spans} rows of ours, ${facts.events} of cc-tracer's`, told)}`);
    for (const note of notes) say(`note: ${note}`);
    return {
      events: facts.events,
      rows: spans,
      log_bytes: facts.bytes,
      request_bytes: facts.requestBytes,
      pages: told,
      notes,
    };
  } finally {
    for (const stop of ends.reverse()) await stop();
    remove(place);
  }
}

/** One page opened and used once. */
async function visit(browser, program, [least, most], facts, samples) {
  const v = await Visit.open(browser, program);
  try {
    const load = await v.load(least, most);
    collect(samples, { first: load.first, every: load.every, loadTask: load.task });
    const { heap, nodes, pss } = await v.memory();
    collect(samples, { heap: heap / 1e6, nodes, pss: pss / 1e6 });
    collect(samples, await v.inspect());
    collect(samples, ofScrolling(await v.scroll()));
    collect(samples, await v.filter(facts));
    if (v.wrong.length > 0) throw new Error(`${program.name}: ${v.wrong[0]}`);
  } finally {
    await v.close();
  }
}

/** One page that follows what goes on. */
async function follow(browser, program, [least, most], samples, turn, notes) {
  const v = await Visit.open(browser, program);
  try {
    await v.load(least, most);
    const send = new Sender(program.server, SESSION, turn),
      before = cpuOf(program.server.pid),
      told = {};
    try {
      await v.live({ send, ...LIVE, pace: 50, most: 60_000, told });
    } catch (e) {
      if (program.name === "ours" || !/not within/.test(e.message)) throw e;
      notes.push(e.message);
    }
    const cpu = (cpuOf(program.server.pid) - before) / told.sent;
    collect(samples, { seen: told.latencies, liveServer: cpu * 1000 });
    for (const b of told.batches)
      collect(samples, { liveScript: b.script * 1000, liveTask: b.task * 1000, liveCpu: b.cpu * 1000 });
    const planned = LIVE.alone * 2 + LIVE.burst * BATCHES;
    if (told.sent < planned)
      notes.push(`${program.name} followed ${told.sent} events in two minutes, and not ${planned}`);
  } finally {
    await v.close();
  }
}

try {
  const api = await upstream();
  open.push(async () => api.stop());
  const browser = await launch();
  open.push(() => browser.close());
  say(
    `Chromium ${browser.version()}, ${given.bin}, load ${loadavg()[0].toFixed(1)}${given.quick ? "; a proof run: figures count for nothing" : ""}`,
  );
  const results = [];
  for (const events of SIZES) results.push(await size(events, browser, api));
  if (given.json && !given.profile) {
    const about = {
      chromium: browser.version(),
      cc_tracer: "0.1.4",
      binaries: given.bin,
      rounds: ROUNDS,
      load: loadavg(),
      units: Object.fromEntries(FIGURES.map(([key, , unit]) => [key, unit])),
    };
    writeFileSync(given.json, `${JSON.stringify({ schema_version: 1, ...about, sizes: results }, null, 2)}\n`);
    say(`\nwritten: ${given.json}`);
  }
} catch (e) {
  say(`\nFAILED: ${e.message}`);
  process.exitCode = 1;
} finally {
  await clear();
}
