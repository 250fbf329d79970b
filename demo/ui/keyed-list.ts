/** Elements that stand for items: kept while their item is there, so that focus and scrolling stay. */

export interface ItemView<T> {
  readonly element: HTMLElement;
  readonly update: (item: T) => void;
  /** Frees what the element holds. */
  readonly remove?: () => void;
}

/** Gives a function that makes `list` show these items, in order. */
export function createKeyedList<T>(
  list: HTMLElement,
  keyOf: (item: T) => string | number,
  create: (item: T) => ItemView<T>,
): (items: readonly T[]) => void {
  const views = new Map<string | number, ItemView<T>>();
  return (items) => {
    const keys = new Set(items.map(keyOf));
    for (const [key, view] of views) {
      if (keys.has(key)) continue;
      view.element.remove();
      view.remove?.();
      views.delete(key);
    }
    items.forEach((item, i) => {
      const key = keyOf(item);
      const view = views.get(key) ?? create(item);
      views.set(key, view);
      view.update(item);
      const there = list.children[i];
      if (there !== view.element) list.insertBefore(view.element, there ?? null);
    });
  };
}
