/** Registers the service worker of a built page, and hands the page over to a new version that waits. */
import type { FromPage } from "./sw.ts";

export function keepOffline(): void {
  if (import.meta.env.DEV || !("serviceWorker" in navigator)) return;
  const { serviceWorker } = navigator;
  // Without it (a file: address, private windows) the page works online.
  const ignored = (): undefined => undefined;
  takeNewVersion(serviceWorker).catch(ignored);
  // After the page is up: its own files and the model come first.
  addEventListener("load", () => {
    serviceWorker.register("./sw.js").catch(ignored);
  });
}

/**
 * A reload alone never leaves the version before: its page is still open while the next one loads. The worker refuses
 * where other tabs show that version, for they need its files.
 */
async function takeNewVersion(serviceWorker: ServiceWorkerContainer): Promise<void> {
  const waiting = (await serviceWorker.getRegistration())?.waiting;
  if (!waiting) return;
  serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
  waiting.postMessage("take-over" satisfies FromPage, []);
}
