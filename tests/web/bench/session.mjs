// One made-up session in the format of cc-tracer's log, which `ccctl import` takes too: prompts, model calls with whole
// requests that grow and are compacted, tool calls before and after, edits, failures.
//
// Pure: the same arguments give the same lines. Nothing in it was captured anywhere. Must stay a session that both
// programs read whole: each event has its id and its time, each tool call its end.

import { random } from "../generate.mjs";

const FILES = ["src/cart.py", "src/api/server.ts", "test/test_cart.py", "README.md", "src/ui/list.tsx", "Cargo.toml"];
const ASKS = [
  "Find out why totals are off by fractions of a cent, and make them exact",
  "Add a test for empty carts",
  "Why is the build slow since yesterday?",
  "Rename Cart to Basket everywhere",
  "Look at the failing job and mend what is wrong",
];
const COMMANDS = [
  "cargo test -p store",
  "npm test --silent",
  "git status --short",
  "rg -n 'fn total' src",
  "make lint",
];
const WORDS =
  "the total of a cart is a sum of prices each rounded to a cent before tax and shipping are added so that refunds agree with what was paid by whom and when under which rate of exchange".split(
    " ",
  );
export const MODEL = "claude-opus-5-5";
/** The word that is searched for: in some commands of a session, and nowhere else; its first letters are in most texts. */
export const NEEDLE = "sumfinches";
/** What lies between two events, in ms: short enough that no row says that nothing went on. */
const STEP_MS = 600;
/** The instructions and tool definitions that the client sends with each call, in bytes. */
const FIXED = 77_000;
/** Requests are compacted beyond this, in bytes. */
const LARGEST = 400_000;

/** Bytes of each request, so that all of a session's stay below `budget`: cc-tracer keeps every one whole. */
export function requestSize(events, budget) {
  const mean = budget / Math.max(1, events * 0.34);
  const fixed = Math.min(FIXED, mean * 0.7);
  return { fixed: Math.round(fixed), most: Math.round(Math.min(LARGEST, fixed + (mean - fixed) * 2)) };
}

/** Words that look like text, so many bytes or a few more. */
export function prose(rnd, bytes) {
  let text = "";
  while (text.length < bytes) text += `${WORDS[Math.floor(rnd() * WORDS.length)]} `;
  return text;
}

/** What a request of the client holds besides its messages. */
export function envelope(rnd, bytes) {
  const tools = [];
  let left = bytes * 0.8;
  while (left > 0) {
    const description = prose(rnd, Math.min(left, 3000));
    tools.push({ name: `Tool${tools.length}`, description, input_schema: { type: "object", properties: {} } });
    left -= description.length + 80;
  }
  return {
    model: MODEL,
    max_tokens: 32000,
    stream: true,
    system: [{ type: "text", text: prose(rnd, bytes * 0.2) }],
    tools,
  };
}

/** What of a session is asked about afterwards. */
export function emptyFacts() {
  return { events: 0, bytes: 0, requestBytes: 0, prompts: 0, calls: 0, tools: 0, needles: 0, needleEvents: 0 };
}

/**
 * The lines of a session of `events` events, the last at `end` (ms). `facts` counts what was told.
 */
