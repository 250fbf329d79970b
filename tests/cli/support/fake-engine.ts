/** An engine without a GPU: nearest-neighbour upscaling that reports and aborts like the real one. */
import type { LoadModel, Model } from "../../../cli/engine.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import type {
  Progress,
  RawImage,
  Stage,
  UpscaleOptions,
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
  /** Called before every image; may throw. */
  readonly onUpscale?: (image: RawImage) => void;
}

export function fakeEngine(options: FakeOptions = {}): FakeEngine {
  const events: string[] = [];
  const calls: UpscaleOptions[] = [];
  const model: Model = {
    precision: "f32",
    dispose: () => void events.push("dispose"),
    async upscale(image, upscaleOptions = {}) {
      events.push(`upscale ${image.width}x${image.height}x${image.channels}`);
      calls.push(upscaleOptions);
      options.onUpscale?.(image);
      for (const [index, stage] of STAGES.entries()) {
        upscaleOptions.onProgress?.(step(stage, index));
        await pause(options.stageMs ?? 0, upscaleOptions.signal);
      }
      const timingsMs = { preprocess: 1, tokens: 1, encode: 1, unet: 1, decode: 1, color: 1 };
      return {
        image: withDepth(nearest(image), upscaleOptions.depth),
        timestep: 499,
        ...(upscaleOptions.realism === "auto" && { predictedMetric: image.width / 8 }),
        timingsMs,
        reused: [],
        regions: 1,
        peakBytes: 1 << 20,
        peakActivationBytes: 1 << 19,
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

/** The image four times as wide and high, by nearest neighbour. */
export function nearest({ width, height, channels, data }: RawImage): RawImage {
  const size = width * 4 * height * 4 * channels;
  const out = data instanceof Uint16Array ? new Uint16Array(size) : new Uint8Array(size);
  for (let y = 0; y < height * 4; y++) {
    for (let x = 0; x < width * 4; x++) {
      const from = ((y >> 2) * width + (x >> 2)) * channels;
      const to = (y * width * 4 + x) * channels;
      for (let c = 0; c < channels; c++) out[to + c] = data[from + c] as number;
    }
  }
  return { width: width * 4, height: height * 4, channels, data: out };
}

function withDepth(image: RawImage, depth: 8 | 16 | undefined): RawImage {
  const isDeep = image.data instanceof Uint16Array;
  if (depth === undefined || (depth === 16) === isDeep) return image;
  const data = isDeep
    ? Uint8Array.from(image.data, (value) => Math.round(value / 257))
    : Uint16Array.from(image.data, (value) => value * 257);
  return { ...image, data };
}
