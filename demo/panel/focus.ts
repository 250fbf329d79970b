/** Keeps the focus with what happens: never on nothing, never taken from who types. */
import type { App } from "../app.ts";

export interface FocusPlaces {
  readonly start: HTMLButtonElement;
  readonly cancel: HTMLElement;
  /** The picture, which shows a result. */
  readonly surface: HTMLElement;
}

/** Focuses what can take it; false where it cannot. */
export function focusIfUsable(element: Element | null): boolean {
  if (!(element instanceof HTMLElement) || element === document.body) return false;
  if (
    !element.isConnected ||
    !element.checkVisibility() ||
    element.matches(":disabled, [aria-disabled=true]")
  ) {
    return false;
  }
  // On a touch screen the picture would jump away.
  element.focus({ preventScroll: matchMedia("(pointer: coarse)").matches });
  return document.activeElement === element;
}

/** Whether the focus is on nothing, or on what is about to go. */
function isFree(): boolean {
  const active = document.activeElement;
  return (
    active === null ||
    active === document.body ||
    !active.checkVisibility() ||
    active.matches(":disabled")
  );
}

/** Whether the visitor is at a control of their own choice, and not at a button that has done its work. */
function isBusyElsewhere(): boolean {
  return !isFree() && !document.activeElement?.matches("button, .divider");
}

/** After opening to the button that starts, then to the one that cancels, then to the result. */
export function followFocus({ store }: App, { start, cancel, surface }: FocusPlaces): void {
  /** As the last activity began. */
  let begun = store.get();
  /** The picture that the visitor was led to. */
  let led = begun.image;
  let isWaiting = false;
  const settle = (): void => {
    isWaiting = false;
    const { activity, image, problem, results } = store.get();
    const isFreed = isFree() || document.activeElement === cancel;
    const isNew = image !== null && image !== led;
    if (isNew && start.checkVisibility()) {
      led = image;
      if (!isBusyElsewhere() && !focusIfUsable(start)) focusIfUsable(surface);
    } else if (activity) {
      const isOwn = isFree() || document.activeElement === start;
      if (activity.kind !== "image" && isOwn) focusIfUsable(cancel);
    } else if (isFreed && !problem) {
      // A problem's card is read first, and gives the focus back.
      const hasResult = results.length > 0 && results.at(-1) !== begun.results.at(-1);
      if (hasResult || !focusIfUsable(start)) focusIfUsable(surface);
    }
  };
  store.subscribe((state, before) => {
    const isSwitched = state.activity?.kind !== before.activity?.kind;
    if (isSwitched && state.activity) begun = state;
    if (isWaiting || (!isSwitched && state.image === before.image)) return;
    // Later: first others hide and show what is focused, and a queue goes on to its next picture.
    isWaiting = true;
    setTimeout(settle);
  });
}
