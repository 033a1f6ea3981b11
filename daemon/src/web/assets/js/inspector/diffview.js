// A difference on the page: hunks with both line numbers, the changed words marked, what is between them told.

import { countChanges, hunks, wordRanges } from "../diff.js";
import { button, fill, h, marked } from "../dom.js";
import { visible } from "../format.js";

const MOST = 600;

function line(op, words) {
  const ranges = words.get(op),
    text = op.text.length > 5000 ? `${op.text.slice(0, 5000)}…` : op.text;
  // Ranges count the characters of the text as it came: they hold only where nothing has to be made visible.
  const shown = visible(text),
    body = ranges && shown === text ? marked(text, ranges, "b") : [shown];
  return h(
    "div",
    { class: "dl", "data-op": op.type === "same" ? null : op.type },
    h("span", { text: op.a ?? "" }),
    h("span", { text: op.b ?? "" }),
    h("span", { text: op.type === "add" ? "+" : op.type === "del" ? "−" : "" }),
    h("code", {}, body),
  );
}

/** Hunks → an element. `name`: the file; `note`: beside it. */
export function showHunks(list, { name = null, note = null } = {}) {
  const total = list.reduce(
    (n, x) => {
      const c = countChanges(x.ops);
      return { added: n.added + c.added, removed: n.removed + c.removed };
    },
    { added: 0, removed: 0 },
  );
  const box = h("div", {
    class: "diff",
    tabindex: "0",
    role: "group",
    "aria-label": `Difference${name ? ` of ${visible(name)}` : ""}`,
  });
  const head =
    name === null
      ? null
      : h(
          "div",
          { class: "file" },
          h("b", { class: "cut", text: visible(name) }),
          h("span", { class: "add", text: `+${total.added}` }),
          h("span", { class: "del", text: `−${total.removed}` }),
          note ? h("span", { class: "muted", text: note }) : null,
        );
  const draw = (most) => {
    let left = most,
      end = 0;
    const rows = [];
    for (const hunk of list) {
      if (left <= 0) break;
      const first = hunk.ops.find((o) => o.a !== null)?.a ?? hunk.a;
      if (end > 0 && first > end + 1) rows.push(h("div", { class: "cutline", text: `⋯ ${first - end - 1} lines` }));
      const words = wordRanges(hunk.ops.slice(0, left));
      for (const op of hunk.ops.slice(0, left)) rows.push(line(op, words));
      left -= hunk.ops.length;
      for (const op of hunk.ops) if (op.a !== null) end = op.a;
    }
    const all = list.reduce((n, x) => n + x.ops.length, 0);
    fill(
      box,
      head,
      rows,
      all > most ? button(`${all - most} more lines`, () => draw(most * 6), { class: "more" }) : null,
    );
  };
  draw(MOST);
  return box;
}

/** Operations → an element. */
export function showOps(ops, options = {}) {
  const list = hunks(ops, options.context ?? 3);
  return list.length === 0 ? h("p", { class: "muted", text: "No difference." }) : showHunks(list, options);
}
