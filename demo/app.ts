/** The page's state and the few things that change it. Tabs read the store and call the actions. */
import type { AppState } from "./app-state.ts";
import type { CallOptions, WorkerClient } from "./client.ts";
import { createLane } from "./lane.ts";
import { resultOfWishes } from "./library/match.ts";
import type { Opener } from "./library/open.ts";
import { createOpener } from "./library/open.ts";
import { isSameCut } from "./library/picture.ts";
import { changeResults, pictureOfResult, setPictures } from "./library/pictures.ts";
import type { Restored } from "./library/restore.ts";
import { restoreLibrary } from "./library/restore.ts";
import type { Runs } from "./library/runs.ts";
import { createRuns } from "./library/runs.ts";
import { createModelLoader, prepareForPictures } from "./model-loader.ts";
import { lostProblem, problemOf } from "./problems.ts";
import type {
  CanvasMode,
  CommandArgs,
  CommandName,
  CommandResult,
  DeviceInfo,
  ImageCut,
  ModelChoice,
  ResultInfo,
} from "./protocol.ts";
import type { Settings } from "./settings.ts";
import type { Store } from "./store.ts";
import { createStore } from "./store.ts";

export type { Activity, AppState, OpenImage } from "./app-state.ts";

/**
 * A device that goes away so soon after its start went with the canvas: Chromium without a display does that on
 * SwiftShader, with no more to say than "Device was destroyed".
 */
const CANVAS_LOSS_MS = 10_000;

/** The model that lies beside the page: half the bytes, and in f16 for reference. */
export const EMBEDDED_MODEL: ModelChoice = {
  kind: "embedded",
  weights: "int8",
  url: new URL("./models/rcod-tiny-int8", document.baseURI).href,
};
export const EMBEDDED_FLOATS: ModelChoice = {
  kind: "embedded",
  weights: "f16",
  url: new URL("./models/rcod-tiny", document.baseURI).href,
};

export interface App {
  readonly store: Store<AppState>;
  readonly client: WorkerClient;
  /** Whether the page was opened with `?debug`. */
  readonly isDebug: boolean;
  /** Resolves when what an earlier visit left is there again. */
  readonly restored: Promise<void>;
  /** Starts the device where there is none. Rejects with the worker's error. */
  start(): Promise<DeviceInfo>;
  /** Gives the canvas to the worker, to be drawn in the present `canvasMode`. */
  attachCanvas(canvas: OffscreenCanvas, mode: CanvasMode): Promise<void>;
  /** Opens a file, or a part of it; it joins the queue where it is not there. Reports problems in the store. */
  openImage(blob: Blob, name: string, cut?: ImageCut): Promise<void>;
  /** Adds files to the queue, and opens the first unless a run is under way. */
  addPictures(files: readonly File[]): Promise<void>;
  /** Opens a picture of the queue as it was left. */
  openPicture(id: string): Promise<void>;
  /** Takes a picture with its results out of the queue, and off the disk. */
  removePicture(id: string): Promise<void>;
  removeResult(id: number): void;
  /** A result of the open picture that was computed ahead is the visitor's own from now on. */
  adoptResult(info: ResultInfo): void;
  /** Shows a result on the right: opens its picture, and the part of it that it was made of. */
  showResult(id: number): Promise<void>;
  /** Removes all pictures and results, also from the disk. */
  forget(): Promise<void>;
  chooseModel(choice: ModelChoice): Promise<void>;
  /** Upscales the open picture, loading the model where needed; its own run is ended first. A result that is there is shown. */
  upscale(): Promise<void>;
  /** Upscales all pictures without a result of the present settings, one after the other. */
  upscaleAll(): Promise<void>;
  /** Ends what is under way; pictures that wait go on waiting. */
  cancel(): void;
  /** What the worker reports; starts again by itself where the canvas was the cause. */
  deviceLost(message: string): void;
  /** After a lost device: a new one, with the same pictures, results and settings. A run that was under way starts again. */
  recover(): Promise<void>;
  change(settings: Partial<Settings>): void;
  /** A command beside the main run, for tabs with work of their own. Starts the device where needed. */
  call<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    options?: CallOptions,
  ): Promise<CommandResult<N>>;
}

export interface AppOptions {
  readonly settings: Settings;
  readonly isDebug: boolean;
  /** Null: by WebGPU on GPUs, through 2D on software adapters, which may lose their device over a canvas. */
  readonly canvas: CanvasMode | null;
}

