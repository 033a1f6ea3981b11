// A list of any length: only the rows in sight are in the document, and they are used again for others.
//
// Knows nothing of what it shows: items are read by `length` and `at`. An item is drawn by `update(slot, item, index)` into a slot that `create()` made; a slot
// is touched only when its item or place changed. Keyboard focus stays on the list; the selected row is told by
// `aria-activedescendant` while it is drawn. Rows that come in above what is looked at do not move it.

import { h, setAttr } from "./dom.js";

const AROUND = 6;
/** Browsers lose places beyond some tens of millions of pixels. */
const TALLEST = 16_000_000;

let lists = 0;

export class VirtualList {
  constructor({
    role,
    label,
    height,
    heightOf = null,
    create,
    update,
    key,
    onselect,
    onopen = null,
    ontop = null,
    selectable = () => true,
    place = null,
  }) {
    Object.assign(this, { height, heightOf, create, update, key, onselect, onopen, ontop, selectable, place });
    this.items = [];
    this.offsets = null;
    this.selected = null;
    this.at = -1;
    /** Whether the selection is told of because it moves by steps. */
    this.moving = false;
    this.slots = [];
    this.id = `list${(lists += 1)}`;
    this.rowRole = role === "listbox" ? "option" : "row";
    this.space = h("div", { class: "space", role: "presentation" });
    this.el = h("div", { class: "rows scroll", role, tabindex: "0", "aria-label": label }, this.space);
    this.y = 0;
    this.view = 0;
    // Places are read once per event, before anything is written: reading after writing would cost a layout each time.
    this.el.addEventListener(
      "scroll",
      () => {
        this.y = this.el.scrollTop;
        this.draw();
      },
      { passive: true },
    );
    this.space.addEventListener("click", (e) => this.click(e));
    this.space.addEventListener("dblclick", () => this.onopen?.());
    new ResizeObserver((entries) => this.resize(entries[0].contentRect.height)).observe(this.el);
  }

  /** It is so high now. What is selected stays in sight, and whoever was at the end stays there. */
  resize(height) {
    const first = this.view === 0,
      atEnd = !first && this.y > 0 && this.atEnd(),
      seen = !first && this.at >= 0 && this.inSight(this.at);
    this.view = height;
    this.y = this.el.scrollTop;
    if (first && this.at >= 0) this.reveal(this.at, "middle");
    if (atEnd) this.scrollToEnd();
    if (seen) this.reveal(this.at);
    this.draw(true);
  }

  inSight(index) {
    const top = this.offset(index);
    return top >= this.y && top + this.height <= this.y + this.view;
  }

  /** Shows these. What is looked at stays where it is, and so does the selection. `all`: what stands the same place is
      drawn again, too. */
  setItems(items, all = true) {
    const top = this.anchor();
    this.items = items;
    this.offsets = null;
    if (this.heightOf) {
      this.offsets = new Float64Array(items.length + 1);
      for (let i = 0; i < items.length; i += 1) this.offsets[i + 1] = this.offsets[i] + this.heightOf(items.at(i));
    }
    setAttr(this.el, "aria-rowcount", this.rowRole === "row" ? String(items.length) : null);
    const tall = Math.min(this.total(), TALLEST);
    if (this.tall !== tall) {
      this.tall = tall;
      this.space.style.height = `${tall}px`;
    }
    if (this.selected !== null) this.at = this.find(this.selected);
    if (top && top.key !== undefined) {
      const i = this.find(top.key, top.index);
      if (i >= 0 && i !== top.index) this.scrollTo(this.offset(i) + top.within);
    }
    this.draw(all);
  }

  total() {
    return this.offsets ? this.offsets[this.items.length] : this.items.length * this.height;
  }

  offset(i) {
    return this.offsets ? this.offsets[i] : i * this.height;
  }

