// Tab "Tool": what went into a tool and what came out, in the form that suits the tool.
//
// Inputs and outputs are somebody's JSON: whatever is not of the form that a tool usually has is shown as the JSON it is.

import { diffTexts, fromPatch, hunks } from "../diff.js";
import { h } from "../dom.js";
import { oneLine, visible } from "../format.js";
import { shorten } from "../row.js";
import { part } from "./blocks.js";
import { showHunks } from "./diffview.js";
import { block, code, copyButton, facts, prose, tree } from "./parts.js";
import { picture, terminal } from "./terminal.js";

const str = (v) => (typeof v === "string" ? v : null);

/** The differences of an edit: of the client's own patch where there is one, else of the strings. */
export function editHunks(input, output) {
  const patch = fromPatch(output?.structuredPatch);
  if (patch) return patch;
  if (str(output?.content) !== null && !output?.originalFile && input?.content !== undefined)
    return hunks(diffTexts("", output.content), 3);
  const edits = Array.isArray(input?.edits) ? input.edits : [input];
  const list = [];
  for (const e of edits)
    if (str(e?.old_string) !== null && str(e?.new_string) !== null)
      list.push(...hunks(diffTexts(e.old_string, e.new_string), 3));
  if (list.length === 0 && str(input?.content) !== null)
    return hunks(diffTexts(str(output?.originalFile) ?? "", input.content), 3);
  return list;
}

function bash(input, output, how) {
  const text =
    typeof output === "string" ? output : [str(output?.stdout), str(output?.stderr)].filter(Boolean).join("\n");
  return [
    block(
      "Command",
      [copyButton(input?.command ?? "")],
      h("pre", { class: "cmd", tabindex: "0", text: visible(input?.command ?? "") }),
      input?.description ? h("p", { class: "muted", text: visible(input.description) }) : null,
    ),
    block(
      how ? `Output, ${how}` : "Output",
      text ? [copyButton(text)] : null,
      text ? terminal(text) : h("p", { class: "muted", text: "No output." }),
    ),
    output?.stderr && output?.stdout
      ? h("p", { class: "muted", text: "Standard output first, then standard error." })
      : null,
  ];
}

function edit(input, output, cwd) {
  const list = editHunks(input, output),
    path = str(input?.file_path) ?? str(input?.notebook_path) ?? "file";
  const note =
    output?.type === "create" ? "new file" : output?.structuredPatch?.length ? null : "line numbers within the edit";
  return [
    list.length > 0
      ? block("Change", [copyButton(path, "copy path")], showHunks(list, { name: shorten(path, cwd), note }))
      : null,
    output?.userModified ? h("p", { class: "muted", text: "Changed by the user before it was accepted." }) : null,
  ];
}

function read(input, output, cwd) {
  const file = output?.file;
  if (output?.type === "image")
    return block(
      shorten(str(input?.file_path) ?? "A picture", cwd),
      null,
      picture({ media_type: file?.type, data: file?.base64 }) ?? tree(output),
    );
  if (str(file?.content) === null) return null;
  const ops = file.content
    .replace(/\n$/, "")
    .split("\n")
    .map((text, i) => ({ type: "same", text, a: null, b: (file.startLine ?? 1) + i }));
  return block(
    `${shorten(str(input?.file_path) ?? "", cwd)}  ·  ${file.numLines ?? ops.length} of ${file.totalLines ?? "?"} lines`,
    [copyButton(file.content)],
    showHunks([{ a: 1, b: 1, ops }]),
  );
}

const anything = (title, value) =>
  value === null || value === undefined
    ? null
    : block(
        title,
        [copyButton(() => (typeof value === "string" ? value : JSON.stringify(value, null, 2)))],
        typeof value === "string" ? code(value) : tree(value, 2),
      );

/** What came out, where nothing is known of its form. `how`: "failed", "denied", or null where it went well. */
function result(output, how = null) {
  if (typeof output === "string")
    return block(
      how === "denied" ? "Denied" : how ? "Error" : "Output",
      [copyButton(output)],
      /\u001b\[/.test(output) ? terminal(output) : code(output, how === "failed" ? "error" : ""),
    );
  const content = Array.isArray(output) ? output : Array.isArray(output?.content) ? output.content : null;
  if (content?.every((c) => c && typeof c.type === "string"))
    return block(
      "Output",
      null,
      content.map((c) => part(c)),
    );
  return anything("Output", output);
}

export const tool = {
  id: "tool",
  label: "Tool",
  applies: ({ row, span }) => span?.kind === "tool" && row.type !== "detection" && row.type !== "intervention",
  async render({ row, span, full, cwd }) {
    const whole = await full();
    if (!whole) return h("p", { class: "empty", text: "Nothing of its content is on record." });
    const { input, output } = whole,
      how = { error: "failed", denied: "denied" }[row.status] ?? null,
      name = span.tool;
    if (name === "Bash" || name === "BashOutput") return [bash(input, output, how), json(input, output)];
    if (["Edit", "Write", "MultiEdit", "NotebookEdit"].includes(name) && !how)
      return [edit(input, output, cwd), json(input, output)];
    if (["Edit", "Write", "MultiEdit"].includes(name))
      return [result(output, how), edit(input, null, cwd), json(input, output)];
    if (name === "Read" && !how) return [read(input, output, cwd) ?? result(output), json(input, output)];
    if (name === "Agent" || name === "Task") {
      const words = Array.isArray(output?.content) ? output.content : null;
      return [
        facts([
          ["Helper", str(input?.subagent_type)],
          ["Task", str(input?.description)],
          ["Model", str(output?.resolvedModel)],
        ]),
        block("Prompt", [copyButton(str(input?.prompt) ?? "")], prose(str(input?.prompt) ?? "")),
        words
          ? block(
              "Answer",
              null,
              words.map((c) => part(c)),
            )
          : result(output, how),
        json(input, output),
      ];
    }
    if (name === "TodoWrite" && Array.isArray(input?.todos))
      return [
        block(
          "List",
          null,
          h(
            "table",
            {},
            input.todos.map((t) =>
              h(
                "tr",
                {},
                h("td", { class: "name", text: oneLine(t?.status ?? "", 20) }),
                h("td", { text: visible(t?.content ?? "") }),
              ),
            ),
          ),
        ),
        json(input, output),
      ];
    return [anything("Input", input), result(output, how)];
  },
};

function json(input, output) {
  const box = h("details", {}, h("summary", { class: "muted", text: "As JSON" }));
  box.addEventListener("toggle", () => {
    if (box.open && box.childElementCount === 1)
      box.append(anything("Input", input) ?? "", anything("Output", output) ?? "");
  });
  return box;
}
