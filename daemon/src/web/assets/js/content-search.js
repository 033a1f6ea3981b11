// Words are looked for in contents by the daemon; what the rows themselves show is searched in the page.
//
// No DOM. One question at a time: another one takes the place of the one before. Where the daemon does not answer, what the
// rows show is found all the same; that contents were not searched is told, and they are asked for again.

import { whole } from "./format.js";

const PATIENCE_MS = 250;
const MOST = 1000;
/** After a failure it is asked again so soon, then less and less often. */
const AGAIN_MS = 2000;
const SELDOM_MS = 60_000;

/** A word or phrase as the daemon's queries have it: what would end it there, or mean something else, is quoted. */
export function quoted(word) {
  return /[\s"\\]/.test(word) ? `"${word.replace(/[\\"]/g, "\\$&")}"` : word;
}

const TIMERS = { setTimeout: (f, ms) => setTimeout(f, ms), clearTimeout: (t) => clearTimeout(t) };

export class ContentSearch {
  /** `onfound()`: the answer is there, or there is none. */
  constructor({ api, onfound, timers = TIMERS }) {
    Object.assign(this, { api, onfound, timers });
    this.reset();
  }

  reset() {
    this.abort?.abort();
    this.timers.clearTimeout(this.timer);
    this.words = "";
    /** Spans that have the words: ids, and for each a place with the words. Null while nothing is asked or known. */
    this.found = null;
    this.searching = false;
    /** What the count of matches leaves out, in words; null: nothing. */
    this.limits = null;
  }

  /** Asks for these words in this session, unless that is what was asked last. */
  ask(words, session) {
    const text = words
      .filter((w) => w.length > 1)
      .map(quoted)
      .join(" ");
    if (text === this.words) return;
    this.reset();
    this.words = text;
    if (!text) return;
    this.searching = true;
    this.timer = this.timers.setTimeout(() => this.run(text, session, AGAIN_MS), PATIENCE_MS);
  }

  async run(q, session, again) {
    const abort = new AbortController();
    this.abort = abort;
    try {
      const answer = await this.api.json("search", { q, session, limit: MOST, timeout_s: 10 }, abort.signal);
      if (abort.signal.aborted) return;
      const snippets = new Map();
      for (const hit of answer.hits)
        if (hit.span_id && !snippets.has(hit.span_id)) snippets.set(hit.span_id, hit.snippet);
      this.found = { ids: new Set(snippets.keys()), snippets };
      this.limits = limitsOf(answer);
    } catch (e) {
      if (abort.signal.aborted) return;
      // A daemon that has no contents of this session has left nothing out.
      this.limits = e?.status === 404 ? null : "contents not searched";
      // A question that the daemon refuses is refused again; whatever else is wrong may pass.
      if (e?.status !== 400 && e?.status !== 404) {
        const next = Math.min(again * 2, SELDOM_MS);
        this.timer = this.timers.setTimeout(() => this.run(q, session, next), again);
      }
    }
    this.searching = false;
    this.onfound();
  }
}

function limitsOf({ hits, more, complete }) {
  if (complete === false) return "not finished";
  return more ? `first ${whole(hits.length)} in contents` : null;
}