  indexAt(y) {
    if (!this.offsets) return Math.max(0, Math.min(this.items.length - 1, Math.floor(y / this.height)));
    let lo = 0,
      hi = this.items.length - 1;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if (this.offsets[mid] <= y) lo = mid;
      else hi = mid - 1;
    }
    return lo;
  }

  anchor() {
    if (this.items.length === 0 || this.y < 1) return null;
    const index = this.indexAt(this.y);
    return { index, key: this.key(this.items.at(index)), within: this.y - this.offset(index) };
  }

  /** Where the item with this key is; -1: nowhere. Looked for near a place first. */
  find(key, near = this.at) {
    const n = this.items.length;
    for (let d = 0; d < 64; d += 1) {
      if (near + d >= 0 && near + d < n && this.key(this.items.at(near + d)) === key) return near + d;
      if (near - d >= 0 && near - d < n && this.key(this.items.at(near - d)) === key) return near - d;
    }
    if (this.place) return this.place(this.items, key);
    return this.items.findIndex((item) => this.key(item) === key);
  }

  /** Whether the end is in sight: then new rows are followed. */
  atEnd() {
    return this.y + this.view >= this.total() - this.height * 1.5;
  }

  scrollToEnd() {
    this.scrollTo(this.total());
  }

  scrollTo(y) {
    this.y = Math.max(0, Math.min(y, this.total() - this.view));
    this.el.scrollTop = this.y;
  }

  /** Draws what is in sight: what is not as it was, or all of it, or those that `all(item, element)` says so of. */
  draw(all = false) {
    const { view, y } = this,
      n = this.items.length;
    const first = n === 0 ? 0 : Math.max(0, this.indexAt(y) - AROUND);
    const last = n === 0 ? -1 : Math.min(n - 1, this.indexAt(y + view) + AROUND);
    const need = last - first + 1;
    while (this.slots.length < need) {
      const el = this.create();
      el.setAttribute("role", this.rowRole);
      el.id = `${this.id}-${this.slots.length}`;
      this.slots.push({ el, index: -1, item: null, y: -1, on: false });
      this.space.append(el);
    }
    const size = this.slots.length;
    let active = null;
    for (let k = 0; k < size; k += 1) {
      // Each slot has the rows whose index leaves it as the rest: scrolling by one row changes one slot.
      const slot = this.slots[k],
        index = first + ((((k - first) % size) + size) % size);
      if (index > last) {
        if (slot.index !== -1) {
          slot.el.hidden = true;
          slot.index = -1;
          slot.item = null;
        }
        continue;
      }
      const item = this.items.at(index),
        again = typeof all === "function" ? all(item, slot.el) : all;
      if (slot.index === -1) slot.el.hidden = false;
      if (again || slot.item !== item || slot.index !== index) {
        this.update(slot.el, item, index);
        slot.item = item;
        if (slot.index !== index) {
          slot.index = index;
          if (this.rowRole === "row") slot.el.setAttribute("aria-rowindex", String(index + 1));
          else {
            slot.el.setAttribute("aria-posinset", String(index + 1));
          }
        }
      }
      if (this.rowRole !== "row") setAttr(slot.el, "aria-setsize", String(n));
      const top = this.offset(index);
      if (slot.y !== top) {
        slot.y = top;
        slot.el.style.transform = `translateY(${top}px)`;
      }
      const on = index === this.at;
      if (slot.on !== on || again) {
        slot.on = on;
        setAttr(slot.el, "aria-selected", this.selectable(item) ? String(on) : null);
      }
      if (on) active = slot.el.id;
    }
    // A slot shows another row once the selected one is scrolled away.
    setAttr(this.el, "aria-activedescendant", active);
    this.ontop?.(n === 0 ? -1 : this.indexAt(y), y, view);
  }

  click(e) {
    const el = e.target.closest(`[id^="${this.id}-"]`),
      slot = this.slots.find((x) => x.el === el);
    if (slot?.item && this.selectable(slot.item)) this.select(slot.index, true);
  }

  /** Selects a row by its index. `tell`: whoever uses the list hears of it. */
  select(index, tell = false, where = "nearest") {
    if (index < 0 || index >= this.items.length) return false;
    this.at = index;
    this.selected = this.key(this.items.at(index));
    this.reveal(index, where);
    this.draw();
    if (tell) this.onselect(this.items.at(index), index);
    return true;
  }

  selectKey(key, where = "nearest") {
    const i = key === null ? -1 : this.find(key);
    if (i >= 0) return this.select(i, false, where);
    this.at = -1;
    this.selected = key;
    this.draw();
    return false;
  }

  /** Scrolls so that a row is in sight. */
  reveal(index, where = "nearest") {
    // Without a height yet, nothing is in sight: done once there is one.
    if (this.view === 0) return;
    const top = this.offset(index),
      bottom = this.offsets ? this.offset(index + 1) : top + this.height,
      { y, view } = this;
    const margin = this.ontop ? this.height * 1.2 : 4;
    if (where === "middle" && (top < y + margin || bottom > y + view)) this.scrollTo(top - view / 2);
    else if (top < y + margin) this.scrollTo(Math.max(0, top - margin));
    else if (bottom > y + view) this.scrollTo(bottom - view + 4);
  }

  /** Moves the selection by so many rows that can be selected. */
  move(step) {
    const n = this.items.length,
      direction = Math.sign(step);
    let i = this.at,
      left = Math.abs(step);
    if (i < 0) {
      i = direction > 0 ? this.indexAt(this.y) - 1 : this.indexAt(this.y + this.view);
    }
    let to = -1;
    while (left > 0) {
      i += direction;
      if (i < 0 || i >= n) break;
      if (this.selectable(this.items.at(i))) {
        to = i;
        left -= 1;
      }
    }
    if (to < 0) return;
    this.moving = true;
    try {
      this.select(to, true);
    } finally {
      this.moving = false;
    }
  }

  page() {
    return Math.max(1, Math.floor(this.view / this.height) - 1);
  }
}
