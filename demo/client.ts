/** The worker as an object with promises. */
import type { Progress } from "rcod-webgpu";
import { Connection } from "rcod-webgpu/worker-calls";
import type { CommandArgs, CommandName, CommandResult, ToWorker, ViewState } from "./protocol.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  readonly transfer?: readonly Transferable[];
}

export interface WorkerEvents {
  readonly onDeviceLost: (message: string) => void;
  /** The worker's script could not be loaded or threw outside a command. Nothing can be called any more. */
  readonly onCrash: (message: string) => void;
}

export class WorkerClient {
  readonly #connection: Connection;

  constructor(worker: Worker, { onDeviceLost, onCrash }: WorkerEvents) {
    this.#connection = new Connection(worker, ({ message }) => onDeviceLost(message));
    worker.addEventListener("error", ({ message }) =>
      onCrash(message || "the worker could not be loaded"),
    );
  }

  /**
   * Runs a command in the worker. Rejects with the worker's error, of its class, or with the signal's reason when aborted;
   * then the worker has stopped, too.
   */
  async call<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    { transfer = [], ...hooks }: CallOptions = {},
  ): Promise<CommandResult<N>> {
    const request = (call: number) => ({ kind: "call", call, name, args }) as ToWorker;
    const result = this.#connection.call(request, { ...hooks, waitsForEnd: true }, transfer);
    return (await result) as CommandResult<N>;
  }

  /** Sets how the canvas looks; only the last state before a frame is drawn. */
  show(view: ViewState): void {
    this.#connection.post({ kind: "view", view } satisfies ToWorker);
  }
}
