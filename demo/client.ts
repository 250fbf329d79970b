/** The worker as an object with promises. */
import type { Progress } from "rcod-webgpu";
import type {
  CommandArgs,
  CommandName,
  CommandResult,
  FromWorker,
  ToWorker,
  ViewState,
  WireError,
} from "./protocol.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  readonly transfer?: readonly Transferable[];
}

/** What a command in the worker threw; `name` is the class there (`WeightsError`, `DeviceLostError`, …). */
export class WorkerError extends Error {
  override readonly name: string;

  constructor({ name, message }: WireError) {
    super(message);
    this.name = name;
  }
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

export interface WorkerEvents {
  readonly onDeviceLost: (reason: string, message: string) => void;
  /** The worker's script could not be loaded or threw outside a command. */
  readonly onCrash: (message: string) => void;
}

export class WorkerClient {
  readonly #worker: Worker;
  readonly #events: WorkerEvents;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  constructor(worker: Worker, events: WorkerEvents) {
    this.#worker = worker;
    this.#events = events;
    worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => this.#receive(data));
    worker.addEventListener("error", (event) => {
      const message = event.message || "the worker could not be loaded";
      for (const { reject } of this.#pending.values()) {
        reject(new WorkerError({ name: "Error", message }));
      }
      this.#pending.clear();
      events.onCrash(message);
    });
  }

  /**
   * Runs a command in the worker. Rejects with a `WorkerError`, or with the signal's reason when aborted; then
   * the worker has stopped, too.
   */
  async call<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    { signal, onProgress, transfer = [] }: CallOptions = {},
  ): Promise<CommandResult<N>> {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const cancel = (): void => this.#send({ kind: "cancel", id });
    signal?.addEventListener("abort", cancel);
    try {
      const result = await new Promise<unknown>((resolve, reject) => {
        this.#pending.set(id, { resolve, reject, onProgress });
        this.#send({ kind: "call", id, name, args } as ToWorker, transfer);
      });
      return result as CommandResult<N>;
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw error;
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Sets how the canvas looks; only the last state before a frame is drawn. */
  show(view: ViewState): void {
    this.#send({ kind: "view", view });
  }

  #send(message: ToWorker, transfer: readonly Transferable[] = []): void {
    this.#worker.postMessage(message, [...transfer]);
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case "result":
        this.#take(message.id)?.resolve(message.result);
        return;
      case "error":
        this.#take(message.id)?.reject(new WorkerError(message.error));
        return;
      case "progress":
        this.#pending.get(message.id)?.onProgress?.(message.progress);
        return;
      case "device-lost":
        this.#events.onDeviceLost(message.reason, message.message);
        return;
      default:
        message satisfies never;
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }
}
