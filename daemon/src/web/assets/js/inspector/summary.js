// Tab "Summary": what a row is, in a few facts; what was found about it; its words.

import { permission } from "../decision.js";
import { h } from "../dom.js";
import { clockMs, duration, money, oneLine, plural } from "../format.js";
import { part } from "./blocks.js";
import { finding, intervention } from "./findings.js";
import { block, code, copyButton, facts, link, prose, tokens } from "./parts.js";

export const summary = {
  id: "summary",
  label: "Summary",
  applies: () => true,
  async render({ row, data, span, go, full, api }) {
    const m = data.model,
      card = (d) => finding(d, { go, done: m.doneAbout(d), api }),
      found = [
        ...(span ? m.aboutOf("found", span.id) : []),
        ...(row.agent && row.agent !== span ? m.aboutOf("found", row.agent.id) : []),
      ];
    if (row.type === "detection")
      return [
        card(row.detection),
        row.span ? link(`${row.span.tool ?? row.span.kind}: ${oneLine(row.span.text, 100)}`, "the row", () => go(row.span.id), "tool") : null,
      ];
    if (row.type === "intervention") return intervention(row.intervention, { go, api, model: m });
    if (row.type === "prompt") {
      const t = row.turn.info,
        r = row.turn.root;
      // Lists have the first words; the span of the turn's root has all of them.
      const whole = span ? await full().catch(() => null) : null,
        all = (text, short) => (typeof text === "string" ? text : (short ?? ""));
      const prompt = all(whole?.input, t?.prompt ?? r?.text),
        result = all(whole?.output, t?.result);
      return [
        block("Prompt", [copyButton(prompt)], prose(prompt)),
        result ? block("Last words", [copyButton(result)], prose(result)) : null,
        t?.error ? block("Error", [copyButton(t.error)], code(t.error, "error")) : null,
        [...(span ? m.aboutOf("found", span.id) : []), ...m.aboutOf("found", row.turn.id)].map(card),
        t?.tokens ? block("Tokens", null, tokens(t.tokens, t.cost_usd_micros)) : null,
        facts([
          ["Prompt", t ? `#${t.number}` : null],
          ["Status", row.status],
          ["Began", clockMs(row.t0)],
          ["Took", row.t1 === null ? "still running" : duration(row.t1 - row.t0)],
          ["Came from", t?.source === "machine" ? "a background task" : null],
          ["Model calls", t ? String(t.exchanges) : null],
          ["Tool calls", t ? `${t.tool_calls}${t.tool_errors ? `, ${t.tool_errors} failed` : ""}` : null],
          ["Subagents", t?.agents ? String(t.agents) : null],
          ["Turn", row.turn.id],
          ["Trace", t?.trace_id],
        ]),
      ];
    }
    const whole = await full().catch(() => null),
      error = whole?.error ?? span.error,
      about = row.agent?.tokens ?? span.tokens;
    const output = span.kind === "llm" && Array.isArray(whole?.output) ? whole.output : null;
    return [
      error
        ? block(
            row.status === "denied" ? "Denied" : "Error",
            [copyButton(error)],
            code(error, row.status === "denied" ? "denied" : "error"),
          )
        : null,
      found.map(card),
      output
        ? block(
            "Answer",
            null,
            output.map((b) => part(b)),
          )
        : null,
      span.kind !== "llm" && (whole?.summary ?? span.text)
        ? block(row.type === "agent" ? "Task" : row.type === "compaction" ? "Compaction" : "Call", [copyButton(span.text)], prose(span.text))
        : null,
      row.type === "agent" && row.agent && row.agent !== span ? await answer(row, data) : null,
      about
        ? block(
            row.type === "agent" ? "Tokens, its own and below" : "Tokens",
            null,
            tokens(about, row.agent?.cost ?? span.cost),
          )
        : null,
      facts([
        ["Status", row.status],
        ["Permission", permission(span)],
        ["Began", clockMs(row.t0)],
        ["Took", row.t1 === null ? "still running" : duration(row.t1 - row.t0)],
        [
          "Itself",
          span.exec !== null
            ? `${duration(span.exec)}${row.t1 !== null && row.t1 - row.t0 - span.exec > 3 ? `, after ${duration(row.t1 - row.t0 - span.exec)} of waiting` : ""}`
            : null,
        ],
        ["Model", span.model],
        ["First byte", span.ttfb !== null ? duration(span.ttfb) : null],
        ["Stopped", span.stop],
        ["Attempt", row.attempt > 1 ? String(row.attempt) : null],
        ["For", span.purpose],
        ["Made by", span.askedBy],
        ["Agent", span.agentType ?? row.agent?.agentType ?? "main"],
        ["At once", row.par > 1 ? plural(row.par, "call") : null],
        ["Share of cost", span.share !== null ? money(span.share) : null],
        ["By the client's prices", span.clientCost !== null ? money(span.clientCost) : null],
        [
          "Thinking",
          span.thinking
            ? `${plural(span.thinking[0], "block")}${span.thinking[1] ? `, ${span.thinking[1]} omitted by the API` : ""}`
            : null,
        ],
        ["Told by", span.sources?.split(" ").join(", ")],
        ["Copied from", span.copied],
        ["Tool use", span.toolUse],
        ["Span", span.id],
        ["Exchange", span.exchange],
      ]),
    ];
  },
};

async function answer(row, data) {
  try {
    const a = await data.api.span(row.agent.id, row.agent.status !== "running");
    return a?.output
      ? block(
          "Last words",
          [copyButton(String(a.output))],
          prose(typeof a.output === "string" ? a.output : JSON.stringify(a.output)),
        )
      : null;
  } catch {
    return null;
  }
}
