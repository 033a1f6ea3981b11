// The way into our pages: a one-time link from the daemon's socket, and the cookie that it gives.
//
// Done outside of the browser, so that the page that is measured comes to a browser that has seen nothing of it yet.

import { ask } from "./servers.mjs";

/** Where the session is, and what lets a browser in. */
export async function door(server, session) {
  const made = await ask(server.socket, "/v0/web/login", { method: "POST" });
  if (made.status !== 200) throw new Error(`ccd gives no link to its pages: ${made.status} ${made.text.slice(0, 300)}`);
  const url = new URL(JSON.parse(made.text).url),
    code = new URLSearchParams(url.hash.slice(1)).get("code");
  const headers = {
    "content-type": "application/json",
    host: url.host,
    origin: url.origin,
    "sec-fetch-site": "same-origin",
  };
  const answer = await ask(Number(url.port), "/login", { method: "POST", body: JSON.stringify({ code }), headers });
  const [name, value] = (answer.headers["set-cookie"]?.[0] ?? "").split(";")[0].split("=");
  if (answer.status !== 204 || !value) throw new Error(`the login was answered with ${answer.status} ${answer.text}`);
  const cookie = { name, value, domain: url.hostname, path: "/", httpOnly: true, sameSite: "Strict" };
  return { url: `${url.origin}/#/s/${session}`, cookies: [cookie] };
}
