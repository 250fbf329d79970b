/** An engine without a GPU: nearest-neighbour upscaling that reports, aborts, hands out regions and goes on like the real one. */
import { defined } from "../../../cli/defined.ts";
import type { LoadModel, Model } from "../../../cli/engine.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import { DeviceLostError } from "../../../src/gpu/errors.ts";
import { samplesIn } from "../../../src/rcod/images/raw-image.ts";
import { callSizes } from "../../../src/rcod/images/result-size.ts";
import type {
  ImageReader,
  Progress,
  RawImage,
  RegionsOptions,
  RegionsResult,
  ResultRegion,
  Stage,
  UpscaleOptions,
  UpscaleResult,
} from "../../../src/rcod/settings/options.ts";

const STAGES: readonly Stage[] = ["preprocess", "tokens", "encode", "unet", "decode", "color"];

export interface FakeEngine {
  readonly loadModel: LoadModel;
  readonly openGpu: () => Promise<Gpu>;
  /** What has happened, in order: `openGpu`, `load <paths> <precision>`, `upscale 3x2x4`, `dispose`, `destroy`. */
  readonly events: string[];
  /** Options of every upscale call. */
  readonly calls: UpscaleOptions[];
}

export interface FakeOptions {
  readonly stageMs?: number;
  readonly onLoad?: () => void;
  /** Called before every image, of a reader with all that it reads; may throw. */
  readonly onUpscale?: (image: RawImage) => void;
  /** Called before every region; may throw. */
  readonly onRegion?: (index: number) => void;
}

/** Sides of the regions in pixels of the result. */
const REGION = { width: 300, height: 200 } as const;

export function fakeEngine(options: FakeOptions = {}): FakeEngine {
  const events: string[] = [];
  const calls: UpscaleOptions[] = [];
  async function upscale(
    image: RawImage | ImageReader,
    upscaleOptions: RegionsOptions,
  ): Promise<RegionsResult>;
  async function upscale(
    image: RawImage | ImageReader,
    upscaleOptions?: UpscaleOptions,
  ): Promise<UpscaleResult>;
  async function upscale(
    source: RawImage | ImageReader,
    given: UpscaleOptions | RegionsOptions = {},
  ): Promise<UpscaleResult | RegionsResult> {
    const { width, height, channels } = source;
    events.push(`upscale ${width}x${height}x${channels}${given.resume ? " on" : ""}`);
    calls.push(given as UpscaleOptions);
    const image = "read" in source ? await readAll(source, given.signal) : source;
    options.onUpscale?.(image);
    for (const [index, stage] of STAGES.entries()) {
      given.onProgress?.(step(stage, index));
      await pause(options.stageMs ?? 0, given.signal);
    }
    const { result } = callSizes(image, given, 4);
    const made = withDepth(nearest(image, result.width, result.height), given.depth);
    const regions = given.output === "regions" ? regionsOf(made) : [];
    const done = (given.resume ?? new Set<number>()) as Set<number>;
    for (const [i, region] of regions.entries()) {
      if (done.has(i)) continue;
      try {
        options.onRegion?.(i);
      } catch (error) {
        throw error instanceof DeviceLostError ? error.withResume(done) : error;
      }
      await given.onRegion?.({ ...region, channels, data: samplesIn(made, region) });
      done.add(i);
    }
    const report = {
      timestep: 499,
      realism: 0.5,
      ...(given.realism === "auto" && { predictedMetric: image.width / 8 }),
      timingsMs: { preprocess: 1, tokens: 1, encode: 1, unet: 1, decode: 1, color: 1 },
      regions: Math.max(1, regions.length),
      reused: [],
      peakBytes: 1 << 20,
      peakActivationBytes: 1 << 19,
    };
    return given.output === "regions"
      ? { ...result, channels, ...report }
      : { image: made, ...report };
  }
  const model: Model = {
    precision: "f32",
    dispose: () => void events.push("dispose"),
    upscale,
    async estimate({ width, height, scale, size }) {
      events.push(`estimate ${width}x${height}`);
      const { result } = callSizes({ width, height }, defined({ scale, size }), 4);
      const pixels = result.width * result.height;
      return {
        outWidth: result.width,
        outHeight: result.height,
        regions: Math.ceil(pixels / 1e6),
        ...(width > 10 && { timeMs: pixels / 1000 }),
        peakBytes: 1 << 30,
        work: { preprocess: 1, tokens: 1, encode: 1, unet: 1, decode: 1, color: 1 },
        advice: ["a smaller picture takes less"],
      };
    },
  };
  return {
    events,
    calls,
    openGpu: async () => {
      events.push("openGpu");
      return { caps: BASELINE_CAPS, destroy: () => events.push("destroy") } as unknown as Gpu;
    },
    loadModel: async (
      { model: folder, clip, checkpoint, deNet, mem },
      { precision, lowMemory, signal, onProgress },
    ) => {
      const paths = [folder, clip, checkpoint, deNet, mem];
      const how = [precision, lowMemory && "low memory"];
      events.push(["load", ...paths, ...how].filter(Boolean).join(" "));
      options.onLoad?.();
      onProgress?.({ ...step("load", 0), bytesLoaded: 1000, bytesTotal: 2000 });
      await pause(options.stageMs ?? 0, signal);
      return model;
    },
  };
}

function step(stage: Stage, index: number): Progress {
  return { stage, stageFraction: 0, fraction: index / STAGES.length };
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  signal?.throwIfAborted();
}

/** Reads in stripes, as the engine does. */
async function readAll(reader: ImageReader, signal?: AbortSignal): Promise<RawImage> {
  const { width, height, channels, depth } = reader;
  const size = width * height * channels;
  const data = depth === 16 ? new Uint16Array(size) : new Uint8Array(size);
  for (let y = 0; y < height; y += 256) {
    const stripe = { x: 0, y, width, height: Math.min(256, height - y) };
    data.set((await reader.read(stripe, signal)).data, y * width * channels);
  }
  return { width, height, channels, data };
}

function regionsOf({ width, height }: RawImage): Omit<ResultRegion, "channels">[] {
  const regions: Omit<ResultRegion, "channels">[] = [];
  for (let y = 0; y < height; y += REGION.height) {
    for (let x = 0; x < width; x += REGION.width) {
      const across = Math.min(REGION.width, width - x);
      regions.push({ x, y, width: across, height: Math.min(REGION.height, height - y) });
    }
  }
  return regions;
}

/** The image by nearest neighbour, four times as wide and high or in another size. */
export function nearest(
  { width, height, channels, data }: RawImage,
  outWidth = width * 4,
  outHeight = height * 4,
): RawImage {
  const size = outWidth * outHeight * channels;
  const out = data instanceof Uint16Array ? new Uint16Array(size) : new Uint8Array(size);
  for (let y = 0; y < outHeight; y++) {
    const row = Math.floor((y * height) / outHeight) * width;
    for (let x = 0; x < outWidth; x++) {
      const from = (row + Math.floor((x * width) / outWidth)) * channels;
      const to = (y * outWidth + x) * channels;
      for (let c = 0; c < channels; c++) out[to + c] = data[from + c] as number;
    }
  }
  return { width: outWidth, height: outHeight, channels, data: out };
}

function withDepth(image: RawImage, depth: 8 | 16 | undefined): RawImage {
  const isDeep = image.data instanceof Uint16Array;
  if (depth === undefined || (depth === 16) === isDeep) return image;
  const data = isDeep
    ? Uint8Array.from(image.data, (value) => Math.round(value / 257))
    : Uint16Array.from(image.data, (value) => value * 257);
  return { ...image, data };
}
