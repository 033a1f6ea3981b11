// Content blocks of messages: text, thinking, tool calls and results, pictures, whatever else.

import { fill, h } from "../dom.js";
import { bytes, oneLine, plural, visible } from "../format.js";
import { toolName } from "../row.js";
import { code, prose, tree } from "./parts.js";
import { picture, terminal } from "./terminal.js";

/** Says that the API left thinking out. */
export function omitted(block, tokens = null) {
  const n = block.signature ? `, ${bytes(block.signature.length)} of signature` : "";
  return h("div", {
    class: "omitted",
    text: `Thinking omitted by the API${tokens !== null ? ` · ${plural(tokens, "token")}` : ""}${n}`,
  });
}

/** One block → an element. */
export function part(b, options = {}) {
  if (typeof b === "string") return h("div", { class: "part", "data-type": "text" }, prose(b));
  if (!b || typeof b !== "object") return h("div", { class: "part" }, code(JSON.stringify(b)));
  const cap = (text, extra = null) => h("div", { class: "cap" }, text, extra);
  const box = (...kids) => h("div", { class: "part", "data-type": typeof b.type === "string" ? b.type : "" }, kids);
  switch (b.type) {
    case "text":
      return box(
        prose(b.text ?? ""),
        Array.isArray(b.citations) && b.citations.length > 0 ? cap(plural(b.citations.length, "citation")) : null,
      );
    case "thinking":
      return b.thinking ? box(cap("thinking"), prose(b.thinking)) : box(omitted(b, options.thinkingTokens ?? null));
    case "redacted_thinking":
      return box(
        h("div", { class: "omitted", text: `Thinking encrypted by the API, ${bytes(String(b.data ?? "").length)}` }),
      );
    case "tool_use":
    case "server_tool_use":
    case "mcp_tool_use":
      return box(
        cap(
          `→ ${toolName(String(b.name ?? "tool"))}`,
          h("span", { class: "muted mono", text: oneLine(b.id ?? "", 40) }),
        ),
        tree(b.input ?? null, 1),
      );
    case "tool_result": {
      const content = b.content;
      return box(
        cap(
          `← result${b.is_error ? ", an error" : ""}`,
          h("span", { class: "muted mono", text: oneLine(b.tool_use_id ?? "", 40) }),
        ),
        Array.isArray(content)
          ? content.map((c) => part(c, options))
          : typeof content === "string" && content.includes("\u001b[")
            ? terminal(content)
            : typeof content === "string"
              ? code(content, b.is_error ? "error" : "")
              : tree(content ?? null),
      );
    }
    case "image":
      return box(picture(b.source) ?? cap("a picture that is not shown"));
    case "document":
      return box(cap(`a document: ${oneLine(b.source?.media_type ?? b.title ?? "", 80)}`));
    default:
      return box(cap(oneLine(b.type ?? "block", 60)), tree(b, 1));
  }
}

/** A message's size, roughly, in characters. */
export function sizeOf(value) {
  if (typeof value === "string") return value.length;
  try {
    return JSON.stringify(value)?.length ?? 0;
  } catch {
    return 0;
  }
}

const firstWords = (content) => {
  const list = Array.isArray(content) ? content : [content];
  for (const b of list) {
    const text =
      typeof b === "string"
        ? b
        : (b?.text ??
          b?.thinking ??
          (b?.type === "tool_use"
            ? `→ ${b.name}`
            : b?.type === "tool_result"
              ? `← ${typeof b.content === "string" ? b.content : ""}`
              : null));
    if (text && !text.startsWith("<system-reminder>")) return oneLine(text, 120);
  }
  return "";
};

/** A message, folded or not. Its content is made when it is unfolded. */
export function message(m, index, open, note = null) {
  const role = typeof m?.role === "string" ? m.role : "?",
    left = Number.isFinite(m?.left_out_bytes) ? m.left_out_bytes : null,
    content = left === null ? m?.content : "(too long to be shown here: “Raw” has it)";
  const box = h(
    "details",
    { class: "msg", "data-role": role },
    h(
      "summary",
      {},
      h("b", { text: visible(role) }),
      h("span", { class: "muted", text: `#${index + 1}` }),
      note ? h("span", { class: "chip", text: note }) : null,
      h("span", { class: "muted cut grow", text: firstWords(content) }),
      h("span", { class: "muted size", text: bytes(left ?? sizeOf(content)) }),
    ),
  );
  const body = h("div", {});
  box.append(body);
  const grow = () => {
    if (body.childElementCount === 0)
      fill(
        body,
        (Array.isArray(content) ? content : [content]).map((c) => part(c)),
      );
  };
  box.addEventListener("toggle", () => {
    if (box.open) grow();
  });
  if (open) {
    grow();
    box.open = true;
  }
  return box;
}
