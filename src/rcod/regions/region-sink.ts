/** Where the finished parts of a result go. */
import type { Gpu } from "../../gpu/device.ts";
import { submittedWorkDone } from "../../gpu/transfer.ts";
import type { Samples } from "../images/raw-image.ts";
import { samplesIn, samplesLike } from "../images/raw-image.ts";
import type { Output } from "../images/textures.ts";
import { emptyTexture, writeTexture } from "../images/textures.ts";
import type { RawImage, UpscaleOptions } from "../settings/options.ts";
import { isSeveral } from "../settings/upscale-rules.ts";
import type { Pixels } from "../stages/finish.ts";
import type { FinishedPart } from "../tiles/region-blend.ts";
import type { ResultState } from "./region-run.ts";

/** What a result in parts is, apart from its pixels. */
export type ResultForm = Omit<RawImage, "data">;

/** The result of a call in regions, without its report. */
export type RegionPixels =
  | { readonly image: RawImage }
  | { readonly texture: GPUTexture }
  | ResultForm;

export interface RegionSink {
  take(part: FinishedPart): Promise<void>;
  /** When all parts are there. */
  finish(): Promise<RegionPixels>;
  /** Frees what nobody gets. */
  drop(): void;
}

/** The sink that `output` asks for; `onRegion` hears of every part. Of an image the parts so far are in `state`. */
export function regionSink(
  gpu: Gpu,
  output: Output,
  form: ResultForm,
  onRegion: UpscaleOptions["onRegion"],
  state: ResultState,
): RegionSink {
  const { width, height } = form;
  if (output === "regions") {
    return {
      take: async (part) => onRegion?.(part),
      finish: () => Promise.resolve(form),
      drop: () => undefined,
    };
  }
  if (output === "texture") {
    const texture = emptyTexture(gpu, "upscaled", width, height);
    return {
      async take({ data, ...part }) {
        writeTexture(gpu, texture, { ...part, data });
        await onRegion?.({ ...part, texture });
      },
      async finish() {
        await submittedWorkDone(gpu);
        return { texture };
      },
      drop: () => texture.destroy(),
    };
  }
  return {
    async take(part) {
      state.image ??= {
        ...form,
        data: samplesLike(part.data, width * height * form.channels),
      };
      paste(part, state.image);
      await onRegion?.(part);
    },
    finish() {
      if (state.image === undefined) throw new Error("internal: a result without parts");
      return Promise.resolve({ image: state.image });
    },
    drop: () => undefined,
  };
}

function paste({ x, y, width, height, channels, data }: FinishedPart, image: RawImage): void {
  for (let row = 0; row < height; row++) {
    const from = row * width * channels;
    const to = ((y + row) * image.width + x) * channels;
    image.data.set(data.subarray(from, from + width * channels), to);
  }
}

/** Hears of the parts of a result; with several it says of which they are. */
export function onRegionOf(options: UpscaleOptions, result: number): UpscaleOptions["onRegion"] {
  const { onRegion } = options;
  if (!onRegion || !isSeveral(options)) return onRegion;
  return (region) => onRegion({ ...region, result });
}

/** Tells of the one part that each result is of a picture which was computed as a whole. */
export async function deliverWhole(
  made: readonly Pixels[],
  output: Output,
  options: UpscaleOptions,
): Promise<(Pixels | ResultForm)[]> {
  const delivered: (Pixels | ResultForm)[] = [];
  for (const [i, pixels] of made.entries()) {
    const onRegion = onRegionOf(options, i);
    const { width, height } = "texture" in pixels ? pixels.texture : pixels.image;
    const rectangle = { x: 0, y: 0, width, height };
    if ("texture" in pixels) {
      await onRegion?.({ ...rectangle, channels: 4, texture: pixels.texture });
      delivered.push(pixels);
      continue;
    }
    const { data, ...form } = pixels.image;
    const { channels } = form;
    const isMoved = output === "regions";
    const own = onRegion && !isMoved ? samplesIn(pixels.image, rectangle) : (data as Samples);
    await onRegion?.({ ...rectangle, channels, data: own });
    delivered.push(isMoved ? form : pixels);
  }
  return delivered;
}
