/** Pictures that are dropped anywhere on the window, on every view, or pasted. */
import type { App } from "../app.ts";
import { h } from "../ui/dom.ts";
import { droppedFiles, skippedNote, sortFiles } from "./intake.ts";

export function acceptPictures(app: App): void {
  const curtain = h("div", { class: "drop-curtain", hidden: true }, "Drop your pictures here");
  document.body.append(curtain);
  // Entering a child leaves its parent: only the last leave counts.
  let depth = 0;
  const show = (now: number): void => {
    depth = Math.max(0, now);
    curtain.hidden = depth === 0;
  };
  addEventListener("dragenter", (event) => {
    if (isForControl(event)) return;
    event.preventDefault();
    if (hasFiles(event)) show(depth + 1);
  });
  addEventListener("dragleave", (event) => {
    if (hasFiles(event)) show(depth - 1);
  });
  addEventListener("dragover", (event) => {
    if (isForControl(event)) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = hasFiles(event) ? "copy" : "none";
  });
  addEventListener("drop", (event) => {
    show(0);
    // A field of a view may take files of its own.
    if (event.defaultPrevented || isForControl(event)) return;
    // Otherwise the browser would open the file in place of the page.
    event.preventDefault();
    if (event.dataTransfer && hasFiles(event)) void take(app, droppedFiles(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) void take(app, Promise.resolve(files));
  });
}

/** Where nothing can be opened: a file that is dropped must not take the page away all the same. */
export function refuseDrops(): void {
  for (const name of ["dragover", "drop"] as const) {
    addEventListener(name, (event) => {
      event.preventDefault();
      if (event.dataTransfer) event.dataTransfer.dropEffect = "none";
    });
  }
}

/** Adds the pictures among files and says what was left out. */
export async function take(app: App, coming: Promise<readonly File[]>): Promise<void> {
  const files = await coming.catch(() => []);
  const intake = await sortFiles(files);
  app.store.set({ notice: skippedNote(intake) });
  if (intake.pictures.length === 0) return;
  app.change({ photo: null });
  // They are looked at in the first view.
  document.querySelector<HTMLElement>("#tab-upscale")?.click();
  await app.addPictures(intake.pictures);
}

const hasFiles = ({ dataTransfer }: DragEvent): boolean =>
  dataTransfer?.types.includes("Files") ?? false;

/** Text dragged into a field is the field's. */
const isForControl = (event: DragEvent): boolean =>
  !hasFiles(event) && event.target instanceof Element && event.target.matches("input, textarea");
