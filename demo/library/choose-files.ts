/** The browser's dialog for files. */
import type { App } from "../app.ts";
import { h } from "../ui/dom.ts";
import { take } from "./drop.ts";

export function chooseFiles(app: App): void {
  const input = h("input", { type: "file", accept: "image/*", multiple: true });
  input.addEventListener("change", () => {
    void take(app, Promise.resolve([...(input.files ?? [])]));
  });
  input.click();
}
