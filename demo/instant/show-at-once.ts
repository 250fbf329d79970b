/** What is chosen is seen at once where it can be: a result that is there, or a preview until the exact one is. */
import type { App, AppState } from "../app.ts";
import { alikeResults, resultOfWishes } from "../library/match.ts";
import type { LayerId } from "../protocol.ts";
import { upscaleSettings } from "../request.ts";
import type { CompareState } from "../stage/compare-state.ts";
import type { Store } from "../store.ts";
import type { Ahead } from "./ahead.ts";
import { blendOf } from "./at-once.ts";

/** The right side follows the settings; where an older result was chosen there, only a change of them takes its place. */
export function showAtOnce(app: App, compare: Store<CompareState>, ahead: Ahead): void {
  const show = (isNewWish: boolean): void => {
    const state = app.store.get();
    const { results } = state;
    const { right, left, blend: before } = compare.get();
    const newest: LayerId = results.at(-1)?.id ?? "bicubic";
    const exact = resultOfWishes(state);
    const all = alikeResults([...results, ...ahead.store.get().results], state);
    const blend = exact ? null : blendOf(all, upscaleSettings(state).realism);
    if (!isNewWish && JSON.stringify(blend) === JSON.stringify(before)) return;
    const isFollowing = isNewWish || right === "blend" || right === newest;
    const otherwise = right === "blend" ? newest : right;
    compare.set({
      blend,
      right: isFollowing && blend ? "blend" : otherwise,
      left: left === "blend" && !blend ? "bicubic" : left,
    });
    if (isNewWish && exact) app.store.set({ wanted: { id: exact.id } });
  };
  let wish = wishOf(app.store.get());
  app.store.subscribe((state, before) => {
    const next = wishOf(state);
    const isNewWish = next.some((part, i) => part !== wish[i]) && state.image === before.image;
    wish = next;
    if (isNewWish) adopt(app, ahead);
    show(isNewWish);
  });
  ahead.store.subscribe(() => show(false));
}

/** Equal parts, equal wishes. */
function wishOf(state: AppState): readonly unknown[] {
  const { mask, ...others } = upscaleSettings(state);
  return [mask, JSON.stringify(others), state.settings.precision];
}

/** A result that was computed ahead is the visitor's own once it is asked for. */
function adopt(app: App, ahead: Ahead): void {
  const state = app.store.get();
  const results = ahead.store.get().results;
  const own = resultOfWishes({ ...state, results });
  if (!own || resultOfWishes(state)) return;
  ahead.release(own.id);
  app.adoptResult(own);
}
