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
  // Two places to be: the list takes the focus to be scrolled by keys.
  const list = h(
    "div",
    { class: "keys", tabindex: "0", role: "group", "aria-label": "Keys" },
    [...groups].map(([name, rows]) =>
      h(
        "section",
        {},
        h("h3", { text: name }),
        h(
          "dl",
          {},
          rows.flatMap(([keys, label]) => [h("dt", {}, h("kbd", { text: keys })), h("dd", { text: label })]),
        ),
      ),
    ),
  );
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
          (document.activeElement === shut ? list : shut).focus();
        }
      },
    },
    h(
      "div",
      { class: "dialog help", role: "dialog", "aria-modal": "true", "aria-label": "Keyboard" },
      h("header", {}, h("h2", { text: "Keyboard" }), shut),
      list,
    ),
  );
  document.body.append(veil);
  shut.focus();
  return close;
}
