// What tabs are built of: facts, code, JSON as a tree, texts that are too long to be shown at once.
//
// Bounded: no text is put into the page beyond `MOST` characters before somebody asks for more, no JSON deeper than it is
// opened. Captured text goes through `visible`.

import { button, copy, fill, h } from "../dom.js";
import { bytes, money, visible, whole } from "../format.js";
import { icon } from "../icons.js";

const MOST = 20_000;

/** A section with a heading; `tools` stand at its right. */
export function block(title, tools, ...content) {
  return h(
    "section",
    { class: "block" },
    h("h3", {}, title, tools?.length ? h("span", { class: "right" }, tools) : null),
    content,
  );
}

/** Names and values; those without a value are left out. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, v]) => v !== null && v !== undefined && v !== "")
      .flatMap(([k, v]) => [h("dt", { text: k }), h("dd", {}, typeof v === "string" ? visible(v) : v)]),
  );
}

export function copyButton(text, label = "copy") {
  return button([icon("copy"), label], () => copy(typeof text === "function" ? text() : text));
}

/** Long text: the beginning, and the rest on request. `make(text)`: an element. */
export function long(text, make, most = MOST) {
  if (text.length <= most) return make(text);
  const box = h("div", {});
  const draw = (n) =>
    fill(
      box,
      make(text.slice(0, n)),
      n < text.length
        ? button(
            `${bytes(text.length - n)} more · show ${n * 8 >= text.length ? "all" : "more"}`,
            () => draw(Math.min(text.length, n * 8)),
            { class: "more" },
          )
        : null,
    );
  draw(most);
  return box;
}

/** Text as it is. */
export function code(text, kind = "") {
  return long(String(text), (t) => h("pre", { class: `code ${kind}`, tabindex: "0", text: visible(t) }));
}

/** Text that is meant to be read. */
export function prose(text) {
  return long(String(text), (t) => h("div", { class: "prose", text: visible(t) }));
}

const KINDS = [
  ["cache_read", "cache read", "--t-read"],
  ["cache_write_5m", "cache write 5 m", "--t-w5"],
  ["cache_write_1h", "cache write 1 h", "--t-w1"],
  ["input", "input", "--t-in"],
  ["output", "output", "--t-out"],
];

/** Tokens by kind, as a bar with a legend. */
export function tokens(t, cost) {
  const used = KINDS.filter(([k]) => t[k] > 0);
  return h(
    "div",
    {},
    h(
      "div",
      { class: "split", "aria-hidden": "true" },
      used.map(([k, , c]) => h("i", { vars: { "--n": String(t[k]), "--c": `var(${c})` } })),
    ),
    h(
      "div",
      { class: "legend" },
      used.map(([k, label, c]) => h("span", {}, h("i", { vars: { "--c": `var(${c})` } }), `${label} ${whole(t[k])}`)),
      cost !== null && cost !== undefined ? h("span", {}, h("b", { text: money(cost) })) : null,
    ),
  );
}

/** JSON as a tree. Its branches are made when they are opened. */
export function json(value, open = 1, name = null) {
  const label = name === null ? [] : [h("span", { class: "k", text: visible(String(name)) }), ": "];
  if (value === null || typeof value !== "object") {
    const kind = typeof value === "string" ? "s" : value === null || typeof value === "boolean" ? "z" : "n";
    if (typeof value === "string")
      return h(
        "div",
        { class: "leaf" },
        label,
        long(value, (t) => h("span", { class: kind, text: `"${visible(t)}"` }), 4000),
      );
    return h("div", { class: "leaf" }, label, h("span", { class: kind, text: String(value) }));
  }
  const entries = Array.isArray(value) ? value.map((v, i) => [i, v]) : Object.entries(value);
  const about = Array.isArray(value) ? `[${value.length}]` : `{${entries.length}}`;
  if (entries.length === 0)
    return h("div", { class: "leaf" }, label, h("span", { class: "z", text: Array.isArray(value) ? "[]" : "{}" }));
  const box = h("details", {}, h("summary", {}, h("span", {}, label, h("span", { class: "z", text: about }))));
  const grow = () => {
    if (box.childElementCount > 1) return;
    const show = (from) => {
      for (const [k, v] of entries.slice(from, from + 200)) box.append(json(v, open - 1, k));
      if (from + 200 < entries.length) {
        const more = button(
          `${entries.length - from - 200} more`,
          () => {
            more.remove();
            show(from + 200);
          },
          { class: "more" },
        );
        box.append(more);
      }
    };
    show(0);
  };
  box.addEventListener("toggle", () => {
    if (box.open) grow();
  });
  if (open > 0) {
    grow();
    box.open = true;
  }
  return box;
}

/** A tree with its place in the document. */
export function tree(value, open = 1) {
  return h("div", { class: "json" }, json(value, open));
}

/** A row to go to. */
export function link(label, detail, onclick, drawing = "prompt") {
  return h(
    "button",
    { class: "link", type: "button", onclick },
    icon(drawing),
    h("span", { class: "grow", text: visible(label) }),
    h("span", { class: "muted", text: visible(detail ?? "") }),
  );
}

/** Bytes as text: what is no UTF-8 is said. */
export function decode(buffer) {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(buffer), exact: true };
  } catch {
    return { text: new TextDecoder().decode(buffer), exact: false };
  }
}
