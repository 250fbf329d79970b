/** Whether a device is fast enough that the page computes by itself. */
import type { AppState } from "../app.ts";

/** A change of settings is computed by itself where that takes less than this. */
const BY_ITSELF_MS = 5000;
/** Results that nobody has asked for yet take less than this each. */
const AHEAD_MS = 3000;

export const isQuick = (state: AppState): boolean => anotherMs(state) < BY_ITSELF_MS;

/** On a CPU other work would feel it; in parts nothing is kept. */
export const isQuickAhead = (state: AppState): boolean =>
  state.device?.isSoftware === false &&
  state.estimate?.regions === 1 &&
  anotherMs(state) < AHEAD_MS;

/** Milliseconds of another run by the model's estimate; before there is one, what the last run took. */
const anotherMs = ({ results, estimate }: AppState): number =>
  estimate?.timeMs ?? results.at(-1)?.totalMs ?? Infinity;
