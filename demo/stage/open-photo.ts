/** The ways a picture comes in: file dialog, drop, paste, bundled. */
import photos from "virtual:files/photos";
import type { App } from "../app.ts";
import { h } from "../ui/dom.ts";

export function choosePhoto(app: App): void {
  const input = h("input", { type: "file", accept: "image/*" });
  input.addEventListener("change", () => openFirst(app, input.files ?? []));
  input.click();
}

/** A photo that comes with the page; names that do not are ignored, as an address may hold anything. */
export async function openBundled(app: App, name: string): Promise<void> {
  if (!photos.includes(name)) return;
  const response = await fetch(`./photos/${name}`).catch(() => null);
  if (!response?.ok) {
    app.store.set({
      problem: {
        title: "This photo could not be fetched",
        detail: `The server gave no photos/${name}. Check the connection, or choose a photo of your own.`,
        remedy: null,
      },
    });
    return;
  }
  await app.openImage(await response.blob(), name);
  app.change({ photo: name });
}

/** Files dropped anywhere on `zone` or pasted into the page. */
export function acceptPhotos(app: App, zone: HTMLElement): void {
  let depth = 0;
  const show = (change: number): void => {
    depth = Math.max(0, depth + change);
    zone.classList.toggle("is-dropping", depth > 0);
  };
  zone.addEventListener("dragenter", (event) => {
    event.preventDefault();
    show(1);
  });
  zone.addEventListener("dragleave", () => show(-1));
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    show(0);
    openFirst(app, event.dataTransfer?.files ?? []);
  });
  addEventListener("paste", (event) => openFirst(app, event.clipboardData?.files ?? []));
}

function openFirst(app: App, files: Iterable<File>): void {
  const all = [...files];
  const file = all.find(({ type }) => type.startsWith("image/")) ?? all[0];
  if (!file) return;
  app.change({ photo: null });
  void app.openImage(file, file.name || "Pasted picture");
}
