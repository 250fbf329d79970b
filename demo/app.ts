/** The page's state and the few things that change it. Tabs read the store and call the actions. */
import type { Progress } from "rcod-webgpu";
import type { CallOptions, WorkerClient } from "./client.ts";
import type { ActivityKind, Problem } from "./problems.ts";
import { lostProblem, problemOf } from "./problems.ts";
import type {
  CanvasMode,
  CommandArgs,
  CommandName,
  CommandResult,
  DeviceInfo,
  Estimate,
  ImageCut,
  ImageInfo,
  ModelChoice,
  ModelInfo,
  PaintedMask,
  ResultBegun,
  ResultInfo,
} from "./protocol.ts";
import { upscaleSettings } from "./request.ts";
import type { Settings } from "./settings.ts";
import type { Store } from "./store.ts";
import { createStore } from "./store.ts";
import { callWithUpdates } from "./updates.ts";

/**
 * A device that goes away so soon after its start went with the canvas: Chromium without a display does that on
 * SwiftShader, with no more to say than "Device was destroyed".
 */
const CANVAS_LOSS_MS = 10_000;

/** The model that lies beside the page. */
export const EMBEDDED_MODEL: ModelChoice = {
  kind: "embedded",
  url: new URL("./models/rcod-tiny", document.baseURI).href,
};

/** The picture that is open. */
export interface OpenImage extends ImageInfo {
  readonly name: string;
  /** The file as it came, for cropping or shrinking it again. */
  readonly blob: Blob;
  /** The region of the file that is open, in the file's pixels. */
  readonly frame: Omit<ImageCut, "maxSide">;
}

/** What the worker is doing for the visitor. */
export interface Activity {
  readonly kind: ActivityKind;
  readonly progress: Progress | null;
}

export interface AppState {
  readonly device: DeviceInfo | null;
  readonly isDeviceLost: boolean;
  /** Null until the device is known, unless the address says it. A canvas of another mode must be a new one. */
  readonly canvasMode: CanvasMode | null;
  readonly model: ModelInfo | null;
  readonly modelChoice: ModelChoice;
  readonly image: OpenImage | null;
  /** Newest last. */
  readonly results: readonly ResultInfo[];
  /** The result that is being made, where it comes in parts. */
  readonly partial: ResultBegun | null;
  /** Of the next run; null before a model and a picture are there. */
  readonly estimate: Estimate | null;
  readonly activity: Activity | null;
  readonly problem: Problem | null;
  readonly settings: Settings;
  /** Where realism acts, once painted. */
  readonly mask: PaintedMask | null;
}

export interface App {
  readonly store: Store<AppState>;
  readonly client: WorkerClient;
  /** Whether the page was opened with `?debug`. */
  readonly isDebug: boolean;
  /** Starts the device where there is none. Rejects with a `WorkerError`. */
  start(): Promise<DeviceInfo>;
  /** Gives the canvas to the worker, to be drawn in the present `canvasMode`. */
  attachCanvas(canvas: OffscreenCanvas, mode: CanvasMode): Promise<void>;
  /** Opens a picture; reports problems in the store. */
  openImage(blob: Blob, name: string, cut?: ImageCut): Promise<void>;
  chooseModel(choice: ModelChoice): Promise<void>;
  /** Loads the model where needed and upscales; a run under way is ended first. */
  upscale(): Promise<void>;
  cancel(): void;
  /** What the worker reports; starts again by itself where the canvas was the cause. */
  deviceLost(message: string): void;
  /** After a lost device: a new one, with the same model, picture and settings. */
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
    image: null,
    results: [],
    partial: null,
    estimate: null,
    activity: null,
    problem: null,
    settings,
    mask: null,
  });
  let starting: Promise<DeviceInfo> | null = null;
  let startedAt = 0;
  /** Ends what runs; a new run waits for the old one's end, so that progress and state never mix. */
  let controller: AbortController | null = null;
  let running: Promise<void> = Promise.resolve();

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

  /** Runs one activity after the last has ended; problems go to the store, aborts are silent. */
  const act = (
    kind: ActivityKind,
    work: (options: Required<Pick<CallOptions, "signal" | "onProgress">>) => Promise<void>,
  ): Promise<void> => {
    controller?.abort();
    const own = new AbortController();
    controller = own;
    const { signal } = own;
    const before = running;
    const run = async (): Promise<void> => {
      await before;
      if (signal.aborted) return;
      store.set({
        activity: { kind, progress: null },
        problem: null,
      });
      try {
        await start();
        await work({
          signal,
          onProgress: (progress) => {
            const { activity } = store.get();
            if (activity && !signal.aborted) store.set({ activity: { ...activity, progress } });
          },
        });
      } catch (error) {
        if (!signal.aborted) store.set({ problem: problemOf(error, kind) });
      } finally {
        store.set({ activity: null });
      }
    };
    running = run();
    return running;
  };

  const ensureModel = async (options: CallOptions): Promise<void> => {
    const { model, modelChoice: choice, settings: current } = store.get();
    if (model) return;
    const loaded = await client.call(
      "loadModel",
      { choice, precision: current.precision },
      options,
    );
    store.set({ model: loaded });
  };

  const app: App = {
    store,
    client,
    isDebug,
    start,
    async attachCanvas(offscreen, mode) {
      try {
        await client.call("attachCanvas", { canvas: offscreen, mode }, { transfer: [offscreen] });
      } catch (error) {
        if (mode === "2d") throw error;
        store.set({ canvasMode: "2d" });
      }
    },
    openImage: (blob, name, cut) =>
      act("image", async ({ signal }) => {
        const info = await client.call("openImage", cut ? { blob, cut } : { blob }, { signal });
        const frame = cut ?? { x: 0, y: 0, width: info.width, height: info.height };
        store.set({ image: { ...info, name, blob, frame }, results: [], mask: null });
      }),
    chooseModel: (modelChoice) => {
      store.set({ modelChoice, model: null, results: [] });
      return act("model", ensureModel);
    },
    upscale: () =>
      act("upscale", async (options) => {
        await ensureModel(options);
        const without = (dropped: readonly number[]): readonly ResultInfo[] =>
          store.get().results.filter(({ id }) => !dropped.includes(id));
        const onBegin = (partial: ResultBegun): void =>
          store.set({ partial, results: without(partial.dropped) });
        try {
          const wishes = upscaleSettings(store.get());
          const result = await callWithUpdates(client, "upscale", wishes, onBegin, options);
          store.set({ partial: null, results: [...without(result.dropped), result] });
        } finally {
          if (store.get().partial) store.set({ partial: null });
        }
      }),
    cancel: () => controller?.abort(),
    deviceLost(message) {
      app.cancel();
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
      const hadResults = store.get().results.length > 0;
      store.set({ model: null, results: [], isDeviceLost: false, problem: null });
      if (hadResults) await app.upscale();
      else await act("model", async () => undefined); // the device alone: a model comes with the next run
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
