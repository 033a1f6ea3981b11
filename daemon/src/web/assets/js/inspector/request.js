// Tab "Request": what was sent to the model: what is new in it since the request before, the conversation, system, tools.

import { changes, readRequest } from "../conversation.js";
import { diffTexts } from "../diff.js";
import { button, fill, h } from "../dom.js";
import { bytes, duration, oneLine, plural, visible } from "../format.js";
import { message, part, sizeOf } from "./blocks.js";
import { showOps } from "./diffview.js";
import { block, decode, long, tree } from "./parts.js";

/** The call before this one of the same thread: model calls of the same agent, in time. */
export function previous(model, span) {
  let best = null;
  for (const s of model.spans.values()) {
    if (s.kind !== "llm" || !s.exchange || s.agentId !== span.agentId || s.purpose !== span.purpose || s.t0 >= span.t0)
      continue;
    if (!best || s.t0 > best.t0) best = s;
  }
  return best;
}

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

function delta(before, after, span, prev, go) {
  const c = changes(before, after),
    out = [];
  out.push(
    h(
      "p",
      { class: "muted" },
      `Since the request ${duration(span.t0 - prev.t0)} before `,
      button("go there", () => go(prev.id), { class: "more" }),
      `: ${plural(c.kept, "message")} kept, ${c.added.length} new${c.dropped ? `, ${c.dropped} rewritten` : ""}.`,
    ),
  );
  if (c.dropped > 0)
    out.push(
      h("p", {
        class: "omitted",
        text: `The conversation was rewritten from message ${c.kept + 1} on: what the cache held behind it is lost.`,
      }),
    );
  for (const s of c.system)
    out.push(block(`System ${s.index + 1} changed`, null, showOps(diffTexts(s.before, s.after))));
  for (const t of c.tools)
    out.push(
      block(
        `Tool ${oneLine(t.name, 60)} ${t.what}`,
        null,
        t.what === "changed" ? showOps(diffTexts(t.before, t.after)) : null,
      ),
    );
  for (const s of c.settings)
    out.push(
      h(
        "p",
        {},
        h("b", { text: visible(s.key) }),
        ` ${oneLine(JSON.stringify(s.before) ?? "not set", 120)} → ${oneLine(JSON.stringify(s.after) ?? "not set", 120)}`,
      ),
    );
  out.push(c.added.map((m, i) => message(m, c.kept + i, i < 6)));
  if (c.added.length + c.system.length + c.tools.length + c.settings.length === 0)
    out.push(h("p", { class: "muted", text: "Nothing: the same request again." }));
  return out;
}

export const request = {
  id: "request",
  label: "Request",
  applies: ({ exchange }) => exchange !== null,
  async render({ api, exchange, span, data, go, chose, again }) {
    const req = await read(api, exchange);
    if (req.error)
      return h("p", {
        class: "empty",
        text: `This body is no request that is understood (${visible(req.error)}). “Raw” shows its bytes.`,
      });
    const prev = previous(data.model, span);
    const mode = prev ? (chose.request ?? "delta") : "all";
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
    if (mode === "delta") {
      const before = await read(api, prev.exchange).catch(() => null);
      first =
        before && !before.error
          ? delta(before, req, span, prev, go)
          : h("p", { class: "muted", text: "The request before is not on record any more." });
    } else first = conversation(req.messages);
    const fold = (title, size, make) => {
      const box = h(
        "details",
        {},
        h("summary", {}, h("span", { class: "grow", text: title }), h("span", { class: "muted", text: size })),
      );
      box.addEventListener("toggle", () => {
        if (box.open && box.childElementCount === 1) box.append(make());
      });
      return box;
    };
    return [
      h(
        "div",
        { class: "legend" },
        prev ? [pick("delta", "What is new"), pick("all", "Conversation")] : null,
        h("span", { text: `${plural(req.messages.length, "message")} · ${bytes(req.size)}` }),
      ),
      h("section", { class: "block" }, first),
      block(
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
        req.messages.length > 0 && mode === "delta"
          ? fold(`Whole conversation (${req.messages.length})`, bytes(sizeOf(req.messages)), () =>
              conversation(req.messages),
            )
          : null,
      ),
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
