/** What the worker does for the visitor, one thing at a time: a model is loaded, a picture is upscaled. */
import type { AppState } from "./app-state.ts";
import type { CallOptions } from "./client.ts";
import type { ActivityKind } from "./problems.ts";
import type { Store } from "./store.ts";

export type Outcome =
  | { readonly kind: "done" }
  | { readonly kind: "cancelled" }
  | { readonly kind: "failed"; readonly error: unknown };

export type WorkOptions = Required<Pick<CallOptions, "signal" | "onProgress">>;

export interface Lane {
  /** Ends what is under way, then does `work`. Never rejects. */
  run(
    kind: ActivityKind,
    picture: string | null,
    work: (options: WorkOptions) => Promise<void>,
  ): Promise<Outcome>;
  cancel(): void;
}

/** `start` gives the device, without which there is no work. */
export function createLane(store: Store<AppState>, start: () => Promise<unknown>): Lane {
  let controller: AbortController | null = null;
  /** New work waits for the end of the old, so that progress and state never mix. */
  let running: Promise<unknown> = Promise.resolve();
  return {
    run(kind, picture, work) {
      controller?.abort();
      const own = new AbortController();
      controller = own;
      const { signal } = own;
      const before = running;
      const run = async (): Promise<Outcome> => {
        await before;
        if (signal.aborted) return { kind: "cancelled" };
        store.set({ activity: { kind, picture, progress: null }, problem: null });
        try {
          await start();
          await work({
            signal,
            onProgress: (progress) => {
              const { activity } = store.get();
              if (activity && !signal.aborted) store.set({ activity: { ...activity, progress } });
            },
          });
          return { kind: "done" };
        } catch (error) {
          return signal.aborted ? { kind: "cancelled" } : { kind: "failed", error };
        } finally {
          store.set({ activity: null });
        }
      };
      const outcome = run();
      running = outcome;
      return outcome;
    },
    cancel: () => controller?.abort(),
  };
}
