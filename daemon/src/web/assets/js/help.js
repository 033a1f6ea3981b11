// The help: every key, from the table that is listened to.

import { button, h } from "./dom.js";
import { icon } from "./icons.js";
import { BINDINGS } from "./keys.js";

/** Opens it; gives a function that closes it. */
export function openHelp({ onclose }) {
  const back = document.activeElement;
  const groups = new Map();
  for (const [keys, , label, group] of BINDINGS) groups.set(group, [...(groups.get(group) ?? []), [keys, label]]);
  const close = () => {
    veil.remove();
    back?.focus?.();
    onclose();
  };
  const shut = button(icon("close"), close, { "aria-label": "Close" });
  const veil = h(
    "div",
    {
      class: "veil",
      onpointerdown: (e) => {
        if (e.target === veil) close();
      },
      onkeydown: (e) => {
        if (e.key === "Tab") {
          e.preventDefault();
          shut.focus();
        }
      },
    },
    h(
      "div",
      { class: "dialog help", role: "dialog", "aria-modal": "true", "aria-label": "Keyboard" },
      h("header", {}, h("h2", { text: "Keyboard" }), shut),
      h(
        "div",
        { class: "keys", tabindex: "0" },
        [...groups].map(([name, list]) =>
          h(
            "section",
            {},
            h("h3", { text: name }),
            h(
              "dl",
              {},
              list.flatMap(([keys, label]) => [h("dt", {}, h("kbd", { text: keys })), h("dd", { text: label })]),
            ),
          ),
        ),
      ),
    ),
  );
  document.body.append(veil);
  shut.focus();
  return close;
}
