// What is followed: JSON lines over fetch, for as long as somebody looks.
//
// No DOM; fetch, the clock and timers are given. Never loses an event: after a break it goes on from the last moment that
// it has seen, less an overlap, and whoever takes the lines takes the same one twice without harm (by its id). A pause
// keeps taking: what comes meanwhile is kept, the last state of each id. Bounded: a line beyond `LONGEST` is left out and
// counted; what is kept in a pause is one object per id.

const LONGEST = 32 * 1024 * 1024;
/** Asked for again: what came so long before the last thing seen, in ms. */
const OVERLAP = 5_000;

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

/** Follows `url(from)`. `onValues(list)`, `onState("live" | "waiting" | "ended", detail)`. `stamp(value)`: its time in ms. */
export class Follow {
  constructor({ url, onValues, onState, stamp, fetch, setTimeout, from = null }) {
    Object.assign(this, { url, onValues, onState, stamp, setTimeout });
    this.fetch = fetch;
    this.from = from;
    this.wait = 500;
    this.stopped = false;
    this.abort = null;
  }

  start() {
    this.run();
    return this;
  }

  stop() {
    this.stopped = true;
    this.abort?.abort();
  }

  async run() {
    while (!this.stopped) {
      try {
        this.abort = new AbortController();
        const since = this.from === null ? null : new Date(this.from - OVERLAP).toISOString();
        const answer = await this.fetch(this.url(since), { signal: this.abort.signal });
        if (answer.status === 404 || answer.status === 400) {
          this.onState("ended", answer.status);
          return;
        }
        if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
        this.onState("live");
        this.wait = 500;
        const reader = answer.body.getReader(),
          lines = new Lines();
        for (let got = await reader.read(); !got.done; got = await reader.read()) {
          const values = lines.push(got.value);
          for (const v of values) {
            const at = this.stamp(v);
            if (Number.isFinite(at) && at > (this.from ?? -Infinity)) this.from = at;
          }
          if (values.length > 0 && !this.stopped) this.onValues(values);
        }
      } catch {
        if (this.stopped) return;
      }
      if (this.stopped) return;
      this.onState("waiting", this.wait);
      await new Promise((done) => this.setTimeout(done, this.wait));
      this.wait = Math.min(this.wait * 2, 10_000);
    }
  }
}

/** Holds back what comes while paused: the last state of each. */
export class Gate {
  constructor(id, out) {
    this.id = id;
    this.out = out;
    this.paused = false;
    this.held = new Map();
  }

  take(values) {
    if (!this.paused) {
      this.out(values);
      return;
    }
    for (const v of values) {
      const id = this.id(v);
      this.held.delete(id);
      this.held.set(id, v);
    }
  }

  pause() {
    this.paused = true;
  }

  resume() {
    this.paused = false;
    if (this.held.size > 0) {
      const values = [...this.held.values()];
      this.held.clear();
      this.out(values);
    }
  }
}
