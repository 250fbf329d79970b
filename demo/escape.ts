/** Escape leaves what is innermost: a tool on the picture, a message, then the run under way. */
import type { App } from "./app.ts";

/** Something that Escape leaves; true where there was something to leave. */
export type Way = () => boolean;

/** `ways` from the innermost on; the run under way comes last. Only while `view` is seen. */
export function leaveByEscape(app: App, view: HTMLElement, ways: readonly Way[]): void {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
    if (!view.checkVisibility() || isUsedBy(event.target)) return;
    if (ways.some((leave) => leave())) {
      event.preventDefault();
      return;
    }
    if (!app.store.get().activity) return;
    event.preventDefault();
    app.cancel();
  });
}

/** Lists and fields close or clear themselves by Escape, and so does an open dialog. */
function isUsedBy(target: EventTarget | null): boolean {
  const isInControl =
    target instanceof Element &&
    target.matches("select, textarea, input:not([type=range], [type=radio], [type=checkbox])");
  return isInControl || document.querySelector("dialog[open], :popover-open") !== null;
}
