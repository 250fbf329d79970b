/** The inference thread as the bookkeeping thread sees it: a call for a picture. A thread that dies is replaced. */
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { oneLine } from "../../cli/errors.ts";
import type { JobReport } from "../../cli/upscale/report.ts";
import { messageOf } from "../../src/gpu/errors.ts";
import type {
  FailureKind,
  FromInference,
  InferenceSetup,
  PictureTask,
  ToInference,
} from "./protocol.ts";

/** A picture that did not become a result, and what that concerns. */
export class InferenceError extends Error {
  /** The class, for code that sees several copies of it. */
  override readonly name = "InferenceError";
  /** What the failure concerns. */
  readonly why: FailureKind;

  constructor(why: FailureKind, message: string) {
    super(message);
    this.why = why;
  }
}

/** What computes pictures for a work loop. */
export interface Inference {
  /** Computes and writes one picture; `onBegun` hears when the GPU works on it. Rejects with `InferenceError`. */
  upscale(task: PictureTask, signal: AbortSignal, onBegun?: () => void): Promise<JobReport>;
  /** Ends the thread, whatever it is doing. */
  close(): Promise<void>;
}

/** What a thread gets to end a task that is aborted: shaders may be compiling. */
const ABORT_MS = 15_000;
/** What it gets to end. */
const END_MS = 2000;

interface Pending {
  readonly resolve: (report: JobReport) => void;
  readonly reject: (error: InferenceError) => void;
  readonly onBegun: () => void;
}

/** The inference of a thread, which starts with the first picture; tests have a script of their own in its place. */
export class ThreadInference implements Inference {
  readonly #setup: InferenceSetup;
  readonly #onNote: (text: string) => void;
  readonly #script: URL;
  readonly #abortMs: number;
  readonly #pending = new Map<number, Pending>();
  #thread: Worker | undefined;
  #next = 0;
  #isClosed = false;

  constructor(
    setup: InferenceSetup,
    onNote: (text: string) => void,
    script?: URL,
    abortMs: number = ABORT_MS,
  ) {
    this.#abortMs = abortMs;
    this.#setup = setup;
    this.#onNote = onNote;
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
    this.#script = script ?? new URL(`./thread.${extension}`, import.meta.url);
  }

  /** See `Inference`. */
  upscale(
    task: PictureTask,
    signal: AbortSignal,
    onBegun: () => void = () => {},
  ): Promise<JobReport> {
    const id = this.#next++;
    let patience: NodeJS.Timeout | undefined;
    const abort = (): void => {
      this.#tell({ kind: "abort", id });
      patience = setTimeout(
        () => this.#abandon("the inference thread does not answer"),
        this.#abortMs,
      );
    };
    return new Promise<JobReport>((resolve, reject) => {
      if (signal.aborted || this.#isClosed) {
        reject(new InferenceError("aborted", "interrupted"));
        return;
      }
      this.#pending.set(id, { resolve, reject, onBegun });
      this.#tell({ kind: "task", id, task });
      signal.addEventListener("abort", abort, { once: true });
    }).finally(() => {
      this.#pending.delete(id);
      clearTimeout(patience);
      signal.removeEventListener("abort", abort);
    });
  }

  /** See `Inference`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#fail("aborted", "interrupted");
    const ending = this.#thread?.terminate();
    this.#thread = undefined;
    // A driver that does not return keeps its thread until the process ends.
    await Promise.race([ending, sleep(END_MS, undefined, { ref: false })]);
  }

  /** Goes on without a thread that is deaf; the next task gets a new one. */
  #abandon(reason: string): void {
    void this.#thread?.terminate();
    this.#thread = undefined;
    this.#fail("device", reason);
  }

  #tell(message: ToInference): void {
    if (this.#isClosed) return;
    this.#thread ??= this.#start();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
    this.#thread.postMessage(message);
  }

  #start(): Worker {
    const thread = new Worker(this.#script, { workerData: this.#setup });
    let reason = "the inference thread ended";
    thread.on("message", (message: FromInference) => this.#take(message));
    thread.on("error", (error) => {
      reason = `the inference thread failed: ${oneLine(messageOf(error))}`;
    });
    thread.on("exit", () => {
      if (this.#thread !== thread) return;
      this.#thread = undefined;
      this.#fail("device", reason);
    });
    return thread;
  }

  #take(message: FromInference): void {
    if (message.kind === "note") {
      this.#onNote(message.text);
      return;
    }
    const pending = this.#pending.get(message.id);
    if (message.kind === "begun") pending?.onBegun();
    else if (message.kind === "done") pending?.resolve(message.report);
    else pending?.reject(new InferenceError(message.why, message.message));
  }

  #fail(why: FailureKind, message: string): void {
    for (const { reject } of this.#pending.values()) reject(new InferenceError(why, message));
  }
}
