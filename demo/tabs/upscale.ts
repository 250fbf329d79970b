/** The main view. */
import type { App } from "../app.ts";
import { h } from "../ui/dom.ts";

export function mount(container: HTMLElement, app: App): void {
  const status = h("p", { class: "plain-notice" });
  container.append(status);
  app.store.subscribe(({ device }) => {
    status.textContent = device?.name ?? "";
  });
}
