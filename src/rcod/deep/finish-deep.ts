/** From the decoded colours in floats to a result of 16 bits a channel, on the host. */
import type { Gpu } from "../../gpu/device.ts";
import type { Geometry } from "../images/geometry.ts";
import { colorChannels, endsInAlpha } from "../images/raw-image.ts";
import { mayBeFlat } from "../images/source-image.ts";
import type { RawImage } from "../settings/options.ts";
import { colorsOf, enlargedAlpha } from "./deep-source.ts";
import type { FloatMap } from "./float-map.ts";
import { adainOfMaps, cutMap, reduceMap, waveletOfMaps } from "./float-map.ts";

const MOST = 65_535;

/** What it takes of an encoded image. */
interface DeepEncoded {
  readonly deepColors?: FloatMap;
  readonly geometry: Geometry;
  /** Of a region: whether the whole consists of areas of one colour. */
  readonly isFlat?: boolean;
}

/**
 * What `finishImage` does for 8 bits: colour fix, crop, areas of one colour, alpha. `values` are the decoder's output [workHeight,
 * workWidth, 3] in −1 … 1, `deepColors` those of the enlarged source in 0 … 1.
 */
export async function finishDeep(
  gpu: Gpu,
  values: Float32Array<ArrayBuffer>,
  { deepColors, geometry, isFlat }: DeepEncoded,
  image: RawImage,
  method: "adain" | "wavelet" | "none",
): Promise<RawImage> {
  if (deepColors === undefined) throw new Error("internal: the source was enlarged in 8 bits");
  const { workWidth, workHeight, sourceWidth, sourceHeight } = geometry;
  const data = values.map((value) => 0.5 * value + 0.5);
  const work = { width: workWidth, height: workHeight, channels: 3, data };
  const withoutPadding = { x: 0, y: 0, width: sourceWidth, height: sourceHeight };
  const [source, decoded] = [cutMap(deepColors, withoutPadding), cutMap(work, withoutPadding)];
  const fixed = { none: () => decoded, adain: adainOfMaps, wavelet: waveletOfMaps }[method](
    source,
    decoded,
  );
  const result = cutMap(fixed, geometry.picture);
  if (isFlat ?? mayBeFlat(image)) {
    const flat = await flatColors(gpu, image);
    if (isFlat || isMostlyFlat(flat)) keepFlatMap(flat, result);
  }
  const alpha = enlargedAlpha(image, geometry);
  const reduce = geometry.finish.find((step) => step.kind === "reduce");
  if (reduce === undefined) return interleaved(result, alpha, image);
  const seen = result.data.map((value) => Math.min(Math.max(value, 0), 1)); // what the screen would show is reduced
  const reduced = reduceMap({ ...result, data: seen }, reduce);
  return interleaved(reduced, alpha && reduceMap(alpha, reduce), image);
}

/** The colours of a source, and how flat each pixel is: see `keepFlat` (kernels/image/keep-flat.ts). */
interface FlatColors {
  readonly colors: FloatMap;
  readonly flatness: Uint8Array;
}

async function flatColors(gpu: Gpu, image: RawImage): Promise<FlatColors> {
  const colors = await colorsOf(gpu, image);
  const { width, height, data } = colors;
  const flatness = new Uint8Array(width * height);
  const isFlat = (x: number, y: number, reach: number): boolean => {
    const area = { x: x - reach, y: y - reach, width: 2 * reach + 1, height: 2 * reach + 1 };
    const at = (y * width + x) * 3;
    return cutMap(colors, area).data.every((value, i) => value === data[at + (i % 3)]);
  };
  for (let i = 0; i < flatness.length; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    if (isFlat(x, y, 1)) flatness[i] = isFlat(x, y, 2) ? 2 : 1;
  }
  return { colors, flatness };
}

function isMostlyFlat({ flatness }: FlatColors): boolean {
  const flat = flatness.reduce((count, value) => count + Math.min(value, 1), 0);
  return 2 * flat >= flatness.length;
}

/** `keepFlat` of an enlarged map, in place. */
function keepFlatMap({ colors, flatness }: FlatColors, result: FloatMap): void {
  const scale = result.width / colors.width;
  for (let i = 0; i < result.data.length; i++) {
    const pixel = Math.floor(i / 3);
    const x = Math.floor((pixel % result.width) / scale);
    const y = Math.floor(Math.floor(pixel / result.width) / scale);
    const place = y * colors.width + x;
    const share = (flatness[place] as number) / 2;
    const color = colors.data[place * 3 + (i % 3)] as number;
    result.data[i] = (1 - share) * (result.data[i] as number) + share * color;
  }
}

/** The channels of `image`, of enlarged colours and alpha in 0 … 1. Grey is the mean of the colours. */
function interleaved(
  { width, height, data }: FloatMap,
  alpha: FloatMap | null,
  image: RawImage,
): RawImage {
  const { channels, colorSpace } = image;
  const out = new Uint16Array(width * height * channels);
  const level = (value: number): number => Math.round(Math.min(Math.max(value, 0), 1) * MOST);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const at = pixel * channels;
    const [r = 0, g = 0, b = 0] = data.subarray(pixel * 3, pixel * 3 + 3);
    if (colorChannels(image) === 1) out[at] = level((r + g + b) / 3);
    else out.set([level(r), level(g), level(b)], at);
    if (endsInAlpha(image)) out[at + channels - 1] = level(alpha?.data[pixel] ?? 1);
  }
  return { width, height, channels, data: out, ...(colorSpace && { colorSpace }) };
}
