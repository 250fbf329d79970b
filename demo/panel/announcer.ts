/** Tells screen readers what the eye sees at once: that something began, ended, or failed. */
import type { App } from "../app.ts";
import { duration, pixels } from "../ui/format.ts";

export function announceTo(element: HTMLElement, { store }: App): void {
  store.subscribe(({ activity, results, problem, image }, before) => {
    if (problem && problem !== before.problem) return; // an alert of its own
    const last = results.at(-1);
    if (last && last !== before.results.at(-1)) {
      element.textContent = `Done in ${duration(last.totalMs)}: ${pixels(last.width, last.height)} pixels.`;
    } else if (image && image !== before.image) {
      element.textContent = `${image.name} is open, ${pixels(image.width, image.height)} pixels.`;
    } else if (activity && activity.kind !== before.activity?.kind) {
      element.textContent = activity.kind === "upscale" ? "Upscaling." : "Loading.";
    } else if (!activity && before.activity && !problem) {
      element.textContent = "Stopped.";
    }
  });
}
