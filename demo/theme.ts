/** Dark and light: the system's choice, or the visitor's. */
import { ICONS, icon } from "./ui/dom.ts";

type Theme = "dark" | "light";

const KEY = "rcod-theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

export function isDark(): boolean {
  return document.documentElement.dataset["theme"] === "dark";
}

/** Calls `listener` whenever dark becomes light or back. */
export function onThemeChange(listener: () => void): void {
  listeners.add(listener);
}

/** Applies the theme and makes the button in the bar switch it. */
export function followTheme(): void {
  const toggle = document.querySelector<HTMLButtonElement>("#theme");
  const apply = (): void => {
    const theme = chosen() ?? (systemIsDark.matches ? "dark" : "light");
    document.documentElement.dataset["theme"] = theme;
    const label = theme === "dark" ? "Use light colours" : "Use dark colours";
    toggle?.replaceChildren(icon(theme === "dark" ? ICONS.sun : ICONS.moon));
    toggle?.setAttribute("aria-label", label);
    toggle?.setAttribute("title", label);
    for (const listener of listeners) listener();
  };
  toggle?.addEventListener("click", () => {
    choose(isDark() ? "light" : "dark");
    apply();
  });
  systemIsDark.addEventListener("change", apply);
  apply();
}

/** Storage may be switched off; the page then follows the system. */
function chosen(): Theme | null {
  try {
    const value = localStorage.getItem(KEY);
    return value === "dark" || value === "light" ? value : null;
  } catch {
    return null;
  }
}

function choose(theme: Theme): void {
  try {
    // Back to what the system says is no choice any more.
    const isSystems = (theme === "dark") === systemIsDark.matches;
    if (isSystems) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    document.documentElement.dataset["theme"] = theme;
  }
}
