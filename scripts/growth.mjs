import sharp from "sharp";
/**
 * How time and GPU memory grow with the picture: rcod-tiny on squares of the example photograph, the second call of each.
 *
 *   npm run build && node scripts/growth.mjs 128 256 512
 *
 * The numbers are sides of the input; the results are four times as large.
 */
import { loadModel } from "../dist/src/index.js";
import { folderFiles, requestNodeGpu } from "../dist/src/node/index.js";

const PHOTO = "examples/photos/boats-original.jpg";
const sides = process.argv.slice(2).map(Number);
const gpu = await requestNodeGpu();
for (const side of sides) {
  const model = await loadModel(folderFiles("models/rcod-tiny"), { gpu, autotune: false });
  const pixels = await sharp(PHOTO).resize(side, side).removeAlpha().raw().toBuffer();
  const picture = { width: side, height: side, channels: 3, data: new Uint8Array(pixels) };
  await model.upscale(picture, { reuse: false });
  const startedAt = performance.now();
  const { peakBytes, regions } = await model.upscale(picture, { reuse: false });
  const ms = performance.now() - startedAt;
  const perPixel = (ms * 1000) / (16 * side * side);
  console.log(
    `${4 * side}²: ${regions} regions, ${(ms / 1000).toFixed(1)} s, ${perPixel.toFixed(2)} µs a pixel, ` +
      `GPU at most ${(peakBytes / 2 ** 20).toFixed(0)} MiB`,
  );
  model.dispose();
}
gpu.destroy();
process.exit(0);
