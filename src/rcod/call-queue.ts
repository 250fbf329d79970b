/** Calls that share a device's memory run one after another, in the order in which they came. */
import { abortable } from "../abort.ts";

export class CallQueue {
  #last: Promise<unknown> = Promise.resolve();
  /** Calls under way or waiting. */
  #count = 0;

  get isIdle(): boolean {
    return this.#count === 0;
  }

  /** Resolves when the calls so far have ended, however they did. */
  async settled(): Promise<void> {
    await this.#last;
  }

  /**
   * Runs `task` when its turn comes. Rejects at once when `signal` aborts; the task, which looks at the signal itself, still
   * has its turn.
   */
  run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#count++;
    const turn = this.#last.then(task);
    this.#last = turn.then(
      () => void this.#count--,
      () => void this.#count--,
    );
    return abortable(turn, signal);
  }
}
