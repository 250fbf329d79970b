// npm run build && node scripts/rows-memory.mjs WIDTH HEIGHT FORMAT: the memory that `rcod upscale` takes to read a JPEG of that
// size and to write it ×4, with a model that hands out grey regions and computes nothing.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { runUpscale } from "../dist/cli/upscale/run.js";
import { BASELINE_CAPS } from "../dist/src/gpu/caps.js";

/** Sides of regions, in pixels of the picture and of the result. */
const SIDE = 256;
const SCALE = 4;

const [width = "6000", height = "4000", format = "png"] = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), "rcod-rows-"));
const input = join(folder, "photo.jpg");
await sharp({
  create: {
    width: Number(width),
    height: Number(height),
    channels: 3,
    background: "grey",
    noise: { type: "gaussian", mean: 128, sigma: 40 },
  },
}).toFile(input);

/** Reads and hands out in rows, as the engine does. */
async function upscale(reader, { onRegion }) {
  const of = { width: SCALE * reader.width, height: SCALE * reader.height };
  for (let y = 0; y < of.height; y += SCALE * SIDE) {
    for (let x = 0; x < of.width; x += SCALE * SIDE) {
      const side = (from, whole) => Math.min(SCALE * SIDE, whole - from);
      const region = { x, y, width: side(x, of.width), height: side(y, of.height) };
      const part = Object.entries(region).map(([name, value]) => [name, value / SCALE]);
      const { channels, data: pixels } = await reader.read(Object.fromEntries(part));
      const data = new Uint8Array(region.width * region.height * channels);
      for (let i = 0; i < data.length; i++) data[i] = pixels[i % pixels.length];
      await onRegion({ ...region, channels, data });
    }
  }
  const report = { timestep: 0, timingsMs: {}, reused: [], peakBytes: 0, peakActivationBytes: 0 };
  return { ...of, channels: reader.channels, regions: 1, ...report };
}

const options = { input: [input], out: join(folder, `result.${format}`), precision: "auto" };
await runUpscale(
  { ...options, model: folder, dawnToggles: [] },
  { out: console.log, note: console.error, progressStream: process.stderr },
  {
    launch: async () => null,
    openGpu: async () => ({ caps: BASELINE_CAPS, destroy() {} }),
    loadModel: async () => ({ precision: "f32", dispose() {}, upscale }),
  },
);
const { maxRSS } = process.resourceUsage();
console.log(`${(maxRSS / 1024).toFixed(0)} MiB`);
await rm(folder, { recursive: true });
