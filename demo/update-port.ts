/** A port that carries messages of one type, from the worker to the page. */
export interface UpdatePort<T> extends MessagePort {
  /** Never called: names the type. */
  readonly carries?: (update: T) => void;
}

/** The worker's end. */
export function sender<T>(port: UpdatePort<T>): (update: T) => void {
  return (update) => port.postMessage(update);
}
