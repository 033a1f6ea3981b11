// The files that a session changed, each with the difference of the whole session.
//
// The contents of edits are asked for here, once per session and number of edits, when the overview is looked at.

import { diffTexts, hunks } from "../diff.js";
import { fill, h } from "../dom.js";
import { filesTouched } from "../files.js";
import { clock, oneLine, parseTime, plural } from "../format.js";
import { showHunks } from "../inspector/diffview.js";
import { editHunks } from "../inspector/tool.js";
import { shorten } from "../row.js";

const EDITS = ["Edit", "Write", "MultiEdit", "NotebookEdit"];
const MOST_EDITS = 3000;

export class FilesCard {
  constructor(api) {
    this.api = api;
  }

  /** The card of a session. */
  draw(data, s) {
    const box = h("div", {}, h("p", { class: "muted", text: "Loading…" }));
    this.edits(data).then(
      (spans) => {
        const files = filesTouched(spans);
        if (files.length === 0) {
          fill(box, h("p", { class: "muted", text: "No file was changed by a tool that tells what it changed." }));
          return;
        }
        fill(
          box,
          files.map((f) => {
            const row = h(
              "details",
              {},
              h(
                "summary",
                {},
                h("b", { class: "mono", text: shorten(oneLine(f.path, 300), s?.cwd) }),
                f.created ? h("span", { class: "chip", text: "new" }) : null,
                h("span", { class: "muted grow", text: plural(f.spans.length, "change") }),
              ),
            );
            row.addEventListener("toggle", () => {
              if (row.open && row.childElementCount === 1) row.append(difference(f, s?.cwd));
            });
            return row;
          }),
        );
        if (files.length <= 3) for (const row of box.children) row.open = true;
      },
      (e) => fill(box, h("p", { class: "muted", text: e.message })),
    );
    return h(
      "section",
      { class: "card full" },
      h(
        "header",
        {},
        h("h2", { text: "Files" }),
        h("span", { class: "muted", text: "from before the session to after it, as far as edits tell" }),
      ),
      box,
    );
  }

  /** The contents of all edits, once per session and number of edits. */
  edits(data) {
    const n = [...data.model.spans.values()].filter((x) => x.kind === "tool" && EDITS.includes(x.tool)).length;
    if (this.editsFor === `${data.id} ${n}`) return this.editsGot;
    this.editsFor = `${data.id} ${n}`;
    this.editsGot = Promise.all(
      EDITS.map((tool) => this.api.json("spans", { session: data.id, tool, content: 1, limit: MOST_EDITS })),
    ).then((all) => all.flatMap((a) => a.spans).sort((a, b) => (a.started_at < b.started_at ? -1 : 1)));
    return this.editsGot;
  }
}

function difference(f, cwd) {
  if (f.exact && f.after !== null)
    return showHunks(hunks(diffTexts(f.before, f.after)), {
      name: shorten(f.path, cwd),
      note: f.created ? "new file" : null,
    });
  return h(
    "div",
    {},
    h("p", { class: "muted", text: "Not all of what came between is known: edit by edit." }),
    f.parts.slice(0, 50).map((x) => showHunks(editHunks(x.input, x.output), { name: clock(parseTime(x.started_at)) })),
  );
}
