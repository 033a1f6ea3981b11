// Moving about in the timeline of a session: folding, the row of the address, the next of a kind, a stretch of time.

import { h, notice, setText } from "./dom.js";
import { isEmpty } from "./filter.js";
import { rowKey } from "./links.js";
import { isKind, nextRow, rowAt } from "./navigate.js";
import { TimelineView } from "./timeline-view.js";
import { zoom } from "./waterfall.js";

export class Timeline extends TimelineView {
  constructor(root, given) {
    super(root, given);
    // Beside the count of matches stands what it leaves out. The bar writes the count into a part of its own from here on.
    const count = h("span", {});
    this.limits = h("span", {});
    this.bar.result.append(count, this.limits);
    this.bar.result = count;
  }

  drawBar() {
    super.drawBar();
    const limits = this.content.limits;
    setText(this.limits, limits ? ` · ${limits}` : "");
  }

  fold(row, on) {
    if (row.kids === 0) return;
    this.rows.fold([row], on);
    this.refresh();
  }

  /** Folds all prompts, or unfolds them. */
  foldAll() {
    const prompts = this.data.model.blocks().map((b) => b.rows[0]);
    this.rows.fold(
      prompts,
      prompts.some((r) => this.view.open(r)),
    );
    this.refresh();
  }

  /** Shows the row of the address: unfolds what hides it. An address may name a span that another row shows. */
  showSelected(asked) {
    const span = asked.startsWith("s:") ? this.data.model.spans.get(asked.slice(2)) : null,
      key = span ? rowKey(this.data.model, span) : asked;
    if (!this.list.selectKey(key, "middle")) {
      const block = this.data.model.turns.get(this.data.model.turnOf(key)),
        i = block?.rows.findIndex((r) => r.key === key) ?? -1;
      if (i < 0) {
        // It may still come; once everything has, it is told that there is none.
        if (!this.data.complete) return;
        this.told = asked;
        notice("That row is not in this session", "error");
        return;
      }
      this.rows.reveal(block.rows, i);
      this.flat = this.rows.rows();
      this.list.setItems(this.flat);
      this.told = key;
      if (!this.list.selectKey(key, "middle")) {
        // A filter leaves it out: it is looked into all the same.
        this.onselect(block.rows[i]);
        return;
      }
    }
    this.told = key;
    this.onselect(this.list.items.at(this.list.at));
  }

  /** To the next of a kind (navigate.js). */
  go(what, step) {
    // What is folded counts: it is unfolded.
    if (this.rows.folded.size > 0 && what !== "prompt" && isEmpty(this.get())) {
      this.rows.unfoldAll();
      this.refresh();
    }
    const from = this.list.at >= 0 ? this.list.at : this.list.indexAt(this.list.y) - (step > 0 ? 1 : 0);
    const wanted = (r) => isKind(what, r) && !(what === "match" && this.rows.isContext(r));
    const at = nextRow(this.list.items, from, step, wanted);
    if (at >= 0) this.list.select(at, true, "middle");
    return at >= 0;
  }

  /** Looks closer at the session's time around the selected row, or less close. */
  zoom(factor) {
    if (!this.axis) return;
    const [a, b] = this.get().zoom ?? [0, 1],
      x = this.axis.x(this.list.items.at(Math.max(0, this.list.at))?.t0 ?? this.axis.start);
    // A row that is out of sight comes to the middle.
    const seen = x >= a && x <= b,
      [from, to] = seen ? zoom([a, b], (x - a) / (b - a), factor) : zoom([x - (b - a) / 2, x + (b - a) / 2], 0.5, factor);
    this.set({ scale: "session", zoom: to - from > 0.999 ? null : [from, to] });
  }

  /** To what went on at a time. `select`: selects it, too. */
  goTo(t, select = true) {
    const at = rowAt(this.list.items, t);
    if (at >= 0 && select) this.list.select(at, true, "middle");
    else if (at >= 0) this.list.scrollTo(this.list.offset(at) - this.list.height);
  }
}
