// The page that lets a browser in: exchanges the code of `ccctl open` for a cookie, then goes where the link leads.
//
// Must never leave a code in the address, in the history or in a log, and must never go anywhere but to the pages of this
// origin. It stands at /login, and at / for whoever is not logged in: there it asks once itself, because a browser that
// comes by a link from elsewhere does not show its cookie with that first request.

const RELOADED = "ccd-reloaded";

/** What an address's fragment says: `#code=…&to=…`. */
export function wanted(hash) {
  const pairs = new URLSearchParams(String(hash ?? "").replace(/^#/, ""));
  return { code: pairs.get("code") ?? "", to: target(pairs.get("to")) };
}

/** The part of an address behind the path, if it is one of ours; else none. */
export function target(to) {
  return typeof to === "string" && to.startsWith("#/") && to.length <= 8192 ? to : "";
}

async function isIn() {
  try {
    return (await fetch("/v0/status", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

function say(text, how) {
  document.getElementById("said").textContent = text;
  document.getElementById("how").hidden = !how;
}

/** Goes to the pages; a browser that still does not show its cookie gets a link, and is not sent round in circles. */
function enter(to) {
  const path = `/${to}`;
  if (location.pathname !== "/") return location.replace(path);
  if (sessionStorage.getItem(RELOADED)) {
    sessionStorage.removeItem(RELOADED);
    document.getElementById("link").href = path;
    document.getElementById("again").hidden = false;
    return say("You are logged in.", false);
  }
  sessionStorage.setItem(RELOADED, "1");
  return location.reload();
}

async function exchange(code) {
  const answer = await fetch("/login", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code }),
    cache: "no-store",
  });
  if (answer.ok) return null;
  try {
    return (await answer.json()).error.message;
  } catch {
    return `HTTP ${answer.status}`;
  }
}

async function run() {
  const { code, to } = location.pathname === "/" ? { code: "", to: target(location.hash) } : wanted(location.hash);
  if (code) {
    history.replaceState(null, "", location.pathname);
    let why;
    try {
      why = await exchange(code);
    } catch {
      why = "the daemon does not answer";
    }
    if (why === null) return enter(to);
    // A link that is opened twice: whoever is in stays in.
    if (await isIn()) return enter(to);
    say(`Not let in: ${why}.`, true);
  } else {
    if (await isIn()) return enter(to);
    sessionStorage.removeItem(RELOADED);
    say("You are not logged in.", true);
  }
  // Somebody has typed it meanwhile, and comes back to this tab.
  addEventListener("focus", async () => {
    if (await isIn()) enter(to);
  });
  return undefined;
}

if (typeof document !== "undefined") run();
