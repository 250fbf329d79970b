/** The worker's side of a port: runs what a `Connection` calls, and says how it ends. */
import { abortable } from "../abort.ts";
import type { Progress, ResultRegion } from "../rcod/settings/options.ts";
import { errorToRecord } from "./error-record.ts";
import type { Control, Reply } from "./protocol.ts";
import { buffersIn, isConnect, isControl } from "./protocol.ts";

/** Where messages for a worker arrive: its global scope, or a `MessagePort`. */
export interface MessageScope {
  /** As every `EventTarget` has it. */
  addEventListener(type: string, listener: (event: Event) => void): void;
}

/** What a call in the worker works with. */
export interface CallContext {
  /** Aborted by the page's signal, and when the page ends the connection. */
  readonly signal: AbortSignal;
  /** Tells the page's `onProgress`. */
  readonly onProgress: (progress: Progress) => void;
}

/** Calls `accept` with the port of each `Connection` that is made to `scope`. */
export function onConnect(scope: MessageScope, accept: (port: MessagePort) => void): void {
  scope.addEventListener("message", (event) => {
    const { data } = event as MessageEvent<unknown>;
    if (isConnect(data)) accept(data.port);
  });
}

/** One port, in a worker with code of its own. */
export class CallHost<Request extends object> {
  readonly #port: MessagePort;
  /** By the numbers of the calls under way. */
  readonly #aborts = new Map<number, AbortController>();
  /** What a call waits for that has sent a part, by its number. */
  readonly #taken = new Map<number, () => void>();
  #closed = false;

  /** `port` is that of `onConnect`. */
  constructor(port: MessagePort) {
    this.#port = port;
  }

  /** Whether the page has ended the connection. */
  get closed(): boolean {
    return this.#closed;
  }

  /** `handle` gets the page's requests; `onEnd` is called when the page ends the connection, after calls were aborted. */
  listen(handle: (request: Request) => unknown, onEnd?: () => void): void {
    this.#port.addEventListener("message", ({ data }: MessageEvent<Request | Control>) => {
      if (!isControl(data)) void handle(data);
      else if (data.kind === "taken") this.#taken.get(data.call)?.();
      else if (data.kind === "abort") this.#aborts.get(data.call)?.abort();
      else {
        this.#close();
        onEnd?.();
      }
    });
    this.#port.start();
  }

  /** Runs a call and posts how it ends; with `moves` the buffers of its value go to the page, copied otherwise. */
  async answer(
    call: number,
    run: (context: CallContext) => Promise<unknown>,
    moves = false,
  ): Promise<void> {
    const abort = new AbortController();
    this.#aborts.set(call, abort);
    try {
      const value = await run({
        signal: abort.signal,
        onProgress: (progress) => this.#post({ kind: "progress", call, progress }),
      });
      this.#post({ kind: "done", call, value }, moves ? [...buffersIn(value)] : []);
    } catch (error) {
      this.#post({ kind: "failed", call, error: errorToRecord(error) });
    } finally {
      this.#aborts.delete(call);
    }
  }

  /** Posts a part of a result, and resolves when the page has taken it. */
  async deliver(call: number, region: ResultRegion, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#post({ kind: "region", call, region }, [...buffersIn(region)]);
    try {
      await abortable(new Promise<void>((resolve) => this.#taken.set(call, resolve)), signal);
    } finally {
      this.#taken.delete(call);
    }
  }

  /** Tells the page that the device is gone. */
  lost(error: unknown): void {
    this.#post({ kind: "lost", error: errorToRecord(error) });
  }

  #post(reply: Reply, transfer: Transferable[] = []): void {
    if (!this.#closed) this.#port.postMessage(reply, transfer);
  }

  #close(): void {
    this.#closed = true;
    for (const abort of this.#aborts.values()) abort.abort();
    this.#port.close();
  }
}
