/** A page that enlarges a chosen photo: what a user of the package writes. Built by pack.test.ts. */
import { loadModel } from "rcod-webgpu";

const input = document.querySelector<HTMLInputElement>("#photo");
const progress = document.querySelector<HTMLProgressElement>("#progress");
const canvas = document.querySelector<HTMLCanvasElement>("#result");
if (input === null || progress === null || canvas === null) throw new Error("no page");

const model = loadModel("/models/rcod-tiny", {
  onProgress: ({ fraction }) => (progress.value = fraction),
});

async function show(file: File, target: HTMLCanvasElement): Promise<void> {
  const bitmap = await createImageBitmap(file);
  const { image } = await (await model).upscale(bitmap, { realism: "neutral" });
  target.width = image.width;
  target.height = image.height;
  const pixels = new ImageData(new Uint8ClampedArray(image.data), image.width, image.height);
  target.getContext("2d")?.putImageData(pixels, 0, 0);
}

input.addEventListener("change", () => {
  const [file] = input.files ?? [];
  if (file !== undefined) void show(file, canvas);
});
