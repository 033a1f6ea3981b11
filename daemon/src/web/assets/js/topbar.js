// The bar at the top: views, what is looked at, palette, colours, help.

import { button, fill, h } from "./dom.js";
import { clock, date, duration, model, money, oneLine, parseTime } from "./format.js";
import { FORMS } from "./files.js";
import { icon } from "./icons.js";
import { theme } from "./theme.js";
import { closeMenu, openMenu } from "./toolbar.js";

const VIEWS = [
  ["timeline", "Timeline"],
  ["overview", "Overview"],
  ["all", "Everything"],
];
const THEMES = { system: "system", light: "sun", dark: "moon" };

export class TopBar {
  constructor(root, { act }) {
    this.views = VIEWS.map(([id, label]) => ({ id, el: button(label, () => act(`view.${id}`)) }));
    this.what = h("div", { class: "what grow" });
    this.theme = button(icon("system"), () => act("theme.toggle"));
    const menu = { "aria-label": "Sessions", title: "Show or hide the sessions (b)" };
    const search = [
      icon("search"),
      h("span", { class: "optional", text: "Ctrl-K" }),
      h("span", { class: "sr", text: "Command palette" }),
    ];
    this.export = button([icon("down"), h("span", { class: "optional", text: "Export" })], () => this.forms(act), {
      "aria-label": "Export the session",
      "aria-haspopup": "true",
      "aria-expanded": "false",
      title: "The session as a file, redacted",
    });
    fill(
      root,
      button(icon("menu"), () => act("sessions.toggle"), menu),
      h("span", { class: "brand optional", text: "ccd" }),
      h(
        "nav",
        { "aria-label": "Views" },
        this.views.map((v) => v.el),
      ),
      this.what,
      this.export,
      button(search, () => act("palette"), { class: "line", title: "Command palette (Ctrl-K)" }),
      this.theme,
      button(icon("help"), () => act("help"), { "aria-label": "Keyboard help", title: "Keyboard (?)" }),
    );
  }

  /** A menu of the forms that the session can be taken away in. */
  forms(act) {
    const pick = (form) => () => {
      closeMenu();
      act(`export.${form}`);
    };
    openMenu(
      this.export,
      FORMS.map(([form, name, about]) =>
        button(
          [h("b", { text: name }), h("span", { class: "muted grow", text: about }), form === "html" ? h("kbd", { text: "x" }) : null],
          pick(form),
          { class: "form" },
        ),
      ),
    );
  }

  /** Shows which view it is, and of which session. */
  draw(view, session) {
    const about = session ? [oneLine(session.project ?? "session", 60), figures(session)] : [],
      sign = JSON.stringify([view, about, theme()]);
    if (sign === this.sign) return;
    this.sign = sign;
    for (const v of this.views) {
      if (v.id === view) v.el.setAttribute("aria-current", "page");
      else v.el.removeAttribute("aria-current");
    }
    this.export.hidden = view === "all" || !session;
    if (view === "all") fill(this.what, h("h1", { class: "sr", text: "Everything" }));
    else if (session)
      fill(
        this.what,
        h("h1", { text: about[0] }),
        h("span", { class: "muted optional", text: about[1] }),
      );
    else fill(this.what);
    const name = theme();
    fill(this.theme, icon(THEMES[name]));
    this.theme.setAttribute("aria-label", `Colours: ${name}`);
    this.theme.title = `Colours: ${name} (t)`;
    document.title = session && view !== "all" ? `${oneLine(session.project ?? "session", 40)} – ccd` : "ccd";
  }
}

function figures(s) {
  const start = parseTime(s.started_at),
    last = parseTime(s.last_at);
  return `${model(s.model)} · ${date(start)} ${clock(start).slice(0, 5)} · ${duration(last - start)} · ${money(s.cost_usd_micros)}`;
}
