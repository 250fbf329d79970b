/** Where the finished parts of a result go. */
import type { Gpu } from "../../gpu/device.ts";
import { submittedWorkDone } from "../../gpu/transfer.ts";
import type { Samples } from "../images/raw-image.ts";
import { samplesIn, samplesLike } from "../images/raw-image.ts";
import type { Output } from "../images/textures.ts";
import { emptyTexture, writeTexture } from "../images/textures.ts";
import type { RawImage, UpscaleOptions } from "../settings/options.ts";
import type { Pixels } from "../stages/finish.ts";
import type { FinishedPart } from "../tiles/region-blend.ts";
import type { RegionState } from "./region-run.ts";

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
  { onRegion }: UpscaleOptions,
  state: RegionState,
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

/** Tells of the one part that a picture is which was computed as a whole. */
export async function deliverWhole(
  pixels: Pixels,
  output: Output,
  { onRegion }: UpscaleOptions,
): Promise<Pixels | ResultForm> {
  const whole = "texture" in pixels ? pixels.texture : pixels.image;
  const { width, height } = whole;
  const rectangle = { x: 0, y: 0, width, height };
  if ("texture" in pixels) {
    await onRegion?.({ ...rectangle, channels: 4, texture: pixels.texture });
    return pixels;
  }
  const { data, ...form } = pixels.image;
  const { channels } = form;
  if (output === "regions") {
    await onRegion?.({ ...rectangle, channels, data: data as Samples });
    return form;
  }
  await onRegion?.({ ...rectangle, channels, data: samplesIn(pixels.image, rectangle) });
  return pixels;
}
