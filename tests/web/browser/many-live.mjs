// What comes in while somebody looks at fifty thousand rows: all of it is shown, in its place, whatever happens to the daemon.

import assert from "node:assert/strict";
import test from "node:test";
import { api, ccctl, eventually, facts, hook, visit } from "./kit.mjs";
import { ROWS, count, focusRows, loaded, press, rows, until } from "./page.mjs";

const { long } = facts.scene;
const SESSION = long.session;
const HERE = `#/s/${SESSION}`;
const LEAST = long.turns + long.llm + long.tools;

/** A call's events as the hooks tell them. */
const calls = (name) => {
  const base = {
    session_id: SESSION,
    transcript_path: "/nowhere/x.jsonl",
    cwd: "/nowhere/long",
    permission_mode: "default",
  };
  const tool = {
    tool_name: "Bash",
    tool_input: { command: `echo ${name}` },
    tool_use_id: `toolu_${name.replace(/\W/g, "_")}`,
    prompt_id: "30000000-0000-4000-8000-000000000001",
  };
  return [
    { ...base, ...tool, hook_event_name: "PreToolUse" },
    {
      ...base,
      ...tool,
      hook_event_name: "PostToolUse",
      duration_ms: 3,
      tool_response: { stdout: name, stderr: "", interrupted: false, isImage: false },
    },
  ];
};
const send = async (...names) => {
  for (const name of names) for (const event of calls(name)) await hook(event);
};
/** What the page shows of these, without a search: at the end of the list. */
const shows = (page, names) =>
  eventually(`${names.length} live rows`, async () => {
    await page.evaluate((list) => {
      const el = document.querySelector(list);
      el.scrollTop = el.scrollHeight;
    }, ROWS);
    const text = (await rows(page)).map((r) => r.text).join("\n");
    return names.every((name) => text.includes(`echo ${name}`) || text.includes(name));
  });

test("2 live: what comes in is shown, a pause keeps it, a daemon that ends and comes back loses nothing", async () => {
  // While the daemon is away, the browser says that nobody answers.
  const allow = [/Failed to load resource/, /ERR_/];
  await hook({
    session_id: SESSION,
    transcript_path: "/nowhere/x.jsonl",
    cwd: "/nowhere/long",
    hook_event_name: "UserPromptSubmit",
    prompt: "And now live",
    prompt_id: "30000000-0000-4000-8000-000000000001",
  });
  await visit(HERE, { allow, viewport: { width: 1600, height: 1400 } }, async (page) => {
    await loaded(page, LEAST);
    await focusRows(page);
    await press(page, "G");
    const names = (what, n) => Array.from({ length: n }, (_, i) => `live-${what}-${i}`);
    const first = names("plain", 6);
    await send(...first);
    await shows(page, first);

    await page.getByTitle(/^Pause/).click();
    await until(page, () => document.querySelector('[title^="Pause"]').getAttribute("aria-pressed") === "true");
    const held = names("paused", 5);
    const before = await count(page);
    await send(...held);
    await until(page, () => /\d+ held/.test(document.querySelector('[title^="Pause"]').textContent));
    assert.equal(await count(page), before, "nothing moves");
    await page.getByTitle(/^Pause/).click();
    await shows(page, [...first, ...held]);

    // The worker is killed; its supervisor starts another; events meanwhile wait in the spool.
    const { daemon } = await api("status");
    const unheard = names("killed", 5);
    process.kill(daemon.pid, "SIGKILL");
    await send(...unheard);
    await eventually("another worker", async () => (await api("status")).daemon.pid !== daemon.pid);
    const after = names("after", 3);
    await send(...after);
    await shows(page, [...unheard, ...after]);

    // And replaced, as an update does it.
    const again = names("restarted", 3);
    await ccctl("restart").catch(() => null);
    await send(...again);
    await shows(page, [...first, ...held, ...unheard, ...after, ...again]);
    const { spans } = await api(`spans?session=${SESSION}&limit=60`);
    const told = new Set(spans.map((s) => s.tool_use_id).filter((t) => t?.startsWith("toolu_live")));
    assert.equal(told.size, 22, "the daemon has each once");
    const twice = (await rows(page)).filter((r) => /echo live-/.test(r.text)).map((r) => /live-\w+-\d/.exec(r.text)[0]);
    assert.equal(new Set(twice).size, twice.length, "and the page, too");
  });
});

test("2 live: rows that come in above and below leave what is looked at where it is", async () => {
  await visit(HERE, {}, async (page) => {
    await loaded(page, LEAST);
    await page.evaluate((list) => {
      document.querySelector(list).scrollTop = 24_000;
    }, ROWS);
    const top = () => page.evaluate((list) => document.querySelector(list).scrollTop, ROWS);
    await eventually("it is scrolled", async () => (await top()) === 24_000);
    const n = await count(page);
    await send("live-elsewhere-0");
    await eventually("a new row", async () => (await count(page)) > n);
    assert.equal(await top(), 24_000);
  });
});
