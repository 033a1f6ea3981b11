// Captured text that wants to act, sent in by every way that text comes in: hooks, the proxy, transcripts.
//
// Must stay harmless in itself: what would act leaves a mark in the page (`window.__pwned`), or asks for a name that nobody has.

import { mkdirSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { HOSTILE } from "../hostile.mjs";
import { facts, hook } from "./kit.mjs";

/** Each would leave its mark, open a box, or ask for something, if it were more than text. */
export const ACTS = [
  '<img src=x onerror="window.__pwned=1">',
  '"><script>window.__pwned=1</script>',
  "'-(window.__pwned=1)-'",
  "<svg/onload=window.__pwned=1>",
  "javascript:window.__pwned=1",
  '<a href="javascript:window.__pwned=1" autofocus onfocus="window.__pwned=1">x</a>',
  '<iframe srcdoc="<script>parent.__pwned=1</script>"></iframe>',
  '<link rel=stylesheet href="http://evil.test/x.css"><img src="http://evil.test/x.png">',
  '<base href="http://evil.test/"><meta http-equiv=refresh content="0;url=http://evil.test">',
  "![x](http://evil.test/x.png) [y](javascript:window.__pwned=1)",
  "{{constructor.constructor('window.__pwned=1')()}} ${window.__pwned=1}",
  "\u001b]8;;http://evil.test\u0007link\u001b]8;;\u0007 \u001b[31;1mred\u001b[0m\u001b[9999D\u001b[2J",
  "</textarea></title></style><style>*{display:none!important}</style>",
  "url(http://evil.test/x.png); background: url(http://evil.test/y.png)",
];
export const ALL = [...ACTS, ...HOSTILE];
export const BY_HOOK = "50000000-0000-4000-8000-000000000001",
  BY_PROXY = "50000000-0000-4000-8000-000000000002",
  BY_TRANSCRIPT = "50000000-0000-4000-8000-000000000003";
export const NAMED = ACTS[0];
/** JSON so deep that whoever walks it by calling himself falls. */
const DEEP = `${'{"a":['.repeat(5_000)}1${"]}".repeat(5_000)}`;
const LARGE = `${ACTS[1]}${"x".repeat(5 << 20)}`;

/** By hooks: every field that is text. */
export async function byHooks() {
  const base = (session, cwd) => ({
    session_id: session,
    transcript_path: `/nowhere/${ACTS[4]}.jsonl`,
    cwd,
    permission_mode: ACTS[0],
  });
  const many = ALL.flatMap((text, i) => {
    const b = base(BY_HOOK, `/nowhere/${ACTS[0]}`),
      tool = {
        prompt_id: `p${i}`,
        tool_use_id: `toolu_${i}`,
        tool_name: i % 3 === 0 ? "Bash" : i % 3 === 1 ? `mcp__${text}__${text}` : "Edit",
      };
    const input = {
      command: text,
      description: text,
      file_path: `/nowhere/${text}`,
      old_string: text,
      new_string: `${text}\n${text}`,
      [text]: text,
    };
    const output = {
      stdout: text,
      stderr: text,
      filePath: text,
      originalFile: text,
      structuredPatch: [{ oldStart: 1, oldLines: 1, newStart: 1, newLines: 1, lines: [`-${text}`, `+${text}!`] }],
      type: text,
      file: { type: "image/svg+xml", base64: text },
    };
    return [
      { ...b, hook_event_name: "UserPromptSubmit", prompt: text, prompt_id: `p${i}` },
      { ...b, ...tool, hook_event_name: "PreToolUse", tool_input: input },
      i % 4 === 0
        ? { ...b, ...tool, hook_event_name: "PostToolUseFailure", tool_input: input, error: text, is_interrupt: false }
        : { ...b, ...tool, hook_event_name: "PostToolUse", tool_input: input, tool_response: output, duration_ms: 3 },
      { ...b, hook_event_name: "SubagentStart", agent_id: `a${i}`, agent_type: text, prompt_id: `p${i}` },
      { ...b, hook_event_name: "Notification", message: text, title: text },
      { ...b, hook_event_name: "Stop", prompt_id: `p${i}`, last_assistant_message: text, stop_hook_active: false },
    ];
  });
  for (const event of many) await hook(event);
  await hook({
    ...base(NAMED, "/nowhere"),
    hook_event_name: "UserPromptSubmit",
    prompt: "a session whose id is markup",
    prompt_id: "px",
  });
  const big = {
    ...base(BY_HOOK, "/nowhere"),
    hook_event_name: "PostToolUse",
    prompt_id: "p0",
    tool_use_id: "toolu_big",
    tool_name: "Bash",
    tool_input: { command: "big" },
    tool_response: { stdout: LARGE.slice(0, 900_000), stderr: "" },
  };
  await hook(big);
}

/** By the proxy: the request's and the answer's headers and bodies. */
function byProxy(n, body, answer) {
  const file = join(facts.work, `answer-${n}`);
  writeFileSync(file, answer);
  const url = new URL(`${facts.scene.base_url.replace(/\/$/, "")}/v1/messages?beta=${encodeURIComponent(ACTS[0])}`);
  return new Promise((done, fail) => {
    const headers = {
      "content-type": "application/json",
      "x-claude-code-session-id": BY_PROXY,
      "x-answer": file,
      "x-hostile": ACTS[0],
      "user-agent": ACTS[1],
      "anthropic-version": "2023-06-01",
    };
    const r = request(url, { method: "POST", headers }, (got) => {
      got.resume();
      got.on("end", done);
      got.on("error", done);
    });
    r.on("error", fail);
    r.end(body);
  });
}

const sse = (events) =>
  events
    .map(([name, data]) => `event: ${name}\ndata: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`)
    .join("");
const http = (body, more = "") =>
  `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: ${ACTS[0]}\r\nx-hostile: ${ACTS[1]}\r\n${more}connection: close\r\n\r\n${body}`;

export async function byTheProxy() {
  const text = ALL.join("\n");
  const message = (n, blocks) =>
    sse([
      [
        "message_start",
        {
          type: "message_start",
          message: {
            id: `msg_${n}<b>`,
            type: "message",
            role: "assistant",
            model: `claude-${ACTS[0]}`,
            content: [],
            stop_reason: null,
            usage: { input_tokens: 5, output_tokens: 1, service_tier: ACTS[0] },
          },
        },
      ],
      ...blocks.flatMap((b, i) => [
        ["content_block_start", { type: "content_block_start", index: i, content_block: b }],
        ["content_block_stop", { type: "content_block_stop", index: i }],
      ]),
      [ACTS[0], { type: ACTS[0], text }],
      ["message_delta", { type: "message_delta", delta: { stop_reason: ACTS[0] }, usage: { output_tokens: 7 } }],
      ["message_stop", { type: "message_stop" }],
    ]);
  const body = (n, more = {}) =>
    JSON.stringify({
      model: `claude-${ACTS[0]}`,
      max_tokens: 10,
      stream: true,
      system: [{ type: "text", text }],
      tools: [{ name: ACTS[0], description: text, input_schema: { [ACTS[0]]: text } }],
      messages: ALL.slice(0, n + 3).flatMap((t) => [
        {
          role: "user",
          content: [
            { type: "text", text: t },
            { type: ACTS[0], x: t },
          ],
        },
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: t, signature: t },
            { type: "tool_use", id: t, name: t, input: { [t]: t } },
          ],
        },
        {
          role: ACTS[1],
          content: [
            {
              type: "tool_result",
              tool_use_id: t,
              is_error: true,
              content: [
                { type: "image", source: { type: "base64", media_type: "image/svg+xml", data: t } },
                { type: "text", text: t },
              ],
            },
          ],
        },
      ]),
      metadata: { user_id: text },
      ...more,
    });
  const blocks = [
    { type: "thinking", thinking: text, signature: text },
    ...ALL.map((t) => ({ type: "text", text: t })),
    { type: "tool_use", id: "toolu_x", name: ACTS[0], input: { [ACTS[1]]: text } },
    { type: ACTS[2], data: text },
  ];
  await byProxy(0, body(0), http(message(0, blocks)));
  await byProxy(1, body(1), http(message(1, blocks.slice(0, 3))));
  // JSON that is too deep, bytes that are no text, a line of five megabytes, an error that is markup.
  await byProxy(
    2,
    body(2).replace(/\}$/, `,"deep":${DEEP}}`),
    http(sse([["message_start", `{"type":"message_start","message":${DEEP}}`]])),
  );
  await byProxy(
    3,
    Buffer.concat([Buffer.from([0xff, 0xfe, 0x00]), Buffer.from(text)]),
    Buffer.concat([Buffer.from(http("")), Buffer.from([0xed, 0xa0, 0x80, 0xff])]),
  );
  await byProxy(4, body(4), http(sse([["content_block_delta", { text: LARGE }]])));
  const error = JSON.stringify({ type: "error", error: { type: ACTS[0], message: text } });
  await byProxy(
    5,
    body(5),
    `HTTP/1.1 400 ${ACTS[0]}\r\ncontent-type: text/html\r\ncontent-length: ${Buffer.byteLength(error)}\r\n\r\n${error}`,
  );
}

