/** One observable record: the smallest thing that keeps several views in step. */

export interface Store<T extends object> {
  get(): T;
  /** Replaces the given fields and tells every listener, also when nothing changed. */
  set(patch: Partial<T>): void;
  /** Calls `listener` now and after each change; returns how to stop that. */
  subscribe(listener: (state: T, before: T) => void): () => void;
}

export function createStore<T extends object>(initial: T): Store<T> {
  let state = initial;
  const listeners = new Set<(state: T, before: T) => void>();
  return {
    get: () => state,
    set(patch) {
      const before = state;
      state = { ...state, ...patch };
      for (const listener of listeners) listener(state, before);
    },
    subscribe(listener) {
      listeners.add(listener);
      listener(state, state);
      return () => void listeners.delete(listener);
    },
  };
}
