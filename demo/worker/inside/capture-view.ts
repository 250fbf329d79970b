/** Captured values as small pictures: their liveliest channels, and all channels in one as colours. */
import type { CaptureView, ChannelView } from "../../tabs/inside/record.ts";
import { principalComponents } from "./principal-components.ts";

/** Larger maps are averaged down. */
const MAX_SIDE = 128;
const MAX_CHANNELS = 12;
/** Colours end at this many standard deviations from the mean. */
const SPREAD = 2.5;

/** A captured value: [1, height, width, channels] or [1, tokens, channels]. */
export interface CapturedValue {
  readonly name: string;
  readonly stage: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** `aspect` is the picture's width over its height, for tokens that are pixels of a map. */
export function captureView(value: CapturedValue, aspect: number): CaptureView {
  const { name, stage, shape } = value;
  const map = averaged(mapOf(value, aspect));
  const { width, height, channels, data } = map;
  const { mean, axes, shares } = principalComponents({ data, rows: width * height, channels }, 3);
  const rgb = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < 3; i++) {
    // Of fewer than three channels the first stands in for the others: a grey picture.
    const axis = axes[i] ?? axes[0] ?? mean;
    const along = Float64Array.from({ length: width * height }, (_, pixel) =>
      axis.reduce(
        (sum, a, c) => sum + a * ((data[pixel * channels + c] as number) - (mean[c] as number)),
        0,
      ),
    );
    const deviation = Math.sqrt(along.reduce((sum, v) => sum + v * v, 0) / along.length);
    along.forEach((v, pixel) => {
      rgb[4 * pixel + i] = deviation > 0 ? 127.5 + (127.5 * v) / (SPREAD * deviation) : 127.5;
    });
  }
  for (let pixel = 0; pixel < width * height; pixel++) rgb[4 * pixel + 3] = 255;
  return {
    name,
    stage,
    shape,
    width,
    height,
    rgb,
    explained: shares.reduce((sum, share) => sum + share, 0),
    channels: liveliest(map),
  };
}

interface FeatureMap {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Float32Array;
}

/** Tokens in the rows of the picture they come from; a token for the whole picture in front of them is left out. */
export function mapOf(
  { stage, shape, data }: Omit<CapturedValue, "name">,
  aspect: number,
): FeatureMap {
  if (shape.length === 4) {
    const [, height = 1, width = 1, channels = 1] = shape;
    return { width, height, channels, data };
  }
  const [, tokens = 1, channels = 1] = shape;
  const side = Math.round(Math.sqrt(tokens - 1));
  if (stage === "tokens" && side > 0 && side * side === tokens - 1) {
    return { width: side, height: side, channels, data: data.subarray(channels) };
  }
  const height = Math.max(1, Math.round(Math.sqrt(tokens / aspect)));
  const width = tokens % height === 0 ? tokens / height : tokens;
  return { width, height: tokens / width, channels, data };
}

function averaged(map: FeatureMap): FeatureMap {
  const factor = Math.ceil(Math.max(map.width, map.height) / MAX_SIDE);
  if (factor <= 1) return map;
  const { channels } = map;
  const [width, height] = [Math.floor(map.width / factor), Math.floor(map.height / factor)];
  const data = new Float32Array(width * height * channels);
  for (let y = 0; y < height * factor; y++) {
    for (let x = 0; x < width * factor; x++) {
      const to = (Math.floor(y / factor) * width + Math.floor(x / factor)) * channels;
      const from = (y * map.width + x) * channels;
      for (let c = 0; c < channels; c++) {
        data[to + c] =
          (data[to + c] as number) + (map.data[from + c] as number) / (factor * factor);
      }
    }
  }
  return { width, height, channels, data };
}

/** The channels that vary most, in the order of their numbers. */
function liveliest({ width, height, channels, data }: FeatureMap): readonly ChannelView[] {
  const pixels = width * height;
  const all = Array.from({ length: channels }, (_, index) => {
    const values = Float32Array.from(
      { length: pixels },
      (__, i) => data[i * channels + index] as number,
    );
    const low = values.reduce((a, b) => Math.min(a, b), Infinity);
    const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const mean = values.reduce((sum, v) => sum + v, 0) / pixels;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / pixels;
    return { index, low, high, values, variance };
  });
  return all
    .toSorted((a, b) => b.variance - a.variance)
    .slice(0, MAX_CHANNELS)
    .toSorted((a, b) => a.index - b.index)
    .map(({ index, low, high, values }) => ({
      index,
      low,
      high,
      grey: Uint8ClampedArray.from(values, (v) =>
        high > low ? (255 * (v - low)) / (high - low) : 127.5,
      ),
    }));
}
