// What can be taken away from the pages: addresses and names of downloads.
//
// Pure: no DOM. A name is ours, whatever an id is.

const ID = /^[\w-]{1,64}$/;
const plain = (id, otherwise) => (ID.test(id) ? id : otherwise);

/** A session as one inert file, redacted by the daemon. */
export function exportUrl(session) {
  return `/v0/export/session/${encodeURIComponent(session)}.html`;
}

export function exportName(session) {
  return `${plain(session, "session")}.html`;
}

/** The exact bytes of an exchange's body. `side`: "request" or "response". */
export function bodyUrl(exchange, side) {
  return `/v0/exchanges/${encodeURIComponent(exchange)}/${side}`;
}

export function bodyName(exchange, side) {
  return `${plain(exchange, "exchange")}-${side}.${side === "request" ? "json" : "txt"}`;
}
