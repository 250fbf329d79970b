/** A sentence at the head of the window, over every view: what was left out, what is not kept. */
import type { App } from "../app.ts";
import { ICONS, button, h, icon } from "../ui/dom.ts";

export function showNotices({ store }: App): void {
  const text = h("p", {});
  const close = button(
    { class: "icon-button", "aria-label": "Close", title: "Close" },
    () => store.set({ notice: null }),
    icon(ICONS.cross),
  );
  const element = h("div", { class: "notice", hidden: true }, text, close);
  // A region that is there before its words: otherwise screen readers miss the first.
  document.body.append(h("div", { role: "status" }, element));
  store.subscribe(({ notice }) => {
    if (text.textContent !== (notice ?? "")) text.textContent = notice ?? "";
    element.hidden = notice === null;
  });
}
