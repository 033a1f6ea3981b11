// What goes on while somebody looks: a turn with model calls through both proxies, and tool calls one after the other.
//
// Both programs are sent the same through their own doors: cc-tracer's `POST /event` and proxy, `ccd`'s hook socket and
// proxy. The last turn of each session is made so, so that a model call has its exchange on both sides.

import { random } from "../generate.mjs";
import { ask } from "./servers.mjs";
import { emptyFacts, envelope, MODEL, prose } from "./session.mjs";

const six = (n) => String(n).padStart(6, "0");

/** Tool calls for one program, each with a token in its command. */
export class Sender {
  constructor(program, session, turn) {
    Object.assign(this, { program, session, turn, n: 0, open: null, ready: null });
  }

  base(name) {
    return {
      session_id: this.session,
      transcript_path: `/home/dev/.claude/projects/shop/${this.session}.jsonl`,
      cwd: "/home/dev/shop",
      prompt_id: this.turn,
      permission_mode: "default",
      hook_event_name: name,
    };
  }

  /** The token of the next new row. */
  peek() {
    return `live-${six(this.n + 1)}`;
  }

  /** Makes the next event ready; gives the token that a row shows once it came, where it is a new row. */
  next(which) {
    if (which === "after") {
      const response = { stdout: `done with ${this.open.token}`, stderr: "", interrupted: false, isImage: false };
      this.ready = { ...this.base("PostToolUse"), ...this.open.call, tool_response: response };
      return null;
    }
    const token = this.peek();
    this.n += 1;
    const call = {
      tool_name: "Bash",
      tool_input: { command: `cargo test -p live # ${token}`, description: "Run it" },
      tool_use_id: `toolu_live${six(this.n)}`,
    };
    this.open = { token, call };
    this.ready = { ...this.base("PreToolUse"), ...call };
    return token;
  }

  now() {
    return this.program.hook(this.ready);
  }
}

/** The stream of one answer. */
function answer(id, text, use) {
  const usage = {
    input_tokens: 120,
    output_tokens: 1,
    cache_read_input_tokens: 30_000,
    cache_creation_input_tokens: 700,
  };
  const events = [
    {
      type: "message_start",
      message: { id, type: "message", role: "assistant", model: MODEL, content: [], stop_reason: null, usage },
    },
  ];
  const block = (index, content_block, deltas) => {
    events.push({ type: "content_block_start", index, content_block });
    for (const delta of deltas) events.push({ type: "content_block_delta", index, delta });
    events.push({ type: "content_block_stop", index });
  };
  const pieces = text.match(/.{1,24}/gs);
  block(
    0,
    { type: "text", text: "" },
    pieces.map((piece) => ({ type: "text_delta", text: piece })),
  );
  if (use)
    block(1, { type: "tool_use", id: use.tool_use_id, name: use.tool_name, input: {} }, [
      { type: "input_json_delta", partial_json: JSON.stringify(use.tool_input) },
    ]);
  events.push({
    type: "message_delta",
    delta: { stop_reason: use ? "tool_use" : "end_turn", stop_sequence: null },
    usage: { output_tokens: 160 },
  });
  events.push({ type: "message_stop" });
  return events;
}

/** The same last turn for both: `steps` model calls with requests of `bytes`, each with a tool call. What it adds is told. */
export async function lastTurn({ programs, session, api, steps, bytes, first }) {
  const rnd = random(11),
    facts = emptyFacts(),
    turn = `${String(first.prompts + 1).padStart(8, "0")}-0000-4000-8000-${session.slice(-12)}`;
  const tell = async (event) => {
    facts.events += 1;
    for (const p of programs) await p.hook(event);
  };
  const base = new Sender(null, session, turn);
  const prompt = `Now all of it once more (ask-${six(first.prompts + 1)})`;
  facts.prompts = 1;
  await tell({ ...base.base("UserPromptSubmit"), prompt });
  const messages = [{ role: "user", content: `${prose(rnd, bytes * 0.4)}\n${prompt}` }],
    request = envelope(rnd, bytes * 0.5);
  for (let i = 0; i < steps; i += 1) {
    const n = first.calls + i,
      token = `say-${six(n)}`,
      text = `${token} ${prose(rnd, 400)}`;
    const use = {
      tool_name: "Bash",
      tool_input: { command: `make lint # cmd-${six(first.tools + i + 1)}`, description: "Run it" },
      tool_use_id: `toolu_last${six(i)}`,
    };
    const id = `msg_last${six(i)}${session.slice(0, 8)}`;
    api.answers.set(token, answer(id, text, use));
    const headers = {
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      "x-claude-code-session-id": session,
      "x-bench": token,
    };
    const body = JSON.stringify({ ...request, messages });
    for (const p of programs) {
      const { status } = await ask(p.proxy, `${p.base}/v1/messages?beta=true`, { method: "POST", body, headers });
      if (status !== 200) throw new Error(`a model call was answered with ${status}`);
    }
    facts.calls += 1;
    facts.events += 1;
    await tell({ ...base.base("PreToolUse"), ...use });
    const stdout = `${prose(rnd, 600)}\ndone`;
    await tell({
      ...base.base("PostToolUse"),
      ...use,
      tool_response: { stdout, stderr: "", interrupted: false, isImage: false },
    });
    facts.tools += 1;
    const block = { type: "tool_use", id: use.tool_use_id, name: use.tool_name, input: use.tool_input };
    messages.push({ role: "assistant", content: [{ type: "text", text }, block] });
    messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: use.tool_use_id, content: stdout }] });
  }
  return { ...facts, turn };
}
