/** Upscales pictures, one after the other. */
import type { AppState } from "../app-state.ts";
import type { WorkerClient } from "../client.ts";
import type { Lane, Outcome, WorkOptions } from "../lane.ts";
import type { Problem } from "../problems.ts";
import { problemOf } from "../problems.ts";
import type { ResultBegun, ResultInfo } from "../protocol.ts";
import type { Store } from "../store.ts";
import { callWithUpdates } from "../updates.ts";
import { listed } from "./listed.ts";
import { blendFor, resultOfPicture, wishesFor } from "./match.ts";
import type { Picture, PictureResult } from "./picture.ts";
import { restingStatus } from "./picture.ts";
import { changeResults, patchPicture, pictureById, setPictures, sourceOf } from "./pictures.ts";

export interface Runs {
  /** Upscales a picture with the settings of the moment, before all that wait. Its own run is ended first. */
  upscale(id: string): Promise<void>;
  /** Upscales all pictures without a result of the present settings; those that come meanwhile join. */
  upscaleAll(): Promise<void>;
  /** Adds to a queue that is running. */
  join(ids: readonly string[]): void;
  /** Ends the run of this picture, if it is under way; others go on. */
  leave(id: string): void;
  /** Takes a result of the part of a picture that is looked at, which was computed ahead. */
  adopt(id: string, info: ResultInfo): void;
  /** Ends the run under way; what waits, waits. */
  cancel(): void;
  /** Ends all, and says what is to be run again afterwards. */
  interrupt(): readonly string[];
  resume(ids: readonly string[]): Promise<void>;
}

export interface RunContext {
  readonly store: Store<AppState>;
  readonly client: Pick<WorkerClient, "call">;
  readonly lane: Lane;
  readonly ensureModel: (options: WorkOptions) => Promise<void>;
}

/** Not of this picture alone: the next one would fail, too. */
const isOfAll = ({ remedy }: Problem): boolean => remedy !== null;

export function createRuns({ store, client, lane, ensureModel }: RunContext): Runs {
  let requested: readonly string[] = [];
  let current: string | null = null;
  /** Whether the end of the present run is not the end of the others. */
  let goesOn = false;
  let runner: Promise<void> | null = null;

  const request = (ids: readonly string[]): Promise<void> => {
    requested = [...ids, ...requested.filter((id) => !ids.includes(id))];
    runner ??= runAll().finally(() => {
      runner = null;
      store.set({ isQueueRunning: false });
    });
    return runner;
  };

  async function runAll(): Promise<void> {
    const failed: string[] = [];
    for (;;) {
      const [id] = requested;
      const picture = id === undefined ? undefined : pictureById(store.get(), id);
      requested = requested.slice(1);
      if (id === undefined) break;
      if (!picture) continue;
      current = id;
      const outcome = await run(picture);
      current = null;
      if (outcome.kind === "failed") {
        const problem = problemOf(outcome.error, "upscale");
        fail(id, problem);
        if (isOfAll(problem)) requested = [];
        else failed.push(picture.name);
      }
      if (outcome.kind === "cancelled" && !goesOn) requested = [];
      goesOn = false;
    }
    if (store.get().isQueueRunning && failed.length > 0) {
      store.set({ notice: `${listed(failed)} could not be upscaled; the others are done.` });
    }
  }

  function fail(id: string, problem: Problem): void {
    const { image } = store.get();
    if (isOfAll(problem)) {
      store.set({ problem });
      return;
    }
    const isOpen = image?.id === id;
    patchPicture(store, id, { status: "failed", problem }, isOpen ? { problem } : {});
  }

  async function run(picture: Picture): Promise<Outcome> {
    const { id } = picture;
    patchPicture(store, id, { status: "running", problem: null });
    const outcome = await lane.run("upscale", id, async (options) => {
      await ensureModel(options);
      const now = pictureById(store.get(), id);
      if (!now) return;
      const made = resultOfPicture(now, store.get());
      if (made) {
        store.set({ wanted: { id: made.id } });
        return;
      }
      await compute(now, options);
    });
    const after = pictureById(store.get(), id);
    if (after) patchPicture(store, id, { status: restingStatus(after), begun: null });
    return outcome;
  }

  async function compute(picture: Picture, options: WorkOptions): Promise<void> {
    const { id, cut } = picture;
    const state = store.get();
    const under = blendFor(picture, state);
    const args = { ...wishesFor(picture, state), under, source: sourceOf(picture, cut) };
    const begin = (begun: ResultBegun): void => {
      lose(begun.dropped);
      patchPicture(store, id, { begun });
    };
    const info = await callWithUpdates(client, "upscale", args, begin, options);
    lose(info.dropped);
    add(id, cut, info);
  }

  function add(id: string, cut: Picture["cut"], info: ResultInfo): void {
    const result: PictureResult = { info, cut, file: null, thumbnail: null, isKept: null };
    const { pictures } = store.get();
    setPictures(
      store,
      pictures.map((one) =>
        one.id === id ? { ...one, results: [...one.results, result], begun: null } : one,
      ),
    );
    void keep(info.id);
  }

  /** Takes results away that the worker has not any more. */
  function lose(ids: readonly number[]): void {
    if (ids.length === 0) return;
    changeResults(store, (result) => (ids.includes(result.info.id) ? null : result));
    store.set({ notice: "An earlier result was too large to be kept, and made room." });
  }

  /** Lets the worker make a file of a result, so that it outlives its textures. */
  async function keep(id: number): Promise<void> {
    const files = await client.call("keepResult", { result: id }).catch(() => null);
    if (!files && !store.get().isDeviceLost) {
      store.set({ notice: "This result is too large to be kept: save it before you leave." });
    }
    changeResults(store, (result) =>
      result.info.id === id ? { ...result, ...(files ?? { isKept: false }) } : result,
    );
  }

  const runs: Runs = {
    async upscale(id) {
      if (current === id) {
        goesOn = true;
        lane.cancel();
      } else if (current !== null) {
        patchPicture(store, id, { status: "waiting" });
      }
      await request([id]);
    },
    async upscaleAll() {
      const state = store.get();
      const waiting = picturesToRun(state).filter(({ id }) => id !== current);
      const ids = new Set(waiting.map(({ id }) => id));
      setPictures(
        store,
        state.pictures.map((picture) =>
          ids.has(picture.id) ? { ...picture, status: "waiting" } : picture,
        ),
        { isQueueRunning: true },
      );
      await request([...ids]);
    },
    join(ids) {
      if (store.get().isQueueRunning) requested = [...requested, ...ids];
    },
    leave(id) {
      requested = requested.filter((one) => one !== id);
      if (current !== id) return;
      goesOn = true;
      lane.cancel();
    },
    adopt(id, info) {
      const picture = pictureById(store.get(), id);
      if (picture) add(id, picture.cut, info);
    },
    cancel() {
      requested = [];
      goesOn = false;
      lane.cancel();
    },
    interrupt() {
      const ids = current === null ? requested : [current, ...requested];
      runs.cancel();
      return ids;
    },
    resume: (ids) => request(ids),
  };
  return runs;
}

/** Those without a result of the present settings. One that failed waits for its own press. */
export const picturesToRun = (state: AppState): readonly Picture[] =>
  state.pictures.filter(
    (picture) => picture.status !== "failed" && !resultOfPicture(picture, state),
  );
