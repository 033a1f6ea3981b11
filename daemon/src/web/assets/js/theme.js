// Light, dark, or as the system says. What was chosen is kept by the browser, for this origin.

const KEY = "ccd.theme",
  ORDER = ["system", "light", "dark"];

/** What a browser keeps for us; where it keeps nothing, nothing is kept. */
export const kept = {
  get(key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch {
      /* then it is asked for again */
    }
  },
};

export function theme() {
  const t = kept.get(KEY);
  return ORDER.includes(t) ? t : "system";
}

export function applyTheme(name = theme()) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  kept.set(KEY, name);
  dispatchEvent(new Event("themechange"));
}

/** The next one: system, light, dark. */
export function toggleTheme() {
  const next = ORDER[(ORDER.indexOf(theme()) + 1) % ORDER.length];
  applyTheme(next);
  return next;
}

/** Tells whenever colours change, for what is drawn by hand. */
export function onTheme(listener) {
  addEventListener("themechange", listener);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", listener);
}
