// What is followed: lines cut anywhere, breaks, dead connections, pauses, and everything told again.

import assert from "node:assert/strict";
import test from "node:test";
import { SessionSet } from "../../daemon/src/web/assets/js/find-sessions.js";
import { RowList } from "../../daemon/src/web/assets/js/row-list.js";
import { SessionData } from "../../daemon/src/web/assets/js/session-data.js";
import { Feed, Gate, Lines, QUIET_MS } from "../../daemon/src/web/assets/js/stream.js";
import { generate, random } from "./generate.mjs";
import { Told } from "./made-up-stream.mjs";

const many = (n, make) => {
  const rnd = random(42);
  for (let i = 0; i < n; i += 1) make(rnd, i);
};
const bytesOf = (lines) => new TextEncoder().encode(lines.map((l) => `${JSON.stringify(l)}\n`).join(""));
const answer = (start) => ({ ok: true, status: 200, body: new ReadableStream({ start }) });
/** A clock that stands still until it is moved. */
function timers() {
  const due = [];
  let now = 0;
  return {
    now: () => now,
    setTimeout: (f, ms) => {
      const t = { f, at: now + ms };
      due.push(t);
      return t;
    },
    clearTimeout: (t) => {
      if (due.includes(t)) due.splice(due.indexOf(t), 1);
    },
    pass(ms) {
      now += ms;
      for (const t of due.filter((x) => x.at <= now)) {
        due.splice(due.indexOf(t), 1);
        t.f();
      }
    },
  };
}
const settle = async () => {
  for (let i = 0; i < 50; i += 1) await new Promise((done) => setImmediate(done));
};

test("lines: any cut of the bytes gives the same values; what is no JSON is counted", () => {
  const bytes = new TextEncoder().encode('{"a":"é漢👩"}\n\n{"b":2}\nnot json\n{"c":[1,2]}\n');
  many(60, (rnd) => {
    const l = new Lines(),
      got = [];
    for (let i = 0; i < bytes.length;) {
      const n = 1 + Math.floor(rnd() * 9);
      got.push(...l.push(bytes.slice(i, i + n)));
      i += n;
    }
    assert.deepEqual(got, [{ a: "é漢👩" }, { b: 2 }, { c: [1, 2] }]);
    assert.equal(l.skipped, 1);
  });
});

test("after a break it goes on from the last cursor whose lines were taken", async () => {
  const asked = [],
    got = [],
    states = [],
    t = timers();
  const fetch = async (url) => {
    asked.push(url);
    if (asked.length === 2) throw new Error("gone");
    if (asked.length === 4) return { ok: false, status: 404, json: async () => ({ error: { message: "no such" } }) };
    return answer((c) => {
      c.enqueue(bytesOf([{ span: { span_id: asked.length } }, { cursor: `c${asked.length}` }, { span: { span_id: "late" } }]));
      c.close();
    });
  };
  const feed = new Feed({
    url: (cursor) => cursor,
    take: (v) => got.push(...v),
    onState: (s, e) => states.push(e?.message ?? s),
    fetch,
    timers: t,
  });
  feed.start();
  for (let i = 0; i < 10; i += 1) {
    await settle();
    t.pass(10_000);
  }
  assert.deepEqual(asked, [null, "c1", "c1", "c3"]);
  assert.equal(got.filter((l) => l.span).length, 4, "lines are taken as they come, those without a cursor, too");
  assert.deepEqual(states, ["connecting", "live", "waiting", "waiting", "live", "waiting", "no such"]);
});

test("a connection on which nothing comes is dead; one with empty lines is not", async () => {
  const t = timers(),
    states = [];
  let connected = 0,
    send = null;
  const fetch = async (_, { signal }) => {
    connected += 1;
    return answer((c) => {
      send = (lines) => c.enqueue(bytesOf(lines));
      signal.addEventListener("abort", () => c.error(new Error("aborted")));
    });
  };
  const feed = new Feed({ url: () => "", take: () => {}, onState: (s) => states.push(s), fetch, timers: t }).start();
  await settle();
  send([{ open: { resumed: false } }, { cursor: "1" }]);
  for (let i = 0; i < 10; i += 1) {
    await settle();
    t.pass(15_000);
    send([{}]);
  }
  await settle();
  assert.deepEqual([connected, states.at(-1)], [1, "live"]);
  t.pass(QUIET_MS + 1);
  await settle();
  assert.equal(states.at(-1), "waiting");
  t.pass(500);
  await settle();
  assert.equal(connected, 2);
  feed.rest();
  await settle();
  t.pass(60_000);
  await settle();
  assert.equal(connected, 2, "while nobody looks, nothing is asked");
  feed.wake();
  await settle();
  assert.equal(connected, 3);
  feed.stop();
});

test("nobody signed in is told apart from a daemon that is gone", async () => {
  const states = [];
  const fetch = async () => ({ ok: false, status: 401, json: async () => ({ error: { code: "login_needed" } }) });
  new Feed({ url: () => "", take: () => {}, onState: (s) => states.push(s), fetch, timers: timers() }).start();
  await settle();
  assert.deepEqual(states, ["connecting", "login"]);
});

