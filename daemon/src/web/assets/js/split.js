// The dividers between panes: drawn with the pointer or the arrow keys, and kept by the browser.

import { h } from "./dom.js";
import { kept } from "./theme.js";

/** A divider at a pane's edge; `variable` is the width's custom property on `#app`. `side`: where the pane is. */
export function divider(pane, { variable, side, least, most, initial, label }) {
  const app = document.getElementById("app"),
    key = `ccd.${variable}`;
  let width = Number(kept.get(key)) || initial;
  const bar = h("div", {
    class: "divider",
    role: "separator",
    "aria-orientation": "vertical",
    tabindex: "0",
    "aria-label": label,
  });
  const set = (w) => {
    width = Math.round(Math.max(least, Math.min(most(), w)));
    app.style.setProperty(variable, `${width}px`);
    bar.setAttribute("aria-valuenow", String(width));
    kept.set(key, String(width));
  };
  bar.addEventListener("pointerdown", (e) => {
    bar.setPointerCapture(e.pointerId);
    bar.classList.add("on");
    const from = e.clientX,
      before = width;
    const move = (m) => set(before + (side === "left" ? m.clientX - from : from - m.clientX));
    bar.addEventListener("pointermove", move);
    bar.addEventListener(
      "pointerup",
      () => {
        bar.classList.remove("on");
        bar.removeEventListener("pointermove", move);
      },
      { once: true },
    );
  });
  bar.addEventListener("keydown", (e) => {
    const step = e.key === "ArrowLeft" ? -16 : e.key === "ArrowRight" ? 16 : 0;
    if (step) {
      set(width + (side === "left" ? step : -step));
      e.preventDefault();
      e.stopPropagation();
    }
  });
  pane.append(bar);
  return { show: () => set(width), hide: () => app.style.setProperty(variable, "0px") };
}
