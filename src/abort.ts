/** Waits that end with a signal, whatever they wait for. */

/**
 * What `work` gives, or the reason of `signal` as soon as it is aborted. `work` itself may go on: not everything that is
 * waited for listens to a signal. What it gives too late goes to `onLate`, which closes it.
 */
export function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  onLate?: (value: T) => unknown,
): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    const settle = (end: () => unknown): void => {
      signal.removeEventListener("abort", stop);
      end();
    };
    work.then(
      (value) => settle(() => (signal.aborted ? onLate?.(value) : resolve(value))),
      (error: Error) => settle(() => reject(error)),
    );
  });
}

/** Waits that many milliseconds. */
export async function delay(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = new Promise<void>((resolve) => (timer = setTimeout(resolve, durationMs)));
  try {
    await abortable(wait, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Aborted with the first of both. */
export function anySignal(first: AbortSignal | undefined, second: AbortSignal): AbortSignal;
export function anySignal(
  first: AbortSignal | undefined,
  second: AbortSignal | undefined,
): AbortSignal | undefined;
export function anySignal(
  first: AbortSignal | undefined,
  second: AbortSignal | undefined,
): AbortSignal | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return AbortSignal.any([first, second]);
}
