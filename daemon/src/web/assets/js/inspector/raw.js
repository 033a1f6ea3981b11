// Tab "Raw": the exact bytes, to look at, to download, to send again.

import { curl } from "../conversation.js";
import { button, copy, fill, h } from "../dom.js";
import { bodyName, bodyUrl } from "../files.js";
import { bytes } from "../format.js";
import { icon } from "../icons.js";
import { block, code, copyButton, decode } from "./parts.js";

const ROW = 16;
/** Bytes that are shown as such. */
const SHOWN = 8192;

/** Bytes as they are: where, which, and what of it is text. */
export function hex(buffer, most = SHOWN) {
  const all = new Uint8Array(buffer),
    out = [];
  for (let at = 0; at < Math.min(all.length, most); at += ROW) {
    const some = all.subarray(at, Math.min(at + ROW, most)),
      digits = [...some].map((b) => b.toString(16).padStart(2, "0"));
    const left = digits.slice(0, 8).join(" "),
      right = digits.slice(8).join(" "),
      text = [...some].map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : "·")).join("");
    out.push(`${at.toString(16).padStart(8, "0")}  ${left.padEnd(23)}  ${right.padEnd(23)}  ${text}`);
  }
  if (all.length > most) out.push(`… ${all.length - most} bytes more`);
  return out.join("\n");
}

async function side(api, id, which, kept, total) {
  const title = which === "request" ? "Request" : "Response",
    download = h(
      "a",
      { class: "button", href: bodyUrl(id, which), download: bodyName(id, which) },
      icon("down"),
      "download",
    );
  let buffer;
  try {
    buffer = await api.body(id, which);
  } catch (e) {
    return block(title, null, h("p", { class: "muted", text: e.message }));
  }
  const { text, exact } = decode(buffer),
    box = h("div", {});
  let asHex = !exact;
  const draw = () =>
    fill(
      box,
      asHex ? h("pre", { class: "code wide", tabindex: "0", text: hex(buffer) }) : text ? code(text) : h("p", { class: "muted", text: "Empty." }),
    );
  draw();
  const toggle = button(
    "bytes",
    () => {
      asHex = !asHex;
      toggle.setAttribute("aria-pressed", String(asHex));
      draw();
    },
    { "aria-pressed": String(asHex), title: "As bytes, or as text" },
  );
  return block(
    `${title} · ${bytes(buffer.byteLength)}`,
    [toggle, copyButton(text), download],
    kept !== null && kept !== undefined
      ? h("p", { class: "omitted", text: `${bytes(kept)} of ${bytes(total)} were kept.` })
      : null,
    exact ? null : h("p", { class: "muted", text: "These bytes are no UTF-8: as text they are shown with what is none replaced." }),
    box,
  );
}

export const raw = {
  id: "raw",
  label: "Raw",
  applies: ({ exchange }) => exchange !== null,
  async render({ api, exchange, detail }) {
    const d = await detail();
    const [request, response, status] = await Promise.all([
      side(api, exchange, "request", d.request_kept, d.exchange.request_bytes),
      side(api, exchange, "response", d.response_kept, d.exchange.response_bytes),
      // Where requests go now; the command has its own idea where that cannot be had.
      api.json("status").catch(() => null),
    ]);
    const upstream = status?.proxy?.upstream || undefined;
    return [
      h(
        "div",
        { class: "verdict first" },
        button([icon("copy"), "Copy as cURL"], () => copy(curl(d.exchange, d.request_headers, upstream)), {
          class: "line",
          title: "Sends the same bytes again, with your own key, which is not in it",
        }),
      ),
      request,
      response,
    ];
  },
};
