/** Sources of results with 16 bits a channel: enlarged on the host in floats. */
import type { Gpu } from "../../gpu/device.ts";
import { uploadBytes } from "../../gpu/transfer.ts";
import { packActivation } from "../../graph/pack-activation.ts";
import { floatTable, reflectedTable, repeatedTable } from "../../kernels/image/resample-weights.ts";
import type { EnlargedSource } from "../images/enlarged-source.ts";
import type { Geometry } from "../images/geometry.ts";
import { createImage, readImage } from "../images/image-ops.ts";
import { colorChannels, endsInAlpha, highestLevel } from "../images/raw-image.ts";
import { mayHide, packedSource } from "../images/source-image.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { RawImage } from "../settings/options.ts";
import type { FloatMap } from "./float-map.ts";
import { cutMap, resampleMap } from "./float-map.ts";

const LEVELS: readonly [number, number] = [0, 1];

/** The colours of an image, in 0 … 1: grey is repeated, and pixels of alpha 0 have the colours of their neighbours. */
export async function colorsOf(gpu: Gpu, image: RawImage): Promise<FloatMap> {
  const { width, height, channels, data } = image;
  const most = highestLevel(image);
  const colors = new Float32Array(width * height * 3);
  for (let i = 0; i < colors.length; i++) {
    const place = i % colorChannels(image);
    colors[i] = (data[Math.floor(i / 3) * channels + place] as number) / most;
  }
  if (mayHide(image)) {
    const packed = await packedSource(gpu, image);
    try {
      const filled = await readImage(gpu, packed);
      for (let i = 0; i < colors.length; i++) {
        const pixel = Math.floor(i / 3);
        if (data[(pixel + 1) * channels - 1] === 0) {
          colors[i] = (filled[pixel * 4 + (i % 3)] as number) / 255;
        }
      }
    } finally {
      gpu.memory.release(packed.buffer);
    }
  }
  return { width, height, channels: 3, data: colors };
}

/** The alpha of an image in 0 … 1, enlarged by bicubic; null where it has none. */
export function enlargedAlpha(
  image: RawImage,
  { picture }: Pick<Geometry, "picture">,
): FloatMap | null {
  const { width, height, channels, data } = image;
  if (!endsInAlpha(image)) return null;
  const most = highestLevel(image);
  const alpha = Float32Array.from(
    { length: width * height },
    (_, i) => (data[(i + 1) * channels - 1] as number) / most,
  );
  const across = floatTable(width, picture.width, "bicubic");
  const down = floatTable(height, picture.height, "bicubic");
  return resampleMap({ width, height, channels: 1, data: alpha }, across, down, LEVELS);
}

/** A source that was enlarged in floats. */
export interface DeepSource extends EnlargedSource {
  /** Its colours in 0 … 1, at the size that the networks see. */
  readonly colors: FloatMap;
}

/** Enlarges `image` to the sizes of `geometry` as the model does, without rounding to 8 bits in between. */
export async function enlargeDeep(
  gpu: Gpu,
  image: RawImage,
  { padded, sourceWidth, sourceHeight, workWidth, workHeight }: Geometry,
  { degradation }: ModelConfigs,
): Promise<DeepSource> {
  const own = await colorsOf(gpu, image);
  const small = padded === null ? own : cutMap(own, { ...padded, x: -padded.x, y: -padded.y });
  const table = (inSize: number, outSize: number, workSize: number) =>
    degradation
      ? reflectedTable(floatTable(inSize, outSize, "triangle"), workSize)
      : repeatedTable(floatTable(inSize, outSize, "bicubic"), workSize);
  const across = table(small.width, sourceWidth, workWidth);
  const down = table(small.height, sourceHeight, workHeight);
  const colors = resampleMap(small, across, down, LEVELS);
  const reference = createImage(gpu, "colour reference", workWidth, workHeight);
  const levels = new Uint8Array(workWidth * workHeight * 4).fill(255);
  for (let i = 0; i < colors.data.length; i++) {
    levels[Math.floor(i / 3) * 4 + (i % 3)] = Math.round((colors.data[i] as number) * 255);
  }
  uploadBytes(gpu, reference.buffer, 0, levels);
  return {
    colors,
    image: reference,
    pixels: { ...reference, type: "rgba8" },
    toTensor({ buffer, offset = 0 }, dtype, part) {
      const signed = cutMap(colors, part).data.map((value) => 2 * value - 1);
      uploadBytes(gpu, buffer, offset, packActivation(signed, 3, dtype));
      return Promise.resolve();
    },
    release: () => undefined,
  };
}
