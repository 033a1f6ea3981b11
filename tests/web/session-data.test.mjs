// A session's data as the stream tells them: when a session is at work, and what a pause keeps of being told everything again.

import assert from "node:assert/strict";
import test from "node:test";
import { LIVE_MS } from "../../daemon/src/web/assets/js/find-sessions.js";
import { SessionData } from "../../daemon/src/web/assets/js/session-data.js";
import { Gate } from "../../daemon/src/web/assets/js/stream.js";
import { generate } from "./generate.mjs";
import { Told } from "./made-up-stream.mjs";

/** A session's data that is given its lines by hand. */
const reader = (id, { onchange = () => {}, now = () => 0 } = {}) => {
  const api = { url: () => "", fetch: () => new Promise(() => {}) };
  return new SessionData(api, id, { onchange, now });
};

test("a heartbeat is no sign of life of a session; whatever happens in it is", () => {
  let now = 0,
    told = [];
  const data = reader("s", { onchange: (what) => told.push(what), now: () => now }),
    last_at = new Date(0).toISOString();
  data.take([{ open: { resumed: false } }, { session: { session_id: "s", last_at } }, { cursor: "1" }]);
  assert.ok(data.isLive());
  told = [];
  now = LIVE_MS + 1;
  data.take([{}]);
  assert.deepEqual(told, [], "nothing is drawn for it");
  data.take([{ cursor: "2" }]);
  data.take([{ open: { resumed: true } }, { cursor: "2" }]);
  assert.ok(!data.isLive());
  for (const line of [
    { turn: { turn_id: "t" } },
    { span: { span_id: "a", turn_id: "t", kind: "tool" } },
    { detection: { detection_id: "d", span_id: "a" } },
    { intervention: { intervention_id: "i", span_id: "a" } },
    { gone: { spans: ["a"] } },
  ]) {
    now += LIVE_MS + 1;
    assert.ok(!data.isLive());
    data.take([line, { cursor: "3" }]);
    assert.ok(data.isLive(), JSON.stringify(line));
  }
});

test("a break within a pause does not undo that everything was told again", () => {
  const g = generate({ spans: 60, seed: 3 }),
    data = reader(g.session.session_id),
    lines = new Told(g).since(null),
    gone = g.spans.find((s) => s.kind === "tool");
  data.gate.take(lines);
  data.pause(true);
  data.gate.take(lines.filter((l) => l.span?.span_id !== gone.span_id));
  data.gate.take([{ open: { resumed: true } }, { span: { ...gone, span_id: "later" } }, { cursor: "9" }]);
  data.pause(false);
  assert.ok(!data.model.spans.has(gone.span_id));
  assert.ok(data.model.spans.has("later"));
  assert.equal(data.complete, true);
  const out = [],
    gate = new Gate((held) => out.push(...held));
  gate.pause();
  gate.take([{ open: { resumed: true } }, { span: { span_id: "1" } }, { open: { resumed: true } }, { open: { resumed: false } }]);
  gate.take([{ cursor: "a" }, { open: { resumed: true } }]);
  gate.resume();
  assert.deepEqual(out, [{ open: { resumed: false } }, { cursor: "a" }]);
});
