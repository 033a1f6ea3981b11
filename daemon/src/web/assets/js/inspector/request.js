// Tab "Request": what was sent to the model: what is new in it since the request before, the conversation, system, tools.

import { clip, readRequest } from "../conversation.js";
import { diffTexts } from "../diff.js";
import { button, fill, h } from "../dom.js";
import { bytes, duration, oneLine, parseTime, plural, visible } from "../format.js";
import { message, part, sizeOf } from "./blocks.js";
import { showOps } from "./diffview.js";
import { block, decode, long, tree } from "./parts.js";

async function read(api, id) {
  const buffer = await api.body(id, "request"),
    { text } = decode(buffer);
  return { ...readRequest(text), size: buffer.byteLength };
}

const SHOWN = 8;

function conversation(list, first = 0) {
  const box = h("div", {}),
    make = (i, open) => message(list[i], i + first, open);
  const draw = (from) =>
    fill(
      box,
      from > 0 ? button(`${from} earlier`, () => draw(Math.max(0, from - 100)), { class: "more" }) : null,
      list.slice(from).map((_, i) => make(from + i, from + i >= list.length - 2)),
    );
  draw(Math.max(0, list.length - SHOWN));
  return box;
}

const words = (v) =>
  Number.isFinite(v?.left_out_bytes)
    ? `(${bytes(v.left_out_bytes)}, too long to be shown here: “Raw” has it)`
    : typeof v === "string"
      ? v
      : typeof v?.text === "string" ? v.text : JSON.stringify(clip(v ?? null, 12), null, 2);
const short = (v) => (v === null || v === undefined ? "not set" : oneLine(JSON.stringify(clip(v, 4)), 120));

/** A thing that changed: what it was, what it is. */
const changed = (what, c) =>
  c.name === "(order)"
    ? h("p", { class: "block", text: "The tools stand in another order." })
    : block(
    `${what}${oneLine(c.name, 60)} ${c.what === "changed" ? "changed" : c.what === "added" ? "is new" : "is gone"}`,
    null,
    c.what === "changed"
      ? showOps(diffTexts(words(c.before), words(c.after)))
      : long(words(c.after ?? c.before), (x) => h("pre", { class: "code", tabindex: "0", text: visible(x) }), 1500),
  );

/** What is new since the request before, as the daemon tells it. */
function delta(c, span, model, go) {
  if (c.previous === null || c.previous === undefined)
    return [
      h("p", { class: "muted", text: "The first request of its kind on this thread: everything in it is new." }),
      c.added.map((m, i) => message(m, c.kept_messages + i, i >= c.added.length - 2)),
    ];
  const out = [],
    prev = [...model.spans.values()].find((s) => s.exchange === c.previous),
    ago = span.t0 - parseTime(c.previous_at);
  out.push(
    h(
      "p",
      { class: "muted" },
      `Since the request ${duration(ago)} before`,
      prev ? [" ", button("go there", () => go(prev.id), { class: "more inline" })] : null,
      `: ${plural(c.kept_messages, "message")} kept, ${c.added.length} new${c.dropped.length > 0 ? `, ${c.dropped.length} dropped` : ""}.`,
    ),
  );
  if (c.cache_broken)
    out.push(
      h("p", {
        class: "omitted bad",
        text: "The prompt cache is lost here: something before the first new message differs, or the model, thinking or tool choice does.",
      }),
    );
  for (const x of c.system) out.push(changed("", x));
  for (const x of c.tools) out.push(changed("Tool ", x));
  if (c.settings.length > 0)
    out.push(
      block(
        "Settings",
        null,
        h(
          "dl",
          { class: "facts" },
          c.settings.flatMap((x) => [
            h("dt", { text: oneLine(x.name, 60) }),
            h("dd", {}, h("del", { text: short(x.before) }), " → ", h("ins", { text: short(x.after) })),
          ]),
        ),
      ),
    );
  if (c.dropped.length > 0)
    out.push(block("Not in it any more", null, c.dropped.map((m, i) => message(m, c.kept_messages + i, false, "dropped"))));
  if (c.added.length > 0)
    out.push(block("New", null, c.added.map((m, i) => message(m, c.kept_messages + i, i < 6))));
  if (c.added.length + c.dropped.length + c.system.length + c.tools.length + c.settings.length === 0)
    out.push(h("p", { class: "muted", text: "Nothing: the same request again." }));
  return out;
}

