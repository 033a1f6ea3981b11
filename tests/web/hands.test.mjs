// What the user's hands do: walks through the list of sessions, addresses that the browser refuses, and redraws that wait.

import assert from "node:assert/strict";
import test from "node:test";
import { Address } from "../../daemon/src/web/assets/js/actions.js";
import { inUse } from "../../daemon/src/web/assets/js/inspector/inspector.js";
import { Walk } from "../../daemon/src/web/assets/js/keyboard.js";
import { format, initial } from "../../daemon/src/web/assets/js/state.js";

/** Timers that go off when told to. */
function timers() {
  const due = new Map();
  let last = 0;
  return {
    setTimeout: (run) => {
      due.set((last += 1), run);
      return last;
    },
    clearTimeout: (id) => due.delete(id),
    pass() {
      const now = [...due.values()];
      due.clear();
      for (const run of now) run();
    },
  };
}

test("a walk opens what it rests at; only the first is a step of the history", () => {
  const clock = timers(),
    opened = [];
  let current = "a";
  const walk = new Walk({
    open: (id, quiet) => {
      // As the page does: whatever opens a session ends the walk that did not.
      walk.leave();
      opened.push([id, quiet]);
      current = id;
    },
    current: () => current,
    timers: clock,
  });
  for (const id of ["b", "c", "d"]) walk.to(id);
  assert.deepEqual(opened, []);
  clock.pass();
  assert.deepEqual(opened.splice(0), [["d", false]]);
  walk.to("e");
  clock.pass();
  assert.deepEqual(opened.splice(0), [["e", true]]);
  walk.to("f");
  walk.to("e");
  clock.pass();
  assert.deepEqual(opened, [], "back where it was, nothing is opened again");
  walk.to("g");
  walk.end();
  clock.pass();
  assert.deepEqual(opened.splice(0), [["g", true]], "at once, and once");
  walk.to("h");
  walk.leave();
  clock.pass();
  assert.deepEqual(opened, [], "what was opened otherwise stays");
  walk.to("i");
  walk.end();
  assert.deepEqual(opened, [["i", false]], "another walk is another step");
});

test("an address that is refused is written later, as it is then, and a step stays a step", () => {
  const clock = timers(),
    entries = ["#/"],
    location = { hash: "#/" };
  let state = initial(),
    refuse = false;
  const put = (push) => (_, __, hash) => {
    if (refuse) throw new DOMException("too often", "SecurityError");
    if (push) entries.push(hash);
    else entries[entries.length - 1] = hash;
    location.hash = hash;
  };
  const address = new Address(() => state, {
    history: { pushState: put(true), replaceState: put(false) },
    location,
    timers: clock,
  });
  const go = (change, quiet) => {
    state = { ...state, ...change };
    address.write(quiet);
  };
  go({ session: "a" }, true);
  assert.deepEqual(entries, ["#/s/a"]);
  refuse = true;
  go({ session: "b" }, false);
  go({ span: "s:1" }, true);
  clock.pass();
  assert.deepEqual(entries, ["#/s/a"]);
  refuse = false;
  clock.pass();
  assert.deepEqual(entries, ["#/s/a", format(state)]);
  refuse = true;
  go({ span: "s:2" }, false);
  address.forget();
  refuse = false;
  clock.pass();
  assert.equal(entries.length, 2, "what the browser went away from is not written any more");
  go({ span: "s:3" }, true);
  assert.deepEqual(entries, ["#/s/a", "#/s/b/s:3"]);
});

test("what is used is not drawn again", () => {
  const field = {},
    tab = {},
    text = {},
    outside = {},
    panel = { contains: (x) => [panel, field, tab, text].includes(x), querySelector: () => pressed };
  let pressed = null;
  const doc = (activeElement, selection = null) => ({
    activeElement,
    getSelection: () => selection ?? { isCollapsed: true, anchorNode: null, focusNode: null },
  });
  const chosen = (anchorNode, focusNode) => ({ isCollapsed: false, anchorNode, focusNode });
  assert.equal(inUse(panel, [], doc(panel)), false);
  assert.equal(inUse(panel, [], doc(outside)), false);
  assert.equal(inUse(panel, [], doc(field)), true);
  assert.equal(inUse(panel, [tab], doc(tab)), false);
  assert.equal(inUse(panel, [], doc(outside, chosen(outside, text))), true);
  assert.equal(inUse(panel, [], doc(outside, chosen(outside, outside))), false);
  pressed = field;
  assert.equal(inUse(panel, [], doc(outside)), true);
});
