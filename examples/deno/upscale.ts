/**
 * Enlarges a photo ×4 in Deno, which has WebGPU itself and fetches file: addresses, so nothing but the library is
 * needed:
 *
 *   deno run -A --unstable-webgpu examples/deno/upscale.ts photo.ppm photo-x4.ppm [realism 0 … 1]
 *
 * Images are PPM (P6), whose bytes are the pixels; `magick photo.jpg photo.ppm` makes one. In a project of your own
 * the import map beside this file becomes "rcod-webgpu": "npm:rcod-webgpu".
 */
import type { RawImage } from "rcod-webgpu";
import { loadModel } from "rcod-webgpu";
import { rcodTiny } from "rcod-webgpu/models/rcod-tiny";

const [input, output, realism = "0.5"] = Deno.args;
if (!input || !output) throw new Error("usage: upscale.ts INPUT.ppm OUTPUT.ppm [REALISM]");

/** "P6", width, height and 255, separated by white space; then three bytes a pixel. */
function parsePpm(file: Uint8Array): RawImage {
  const header = new TextDecoder("latin1").decode(file.subarray(0, 64));
  const [text, width, height] = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(header) ?? [];
  if (text === undefined) throw new Error(`${input} is no binary PPM with 8 bits`);
  return {
    width: Number(width),
    height: Number(height),
    channels: 3,
    data: file.subarray(text.length),
  };
}

const model = await loadModel(rcodTiny); // takes Deno's own device, and frees it
try {
  const photo = parsePpm(await Deno.readFile(input));
  const { image } = await model.upscale(photo, { realism: Number(realism) });
  const header = new TextEncoder().encode(`P6\n${image.width} ${image.height}\n255\n`);
  await Deno.writeFile(output, new Uint8Array([...header, ...image.data]));
  console.log(`${output}: ${image.width}×${image.height} on ${model.caps.description}`);
} finally {
  model.dispose();
}
