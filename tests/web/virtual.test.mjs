// The list of any length: what is told of the selected row, and of who moved the selection. Its elements are made up here.

import assert from "node:assert/strict";
import test from "node:test";

/** As much of an element as a list needs. */
class Made {
  constructor() {
    Object.assign(this, { attributes: new Map(), kids: [], style: {}, hidden: false, scrollTop: 0 });
  }
  setAttribute(name, value) {
    this.attributes.set(name, value);
  }
  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }
  hasAttribute(name) {
    return this.attributes.has(name);
  }
  removeAttribute(name) {
    this.attributes.delete(name);
  }
  addEventListener() {}
  append(...kids) {
    this.kids.push(...kids);
  }
}
globalThis.Node = Made;
globalThis.document = { createElement: () => new Made() };
globalThis.ResizeObserver = class {
  observe() {}
};
const { VirtualList } = await import("../../daemon/src/web/assets/js/virtual.js");

const made = (n, onselect = () => {}) => {
  const list = new VirtualList({
    role: "listbox",
    label: "made up",
    height: 10,
    create: () => new Made(),
    update: (el, item) => {
      el.item = item;
    },
    key: (item) => item,
    onselect: (item) => onselect(list, item),
  });
  list.view = 100;
  list.setItems(Array.from({ length: n }, (_, i) => `item ${i}`));
  return list;
};

test("the list names the selected row's element while it is drawn, and none while it is not", () => {
  const list = made(1000),
    named = () => list.slots.find((s) => s.el.id === list.el.getAttribute("aria-activedescendant"))?.el.item ?? null;
  assert.equal(list.el.hasAttribute("aria-activedescendant"), false);
  list.select(3);
  for (let y = 0; y < 3000; y += 37) {
    list.y = y;
    list.draw();
    const drawn = list.slots.some((s) => s.index === 3);
    assert.equal(named(), drawn ? "item 3" : null, `at ${y}`);
    assert.equal(list.el.hasAttribute("aria-activedescendant"), drawn);
  }
  list.select(3);
  assert.equal(named(), "item 3");
  list.selectKey(null);
  assert.equal(list.el.hasAttribute("aria-activedescendant"), false);
});

test("whoever is told of a selection can tell a step from a choice", () => {
  const told = [],
    list = made(10, (l, item) => told.push([item, l.moving]));
  list.move(1);
  list.select(5, true);
  list.move(-2);
  assert.deepEqual(told, [
    ["item 0", true],
    ["item 5", false],
    ["item 3", true],
  ]);
  const failing = made(3, () => {
    throw new Error("made up");
  });
  assert.throws(() => failing.move(1));
  assert.equal(failing.moving, false);
});

test("a list that gets lower keeps the selected row in sight, and whoever was at its end there", () => {
  const list = made(50);
  list.select(9);
  list.resize(60);
  assert.ok(list.inSight(9), "the selected row");
  list.resize(100);
  list.selectKey(null);
  list.scrollToEnd();
  list.resize(60);
  assert.ok(list.atEnd());
  list.scrollTo(200);
  list.select(45);
  list.scrollTo(0);
  list.resize(40);
  assert.equal(list.y, 0, "what was out of sight already moves nothing");
});
