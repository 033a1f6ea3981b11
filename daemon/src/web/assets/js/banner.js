// What is said above everything while something is wrong with the daemon or the sign-in: calmly, and only as long as it is so.

import { button, fill, h } from "./dom.js";

/** A break that is over sooner is none worth a word. */
const PATIENCE_MS = 2_500;
/** Signing in again is tried by itself so often at most, in ms. */
const AGAIN_MS = 20_000;
const KEY = "ccd.signin";

export class Banner {
  /** `retry()`: asks at once. */
  constructor(root, { retry, now }) {
    Object.assign(this, { retry, now });
    this.el = h("div", { class: "banner", role: "status", hidden: true });
    root.prepend(this.el);
    this.waiting = new Map();
    this.out = false;
  }

  /** How one of the streams is. */
  state(name, state) {
    if (state === "waiting") {
      if (!this.waiting.has(name))
        this.waiting.set(
          name,
          setTimeout(() => this.draw(), PATIENCE_MS),
        );
      return;
    }
    clearTimeout(this.waiting.get(name));
    this.waiting.delete(name);
    this.draw();
  }

  /** Nobody is signed in: the door's own page says what to do, and lets in who still is. */
  login() {
    if (this.out) return;
    this.out = true;
    let last = 0;
    try {
      last = Number(sessionStorage.getItem(KEY)) || 0;
      sessionStorage.setItem(KEY, String(this.now()));
    } catch {
      last = this.now();
    }
    if (this.now() - last > AGAIN_MS) location.reload();
    else this.draw();
  }

  draw() {
    const shown = this.out || this.waiting.size > 0,
      sign = `${this.out} ${shown}`;
    if (this.sign === sign) return;
    this.sign = sign;
    this.el.hidden = !shown;
    if (this.out)
      fill(
        this.el,
        h("span", {}, "Signed out. ", h("code", { text: "ccctl open" }), " signs in again."),
        button("Try again", () => location.reload(), { class: "line" }),
      );
    else if (shown)
      fill(
        this.el,
        h("span", { text: "The daemon does not answer. It is asked again; what is here stays as it is." }),
        button("Try now", () => this.retry(), { class: "line" }),
      );
  }
}