export function* lines({ session, events, end, seed = 7, budget = 200e6, facts = emptyFacts() }) {
  const rnd = random(seed),
    pick = (list) => list[Math.floor(rnd() * list.length)];
  const { fixed, most } = requestSize(events, budget),
    request = envelope(rnd, fixed);
  const needleEvery = Math.max(1, Math.floor(events / 60));
  let messages = [],
    size = fixed,
    turn = "",
    step = 0,
    asked = false;
  const say = (message) => {
    messages.push(message);
    size += JSON.stringify(message).length;
  };
  const base = () => ({
    session_id: session,
    transcript_path: `/home/dev/.claude/projects/shop/${session}.jsonl`,
    cwd: "/home/dev/shop",
    prompt_id: turn,
    permission_mode: "default",
  });
  const line = (name, rest) => {
    const at = end - (events - 1 - facts.events) * STEP_MS + Math.floor(rnd() * 400);
    facts.events += 1;
    // A local time without a zone, as cc-tracer writes it: everything here runs in UTC.
    const _ts = `${new Date(at).toISOString().slice(0, -1)}000`;
    const text = JSON.stringify({ ...base(), hook_event_name: name, ...rest, _ts });
    facts.bytes += text.length + 1;
    return text;
  };
  const call = (content, reason) => {
    facts.calls += 1;
    if (size > most) {
      messages = [{ role: "user", content: prose(rnd, 500) }];
      size = fixed + 520;
    }
    const body = { ...request, messages };
    const id = `msg_${String(facts.calls).padStart(8, "0")}${session.slice(0, 8)}`;
    facts.requestBytes += size;
    const usage = {
      input_tokens: 40 + Math.floor(rnd() * 400),
      output_tokens: 40 + Math.floor(rnd() * 900),
      cache_read_input_tokens: Math.floor(size / 4),
      cache_creation_input_tokens: Math.floor(rnd() * 1500),
    };
    const response = { role: "assistant", content, id, model: MODEL, stop_reason: reason, stop_sequence: null };
    const text = line("ApiCall", { request: body, response, usage });
    say({ role: "assistant", content });
    return text;
  };
  while (facts.events < events) {
    const left = events - facts.events;
    if (!asked) {
      asked = true;
      facts.prompts += 1;
      step = 3 + Math.floor(rnd() * 10);
      turn = `${String(facts.prompts).padStart(8, "0")}-0000-4000-8000-${session.slice(-12)}`;
      const prompt = `${pick(ASKS)} (ask-${String(facts.prompts).padStart(6, "0")})`;
      say({ role: "user", content: prompt });
      yield line("UserPromptSubmit", { prompt });
      continue;
    }
    const text = `say-${String(facts.calls).padStart(6, "0")} ${prose(rnd, 80 + rnd() * 300)}`;
    const thinking = rnd() < 0.5 ? [{ type: "thinking", thinking: prose(rnd, 300) }] : [];
    if (step === 0 || left < 7) {
      asked = false;
      yield call([...thinking, { type: "text", text }], "end_turn");
      if (facts.events < events) yield line("Stop", { stop_hook_active: false, last_assistant_message: text });
      continue;
    }
    step -= 1;
    const uses = Array.from({ length: rnd() < 0.25 ? 2 : 1 }, () => {
      facts.tools += 1;
      const needle = facts.tools % needleEvery === 0;
      const use = tool(rnd, pick, facts.tools, needle);
      if (needle) {
        facts.needles += 1;
        facts.needleEvents += use.failed ? 1 : 2;
      }
      return use;
    });
    const blocks = uses.map((u) => ({ type: "tool_use", id: u.id, name: u.name, input: u.input }));
    yield call([...thinking, { type: "text", text }, ...blocks], "tool_use");
    for (const u of uses) yield line("PreToolUse", { tool_name: u.name, tool_input: u.input, tool_use_id: u.id });
    for (const u of uses) {
      const about = { tool_name: u.name, tool_input: u.input, tool_use_id: u.id };
      yield u.failed
        ? line("PostToolUseFailure", { ...about, error: u.output })
        : line("PostToolUse", { ...about, tool_response: u.response, duration_ms: 20 + Math.floor(rnd() * 400) });
      const result = { type: "tool_result", tool_use_id: u.id, content: u.output, is_error: u.failed };
      say({ role: "user", content: [result] });
    }
  }
}

/** A tool call: what is asked, what comes back. */
function tool(rnd, pick, n, needle) {
  const id = `toolu_${String(n).padStart(8, "0")}`,
    path = `/home/dev/shop/${pick(FILES)}`,
    kind = needle ? 0 : rnd();
  if (kind < 0.5) {
    // The needle stands in the command alone: both programs search what a call was asked.
    const command = `${pick(COMMANDS)} # cmd-${String(n).padStart(6, "0")}${needle ? ` ${NEEDLE}` : ""}`,
      failed = !needle && rnd() < 0.04;
    const output = failed ? "Exit code 101\ntest cart::empty failed" : `${prose(rnd, 200 + rnd() * 2000)}\ndone`;
    const response = { stdout: output, stderr: "", interrupted: false, isImage: false };
    return { id, name: "Bash", input: { command, description: "Run it" }, output, response, failed };
  }
  if (kind < 0.75) {
    const content = Array.from({ length: 20 + Math.floor(rnd() * 60) }, () => prose(rnd, 50)).join("\n");
    const response = { type: "text", file: { filePath: path, content, numLines: 60, startLine: 1, totalLines: 60 } };
    return { id, name: "Read", input: { file_path: path }, output: content, response, failed: false };
  }
  const old = Array.from({ length: 8 }, () => prose(rnd, 40)),
    now = old.map((l, i) => (i % 3 === 1 ? prose(rnd, 40) : l));
  const input = { file_path: path, old_string: old.join("\n"), new_string: now.join("\n") };
  const response = { filePath: path, oldString: input.old_string, newString: input.new_string, userModified: false };
  return { id, name: "Edit", input, output: `The file ${path} has been updated.`, response, failed: false };
}
