/** What callers choose and what they get: the option and result types of the public API. */

/** The least `UpscaleOptions.tile`, in output pixels. */
export const MIN_TILE = 64;

/** The least `UpscaleOptions.region`, in pixels of the ×4 picture. */
export const MIN_REGION = 256;

/**
 * Interleaved pixels, rows from the top; `data.length` is width · height · channels. They are taken as they are, in whatever RGB
 * they are in: nothing converts them.
 */
export interface RawImage {
  /** Columns. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** 1: grey; 2: grey and alpha; 3: RGB; 4: RGBA. Alpha is not premultiplied. */
  readonly channels: 1 | 2 | 3 | 4;
  /** 8 bits a channel, or 16: 0 … 65535. May lie in shared memory; it is copied. */
  readonly data: Uint8Array | Uint8ClampedArray | Uint16Array;
  /** What the colours mean, for whoever shows them; a result has that of its input. Absent: sRGB. */
  readonly colorSpace?: "srgb" | "display-p3";
}

/** A rectangle in pixels, from the top left. */
export interface PixelRectangle {
  /** Its first column. */
  readonly x: number;
  /** Its first row. */
  readonly y: number;
  /** Columns. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/**
 * A picture that is read where it is needed, for those that should not lie in memory as a whole. Rectangles come in the
 * order of the regions, with overlaps, some of them twice; each must be the same whenever it is read.
 */
export interface ImageReader extends Omit<RawImage, "data"> {
  /** Bits a channel. */
  readonly depth: 8 | 16;
  /** The pixels of a rectangle that lies within the picture, in its channels and depth. */
  read(rectangle: PixelRectangle, signal?: AbortSignal): Promise<RawImage> | RawImage;
}

/** A finished part of a result. All parts together are the result, without overlaps. */
export interface ResultRegion extends PixelRectangle {
  /** As in `RawImage`: the pixels of this rectangle alone. */
  readonly channels: RawImage["channels"];
  /** In the depth of the result. Nobody else uses them. Absent with `output: "texture"`. */
  readonly data?: Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;
  /** With `output: "texture"`: the texture of the result, in which this rectangle is finished. */
  readonly texture?: GPUTexture;
  /** In a call with several settings: the number of the result, from 0 on. */
  readonly result?: number;
}

/**
 * Which regions come first: those in rows from the top, those in the middle of the picture, or those nearest to a point of it,
 * (0, 0) at the top left and (1, 1) at the bottom right.
 */
export type RegionOrder = "rows" | "middle" | { readonly x: number; readonly y: number };

/**
 * The size of a result in pixels. With one side the other follows the picture's shape. With both, `fit` says what happens to
 * another shape: "inside" stays within both, "outside" covers both, "fill" stretches. Default "inside".
 */
export interface ResultSize {
  /** Columns. */
  readonly width?: number;
  /** Rows. */
  readonly height?: number;
  /** For pictures of another shape. */
  readonly fit?: "inside" | "outside" | "fill";
}

/** A stage of the pipeline, in order. */
export type Stage = "load" | "preprocess" | "tokens" | "encode" | "unet" | "decode" | "color";

/** A stage of a call on a loaded model. */
export type RunStage = Exclude<Stage, "load">;

/** A stage that is a network. */
export type NetworkStage = "tokens" | "encode" | "unet" | "decode";

/** How far a call is. */
export interface Progress {
  /** The stage under way. */
  readonly stage: Stage;
  /** 0 … 1 within the stage. */
  readonly stageFraction: number;
  /** 0 … 1 of the whole call, by the time that its parts should take; never decreasing. */
  readonly fraction: number;
  /**
   * Milliseconds to the end of the call, from the times of earlier ones on this device and from the pace of this one. Absent
   * while it would be a guess: on a device that is not known yet, and while a model loads.
   */
  readonly leftMs?: number;
  /** Of a picture that is computed in regions: the pixels of the result that the one under way makes. */
  readonly region?: PixelRectangle;
  /** While loading. */
  readonly bytesLoaded?: number;
  /** While loading: bytes of all weights. */
  readonly bytesTotal?: number;
}

/** Storage of weights and activations; "auto" chooses by the device. */
export type Precision = "auto" | "f32" | "f16";

/**
 * Where between fidelity and realism: a name, or a number from 0 (fidelity, timestep 249) to 1 (realism, 749). Between them a
 * model may have a table of its own, so that equal steps of the number change the picture alike.
 * "auto" predicts from the image how far it is degraded and takes the timestep that was trained for that; only
 * where the model has a module for it (`supportsAuto`).
 */
export type RealismSetting = "fidelity" | "neutral" | "realism" | "auto" | number;

/**
 * Another realism for a region of the picture. The mask covers the whole input image and may have any size; it is
 * averaged to latent resolution (8 output pixels in the full model), where the predictions are blended.
 */
export interface RealismMask {
  /** Row-major, one byte per mask pixel: 0 is `realism` of the options, 255 is `realism` below. */
  readonly data: Uint8Array | Uint8ClampedArray;
  /** Columns of the mask. */
  readonly width: number;
  /** Rows of the mask. */
  readonly height: number;
  /** Where the mask is 255. */
  readonly realism: RealismSetting;
}

/** What to see of a call's networks. */
export interface InspectOptions {
  /** Times every pass on the device; the call takes longer. Default false. */
  readonly passes?: boolean;
  /**
   * Values to read, by names that `model.modules()` lists. Capturing a module keeps its output out of fusions, which
   * in f16 rounds it once more. Modules of "tokens" and "encode" make these stages run again. Module paths need the
   * stage to run in one piece, untiled; with a `realismMask` those of "unet" are of the run at `maskTimestep`.
   */
  readonly captures?: readonly string[];
}

/** One step of a network on the device. */
export interface PassTime {
  /** The stage that it belongs to. */
  readonly stage: NetworkStage;
  /** The module path. */
  readonly label: string;
  /** Name of its kernel. */
  readonly kernel: string;
  /** The variant that was chosen. */
  readonly variant: string;
  /** Label of its first shader: the variant and what is fused into it. */
  readonly shader: string;
  /** Floating-point operations of it. */
  readonly flops: number;
  /** Bytes that it must at least read and write. */
  readonly bytes: number;
  /** From the beginning of the first pass of the call. */
  readonly startMs: number;
  /** Milliseconds on the device. */
  readonly durationMs: number;
}

/** A value on the host, without the padding of channels. */
export interface Capture {
  /** The stage that it was read from. */
  readonly stage: NetworkStage;
  /** Row-major. */
  readonly data: Float32Array;
  /** [1, height, width, channels], or [1, tokens, channels]. */
  readonly shape: readonly number[];
  /** Of queries and keys. */
  readonly numHeads?: number;
}

/** What a call showed of its networks. */
export interface Inspection {
  /**
   * The steps of the networks that ran, in order; not resizes, colour fix, the VAE in tiles. Absent where the device
   * has no `timestamp-query`. Browsers round the times, Chrome to 0.1 ms.
   */
  readonly passes?: readonly PassTime[];
  /** By the requested names. */
  readonly captures: Readonly<Record<string, Capture>>;
}

/** Options of one call. */
export interface UpscaleOptions {
  /** Default "fidelity". */
  readonly realism?: RealismSetting;
  /**
   * The UNet computes a second timestep, on large images only of the tiles that the mask touches. A mask that is all 0
   * or all 255, or whose setting is the same, costs and changes nothing. Outside the mask the latents are those of
   * `realism` alone, but the picture is not bit for bit: the decoder's normalisations and the colour fix use
   * statistics of the whole picture.
   */
  readonly realismMask?: RealismMask;
  /** The timestep itself, 0 … 999, instead of `realism`. Only 249, 499 and 749 were trained. */
  readonly timestep?: number;
  /** Default: what the model's configuration says ("adain" for RCOD_O). */
  readonly colorFix?: "adain" | "wavelet" | "none";
  /** Samples the latent posterior with this seed, an integer of 32 bits. Default: its mean, which needs no randomness. */
  readonly seed?: number;
  /**
   * Output pixels per input pixel along a side, 1 … 4 (the model's `upscale`), fractions too; sides are rounded. Networks always
   * enlarge ×4; the result is reduced by Lanczos. Not with `size`. Default: the model's `upscale`.
   */
  readonly scale?: number;
  /**
   * The size of the result, at most ×4 of the picture. Where it is smaller than the picture, the picture is reduced to it first.
   * Default: as `scale` says.
   */
  readonly size?: ResultSize;
  /**
   * Whether a picture is first halved, as often as the networks' ×4 still reaches the result's size, where that loses nothing that
   * can be seen: of a blurred one computed from a quarter of its sides the networks make details. Not for textures and
   * `reference`. `notes` tell. Default true.
   */
  readonly reduceInput?: boolean;
  /**
   * Side of regions in pixels of the ×4 picture, ≥ 256: a larger picture is computed in overlapping regions of at most this
   * side. Default: regions only where the whole does not fit the device, as large as fit.
   */
  readonly region?: number;
  /** Which regions are computed first. Default: "rows" for `output: "regions"`, else "middle". */
  readonly regionOrder?: RegionOrder;
  /** Hears of every finished part of the result, also where the picture is computed as a whole: then there is one. */
  readonly onRegion?: (region: ResultRegion) => void | Promise<void>;
  /** Goes on where a lost device has ended the same call: `resume` of the `DeviceLostError`. The parts so far do not come again. */
  readonly resume?: object;
  /**
   * Side of the VAE's tiles in output pixels, ≥ 64: a picture with a longer side is encoded and decoded in tiles.
   * Default: tiles only where the untiled pass does not fit the device. The result does not depend on it.
   */
  readonly tile?: number;
  /**
   * Reproduce the released program's quirks: Lanczos resize to a multiple of 8 instead of padding, 8-bit
   * truncation instead of rounding, asymmetric tile weights, the approximate VAE tiling at its sizes.
   */
  readonly reference?: boolean;
  /**
   * Whether the encoding of the last image may be used when the same object comes again. False when its pixels
   * have changed since, as those of a texture do. Default true.
   */
  readonly reuse?: boolean;
  /**
   * Bits a channel of the result. 16 are made of the decoder's f32 values, and of an input of 16 bits without rounding it to 8;
   * they take longer and are not for textures or `reference`. Default: those of the input.
   */
  readonly depth?: 8 | 16;
  /** "image" reads the pixels back; "texture" leaves them on the device. Default "image". */
  readonly output?: "image";
  /** Also gives the source enlarged by bicubic to the size of the result, as a texture. Default false. */
  readonly enlarged?: boolean;
  /** What to see of the networks. Default: nothing. */
  readonly inspect?: InspectOptions;
  /** Ends the call: it rejects at once with the signal's reason, and the GPU stops after the work under way. */
  readonly signal?: AbortSignal;
  /** Hears of finished work, often enough for a progress bar. */
  readonly onProgress?: (progress: Progress) => void;
}

/** Options of a call whose result stays on the device. */
export interface TextureOptions extends Omit<UpscaleOptions, "output"> {
  /** Leaves the pixels on the device. */
  readonly output: "texture";
}

/** Options of a call whose result is nowhere as a whole. */
export interface RegionsOptions extends Omit<UpscaleOptions, "output" | "enlarged"> {
  /** The parts that `onRegion` gets are all there is. The work goes on when the promise that it returns resolves. */
  readonly output: "regions";
  /** Takes the parts. */
  readonly onRegion: NonNullable<UpscaleOptions["onRegion"]>;
}

/**
 * Options of a call with a result for each of 1 … 8 settings, in their order: the picture is encoded once, and the UNet runs for all
 * together where memory allows. Not with `inspect` nor `output: "regions"`.
 */
export type SeveralOptions<Options extends UpscaleOptions | TextureOptions> = Omit<
  Options,
  "realism" | "timestep" | "inspect"
> &
  (
    | { readonly realism: readonly RealismSetting[]; readonly timestep?: undefined }
    | { readonly timestep: readonly number[]; readonly realism?: undefined }
  );

/** What a call did, and what it took. */
export interface UpscaleReport {
  /** The timestep given to the UNet. */
  readonly timestep: number;
  /** The same as a place: 0 is fidelity, 1 realism, also where "auto" chose it; outside of them for timesteps beyond. */
  readonly realism: number;
  /** With `realismMask`: the timestep of the masked region. */
  readonly maskTimestep?: number;
  /**
   * What "auto" decided by: the predicted latent metric M_L ≥ 0, the cosine similarity of the latents of this
   * image and of the unknown perfect one. Absent for other settings.
   */
  readonly predictedMetric?: number;
  /**
   * Wall time of each stage; a stage served from the cache of the same image takes about 0. The prediction of
   * "auto" counts as encoding.
   */
  readonly timingsMs: Readonly<Record<RunStage, number>>;
  /** Regions that the picture was computed in; 1 is the whole. */
  readonly regions: number;
  /** Stages taken from the encoding of the last image. */
  readonly reused: readonly Stage[];
  /** Peak device bytes during the call, weights included. */
  readonly peakBytes: number;
  /** Peak device bytes of activations alone. */
  readonly peakActivationBytes: number;
  /**
   * With `enlarged`: the source enlarged by bicubic, as large as the result, alpha included. Of the model's device,
   * rgba8unorm, usage TEXTURE_BINDING, RENDER_ATTACHMENT, COPY_SRC and COPY_DST; the caller destroys it.
   */
  readonly enlarged?: GPUTexture;
  /** With `inspect`. */
  readonly inspection?: Inspection;
  /** What a user should know, in sentences: parts of the model that run in f32 and not in f16, values that f16 clamped. */
  readonly notes?: readonly string[];
  /**
   * With `precision: "f16"`: how many stored values, or more, exceeded ±65,504 and were clamped to it, by stage. Absent where there
   * were none. "auto" runs such stages in f32 instead.
   */
  readonly saturated?: Readonly<Partial<Record<NetworkStage, number>>>;
}

/** An enlarged image, and how it came about. */
export interface UpscaleResult extends UpscaleReport {
  /** Channels as in the input, four for a texture; alpha is enlarged by bicubic. */
  readonly image: RawImage;
}

/** An enlarged image on the device, and how it came about. */
export interface TextureResult extends UpscaleReport {
  /**
   * The pixels, finished, with alpha as in `UpscaleResult` (255 for an image without). Of the model's device,
   * rgba8unorm, usage TEXTURE_BINDING, RENDER_ATTACHMENT, COPY_SRC and COPY_DST; the caller destroys it. Its
   * 4·width·height bytes are not in the peaks.
   */
  readonly texture: GPUTexture;
}

/** A result that went to `onRegion` in parts, and how it came about. */
export interface RegionsResult extends UpscaleReport {
  /** Columns of the result. */
  readonly width: number;
  /** Rows of the result. */
  readonly height: number;
  /** Channels of all parts. */
  readonly channels: RawImage["channels"];
}

type OneResultOf<Options> = Options extends { readonly output: "texture" }
  ? TextureResult
  : Options extends { readonly output: "regions" }
    ? RegionsResult
    : UpscaleResult;

/** What a call with such options resolves to: with a list of settings, to a list of results. */
export type ResultOf<Options> = Options extends
  | { readonly realism: readonly unknown[] }
  | { readonly timestep: readonly unknown[] }
  ? OneResultOf<Options>[]
  : OneResultOf<Options>;
