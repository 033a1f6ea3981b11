// The files that a session changed, each with the difference of the whole session.
//
// The daemon follows the edits (`GET /v0/files`); asked once per session and number of edits, when the overview is looked at.
// One question at a time: edits that come while one is open are asked for once it is answered.

import { diffTexts, hunks } from "../diff.js";
import { fill, h } from "../dom.js";
import { clock, oneLine, parseTime, plural } from "../format.js";
import { showHunks } from "../inspector/diffview.js";
import { link } from "../inspector/parts.js";
import { editHunks } from "../inspector/tool.js";
import { shorten } from "../row.js";

const EDITS = new Set(["Edit", "Write", "MultiEdit", "NotebookEdit"]);
/** Edits of one file that are shown one by one. */
const MOST = 50;

export class FilesCard {
  constructor(api, go) {
    Object.assign(this, { api, go });
  }

  /** The card of a session. */
  draw(data, s) {
    if (this.id !== data.id) this.begin(data.id);
    if (this.edits !== count(data.model)) this.ask(data, s?.cwd ?? null);
    return this.card;
  }

  /** Another session. */
  begin(id) {
    this.id = id;
    /** How many edits the list was asked for with. */
    this.edits = null;
    this.asking = null;
    this.again = null;
    this.box = h("div", {}, h("p", { class: "muted", text: "Loading…" }));
    const note = "from before the session to after it, as far as edits tell";
    this.card = h(
      "section",
      { class: "card full" },
      h("header", {}, h("h2", { text: "Files" }), h("span", { class: "muted", text: note })),
      this.box,
    );
  }

  async ask(data, cwd) {
    if (this.asking) {
      this.again = { data, cwd };
      return;
    }
    const mine = {};
    this.asking = mine;
    this.edits = count(data.model);
    try {
      const { files } = await this.api.optional("files", { session: data.id }, { files: [] });
      if (this.asking === mine) this.list(this.box, files, data.id, cwd);
    } catch (e) {
      if (this.asking === mine) {
        this.edits = null;
        fill(this.box, h("p", { class: "muted", text: e.message }));
      }
    }
    // Another session was begun meanwhile.
    if (this.asking !== mine) return;
    this.asking = null;
    const { again } = this;
    this.again = null;
    if (again && this.edits !== null && this.edits !== count(again.data.model)) this.ask(again.data, again.cwd);
  }

  list(box, files, session, cwd) {
    this.session = session;
    if (files.length === 0) {
      fill(box, h("p", { class: "muted", text: "No file was changed by a tool that tells what it changed." }));
      return;
    }
    fill(
      box,
      files.map((f) => {
        const row = h(
          "details",
          { class: "changed" },
          h(
            "summary",
            {},
            h("b", { class: "mono cut", text: shorten(oneLine(f.path, 300), cwd) }),
            f.created ? h("span", { class: "chip", text: "new" }) : null,
            f.exact ? null : h("span", { class: "chip denied", text: "in parts", title: "Not all that came between is known" }),
            h("span", { class: "muted grow", text: plural(f.edits, "edit") }),
            h("span", { class: "add", text: `+${f.added}` }),
            h("span", { class: "del", text: `−${f.removed}` }),
          ),
        );
        row.addEventListener("toggle", () => {
          if (row.open && row.childElementCount === 1) this.open(row, f, cwd);
        });
        return row;
      }),
    );
    if (files.length <= 3) for (const row of box.children) row.open = true;
  }

  /** What a file was before and after is asked for when it is looked at. */
  async open(row, f, cwd) {
    const wait = row.appendChild(h("p", { class: "muted", text: "Loading…" }));
    try {
      const { files } = await this.api.json("files", { session: this.session, path: f.path, content: 1 });
      wait.replaceWith(this.difference(files.find((x) => x.path === f.path) ?? f, cwd));
    } catch (e) {
      wait.textContent = e.message;
    }
  }

  difference(f, cwd) {
    const edits = h(
      "div",
      { class: "edits" },
      f.spans
        .slice(0, MOST)
        .map((id, i) => link(`Edit ${i + 1}`, "to the row", () => this.go(id), "Edit")),
      f.spans.length > MOST ? h("p", { class: "muted", text: `and ${f.spans.length - MOST} more` }) : null,
    );
    if (f.exact && (f.after ?? null) !== null)
      return h(
        "div",
        {},
        showHunks(hunks(diffTexts(f.before ?? "", f.after)), {
          name: shorten(f.path, cwd),
          note: f.created ? "new file" : null,
        }),
        edits,
      );
    const box = h("div", {}, h("p", { class: "muted", text: "Not all that came between is known: edit by edit." }));
    this.parts(box, f).catch((e) => box.append(h("p", { class: "muted", text: e.message })));
    return h("div", {}, box, edits);
  }

  async parts(box, f) {
    for (const id of f.spans.slice(0, MOST)) {
      const s = await this.api.span(id, true);
      if (!box.isConnected) return;
      if (s) box.append(showHunks(editHunks(s.input, s.output), { name: clock(parseTime(s.started_at)) }));
    }
  }
}

function count(model) {
  let n = 0;
  for (const s of model.spans.values()) if (s.kind === "tool" && s.status !== "running" && EDITS.has(s.tool)) n += 1;
  return n;
}