/** Something that is made when it is unfolded. */
function fold(title, size, make) {
  const box = h(
    "details",
    {},
    h("summary", {}, h("span", { class: "grow", text: title }), h("span", { class: "muted", text: size })),
  );
  box.addEventListener("toggle", () => {
    if (box.open && box.childElementCount === 1) box.append(make());
  });
  return box;
}

/** What went with the messages, and all of them. */
function sent(req, whole) {
  return block(
    "Sent with it",
    null,
    fold(`System (${req.system.length})`, bytes(sizeOf(req.system)), () =>
      h(
        "div",
        {},
        req.system.map((b) => part(b)),
      ),
    ),
    fold(`Tools (${req.tools.length})`, bytes(sizeOf(req.tools)), () =>
      h(
        "div",
        {},
        req.tools.map((t) => toolOf(t)),
      ),
    ),
    fold("Settings", plural(Object.keys(req.settings).length, "key"), () => tree(req.settings, 2)),
    whole
      ? fold(`Whole conversation (${req.messages.length})`, bytes(sizeOf(req.messages)), () => conversation(req.messages))
      : null,
  );
}

export const request = {
  id: "request",
  label: "Request",
  applies: ({ exchange }) => exchange !== null,
  async render({ api, exchange, span, data, go, chose, again }) {
    const mode = chose.request ?? "delta",
      body = read(api, exchange);
    body.catch(() => null);
    const pick = (name, label) =>
      button(
        label,
        () => {
          chose.request = name;
          again();
        },
        { "aria-pressed": String(mode === name) },
      );
    let first;
    if (mode === "delta")
      first = await api.changes(exchange).then(
        (c) => delta(c, span, data.model, go),
        (e) => h("p", { class: "muted", text: oneLine(e.message, 300) }),
      );
    // A body of megabytes comes behind what is new in it.
    const size = h("span", {}),
      rest = h("div", {});
    const fillIn = async () => {
      const req = await body;
      if (req.error) {
        const text = `This body is no request that is understood (${visible(req.error)}). “Raw” shows its bytes.`;
        fill(rest, h("p", { class: "empty", text }));
        return;
      }
      size.textContent = `${plural(req.messages.length, "message")} · ${bytes(req.size)}`;
      fill(rest, mode === "all" ? h("section", { class: "block" }, conversation(req.messages)) : null, sent(req, mode === "delta"));
    };
    const filled = fillIn().catch((e) => fill(rest, h("p", { class: "muted", text: oneLine(e.message, 300) })));
    if (mode === "all") await filled;
    return [
      h("div", { class: "legend" }, pick("delta", "What is new"), pick("all", "Conversation"), size),
      first ? h("section", { class: "block" }, first) : null,
      rest,
    ];
  },
};

function toolOf(t) {
  const box = h(
    "details",
    {},
    h(
      "summary",
      {},
      h("b", { text: oneLine(t?.name ?? t?.type ?? "tool", 60) }),
      h("span", { class: "muted cut grow", text: oneLine(t?.description ?? "", 120) }),
      h("span", { class: "muted", text: bytes(sizeOf(t)) }),
    ),
  );
  box.addEventListener("toggle", () => {
    if (box.open && box.childElementCount === 1)
      box.append(
        t?.description ? long(String(t.description), (x) => h("div", { class: "prose", text: visible(x) })) : "",
        tree(t?.input_schema ?? t, 1),
      );
  });
  return box;
}
