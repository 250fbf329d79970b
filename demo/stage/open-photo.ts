/** Photos that come with the page. */
import photos from "virtual:files/photos";
import type { App } from "../app.ts";

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
