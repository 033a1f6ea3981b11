// A session's data as it comes in: one stream tells what there is, turns first, then whatever changes.
//
// No DOM. The outline (turns) comes first, so that there is something to look at before the rest is there. Each thing is put
// over what was known of it; where the daemon could not go on from the last cursor, what it does not tell of again is
// forgotten once all of it has come. Must lose nothing, and must not matter how often a thing comes.

import { LIVE_MS } from "./find-sessions.js";
import { parseTime } from "./format.js";
import { Model } from "./rows.js";
import { Feed, Gate, TIMERS } from "./stream.js";

/** The lines that say that something happened; all others are the stream's own. */
const NEWS = ["span", "turn", "session", "detection", "intervention", "gone"];

export class SessionData {
  /** `onchange(what)`: "rows", "live", "session", "complete", "error". */
  constructor(api, id, { onchange, now, timers = TIMERS }) {
    Object.assign(this, { api, id, onchange, now });
    this.model = new Model();
    this.session = null;
    this.error = null;
    /** Whether everything there was has come. */
    this.complete = false;
    this.expected = 0;
    this.came = 0;
    /** As `Feed` names it. */
    this.live = "connecting";
    this.stopped = false;
    this.again = null;
    this.gate = new Gate((lines) => this.take(lines));
    this.feed = new Feed({
      url: (after) => api.url("follow", { session: id, after }),
      take: (lines) => {
        this.gate.take(lines);
        if (this.gate.paused) this.tell("live");
      },
      onState: (state, error) => this.state(state, error),
      fetch: api.fetch,
      timers,
    });
  }

  load() {
    this.feed.start();
    return this;
  }

  stop() {
    this.stopped = true;
    this.feed.stop();
  }

  tell(what) {
    if (!this.stopped) this.onchange(what);
  }

  state(state, error) {
    this.live = state;
    if (state === "ended") this.error = new Error(error?.message ?? "The daemon does not have this session");
    if (state === "login") this.api.onlogin?.();
    this.tell(state === "ended" ? "error" : "live");
  }

  /** Takes in lines as the stream tells them, in their order. */
  take(lines) {
    // An empty object keeps the connection alive and says nothing of the session.
    if (lines.every((line) => Object.keys(line).length === 0)) return;
    let spans = [];
    const put = () => {
      if (spans.length > 0) this.model.upsert(spans);
      spans = [];
    };
    let complete = false,
      session = false;
    for (const line of lines) {
      if (line.span) {
        spans.push(line.span);
        this.again?.spans.add(line.span.span_id);
        this.came += 1;
      } else if (line.turn) {
        this.model.setTurns([line.turn]);
        this.again?.turns.add(line.turn.turn_id);
      } else if (line.detection) {
        this.model.setDetection(line.detection);
        this.again?.detections.add(line.detection.detection_id);
      } else if (line.intervention) {
        this.model.setIntervention(line.intervention);
        this.again?.interventions.add(line.intervention.intervention_id);
      } else if (line.session) {
        this.session = line.session;
        session = true;
      } else if (line.gone) {
        put();
        this.model.remove(line.gone);
      } else if (line.open) {
        put();
        this.expected = line.open.spans ?? 0;
        this.came = 0;
        this.again = line.open.resumed
          ? null
          : { spans: new Set(), turns: new Set(), detections: new Set(), interventions: new Set() };
        if (!line.open.resumed) this.complete = false;
      } else if (typeof line.cursor === "string") {
        put();
        if (this.again) this.model.keepOnly(this.again);
        this.again = null;
        complete ||= !this.complete;
        this.complete = true;
      }
    }
    put();
    if (this.complete && !complete && lines.some((line) => NEWS.some((what) => line[what]))) this.lastAt = this.now();
    this.tell("rows");
    if (session) this.tell("session");
    if (complete) this.tell("complete");
  }

  /** How much of what there is has come, 0 to 1. */
  get progress() {
    return this.complete ? 1 : this.expected > 0 ? Math.min(0.99, this.came / this.expected) : 0;
  }

  /** Everything that was found, the newest first. */
  get detections() {
    return [...this.model.found.values()].sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
  }

  /** Pauses what is live: what comes meanwhile is kept. */
  pause(on) {
    if (on) this.gate.pause();
    else this.gate.resume();
    this.tell("live");
  }

  get held() {
    return this.gate.things;
  }

  isLive() {
    if (this.session?.ended === true) return false;
    const at = parseTime(this.session?.last_at);
    return this.now() - Math.max(Number.isFinite(at) ? at : 0, this.lastAt ?? 0) < LIVE_MS;
  }
}
