/** What the page asks of an inspected upscale and what comes back: everything that is drawn, small enough to post. */
import type { Capture, NetworkPlan, NetworkStage, PassTime } from "rcod-webgpu";

export interface InsideArgs {
  /** "auto" where the model can choose by itself. */
  readonly realism: "auto" | number;
  /** Module paths, and queries and keys of attention; "default" takes a few, and what the stages hand on. */
  readonly captures: "default" | readonly string[];
  /** Longest side of the middle of the picture that is taken. */
  readonly maxSide: number;
}

/** One channel of a captured map, 0 … 255 between its least and its largest value. */
export interface ChannelView {
  readonly index: number;
  readonly low: number;
  readonly high: number;
  readonly grey: Uint8ClampedArray<ArrayBuffer>;
}

/** A captured value as pictures of `width` × `height`. */
export interface CaptureView {
  readonly name: string;
  readonly stage: string;
  readonly shape: readonly number[];
  readonly width: number;
  readonly height: number;
  /** RGBA: the three directions of largest variance as red, green and blue. */
  readonly rgb: Uint8ClampedArray<ArrayBuffer>;
  /** Share of the variance that they hold. */
  readonly explained: number;
  /** The liveliest channels. */
  readonly channels: readonly ChannelView[];
}

export interface MetricChoice {
  /** The predicted M_L; null where it was not requested, or the model cannot. */
  readonly metric: number | null;
  readonly isPredictable: boolean;
  readonly thresholds: readonly [number, number];
  readonly timesteps: {
    readonly fidelity: number;
    readonly neutral: number;
    readonly realism: number;
  };
}

export interface InsideRecord {
  /** The region of the picture that went in. */
  readonly source: {
    readonly width: number;
    readonly height: number;
    readonly rgba: Uint8ClampedArray<ArrayBuffer>;
  };
  /** Pixels of the enlarged picture, along each side, that one place of the latents stands for. */
  readonly latentFactor: number;
  readonly timestep: number;
  /** The trained constant a of the one-step formula. */
  readonly alpha: number;
  /** Null where the device has no timestamps. */
  readonly passes: readonly PassTime[] | null;
  readonly networks: readonly NetworkPlan[];
  readonly captures: readonly CaptureView[];
  /** Queries and keys as they came, by name. */
  readonly attention: Readonly<Record<string, Capture>>;
  readonly choice: MetricChoice;
  /** What can be captured, by stage. */
  readonly modules: Readonly<Record<NetworkStage, readonly string[]>>;
}
