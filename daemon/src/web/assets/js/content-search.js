// Words are looked for in contents by the daemon; what the rows themselves show is searched in the page.
//
// No DOM. One question at a time: another one takes the place of the one before. Where the daemon does not answer, what the
// rows show is found all the same.

const PATIENCE_MS = 250;
const MOST = 1000;

export class ContentSearch {
  /** `onfound()`: the answer is there. */
  constructor({ api, onfound }) {
    Object.assign(this, { api, onfound });
    this.reset();
  }

  reset() {
    this.abort?.abort();
    clearTimeout(this.timer);
    this.words = "";
    /** Spans that have the words: ids, and for each a place with the words. Null while nothing is asked or known. */
    this.found = null;
    this.searching = false;
  }

  /** Asks for these words in this session, unless that is what was asked last. */
  ask(words, session) {
    const text = words.filter((w) => w.length > 1).join(" ");
    if (text === this.words) return;
    this.reset();
    this.words = text;
    if (!text) return;
    this.searching = true;
    this.timer = setTimeout(() => this.run(text, session), PATIENCE_MS);
  }

  async run(q, session) {
    const abort = new AbortController();
    this.abort = abort;
    try {
      const query = { q, session, limit: MOST, timeout_s: 10 };
      const { hits } = await this.api.optional("search", query, { hits: [] }, abort.signal);
      const snippets = new Map();
      for (const hit of hits) if (hit.span_id && !snippets.has(hit.span_id)) snippets.set(hit.span_id, hit.snippet);
      this.found = { ids: new Set(snippets.keys()), snippets };
    } catch {
      // The daemon is busy or gone: the next search asks again.
    }
    if (abort.signal.aborted) return;
    this.searching = false;
    this.onfound();
  }
}
