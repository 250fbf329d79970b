/** Flicker: one picture, then the other, in the same place. */
import type { App } from "../app.ts";
import type { Store } from "../store.ts";
import type { CompareState } from "./compare-state.ts";
import { drawnMode } from "./geometry.ts";
import type { MaskPainter } from "./mask-painter.ts";

const PERIOD_MS = 700;
/** For whom motion is too much, the pictures change slowly enough to be a slide show. */
const CALM_PERIOD_MS = 3000;

export function flickerWhenChosen(
  app: App,
  compare: Store<CompareState>,
  painter: MaskPainter,
): void {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer: ReturnType<typeof setInterval> | undefined;
  const follow = (): void => {
    const isWanted = drawnMode(compare.get(), app.store.get(), painter.isActive) === "flicker";
    if (isWanted === (timer !== undefined)) return;
    clearInterval(timer);
    timer = isWanted
      ? setInterval(
          () => compare.set({ isFlipped: !compare.get().isFlipped }),
          isCalm.matches ? CALM_PERIOD_MS : PERIOD_MS,
        )
      : undefined;
    if (!isWanted) compare.set({ isFlipped: false });
  };
  app.store.subscribe(follow);
  painter.onChange(follow);
}