test("a pause holds the last state of each thing, in an order that gives the same in the end", () => {
  const out = [],
    gate = new Gate((lines) => out.push(...lines));
  const span = (span_id, v) => ({ span: { span_id, v } });
  gate.take([span("1", 1)]);
  gate.pause();
  gate.take([span("2", 1), span("3", 1), { cursor: "a" }, {}]);
  gate.take([span("2", 2), { gone: { spans: ["3"], turns: ["t"] } }, { cursor: "b" }]);
  assert.equal(gate.things, 3);
  gate.resume();
  assert.deepEqual(out, [
    span("1", 1),
    { cursor: "a" },
    span("2", 2),
    { gone: { spans: ["3"] } },
    { gone: { turns: ["t"] } },
  ]);
  gate.pause();
  gate.take([span("4", 1), { open: { resumed: false } }, span("5", 1), { cursor: "c" }]);
  assert.equal(gate.things, 1, "everything comes again: nothing before it counts");
});

/** A session's data that is given its lines by hand. */
const reader = (id) => {
  const api = { url: () => "", fetch: () => new Promise(() => {}) };
  return new SessionData(api, id, { onchange: () => {}, now: () => 0, timers: timers() });
};
const keys = (data) => [...new RowList(data.model).rows()].map((r) => `${r.key} ${r.status} ${r.t1} ${r.kids}`);

test("pauses, breaks and repetitions make no difference to what is there in the end", () => {
  many(12, (rnd) => {
    const g = generate({ spans: 150, seed: 1 + Math.floor(rnd() * 1e6) }),
      told = new Told(g),
      id = g.session.session_id,
      one = reader(id);
    let cursor = null;
    const read = (after) => {
      for (const line of told.since(after)) {
        one.gate.take([line]);
        cursor = line.cursor ?? cursor;
      }
    };
    read(null);
    for (let step = 0; step < 40; step += 1) {
      const s = g.spans[Math.floor(rnd() * g.spans.length)],
        d = g.detections[Math.floor(rnd() * g.detections.length)],
        what = rnd();
      if (what < 0.4) told.push([{ span: { ...s, status: "error", duration_ms: Math.floor(rnd() * 900) } }]);
      else if (what < 0.55) told.push([{ span: { ...s, span_id: `new${step}`, parent_id: g.spans[0].span_id } }]);
      else if (what < 0.65 && s.kind === "tool") told.push([{ gone: { spans: [s.span_id] } }]);
      else if (what < 0.75 && d) told.push([{ detection: { ...d, state: "dismissed" } }]);
      else if (what < 0.85) one.pause(!one.gate.paused);
      if (rnd() < 0.5) read(rnd() < 0.3 ? "unknown" : cursor);
    }
    read(cursor);
    one.pause(false);
    const fresh = reader(id);
    fresh.take(told.since(null));
    assert.deepEqual(keys(one), keys(fresh));
    assert.equal(one.complete, true);
    assert.equal(one.progress, 1);
  });
});

test("what is not told again after a break without memory is forgotten, once all has come", () => {
  const g = generate({ spans: 60, seed: 3 }),
    data = reader(g.session.session_id),
    lines = new Told(g).since(null);
  data.take(lines);
  const gone = g.spans.find((s) => s.kind === "tool");
  const again = lines.filter((l) => l.span?.span_id !== gone.span_id);
  data.take(again.slice(0, -1));
  assert.ok(data.model.spans.has(gone.span_id), "not before");
  data.take(again.slice(-1));
  assert.ok(!data.model.spans.has(gone.span_id));
  assert.equal(data.model.spans.size, g.spans.length - 1);
});

test("sessions stand in the order of their last use, each once, as they were told last", () => {
  const set = new SessionSet(),
    session = (session_id, last_at) => ({ session: { session_id, last_at } });
  assert.equal(set.take([{ open: { resumed: false } }, session("a", "3"), session("b", "2")]), false);
  assert.equal(set.take([{ cursor: "1" }]), true);
  set.take([session("b", "4"), session("c", "1")]);
  assert.deepEqual(
    set.list.map((s) => s.session_id),
    ["b", "a", "c"],
  );
  set.take([{ open: { resumed: false } }, session("c", "9"), { cursor: "2" }, session("a", "1"), { gone: { sessions: ["c"] } }]);
  assert.deepEqual(
    set.list.map((s) => s.session_id),
    ["a"],
  );
});

test("lines that cannot be taken are reported, and not asked for again", async () => {
  const asked = [],
    reported = [],
    got = [],
    t = timers();
  const fetch = async (url) => {
    asked.push(url);
    return answer((c) => {
      c.enqueue(bytesOf([{ span: { span_id: asked.length } }, { cursor: `c${asked.length}` }]));
      c.close();
    });
  };
  const take = (lines) => {
    if (asked.length === 1) throw new Error("cannot be drawn");
    got.push(...lines);
  };
  const report = (e) => reported.push(e.message);
  const feed = new Feed({ url: (cursor) => cursor, take, onState: () => {}, fetch, timers: t, report }).start();
  await settle();
  t.pass(500);
  await settle();
  feed.stop();
  assert.deepEqual([asked, reported], [[null, "c1"], ["cannot be drawn"]]);
  assert.deepEqual(got, [{ span: { span_id: 2 } }, { cursor: "c2" }]);
});
