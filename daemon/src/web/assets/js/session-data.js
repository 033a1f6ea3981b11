// A session's data as it comes in: first its turns, then its spans piece by piece, then what is new.
//
// No DOM. The outline (turns) comes first, so that there is something to look at at once; spans follow in pieces of bounded
// size, those around what is looked at first. Must lose nothing: pieces overlap nowhere and leave no gap, because their
// borders are the turns' beginnings; what comes live is taken as often as it comes.

import { parseTime } from "./format.js";
import { Model } from "./rows.js";
import { Follow, Gate } from "./stream.js";

/** Spans per piece, about. */
const PIECE = 2500;
const LIVE_MS = 10 * 60_000;

export class SessionData {
  /** `onchange(what)`: "rows", "exchanges", "live", "loaded", "error". */
  constructor(api, id, { onchange, now }) {
    Object.assign(this, { api, id, onchange, now });
    this.model = new Model();
    this.session = null;
    this.loaded = 0;
    this.pieces = 0;
    this.error = null;
    this.live = "off";
    this.waiting = 0;
    this.abort = new AbortController();
    this.gate = new Gate(
      (s) => s.span_id,
      (spans) => this.take(spans),
    );
  }

  stop() {
    this.abort.abort();
    this.follow?.stop();
    clearTimeout(this.later);
  }

  tell(what) {
    if (!this.abort.signal.aborted) this.onchange(what);
  }

  /** Loads everything; `around`: the turn to begin with, `null` for the first. */
  async load(around = null) {
    const { signal } = this.abort,
      session = this.id;
    const began = this.now();
    try {
      const turns = (await this.api.json("turns", { session, limit: 0 }, signal)).turns.reverse();
      this.model.setTurns(turns);
      this.tell("rows");
      this.begin(began);
      const pieces = split(turns);
      this.pieces = pieces.length;
      const at =
        around === null
          ? 0
          : Math.max(
              0,
              pieces.findIndex((p) => p.turns.includes(around)),
            );
      for (const p of [...pieces.slice(at), ...pieces.slice(0, at).reverse()]) {
        const { spans } = await this.api.json("spans", { session, limit: 0, since: p.since, until: p.until }, signal);
        this.model.upsert(spans);
        this.loaded += 1;
        this.tell("rows");
        // Input and drawing come between two pieces.
        await new Promise((done) => {
          setTimeout(done, 0);
        });
      }
      this.tell("loaded");
      await Promise.all([this.detections(), this.exchanges(pieces)]);
    } catch (e) {
      if (signal.aborted) return;
      this.error = e;
      this.tell("error");
    }
  }

  async detections() {
    const { signal } = this.abort,
      session = this.id;
    const [found, healed] = await Promise.all([
      this.api.optional("detections", { session, limit: 0 }, { detections: [] }, signal),
      this.api.optional("heal", { session, limit: 0 }, { interventions: [] }, signal),
    ]);
    this.all = found.detections ?? [];
    this.model.setDetections(
      this.all,
      (healed.interventions ?? []).filter((i) => i.session_id === session),
    );
    this.tell("rows");
  }

  /** When first bytes came: spans do not tell it, their exchanges do. */
  async exchanges(pieces) {
    const { signal } = this.abort;
    for (const p of pieces) {
      const { exchanges } = await this.api.optional(
        "exchanges",
        { session: this.id, limit: 0, since: p.since, until: p.until },
        { exchanges: [] },
        signal,
      );
      this.model.setExchanges(exchanges);
      this.tell("exchanges");
      await new Promise((done) => {
        setTimeout(done, 0);
      });
    }
  }

  /** Follows what is new since `from`. */
  begin(from) {
    this.follow = new Follow({
      url: (since) => this.api.url("spans/follow", { session: this.id, from: since }),
      onValues: (spans) => this.gate.take(spans),
      onState: (state) => {
        this.live = state;
        this.tell("live");
      },
      // What is seen is as new as it is when it comes: a span may have begun long ago.
      stamp: () => this.now(),
      from,
      fetch: this.api.fetch,
      setTimeout: globalThis.setTimeout.bind(globalThis),
    }).start();
  }

  take(spans) {
    const news = spans.some((s) => !this.model.turns.has(s.turn_id) || (s.kind === "agent" && !s.parent_id));
    this.model.upsert(spans);
    this.lastAt = this.now();
    this.tell("rows");
    if (news || !this.later) this.later ??= setTimeout(() => this.refresh(), news ? 150 : 2000);
  }

  /** Turns and detections change with their spans: asked for again, now and then. */
  async refresh() {
    this.later = null;
    try {
      const { turns } = await this.api.json("turns", { session: this.id, limit: 5 }, this.abort.signal);
      this.model.setTurns(turns);
      await this.detections();
    } catch {
      /* the next change asks again */
    }
  }

  /** Pauses what is live: what comes meanwhile is kept. */
  pause(on) {
    if (on) this.gate.pause();
    else this.gate.resume();
    this.tell("live");
  }

  get held() {
    return this.gate.held.size;
  }

  isLive() {
    const at = this.session?.ended === false ? parseTime(this.session.last_at) : NaN;
    return this.now() - Math.max(Number.isFinite(at) ? at : 0, this.lastAt ?? 0) < LIVE_MS;
  }
}

/** Turns in the order of their beginnings → pieces of about `PIECE` spans, each from a turn's beginning to the next piece's. */
export function split(turns, piece = PIECE) {
  const pieces = [];
  let spans = 0,
    current = null;
  for (const t of turns) {
    if (current === null || spans >= piece) {
      if (current) current.until = t.started_at;
      current = { since: current ? t.started_at : null, until: null, turns: [] };
      pieces.push(current);
      spans = 0;
    }
    current.turns.push(t.turn_id);
    spans += 1 + t.exchanges + t.tool_calls + t.agents;
  }
  return pieces;
}
