/** One upscale: into a texture where the result fits one and is computed as a whole, else in parts that are seen as they come. */
import type {
  ImageReader,
  Progress,
  RcodModel,
  RegionOrder,
  RegionsResult,
  TextureResult,
  UpscaleOptions,
} from "rcod-webgpu";
import type { Blend, ResultBegun, UpscaleSettings } from "../protocol.ts";
import { Layer } from "./layer.ts";
import type { LayerStore } from "./layers.ts";

/** Of a picture that no texture holds: sides of its regions in pixels of the ×4 picture, so that parts come early. */
const PART_SIDE = 4096;

export interface UpscaleRun {
  readonly model: RcodModel;
  readonly image: ImageData;
  readonly layers: LayerStore;
  readonly settings: UpscaleSettings;
  /** What is seen in place of parts that are not there yet; null: bicubic. */
  readonly under: Blend | null;
  /** Where the visitor looks: parts come there first. */
  readonly lookedAt: RegionOrder;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  /** Hears of a result that comes in parts. */
  readonly onBegin: (begun: ResultBegun) => void;
  /** Hears that another part is there to be seen. */
  readonly onPart: () => void;
}

/** A result in the store, and what it took. */
export interface Upscaled {
  readonly id: number;
  readonly width: number;
  readonly height: number;
  readonly dropped: readonly number[];
  readonly report: TextureResult | RegionsResult;
}

export async function upscaleImage(run: UpscaleRun): Promise<Upscaled> {
  const { model, image, settings, signal, onProgress } = run;
  const { width, height } = image;
  const options = upscaleOptions(settings);
  const { outWidth, outHeight, regions } = await model.estimate({ width, height, ...options });
  const longest = Math.max(outWidth, outHeight);
  const isLong = longest > model.gpu.device.limits.maxTextureDimension2D;
  const all = { ...options, signal, onProgress };
  if (regions === 1 && !isLong) return inTexture(run, all, outWidth, outHeight);
  return inParts(run, isLong ? { ...all, region: PART_SIDE } : all, outWidth, outHeight);
}

/** Results at several places of realism, encoded once, of a picture that one texture holds; they make no room. */
export async function upscaleAtPlaces(
  {
    model,
    image,
    layers,
    settings,
    signal,
    onProgress,
  }: Omit<UpscaleRun, "under" | "lookedAt" | "onBegin" | "onPart">,
  places: readonly number[],
): Promise<readonly Upscaled[]> {
  const options = { ...upscaleOptions(settings), signal, onProgress };
  const results = await model.upscale(image, { ...options, realism: places, output: "texture" });
  return results.map((report) => {
    const { width, height } = report.texture;
    const id = layers.addAhead(Layer.of(report.texture));
    return { id, dropped: [], width, height, report };
  });
}

async function inTexture(
  { model, image, layers }: UpscaleRun,
  options: UpscaleOptions,
  width: number,
  height: number,
): Promise<Upscaled> {
  const enlarged = layers.needsEnlarged(image, width, height);
  const result = await model.upscale(image, { ...options, output: "texture", enlarged });
  if (result.enlarged) layers.setEnlarged(image, result.enlarged);
  const { id, dropped } = layers.add(Layer.of(result.texture));
  return { id, dropped, width, height, report: result };
}

async function inParts(
  { model, image, layers, under, lookedAt, onBegin, onPart }: UpscaleRun,
  options: UpscaleOptions,
  width: number,
  height: number,
): Promise<Upscaled> {
  const { id, layer, dropped } = layers.begin(image, width, height, under);
  onBegin({ id, width, height, dropped });
  try {
    const report = await model.upscale(readerOf(image), {
      ...options,
      output: "regions",
      regionOrder: lookedAt,
      onRegion: ({ data, ...place }) => {
        if (!data) throw new Error("internal: a part without pixels");
        layer.write(model.gpu.device.queue, { ...place, data });
        onPart();
      },
    });
    layers.finish(id);
    return { id, dropped, width, height, report };
  } catch (error) {
    layers.drop(id);
    throw error;
  }
}

/** Pixels that the engine need not copy as a whole. */
function readerOf({ width, height, data }: ImageData): ImageReader {
  return {
    width,
    height,
    channels: 4,
    depth: 8,
    read: ({ x, y, ...size }) => {
      const part = new Uint8ClampedArray(size.width * size.height * 4);
      for (let row = 0; row < size.height; row++) {
        const from = ((y + row) * width + x) * 4;
        part.set(data.subarray(from, from + size.width * 4), row * size.width * 4);
      }
      return { ...size, channels: 4, data: part };
    },
  };
}

/** Settings of the page as the engine has them. */
export function upscaleOptions({
  realism,
  colorFix,
  seed,
  scale,
  size,
  mask,
}: UpscaleSettings): Omit<UpscaleOptions, "timestep" | "inspect" | "output"> {
  return {
    realism,
    ...(size ? { size } : { scale }),
    ...(colorFix !== "model" && { colorFix }),
    ...(seed !== null && { seed }),
    ...(mask && { realismMask: mask }),
  };
}
