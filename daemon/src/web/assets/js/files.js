// What can be taken away from the pages: addresses and names of downloads.
//
// Pure: no DOM. A name is ours, whatever an id is.

const ID = /^[\w-]{1,64}$/;
const plain = (id, otherwise) => (ID.test(id) ? id : otherwise);

/** A session as one inert file, redacted by the daemon. */
export function exportUrl(session) {
  return `/v0/export/session/${encodeURIComponent(session)}.html`;
}

export function exportName(session, form = "html") {
  return `${plain(session, "session")}.${form === "otlp" ? "otlp.jsonl" : form}`;
}

/** Every form that a session can be taken away in: [form, what it is called, what is in it]. All are redacted by the daemon. */
export const FORMS = [
  ["html", "One page", "to read anywhere, without the daemon"],
  ["jsonl", "JSON lines", "all of it, an object a line"],
  ["csv", "CSV", "a table of its spans"],
  ["har", "HAR", "what went over the wire"],
  ["otlp", "OTLP", "traces: figures and names, no texts"],
];

/** A session in one of them. The file's name is the daemon's. */
export function formUrl(session, form) {
  return form === "html" ? exportUrl(session) : `/v0/export?format=${form}&session=${encodeURIComponent(session)}`;
}

/** The exact bytes of an exchange's body. `side`: "request" or "response". */
export function bodyUrl(exchange, side) {
  return `/v0/exchanges/${encodeURIComponent(exchange)}/${side}`;
}

export function bodyName(exchange, side) {
  return `${plain(exchange, "exchange")}-${side}.${side === "request" ? "json" : "txt"}`;
}
