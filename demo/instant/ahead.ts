/**
 * Both ends of the slider, computed on fast devices while the visitor rests, so that what is between can be previewed. They are not
 * results until they are asked for; anything that the visitor does ends their computation.
 */
import type { App, AppState } from "../app.ts";
import { alikeResults } from "../library/match.ts";
import type { ResultInfo } from "../protocol.ts";
import { upscaleSettings } from "../request.ts";
import type { Store } from "../store.ts";
import { createStore } from "../store.ts";
import { placeOf } from "./at-once.ts";
import { isQuickAhead } from "./pace.ts";

const ENDS: readonly number[] = [0, 1];
/** After the last change of anything. */
const REST_MS = 600;

export interface Ahead {
  /** Of the open picture; their textures are the worker's. */
  readonly store: Store<{ readonly results: readonly ResultInfo[] }>;
  /** One of them is the visitor's own. */
  readonly release: (id: number) => void;
}

export function computeAhead(app: App): Ahead {
  const store: Ahead["store"] = createStore({ results: [] as readonly ResultInfo[] });
  let controller: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** Frees those that are of no use any more. */
  const keep = (kept: readonly ResultInfo[]): void => {
    const { results } = store.get();
    const ids = results.filter((result) => !kept.includes(result)).map(({ id }) => id);
    if (ids.length === 0) return;
    store.set({ results: kept });
    app.call("forgetResults", { results: ids }).catch(() => undefined);
  };
  const compute = async (places: readonly number[]): Promise<void> => {
    const own = new AbortController();
    controller = own;
    const args = { ...upscaleSettings(app.store.get()), places };
    try {
      const made = await app.call("upscaleAhead", args, { signal: own.signal });
      store.set({ results: [...store.get().results, ...made] });
      if (own.signal.aborted) keep(store.get().results.filter((one) => !made.includes(one)));
    } catch {
      // Nobody has asked for it. What is wrong is told when somebody does.
    } finally {
      if (controller === own) controller = null;
    }
  };
  const rest = (): void => {
    timer = undefined;
    const state = app.store.get();
    const alike = alikeResults(store.get().results, state);
    const places = missingEnds(state, alike);
    if (places.length === 0) return;
    keep(alike);
    void compute(places);
  };

  app.store.subscribe((state, before) => {
    if (state.image !== before.image || state.isDeviceLost) keep([]);
    const isRest = (Object.keys(state) as (keyof AppState)[]).every(
      (key) => key === "estimate" || key === "pictures" || state[key] === before[key],
    );
    if (isRest && (timer !== undefined || controller)) return;
    controller?.abort();
    clearTimeout(timer);
    timer = setTimeout(rest, REST_MS);
  });
  return {
    store,
    release: (id) =>
      store.set({ results: store.get().results.filter((result) => result.id !== id) }),
  };
}

/** Ends of the slider that are worth computing now. */
function missingEnds(state: AppState, ahead: readonly ResultInfo[]): readonly number[] {
  const { results, activity, problem, image, isQueueRunning } = state;
  const isIdle = image !== null && activity === null && problem === null && !isQueueRunning;
  if (!isIdle || document.hidden || !isQuickAhead(state)) return [];
  const alike = alikeResults(results, state);
  if (alike.length === 0) return [];
  const there = [...alike, ...ahead].map(placeOf);
  return ENDS.filter((end) => !there.includes(end));
}
