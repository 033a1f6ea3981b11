// Tab "Headers": as they went over the wire, in order; credentials were never kept.

import { h } from "../dom.js";
import { visible } from "../format.js";
import { block, copyButton, facts } from "./parts.js";

const table = (list) =>
  h(
    "table",
    {},
    list.map(([k, v]) =>
      h("tr", {}, h("td", { class: "name mono", text: visible(k) }), h("td", { class: "mono", text: visible(v) })),
    ),
  );
const text = (list) => list.map(([k, v]) => `${k}: ${v}`).join("\n");

export const headers = {
  id: "headers",
  label: "Headers",
  applies: ({ exchange }) => exchange !== null,
  async render({ detail }) {
    const d = await detail(),
      x = d.exchange;
    const part = (title, list) => (list?.length ? block(title, [copyButton(text(list))], table(list)) : null);
    return [
      facts([
        ["Request", `${x.method} ${x.path}`],
        ["Status", x.status === null ? "none received" : String(x.status)],
      ]),
      h("p", { class: "muted", text: "Credentials and cookies are left out: they are never kept." }),
      part("Request", d.request_headers),
      part("Response", d.response_headers),
      part("Trailers", d.response_trailers),
    ];
  },
};
