/**
 * A page that enlarges a photo, built by Vite without any configuration: Vite finds the worker's script and the
 * model's files behind these two imports, and puts them beside the page.
 */
import { rcodTiny } from "rcod-webgpu/models/rcod-tiny";
import type { WorkerModel } from "rcod-webgpu/worker";
import { loadModelInWorker } from "rcod-webgpu/worker";

function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${id}`);
  return found;
}
const photo = element("photo", HTMLInputElement);
const realism = element("realism", HTMLInputElement);
const progress = element("progress", HTMLProgressElement);
const status = element("status", HTMLOutputElement);
const canvas = element("result", HTMLCanvasElement);

let bitmap: ImageBitmap | undefined;
let running = new AbortController();

/** Enlarges the chosen photo. A new setting takes the place of the one under way. */
async function show(model: WorkerModel): Promise<void> {
  if (bitmap === undefined) return;
  running.abort();
  running = new AbortController();
  const { signal } = running;
  try {
    const { image, timestep } = await model.upscale(bitmap, {
      realism: realism.valueAsNumber,
      signal,
      onProgress: ({ fraction }) => (progress.value = fraction),
    });
    canvas.width = image.width;
    canvas.height = image.height;
    const pixels = new ImageData(new Uint8ClampedArray(image.data), image.width, image.height);
    canvas.getContext("2d")?.putImageData(pixels, 0, 0);
    status.value = `Done, timestep ${timestep}`;
  } catch (error) {
    if (!signal.aborted) status.value = String(error);
  }
}

async function start(): Promise<void> {
  const model = await loadModelInWorker(rcodTiny, {
    onProgress: ({ fraction }) => (progress.value = fraction),
  });
  status.value = "Choose a photo";
  realism.addEventListener("input", () => void show(model));
  photo.addEventListener("change", () => {
    const [file] = photo.files ?? [];
    if (file === undefined) return;
    void createImageBitmap(file).then((decoded) => {
      bitmap = decoded;
      return show(model);
    });
  });
}

start().catch((error: unknown) => (status.value = String(error)));
