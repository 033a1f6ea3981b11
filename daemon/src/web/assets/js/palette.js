// The command palette: every action, every session, by a few letters.

import { fill, h } from "./dom.js";
import { date, clock, model, oneLine, parseTime } from "./format.js";
import { FORMS } from "./files.js";
import { icon } from "./icons.js";
import { BINDINGS } from "./keys.js";

/** How well letters fit a text: all in order, the better the closer together and the nearer to the beginning of words. -1: not. */
export function fits(text, letters) {
  const low = text.toLowerCase();
  let at = 0,
    score = 0,
    before = -2;
  for (const c of letters.toLowerCase()) {
    if (c === " ") continue;
    const i = low.indexOf(c, at);
    if (i < 0) return -1;
    score += i === before + 1 ? 5 : i === 0 || /[\s›/._-]/.test(low[i - 1]) ? 4 : 1;
    score -= Math.min(3, (i - at) / 8);
    before = i;
    at = i + 1;
  }
  return Math.max(0, score - text.length / 200);
}

/** Opens it. `act(name)`; `sessions`: those of the list; `openSession(id)`. Gives a function that closes it. */
export function openPalette({ act, sessions, openSession, onclose }) {
  const back = document.activeElement;
  const commands = BINDINGS.filter(([, a]) => a !== "palette" && a !== "escape").map(([keys, action, label]) => ({
    label,
    keys,
    run: () => act(action),
    drawing: "prompt",
  }));
  // The first form has a key of its own, and is among them already.
  const forms = FORMS.slice(1).map(([form, name, about]) => ({
    label: `Download the session as ${name}: ${about}`,
    keys: "",
    run: () => act(`export.${form}`),
    drawing: "down",
  }));
  const all = [
    ...commands,
    ...forms,
    ...sessions.slice(0, 2000).map((s) => ({
      label: `${oneLine(s.project ?? "session", 60)} › ${date(parseTime(s.last_at))} ${clock(parseTime(s.last_at)).slice(0, 5)} ${model(s.model)}`,
      keys: s.session_id.slice(0, 8),
      run: () => openSession(s.session_id),
      drawing: "menu",
    })),
  ];
  const input = h("input", {
    type: "text",
    placeholder: "A command, or a session",
    "aria-label": "Command palette",
    role: "combobox",
    "aria-expanded": "true",
    "aria-controls": "palette-options",
    autocomplete: "off",
    spellcheck: "false",
  });
  const options = h("div", { class: "options", role: "listbox", id: "palette-options", "aria-label": "Commands" });
  let shown = [],
    at = 0;
  const close = () => {
    veil.remove();
    back?.focus?.();
    onclose();
  };
  const pick = (i) => {
    const item = shown[i];
    close();
    item?.run();
  };
  const draw = () => {
    const text = input.value.trim();
    shown = text
      ? all
          .map((item) => [fits(item.label, text), item])
          .filter(([s]) => s >= 0)
          .sort((a, b) => b[0] - a[0])
          .slice(0, 40)
          .map(([, item]) => item)
      : all.slice(0, 60);
    at = Math.min(at, Math.max(0, shown.length - 1));
    fill(
      options,
      shown.map((item, i) =>
        h(
          "div",
          {
            class: "option",
            role: "option",
            id: `o-${i}`,
            "aria-selected": String(i === at),
            onpointerdown: (e) => {
              e.preventDefault();
              pick(i);
            },
          },
          icon(item.drawing),
          h("span", { class: "grow", text: item.label }),
          item.keys ? h("kbd", { text: item.keys }) : null,
        ),
      ),
    );
    input.setAttribute("aria-activedescendant", `o-${at}`);
    options.children[at]?.scrollIntoView({ block: "nearest" });
  };
  input.addEventListener("input", () => {
    at = 0;
    draw();
  });
  input.addEventListener("keydown", (e) => {
    const step =
      e.key === "ArrowDown" || (e.ctrlKey && e.key === "n")
        ? 1
        : e.key === "ArrowUp" || (e.ctrlKey && e.key === "p")
          ? -1
          : 0;
    if (step) {
      at = (at + step + shown.length) % Math.max(1, shown.length);
      draw();
      e.preventDefault();
    } else if (e.key === "Enter") {
      pick(at);
      e.preventDefault();
    } else if (e.key === "Tab") e.preventDefault();
  });
  const veil = h(
    "div",
    {
      class: "veil",
      onpointerdown: (e) => {
        if (e.target === veil) close();
      },
    },
    h(
      "div",
      { class: "dialog", role: "dialog", "aria-modal": "true", "aria-label": "Command palette" },
      input,
      options,
    ),
  );
  document.body.append(veil);
  draw();
  input.focus();
  return close;
}
