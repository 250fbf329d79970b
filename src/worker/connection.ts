/** The page's side of a port: calls with progress and abort, and everything that can end them. */
import type { UpscaleOptions } from "../rcod/settings/options.ts";
import { errorFromRecord } from "./error-record.ts";
import type { Control, Reply } from "./protocol.ts";

/** What stays on the page during a call: most of it cannot be cloned. */
export interface CallHooks {
  /** Ends the call. */
  readonly signal?: UpscaleOptions["signal"] | undefined;
  /** Hears of progress. */
  readonly onProgress?: UpscaleOptions["onProgress"] | undefined;
  /** Gets the parts of a result; the worker goes on when its promise resolves. */
  readonly onRegion?: UpscaleOptions["onRegion"] | undefined;
  /** Whether an abort rejects when the worker has stopped, not at once. Default false. */
  readonly waitsForEnd?: boolean;
}

/** Of what can be transferred, what this library does. */
export type Transferred = ArrayBuffer | ImageBitmap | MessagePort;

/** What a page needs of a worker. */
export interface WorkerLike {
  /** As every `EventTarget` has it. */
  addEventListener(type: string, listener: (event: Event) => void): void;
  /** As every `EventTarget` has it. */
  removeEventListener(type: string, listener: (event: Event) => void): void;
  /** Sends `message`, moving what `transfer` lists. */
  postMessage(message: unknown, transfer: Transferred[]): void;
}

interface PendingCall extends CallHooks {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/** Calls across a port of its own to a worker, which answers with a `CallHost`. */
export class Connection {
  readonly #worker: WorkerLike;
  readonly #port: MessagePort;
  readonly #pending = new Map<number, PendingCall>();
  readonly #onLost: (error: Error) => void;
  #nextCall = 0;
  /** Why no call can be made any more. */
  #ended: Error | undefined;

  /** `onLost` hears of a device that is gone. */
  constructor(worker: WorkerLike, onLost: (error: Error) => void) {
    this.#worker = worker;
    this.#onLost = onLost;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.addEventListener("message", ({ data }: MessageEvent<Reply>) => this.#receive(data));
    port1.addEventListener("messageerror", () =>
      this.end(new Error("worker: a reply could not be cloned")),
    );
    port1.start();
    worker.addEventListener("error", this.#onWorkerError);
    worker.postMessage({ kind: "rcod-connect", port: port2 }, [port2]);
  }

  /**
   * Posts a request, made from the number of the call, and moves `transfer`. Throws when it cannot be posted. The
   * promise rejects with the worker's error, or at once with the signal's reason; a later reply is ignored.
   */
  call(
    request: (call: number) => object,
    hooks: CallHooks,
    transfer: readonly object[] = [],
  ): Promise<unknown> {
    if (this.#ended) throw this.#ended;
    const { signal } = hooks;
    signal?.throwIfAborted();
    const call = this.#nextCall++;
    this.#port.postMessage(request(call), transfer as Transferable[]);
    const onAbort = (): void => {
      if (hooks.waitsForEnd) this.#control({ kind: "abort", call });
      else this.#abandon(call, signal?.reason);
    };
    signal?.addEventListener("abort", onAbort);
    return new Promise((resolve, reject) => {
      this.#pending.set(call, { ...hooks, resolve, reject });
    })
      .catch((error: unknown) => {
        throw signal?.aborted ? signal.reason : error;
      })
      .finally(() => {
        signal?.removeEventListener("abort", onAbort);
        this.#pending.delete(call);
      });
  }

  /** Posts what needs no answer. Does nothing once the connection has ended. */
  post(message: object): void {
    if (!this.#ended) this.#port.postMessage(message, []);
  }

  /** Ends what the worker does for this connection; calls under way and later ones reject with `reason`. Idempotent. */
  end(reason: Error): void {
    if (this.#ended) return;
    this.#ended = reason;
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#worker.removeEventListener("error", this.#onWorkerError);
    this.#control({ kind: "dispose" });
    this.#port.close();
  }

  #abandon(call: number, reason: unknown): void {
    this.#pending.get(call)?.reject(reason);
    this.#control({ kind: "abort", call });
  }

  #control(message: Control): void {
    this.#port.postMessage(message, []);
  }

  #receive(reply: Reply): void {
    if (reply.kind === "lost") {
      this.#onLost(errorFromRecord(reply.error));
      return;
    }
    const pending = this.#pending.get(reply.call); // none after an abort
    switch (reply.kind) {
      case "progress":
        try {
          pending?.onProgress?.(reply.progress);
        } catch (error) {
          this.#abandon(reply.call, error); // as without a worker: a listener that throws ends its call
        }
        return;
      case "region":
        if (pending) void this.#deliver(reply, pending);
        return;
      case "done":
        pending?.resolve(reply.value);
        return;
      case "failed":
        pending?.reject(errorFromRecord(reply.error));
        return;
      default:
        reply satisfies never;
    }
  }

  /** The worker waits until the part is taken. */
  async #deliver(
    { call, region }: Extract<Reply, { kind: "region" }>,
    { onRegion }: PendingCall,
  ): Promise<void> {
    try {
      await onRegion?.(region);
      this.#control({ kind: "taken", call });
    } catch (error) {
      this.#abandon(call, error);
    }
  }

  readonly #onWorkerError = (event: Event): void => {
    const { message = "" } = event as Partial<ErrorEvent>; // absent when the script cannot be loaded
    this.end(
      new Error(
        `worker: the script must run without errors, got ${message || "no message"}. ` +
          'Check that it can be loaded and is a module: { type: "module" }' +
          (message ? "" : ". Where a bundler has not built it, pass one as worker"),
      ),
    );
  };
}
