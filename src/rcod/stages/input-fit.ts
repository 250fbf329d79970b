/** How much of a picture the networks get: all of it, or what its result can show. */
import type { Gpu } from "../../gpu/device.ts";
import { wholeAxis } from "../../kernels/image/resample-weights.ts";
import type { HostPicture } from "../deep/reduce-input.ts";
import { reduceImage } from "../images/image-ops.ts";
import type { Size } from "../images/result-size.ts";
import { halfOf } from "../images/result-size.ts";
import type { SourceImage } from "../images/source-image.ts";
import { isOnDevice, isReader } from "../images/source-image.ts";
import type { RcodConfig } from "../settings/config.ts";
import type { ImageReader, UpscaleOptions } from "../settings/options.ts";

/** What a call has of its picture. */
export type CallSource = SourceImage | ImageReader;

/** What a call says of it. */
export interface FitCall {
  /** Stands for the picture. */
  readonly identity: object;
  /** At most so large do the networks get it. */
  readonly size: Size;
  readonly result: Size;
  readonly options: UpscaleOptions;
}

/** What was made of a picture, on the host. */
interface Reduced {
  readonly identity: object;
  readonly input: string;
  /** Of the size `input`, where the picture is larger. */
  readonly whole: HostPicture | undefined;
  /** Its half, the half of that and so on: as many as were asked for, or can be. */
  readonly halves: HostPicture[];
  isComplete: boolean;
}

export class InputFit {
  readonly #gpu: Gpu;
  readonly #config: Pick<RcodConfig, "upscale" | "minSize">;
  #last: Reduced | undefined;

  constructor(gpu: Gpu, config: Pick<RcodConfig, "upscale" | "minSize">) {
    this.#gpu = gpu;
    this.#config = config;
  }

  /**
   * `source`, or a smaller picture in its place: as large as the call takes it, then halved while nothing is lost. What is new on
   * the device the caller frees.
   */
  async fit(
    source: CallSource,
    { identity, size: input, result, options }: FitCall,
  ): Promise<CallSource> {
    const { reference, reduceInput = true, reuse = true, signal } = options;
    const isLarger = source.width !== input.width || source.height !== input.height;
    if (!isReader(source) && isOnDevice(source)) {
      const across = wholeAxis(source.width, input.width);
      const down = wholeAxis(source.height, input.height);
      return isLarger ? reduceImage(this.#gpu, source, { kind: "reduce", across, down }) : source;
    }
    const halves = reduceInput && reference !== true && this.#mayHalve(input, result);
    if (!isLarger && !halves) return source;
    const { halvedPicture, reducedPicture } = await import("../deep/reduce-input.ts");
    const key = `${input.width}×${input.height}`;
    let last = this.#last;
    if (!reuse || last?.identity !== identity || last.input !== key) {
      this.#last = undefined;
      const whole = isLarger ? await reducedPicture(source, input, signal) : undefined;
      last = this.#last = { identity, input: key, whole, halves: [], isComplete: false };
    }
    let picture = last.whole ?? source;
    if (!halves) return picture;
    for (let i = 0; this.#mayHalve(picture, result); i++) {
      if (last.halves[i] === undefined && !last.isComplete) {
        const half = await halvedPicture(picture, signal);
        if (half) last.halves.push(half);
        else last.isComplete = true;
      }
      const half = last.halves[i];
      if (half === undefined) break;
      picture = half;
    }
    return picture;
  }

  /** Whether the networks make enough pixels of half a picture, which they would not pad. */
  #mayHalve(picture: Size, result: Size): boolean {
    const { upscale, minSize } = this.#config;
    const half = halfOf(picture);
    const isEnough = upscale * half.width >= result.width && upscale * half.height >= result.height;
    return isEnough && Math.min(half.width, half.height) >= minSize;
  }
}
