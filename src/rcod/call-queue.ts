/** Calls that share a device's memory run one after another, in the order in which they came. */
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

  /** Runs `task` when its turn comes. Rejects at once when `signal` aborts before that; then it never runs. */
  run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#count++;
    let hasBegun = false;
    const turn = this.#last.then(() => {
      signal?.throwIfAborted();
      hasBegun = true;
      return task();
    });
    this.#last = turn.then(
      () => void this.#count--,
      () => void this.#count--,
    );
    if (signal === undefined) return turn;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        if (!hasBegun) reject(signal.reason as Error);
      };
      signal.addEventListener("abort", abort);
      turn.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
      if (signal.aborted) abort();
    });
  }
}
