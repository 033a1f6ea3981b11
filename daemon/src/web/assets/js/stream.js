// What is followed: JSON lines over fetch, for as long as somebody looks.
//
// No DOM; fetch, the clock and timers are given. Never loses a line: after a break it goes on from the last cursor that it
// was sent, and where the daemon does not know that any more, everything comes again (`open.resumed` is false), which
// whoever takes the lines puts over what there is. A connection on which nothing comes, not even the empty line of every
// 15 s, is dead and made anew. A pause keeps taking: the last state of each thing is held. Bounded: a line beyond `LONGEST`
// is left out and counted; what is held in a pause is one line per thing.

const LONGEST = 32 * 1024 * 1024;
/** So long without a byte: the connection is dead. The daemon sends something every 15 s. */
export const QUIET_MS = 40_000;
/** Input and drawing come in between after so long. */
const BREATH_MS = 12;

/** Bytes in pieces → JSON values, one per line. */
export class Lines {
  constructor() {
    this.decoder = new TextDecoder();
    this.rest = "";
    this.skipped = 0;
    this.skipping = false;
  }

  push(chunk) {
    const text = this.rest + this.decoder.decode(chunk, { stream: true });
    const lines = text.split("\n");
    this.rest = lines.pop();
    if (this.skipping && lines.length > 0) {
      lines.shift();
      this.skipping = false;
    }
    if (this.rest.length > LONGEST) {
      if (!this.skipping) this.skipped += 1;
      this.rest = "";
      this.skipping = true;
    } else if (this.skipping) this.rest = "";
    const values = [];
    for (const line of lines) {
      if (line.trim() === "") continue;
      try {
        values.push(JSON.parse(line));
      } catch {
        this.skipped += 1;
      }
    }
    return values;
  }
}

/** Tells whoever looks at the page's errors. */
const say = (error) => (globalThis.reportError ?? console.error)(error);

/** What a browser has for it. */
export const TIMERS = {
  now: () => performance.now(),
  setTimeout: (f, ms) => setTimeout(f, ms),
  clearTimeout: (t) => clearTimeout(t),
};

/** The daemon's words for an answer that is an error. */
async function words(answer) {
  try {
    return (await answer.json()).error ?? {};
  } catch {
    return {};
  }
}

/** Follows `url(cursor)`. `take(lines)`; `onState(state, error)`: "connecting", "live", "waiting" (it is tried again),
    "login" (nobody is signed in), "ended" (the daemon has no such thing). The last two are the end. `report(error)`: what
    `take` threw. */
export class Feed {
  constructor({ url, take, onState, fetch, timers = TIMERS, report = say }) {
    Object.assign(this, { url, take, onState, fetch, timers, report });
    this.cursor = null;
    this.wait = 500;
    this.stopped = false;
    this.resting = null;
    this.abort = null;
  }

  start() {
    this.onState("connecting", null);
    this.run();
    return this;
  }

  stop() {
    this.stopped = true;
    this.wake();
    this.abort?.abort();
  }

  /** Hangs up until `wake`: nothing is lost, since it goes on from the cursor. Without one there is nothing to go on from. */
  rest() {
    if (this.resting || this.cursor === null) return;
    this.resting = new Promise((done) => {
      this.rise = done;
    });
    this.abort?.abort();
  }

  /** Connects at once, if it rests or waits. */
  wake() {
    this.wait = 500;
    this.resting = null;
    this.rise?.();
    this.goOn?.();
  }

  /** Nothing came for too long: hangs up, and so is tried again. */
  watch() {
    this.timers.clearTimeout(this.dog);
    this.dog = this.timers.setTimeout(() => this.abort?.abort(), QUIET_MS);
  }

  async run() {
    while (!this.stopped) {
      if (this.resting) await this.resting;
      if (this.stopped) return;
      try {
        this.abort = new AbortController();
        this.watch();
        const answer = await this.fetch(this.url(this.cursor), { signal: this.abort.signal });
        if ([400, 401, 403, 404].includes(answer.status)) {
          this.stopped = true;
          this.onState(answer.status === 401 ? "login" : "ended", await words(answer));
          return;
        }
        if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
        await this.read(answer.body.getReader());
      } catch {
        if (this.stopped) return;
      } finally {
        this.timers.clearTimeout(this.dog);
      }
      if (this.stopped) return;
      if (this.resting) continue;
      this.onState("waiting", null);
      await new Promise((done) => {
        this.goOn = done;
        this.timers.setTimeout(done, this.wait);
      });
      this.goOn = null;
      this.wait = Math.min(this.wait * 2, 10_000);
    }
  }

  async read(reader) {
    const lines = new Lines();
    let first = true,
      rested = this.timers.now();
    for (let got = await reader.read(); !got.done; got = await reader.read()) {
      this.watch();
      const values = lines.push(got.value);
      if (this.stopped) return;
      if (values.length > 0) {
        if (first) {
          first = false;
          this.wait = 500;
          this.onState("live", null);
        }
        try {
          this.take(values);
        } catch (e) {
          // The same lines would fail again, and nothing behind them would ever come: it goes on behind them.
          this.report(e);
        }
        // The lines before it were taken: from here on it can go on.
        for (const v of values) if (typeof v.cursor === "string") this.cursor = v.cursor;
      }
      if (this.timers.now() - rested > BREATH_MS) {
        await new Promise((done) => {
          this.timers.setTimeout(done, 0);
        });
        rested = this.timers.now();
      }
    }
  }
}

const IDS = { session: "session_id", turn: "turn_id", span: "span_id", detection: "detection_id" };
IDS.intervention = "intervention_id";

/** Holds lines back while paused: the last state of each thing. What came before the pause is not touched by it. */
export class Gate {
  constructor(out) {
    this.out = out;
    this.paused = false;
    this.held = new Map();
    this.things = 0;
  }

  take(lines) {
    if (!this.paused) {
      this.out(lines);
      return;
    }
    for (const line of lines) this.hold(line);
  }

  hold(line) {
    if (line.open) {
      // Everything there is comes behind it: then nothing before it counts. Or only what is new: then what is held counts, and
      // an `open` that is held must stay before its things and its cursor, or what it leaves out is never forgotten.
      if (!line.open.resumed) this.held.clear();
      if (this.held.size === 0) this.put("open", line);
    } else if (typeof line.cursor === "string") {
      // The first one closes what `open` began; the others say nothing that is held.
      if (!this.held.has("cursor")) this.put("cursor", line);
    } else if (line.gone) {
      for (const [what, ids] of Object.entries(line.gone))
        for (const id of ids) this.put(`${what.slice(0, -1)} ${id}`, { gone: { [what]: [id] } });
    } else
      for (const [what, field] of Object.entries(IDS))
        if (line[what]) this.put(`${what} ${line[what][field]}`, line);
    this.things = this.held.size - (this.held.has("open") ? 1 : 0) - (this.held.has("cursor") ? 1 : 0);
  }

  put(key, line) {
    this.held.delete(key);
    this.held.set(key, line);
  }

  pause() {
    this.paused = true;
  }

  resume() {
    this.paused = false;
    const lines = [...this.held.values()];
    this.held.clear();
    this.things = 0;
    if (lines.length > 0) this.out(lines);
  }
}
