/** A page that enlarges a chosen photo: what a user of the package writes. Built by pack.test.ts. */
import { loadModel } from "rcod-webgpu";

function element<T extends Element>(selector: string): T {
  const found = document.querySelector<T>(selector);
  if (found === null) throw new Error(`no ${selector}`);
  return found;
}

const input = element<HTMLInputElement>("#photo");
const progress = element<HTMLProgressElement>("#progress");
const canvas = element<HTMLCanvasElement>("#result");
const model = loadModel("/models/rcod-tiny", {
  onProgress: ({ fraction }) => (progress.value = fraction),
});

input.addEventListener("change", async () => {
  const [file] = input.files ?? [];
  if (file === undefined) return;
  const bitmap = await createImageBitmap(file);
  const { image } = await (
    await model
  ).upscale(bitmap, {
    realism: "neutral",
    onProgress: ({ fraction }) => (progress.value = fraction),
  });
  canvas.width = image.width;
  canvas.height = image.height;
  const pixels = new ImageData(new Uint8ClampedArray(image.data), image.width, image.height);
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
});
