/** After the first result, a change of settings runs again by itself: the engine keeps what it can. */
import type { App, AppState } from "../app.ts";

/** While a slider moves, only its resting places are run. */
const REST_MS = 250;

export function rerunOnChange(app: App): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  app.store.subscribe((state, before) => {
    if (!needsRun(state, before)) return;
    clearTimeout(timer);
    timer = setTimeout(() => void app.upscale(), REST_MS);
  });
}

function needsRun(state: AppState, before: AppState): boolean {
  const { settings, mask, image, results } = state;
  if (results.length === 0 || image !== before.image) return false;
  return (
    mask !== before.mask ||
    settings.realism !== before.settings.realism ||
    settings.colorFix !== before.settings.colorFix ||
    settings.seed !== before.settings.seed ||
    settings.precision !== before.settings.precision
  );
}
