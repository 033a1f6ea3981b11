// Tab "Response": the model's answer, block by block, and how it ended.

import { h } from "../dom.js";
import { plural, visible } from "../format.js";
import { part } from "./blocks.js";
import { block, code, copyButton, facts, tokens } from "./parts.js";

export const response = {
  id: "response",
  label: "Response",
  applies: ({ exchange, span }) => exchange !== null || span?.kind === "llm",
  async render({ exchange, detail, full }) {
    const d = exchange ? await detail() : null,
      whole = d?.message ? null : await full();
    const content = Array.isArray(d?.message?.content)
      ? d.message.content
      : Array.isArray(whole?.output)
        ? whole.output
        : [];
    const x = d?.exchange,
      usage = d?.message?.usage,
      thought = usage?.output_tokens_details?.thinking_tokens;
    const hidden = content.filter((b) => b?.type === "thinking" && !b.thinking).length;
    const text = content
      .filter((b) => b?.type === "text")
      .map((b) => b.text)
      .join("\n\n");
    return [
      x?.error ? block("Error", [copyButton(x.error)], code(x.error, "error")) : null,
      x && !x.complete
        ? h("p", { class: "omitted", text: "The response did not come to its end: this is what there was of it." })
        : null,
      content.length > 0
        ? block(
            plural(content.length, "block"),
            text ? [copyButton(text, "copy text")] : null,
            content.map((b) => part(b, { thinkingTokens: hidden === 1 && Number.isFinite(thought) ? thought : null })),
          )
        : h("p", { class: "muted", text: x?.error ? "" : "No content." }),
      x?.tokens ? block("Tokens", null, tokens(x.tokens, x.cost_usd_micros)) : null,
      x
        ? facts([
            ["Stopped", x.stop_reason],
            ["Status", x.status === null ? "none received" : String(x.status)],
            ["Thinking tokens", Number.isFinite(thought) && thought > 0 ? String(thought) : null],
            ["Service tier", typeof usage?.service_tier === "string" ? visible(usage.service_tier) : null],
            ["Message", x.message_id],
            ["Request id", x.request_id],
            ["Attempt", x.attempt > 1 ? String(x.attempt) : null],
            ["Made again by", x.retried_by],
          ])
        : null,
    ];
  },
};
