// Enlarges a photo ×4 in Node:
//
//   node examples/node/upscale.mjs photo.jpg photo-x4.png [realism 0 … 1]
//
// Needs two packages besides rcod-webgpu: webgpu (Dawn, the WebGPU of Chrome) and sharp (image files).
import { fileURLToPath } from "node:url";
import { loadModel } from "rcod-webgpu";
import { folderFiles, requestNodeGpu } from "rcod-webgpu/node";
import sharp from "sharp";

const [input, output, realism = "0.5"] = process.argv.slice(2);
if (!input || !output) throw new Error("usage: upscale.mjs INPUT OUTPUT [REALISM]");

// The model as a folder on disk. Another one: any folder in the layout of docs/models.md.
const folder = fileURLToPath(new URL("../../models/rcod-tiny", import.meta.url));

// The device is ours to share with other WebGPU code, and to destroy.
const gpu = await requestNodeGpu();
const model = await loadModel(folderFiles(folder), { gpu });
try {
  // 8-bit sRGB, rows from the top, turned upright as the camera's EXIF says.
  const decoded = sharp(input).rotate().toColourspace("srgb").removeAlpha().raw();
  const { data, info } = await decoded.toBuffer({ resolveWithObject: true });
  const { image, timingsMs } = await model.upscale(
    { width: info.width, height: info.height, channels: 3, data },
    { realism: Number(realism) },
  );
  const { width, height, channels } = image;
  await sharp(image.data, { raw: { width, height, channels } }).toFile(output);
  const seconds = Object.values(timingsMs).reduce((sum, ms) => sum + ms, 0) / 1000;
  console.log(`${output}: ${width}×${height}, ${seconds.toFixed(1)} s on ${gpu.caps.description}`);
} finally {
  model.dispose(); // frees the model's buffers, not the device that we gave
  gpu.destroy();
}
