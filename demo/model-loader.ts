/** Loads models: one that is chosen, and the present one once, whoever asks first, a picture that was opened or a run. */
import type { Progress } from "rcod-webgpu";
import type { CallOptions, WorkerClient } from "./client.ts";
import { askToRead } from "./folder-permission.ts";
import type { ActivityKind, Problem } from "./problems.ts";
import type { DeviceInfo, ModelChoice, ModelInfo } from "./protocol.ts";
import type { Settings } from "./settings.ts";
import type { Store } from "./store.ts";

/** What of the page's state it needs, and sets. */
export interface ModelState {
  readonly device: DeviceInfo | null;
  readonly isDeviceLost: boolean;
  readonly image: object | null;
  readonly model: ModelInfo | null;
  readonly modelChoice: ModelChoice;
  readonly settings: Settings;
  readonly activity: { readonly kind: ActivityKind } | null;
  readonly problem: Problem | null;
}

/** A load under way. */
interface Load {
  readonly done: Promise<void>;
  readonly controller: AbortController;
  readonly listeners: Set<(progress: Progress) => void>;
  /** Begun before anybody asked: a run that is cancelled leaves it alone. */
  readonly isAhead: boolean;
}

export interface ModelLoader {
  /** Resolves when the chosen model is there. Rejects with what is wrong with it, or with the signal's reason. */
  readonly ensure: (options: CallOptions) => Promise<void>;
  /** Loads another model, which is the page's from then on. Rejects as `ensure`; then the choice of before stands. */
  readonly choose: (choice: ModelChoice, options: CallOptions) => Promise<void>;
  /** Begins early, and says nothing of what goes wrong: the run will. */
  readonly prepare: () => void;
  /** Ends a load whose model or precision is no longer wanted. */
  readonly drop: () => void;
}

export function createModelLoader(client: WorkerClient, store: Store<ModelState>): ModelLoader {
  let current: Load | null = null;

  const drop = (): void => {
    current?.controller.abort();
    current = null;
  };

  const begin = (isAhead: boolean): Load => {
    const { modelChoice: choice, settings } = store.get();
    const { precision } = settings;
    const controller = new AbortController();
    const { signal } = controller;
    const listeners = new Set<(progress: Progress) => void>();
    const onProgress = (progress: Progress): void => listeners.forEach((tell) => tell(progress));
    const run = async (): Promise<void> => {
      try {
        await askToRead(choice);
        const args = { choice, precision };
        const model = await client.call("loadModel", args, { signal, onProgress });
        // Of another precision than is wanted by now: whoever waits begins again.
        if (store.get().settings.precision === precision) store.set({ model });
      } finally {
        if (current === load) current = null;
      }
    };
    const load: Load = { done: run(), controller, listeners, isAhead };
    current = load;
    return load;
  };

  /** Waits for a load, its own or one that was begun ahead. */
  const join = async (load: Load, { signal, onProgress }: CallOptions): Promise<void> => {
    const end = (): void => {
      if (!load.isAhead) load.controller.abort(signal?.reason);
    };
    if (onProgress) load.listeners.add(onProgress);
    signal?.addEventListener("abort", end);
    try {
      await untilAborted(load.done, signal);
    } finally {
      signal?.removeEventListener("abort", end);
      if (onProgress) load.listeners.delete(onProgress);
    }
  };

  return {
    async ensure(options) {
      while (!store.get().model) await join(current ?? begin(false), options);
    },
    prepare() {
      if (current || store.get().model) return;
      begin(true).done.catch(() => undefined);
    },
    async choose(choice, options) {
      const { precision } = store.get().settings;
      await askToRead(choice);
      // The worker lets the old model go first: two may be more than the device holds.
      store.set({ model: null });
      drop();
      const model = await client.call("loadModel", { choice, precision }, options);
      store.set({ model, modelChoice: choice });
    },
    drop,
  };
}

/** Begins to load the model that comes with the page as soon as a picture is open, so that its size can be judged. */
export function prepareForPictures(loader: ModelLoader, store: Store<ModelState>): void {
  let tried: readonly unknown[] = [];
  store.subscribe((state) => {
    const { image, model, modelChoice, device, isDeviceLost, settings, activity, problem } = state;
    // A problem too: after one the choice of before may stand again, without its model.
    const next = [image, modelChoice, device, settings.precision, problem];
    const isSame = next.every((part, i) => part === tried[i]);
    const isOpen = image !== null && device !== null && !isDeviceLost;
    const isWanted = modelChoice.kind === "embedded" && activity?.kind !== "model";
    if (model || !isOpen || !isWanted || isSame) return;
    tried = next;
    loader.prepare();
  });
}

/** What `work` gives, or at once the signal's reason. */
function untilAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
