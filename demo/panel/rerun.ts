/**
 * After the first result, a change of settings runs again by itself where that takes seconds: the engine keeps what it can. On
 * slower devices, and in parts, of which nothing is kept, the button waits to be pressed.
 */
import type { App, AppState } from "../app.ts";
import { isQuick } from "../instant/pace.ts";
import { resultOfWishes } from "../library/match.ts";
import { isSavable } from "../request.ts";

/** While a slider moves, only its resting places are run. */
const REST_MS = 300;

export function rerunOnChange(app: App): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  app.store.subscribe((state, before) => {
    const hasBegun = state.activity !== null && before.activity === null;
    if (hasBegun || state.image !== before.image) clearTimeout(timer);
    if (!hasNewWish(state, before)) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (needsRun(app.store.get())) void app.upscale();
    }, REST_MS);
  });
}

function hasNewWish(state: AppState, before: AppState): boolean {
  const { settings, mask, image } = state;
  if (image !== before.image) return false;
  return (
    mask !== before.mask ||
    settings.realism !== before.settings.realism ||
    settings.colorFix !== before.settings.colorFix ||
    settings.seed !== before.settings.seed ||
    settings.scale !== before.settings.scale ||
    settings.target !== before.settings.target ||
    settings.precision !== before.settings.precision
  );
}

function needsRun(state: AppState): boolean {
  const last = state.results.at(-1);
  if (!last || last.regions > 1 || !isSavable(state) || !isQuick(state)) return false;
  return resultOfWishes(state) === undefined;
}
