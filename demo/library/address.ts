/** The address follows the settings, so that it can be copied and a reload has them. */
import type { AppState } from "../app-state.ts";
import type { Settings } from "../settings.ts";
import { HASH_NAMES, toHash } from "../settings.ts";
import type { Store } from "../store.ts";

/** Browsers refuse more than some hundred changes a minute: a slider makes them in a second. */
const REST_MS = 400;

export function followSettings(store: Store<AppState>): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  store.subscribe(({ settings, image }, before) => {
    const { photo } = settings;
    if (image && image !== before.image && photo !== null && photo !== image.name) {
      // The address would open a picture that was left.
      store.set({ settings: { ...settings, photo: null } });
      return;
    }
    if (settings === before.settings) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      const hash = hashWith(location.hash, store.get().settings);
      if (hash === location.hash) return;
      history.replaceState(history.state, "", `${location.pathname}${location.search}${hash}`);
    }, REST_MS);
  });
}

/** The settings in place of those of an address; what else it says, such as the view, stays. */
export function hashWith(hash: string, settings: Settings): string {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  for (const name of HASH_NAMES) query.delete(name);
  const text = [query.toString(), toHash(settings)].filter((part) => part !== "").join("&");
  return text && `#${text}`;
}
