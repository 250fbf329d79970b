/**
 * After the first result, a change of settings runs again by itself: the engine keeps what it can. In parts it keeps nothing,
 * and the button waits to be pressed.
 */
import type { App, AppState } from "../app.ts";
import { isSavable } from "../request.ts";

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
  const last = results.at(-1);
  if (!last || last.regions > 1 || image !== before.image || !isSavable(state)) return false;
  return (
    mask !== before.mask ||
    settings.realism !== before.settings.realism ||
    settings.colorFix !== before.settings.colorFix ||
    settings.seed !== before.settings.seed ||
    settings.scale !== before.settings.scale ||
    settings.precision !== before.settings.precision
  );
}