export function createApp(client: WorkerClient, { settings, isDebug, canvas }: AppOptions): App {
  const store = createStore<AppState>({
    device: null,
    isDeviceLost: false,
    canvasMode: canvas,
    model: null,
    modelChoice: EMBEDDED_MODEL,
    pictures: [],
    isQueueRunning: false,
    image: null,
    opening: null,
    results: [],
    wanted: null,
    partial: null,
    estimate: null,
    refusal: null,
    activity: null,
    problem: null,
    notice: null,
    settings,
    mask: null,
  });
  let starting: Promise<DeviceInfo> | null = null;
  let startedAt = 0;
  /** What a lost device ended. */
  let interrupted: readonly string[] = [];

  const start = (): Promise<DeviceInfo> => {
    starting ??= client.call("start", {}).then(
      (device) => {
        const canvasMode = store.get().canvasMode ?? (device.isSoftware ? "2d" : "webgpu");
        startedAt = performance.now();
        store.set({ device, isDeviceLost: false, canvasMode });
        return device;
      },
      (error: unknown) => {
        starting = null;
        throw error;
      },
    );
    return starting;
  };

  const loader = createModelLoader(client, store);
  prepareForPictures(loader, store);

  const lane = createLane(store, start);
  const runs = createRuns({ store, client, lane, ensureModel: loader.ensure });
  const opener = createOpener(store, client, runs);
  const restoring = restoreLibrary(store, client, opener, location.hash);

  const app: App = {
    store,
    client,
    isDebug,
    restored: restoring.then(() => undefined),
    start,
    async attachCanvas(offscreen, mode) {
      try {
        await client.call("attachCanvas", { canvas: offscreen, mode }, { transfer: [offscreen] });
      } catch (error) {
        if (mode === "2d") throw error;
        store.set({ canvasMode: "2d" });
      }
    },
    ...libraryActions(store, client, opener, runs, restoring),
    async chooseModel(choice) {
      const outcome = await lane.run("model", null, (options) => loader.choose(choice, options));
      // The choice of before still stands: the next run loads it again.
      if (outcome.kind === "failed") store.set({ problem: problemOf(outcome.error, "model") });
    },
    deviceLost(message) {
      interrupted = runs.interrupt();
      loader.drop();
      const isLost = store.get().pictures.some(({ results }) => results.some(({ file }) => !file));
      changeResults(store, (result) => (result.file ? result : null));
      if (isLost) store.set({ notice: "A result that was in no file yet went with the GPU." });
      store.set({ isDeviceLost: true, device: null, model: null });
      const isYoung = performance.now() - startedAt < CANVAS_LOSS_MS;
      if (store.get().canvasMode === "webgpu" && isYoung) {
        store.set({ canvasMode: "2d" });
        void app.recover();
      } else {
        store.set({ problem: lostProblem(message) });
      }
    },
    async recover() {
      starting = null;
      store.set({ model: null, isDeviceLost: false, problem: null });
      const ids = interrupted;
      interrupted = [];
      // The device alone: a model comes with the next run.
      const outcome = await lane.run("model", null, async () => undefined);
      if (outcome.kind === "failed") store.set({ problem: problemOf(outcome.error, "model") });
      else if (ids.length > 0) await runs.resume(ids);
    },
    change(patch) {
      const { settings: before } = store.get();
      store.set({ settings: { ...before, ...patch } });
      // Weights are stored at the precision: the next run loads them again.
      if (patch.precision !== undefined && patch.precision !== before.precision) {
        store.set({ model: null });
      }
    },
    async call(name, args, options) {
      await start();
      return client.call(name, args, options);
    },
  };
  return app;
}

type LibraryActions = Pick<
  App,
  | "openImage"
  | "addPictures"
  | "openPicture"
  | "removePicture"
  | "removeResult"
  | "adoptResult"
  | "showResult"
  | "forget"
  | "upscale"
  | "upscaleAll"
  | "cancel"
>;

function libraryActions(
  store: Store<AppState>,
  client: WorkerClient,
  opener: Opener,
  runs: Runs,
  restoring: Promise<Restored>,
): LibraryActions {
  const removeAll = (): void => {
    const results = store.get().pictures.flatMap((picture) => picture.results);
    const ids = results.map(({ info }) => info.id);
    void client.call("forgetResults", { results: ids }).catch(() => undefined);
    setPictures(store, [], { image: null, mask: null, problem: null, notice: null });
  };
  return {
    async openImage(blob, name, cut) {
      await restoring;
      await opener.openFile(blob, name, cut ?? null);
    },
    async addPictures(files) {
      await restoring;
      await opener.add(files);
    },
    async openPicture(id) {
      await opener.open(id);
    },
    removePicture: (id) => opener.remove(id),
    removeResult(id) {
      void client.call("forgetResults", { results: [id] }).catch(() => undefined);
      changeResults(store, (result) => (result.info.id === id ? null : result));
    },
    adoptResult(info) {
      const { image } = store.get();
      if (image) runs.adopt(image.id, info);
    },
    async showResult(id) {
      const { pictures, image } = store.get();
      const picture = pictureOfResult({ pictures }, id);
      const result = picture?.results.find(({ info }) => info.id === id);
      if (!picture || !result) return;
      const isOpen = image?.id === picture.id && isSameCut(picture.cut, result.cut);
      if (isOpen || (await opener.open(picture.id, result.cut))) store.set({ wanted: { id } });
    },
    async forget() {
      runs.cancel();
      opener.cancel();
      removeAll();
      const { storage } = await restoring;
      await storage?.clear();
    },
    async upscale() {
      await opener.idle();
      const state = store.get();
      const { image, activity } = state;
      if (!image) return;
      const made = resultOfWishes(state);
      if (!made) {
        await runs.upscale(image.id);
        return;
      }
      if (activity?.picture === image.id) runs.leave(image.id);
      store.set({ wanted: { id: made.id } });
    },
    upscaleAll: () => runs.upscaleAll(),
    cancel() {
      runs.cancel();
      opener.cancel();
    },
  };
}