/** By transcripts: lines that another program writes. */
export function byTranscript() {
  const dir = join(facts.scene.projects, "-nowhere");
  mkdirSync(dir, { recursive: true });
  let n = 0,
    parent = null;
  const made = (more) => {
    n += 1;
    const uuid = `60000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    const out = {
      uuid,
      parentUuid: parent,
      timestamp: new Date(Date.now() - 60_000 + n).toISOString(),
      sessionId: BY_TRANSCRIPT,
      cwd: `/nowhere/${ACTS[1]}`,
      gitBranch: ACTS[0],
      version: ACTS[0],
      isSidechain: false,
      ...more,
    };
    parent = uuid;
    return JSON.stringify(out);
  };
  const lines = ALL.flatMap((text, i) => [
    made({ type: "user", promptId: `q${i}`, message: { role: "user", content: text } }),
    made({
      type: "assistant",
      requestId: `req_t${i}`,
      message: {
        id: `msg_t${i}`,
        role: "assistant",
        model: ACTS[0],
        content: [{ type: "text", text }],
        stop_reason: text,
        usage: { input_tokens: 1, output_tokens: 1 },
      },
    }),
    made({
      type: "assistant",
      requestId: `req_t${i}`,
      message: {
        id: `msg_t${i}`,
        role: "assistant",
        model: ACTS[0],
        content: [
          {
            type: "tool_use",
            id: `toolu_t${i}`,
            name: i % 2 ? text.slice(0, 60) : "Write",
            input: { file_path: `/nowhere/${text}`, content: text },
          },
        ],
        stop_reason: "tool_use",
        usage: { input_tokens: 1, output_tokens: 2 },
      },
    }),
    made({
      type: "user",
      promptId: `q${i}`,
      message: {
        role: "user",
        content: [{ type: "tool_result", tool_use_id: `toolu_t${i}`, content: text, is_error: i % 3 === 0 }],
      },
      toolUseResult: i % 3 === 0 ? text : { type: "create", filePath: text, content: text },
    }),
    made({ type: text.slice(0, 40), [text.slice(0, 40)]: text }),
  ]);
  lines.push(
    made({ type: "user", promptId: "deep", message: { role: "user", content: "deep" } }).replace(
      /\}$/,
      `,"deep":${DEEP}}`,
    ),
  );
  lines.push(made({ type: "user", promptId: "large", message: { role: "user", content: LARGE } }));
  lines.push('{"type":"user"', "null", "[]", '"<img src=x onerror=window.__pwned=1>"');
  writeFileSync(join(dir, `${BY_TRANSCRIPT}.jsonl`), `${lines.join("\n")}\n`);
  return join(dir, `${BY_TRANSCRIPT}.jsonl`);
}
