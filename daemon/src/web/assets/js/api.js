// Questions to the daemon: the routes under `/v0/` of this origin. No other address is ever asked.
//
// No DOM. An answer that is an error becomes an ApiError with the daemon's words; whoever asks decides what it means. That
// nobody is signed in any more is told to `onlogin`, too. Changes nothing but by `change`, which the daemon takes from its
// own pages alone.
// What cannot change any more (an exchange's bytes) is kept, a bounded number of the last ones.

export class ApiError extends Error {
  constructor(status, code, message, hint) {
    super(message);
    Object.assign(this, { status, code, hint });
  }
}

const KEPT = 24;
const KEPT_BYTES = 48 << 20;

export class Api {
  constructor(fetch = globalThis.fetch.bind(globalThis)) {
    this.fetch = fetch;
    this.kept = new Map();
    this.onlogin = null;
    this.onjudged = null;
  }

  url(path, query = {}) {
    const pairs = Object.entries(query).filter(([, v]) => v !== null && v !== undefined && v !== "");
    const text = pairs.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&");
    return `/v0/${path}${text ? `?${text}` : ""}`;
  }

  async answer(path, query, signal, more = {}) {
    const answer = await this.fetch(this.url(path, query), { signal, ...more });
    if (answer.ok) return answer;
    if (answer.status === 401) this.onlogin?.();
    let error = {};
    try {
      error = (await answer.json()).error ?? {};
    } catch {
      /* no words of the daemon's */
    }
    throw new ApiError(answer.status, error.code ?? "http", error.message ?? `HTTP ${answer.status}`, error.hint);
  }

  /** A reply as an object. */
  async json(path, query = {}, signal = undefined) {
    return (await this.answer(path, query, signal)).json();
  }

  /** Has something changed: what the user said of a detection, what is done about one. */
  async change(path, query = {}) {
    const headers = { "content-type": "application/json" };
    return (await this.answer(path, query, undefined, { method: "POST", headers, body: "{}" })).json();
  }

  /** A reply, or `otherwise` where the daemon has no such thing. */
  async optional(path, query, otherwise, signal = undefined) {
    try {
      return await this.json(path, query, signal);
    } catch (e) {
      if (e instanceof ApiError && (e.status === 404 || e.status === 400)) return otherwise;
      throw e;
    }
  }

  /** What cannot change any more: asked for once. */
  once(key, ask) {
    const known = this.kept.get(key);
    if (known) {
      this.kept.delete(key);
      this.kept.set(key, known);
      return known;
    }
    const promise = ask();
    this.kept.set(key, promise);
    promise.then(
      (value) => {
        promise.size = value?.byteLength ?? 0;
        this.trim();
      },
      () => this.kept.delete(key),
    );
    return promise;
  }

  trim() {
    let size = 0;
    const keys = [...this.kept.keys()].reverse();
    keys.forEach((key, i) => {
      size += this.kept.get(key).size ?? 0;
      if (i >= KEPT || (size > KEPT_BYTES && i > 1)) this.kept.delete(key);
    });
  }

  /** The exact bytes of an exchange's body. `side`: "request" or "response". */
  body(id, side) {
    return this.once(`${side} ${id}`, async () =>
      (await this.answer(`exchanges/${encodeURIComponent(id)}/${side}`)).arrayBuffer(),
    );
  }

  /** An exchange in full. */
  exchange(id) {
    return this.once(`exchange ${id}`, () => this.json(`exchanges/${encodeURIComponent(id)}`));
  }

  /** What a request has that the one before had not. */
  changes(id) {
    return this.once(`changes ${id}`, () => this.json(`exchanges/${encodeURIComponent(id)}/changes`));
  }

  /** What a record of the journal says. */
  record(id) {
    return this.once(`record ${id}`, () => this.json(`records/${encodeURIComponent(id)}`));
  }

  /** A span with its content. One that runs is asked for each time. */
  async span(id, final) {
    const ask = async () =>
      (await this.json(`show/${encodeURIComponent(id)}`, { content: 1, reasoning: 1 })).span ?? null;
    return final ? this.once(`span ${id}`, ask) : ask();
  }
}
