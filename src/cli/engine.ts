/** What the command line asks of the engine. */
import type { Gpu } from "../gpu/device.ts";

/** Interleaved 8-bit sRGB, rows from the top; `data.length` is width · height · channels. */
export interface RawImage {
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
  readonly data: Uint8Array | Uint8ClampedArray;
}

export type Stage = "load" | "preprocess" | "tokens" | "encode" | "unet" | "decode" | "color";

export interface Progress {
  readonly stage: Stage;
  /** 0…1 within the stage. */
  readonly stageFraction: number;
  /** 0…1 of the whole call, never decreasing. */
  readonly fraction: number;
  readonly bytesLoaded?: number;
  readonly bytesTotal?: number;
}

export type Precision = "auto" | "f32" | "f16";

export interface UpscaleOptions {
  readonly realism?: "fidelity" | "neutral" | "realism" | number;
  readonly timestep?: number;
  readonly colorFix?: "adain" | "wavelet" | "none";
  readonly seed?: number;
  readonly tile?: number;
  readonly reference?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface UpscaleResult {
  readonly image: RawImage;
  readonly timestep: number;
  readonly timingsMs: Readonly<Record<string, number>>;
  readonly peakBytes: number;
}

export interface Model {
  upscale(image: RawImage, options?: UpscaleOptions): Promise<UpscaleResult>;
  readonly precision: "f32" | "f16";
  dispose(): void;
}

export type LoadModel = (
  folder: string,
  options: {
    readonly gpu: Gpu;
    readonly precision?: Precision;
    readonly signal?: AbortSignal;
    readonly onProgress?: (progress: Progress) => void;
  },
) => Promise<Model>;

/** Output pixels per input pixel along each side. */
export const SCALE = 4;

/** The engine's loader, imported only once a command needs it. */
export async function engineLoader(): Promise<LoadModel> {
  throw new Error("internal: this build has no engine connected to the command line");
}
