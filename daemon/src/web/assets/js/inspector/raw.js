// Tab "Raw": the exact bytes, to look at, to download, to send again.

import { curl } from "../conversation.js";
import { h } from "../dom.js";
import { bytes } from "../format.js";
import { icon } from "../icons.js";
import { block, code, copyButton, decode } from "./parts.js";

async function side(api, id, which, kept, total) {
  const download = h(
    "a",
    {
      class: "button",
      href: `/v0/exchanges/${encodeURIComponent(id)}/${which}`,
      download: `${/^[\w-]{1,64}$/.test(id) ? id : "exchange"}.${which === "request" ? "json" : "txt"}`,
    },
    icon("down"),
    "download",
  );
  let buffer;
  try {
    buffer = await api.body(id, which);
  } catch (e) {
    return block(which === "request" ? "Request" : "Response", null, h("p", { class: "muted", text: e.message }));
  }
  const { text, exact } = decode(buffer);
  return block(
    `${which === "request" ? "Request" : "Response"} · ${bytes(buffer.byteLength)}`,
    [copyButton(text), download],
    kept !== null && kept !== undefined
      ? h("p", { class: "omitted", text: `${bytes(kept)} of ${bytes(total)} were kept.` })
      : null,
    exact
      ? null
      : h("p", { class: "muted", text: "These bytes are no UTF-8: the download is exact, what is shown is not." }),
    text ? code(text) : h("p", { class: "muted", text: "Empty." }),
  );
}

export const raw = {
  id: "raw",
  label: "Raw",
  applies: ({ exchange }) => exchange !== null,
  async render({ api, exchange, detail }) {
    const d = await detail();
    const [request, response] = await Promise.all([
      side(api, exchange, "request", d.request_kept, d.exchange.request_bytes),
      side(api, exchange, "response", d.response_kept, d.exchange.response_bytes),
    ]);
    return [
      h(
        "div",
        { class: "legend" },
        copyButton(() => curl(d.exchange, d.request_headers), "copy as cURL"),
        h("span", { class: "muted", text: "sends the same again with your key, and costs what it cost" }),
      ),
      request,
      response,
    ];
  },
};
