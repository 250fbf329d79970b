/** What callers choose and what they get: the option and result types of the public API. */
import type { RawImage } from "./image-ops.ts";

/** A stage of the pipeline, in order. */
export type Stage = "load" | "preprocess" | "tokens" | "encode" | "unet" | "decode" | "color";

/** How far a call is. */
export interface Progress {
  /** The stage under way. */
  readonly stage: Stage;
  /** 0 … 1 within the stage. */
  readonly stageFraction: number;
  /** 0 … 1 of the whole call, never decreasing. */
  readonly fraction: number;
  /** While loading. */
  readonly bytesLoaded?: number;
  /** While loading: bytes of all weights. */
  readonly bytesTotal?: number;
}

/** Storage of weights and activations; "auto" chooses by the device. */
export type Precision = "auto" | "f32" | "f16";

/** Options of one call. */
export interface UpscaleOptions {
  /**
   * Where between fidelity and realism: a name, or a number from 0 (fidelity, timestep 249) to 1 (realism,
   * 749). "auto" predicts from the image how far it is degraded and takes the timestep that was trained for
   * that; only where the model has a `mem/` (`supportsAuto`). Default "fidelity".
   */
  readonly realism?: "fidelity" | "neutral" | "realism" | "auto" | number;
  /** The timestep itself, 0 … 999, instead of `realism`. Only 249, 499 and 749 were trained. */
  readonly timestep?: number;
  /** Default: what the model's configuration says ("adain" for RCOD_O). */
  readonly colorFix?: "adain" | "wavelet" | "none";
  /** Samples the latent posterior with this seed. Default: its mean, which needs no randomness. */
  readonly seed?: number;
  /**
   * Side in output pixels above which, and of tiles into which, the VAE is cut. Default: only where the
   * untiled pass does not fit the device. The result does not depend on it.
   */
  readonly tile?: number;
  /**
   * Reproduce the released program's quirks: Lanczos resize to a multiple of 8 instead of padding, 8-bit
   * truncation instead of rounding, asymmetric tile weights, the approximate VAE tiling at its sizes.
   */
  readonly reference?: boolean;
  /** Ends the call, after the GPU work under way; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Hears of finished work, often enough for a progress bar. */
  readonly onProgress?: (progress: Progress) => void;
}

/** An enlarged image, and how it came about. */
export interface UpscaleResult {
  /** Channels as in the input; alpha is enlarged by bicubic. */
  readonly image: RawImage;
  /** The timestep given to the UNet. */
  readonly timestep: number;
  /**
   * What "auto" decided by: the predicted latent metric M_L ≥ 0, the cosine similarity of the latents of this
   * image and of the unknown perfect one. Absent for other settings.
   */
  readonly predictedMetric?: number;
  /**
   * Wall time of each stage; a stage served from the cache of the same image takes about 0. The prediction of
   * "auto" counts as encoding.
   */
  readonly timingsMs: Readonly<Record<Exclude<Stage, "load">, number>>;
  /** Peak device bytes during the call, weights included. */
  readonly peakBytes: number;
  /** Peak device bytes of activations alone. */
  readonly peakActivationBytes: number;
}
