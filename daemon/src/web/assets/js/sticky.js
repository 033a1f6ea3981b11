// The prompt that the rows in sight belong to, kept above them.

import { h } from "./dom.js";
import { createRow, updateRow } from "./row.js";

export class Sticky {
  /** `onpick(key)`: somebody wants to go to that row. */
  constructor({ onpick }) {
    this.row = createRow();
    this.of = null;
    this.el = h("div", { class: "sticky", hidden: true, "aria-hidden": "true" }, this.row);
    this.el.addEventListener("click", () => onpick(this.of.key));
  }

  /** `row`: the first in sight; `y`: how far it was scrolled. */
  show(row, y, view) {
    const first = row?.turn.rows[0],
      shown = first !== undefined && row.key !== first.key && row.type !== "gap" && y > 4;
    if (this.el.hidden === shown) this.el.hidden = !shown;
    if (!shown || (this.of === first && this.axis === view.axis(first))) return;
    this.of = first;
    this.axis = view.axis(first);
    updateRow(this.row, first, view);
  }

  /** What it shows may be drawn otherwise now. */
  forget() {
    this.of = null;
  }
}
