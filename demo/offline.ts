/** Registers the service worker of a built page. */
export function keepOffline(): void {
  if (import.meta.env.DEV || !("serviceWorker" in navigator)) return;
  // After the page is up: its own files and the model come first. Without it (a file: address, private
  // windows) the page works online.
  addEventListener("load", () => {
    navigator.serviceWorker.register("./sw.js").catch(() => undefined);
  });
}
