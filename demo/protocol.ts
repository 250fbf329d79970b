/** What the page and the worker that owns the device say to each other. Everything here can be cloned. */
import type { ResultSize, Stage } from "rcod-webgpu";
import type { BenchmarkArgs, BenchmarkRecord } from "./tabs/benchmark/record.ts";
import type { InsideArgs, InsideRecord } from "./tabs/inside/record.ts";
import type { VerifyArgs, VerifyOutcome } from "./tabs/verify/outcome.ts";
import type { UpdatePort } from "./update-port.ts";

/** Where the model comes from: one of the page's, a folder from disk, or an address. */
export type ModelChoice =
  | { readonly kind: "embedded"; readonly weights: "int8" | "f16"; readonly url: string }
  | { readonly kind: "folder"; readonly name: string; readonly files: readonly File[] }
  | {
      readonly kind: "directory";
      readonly name: string;
      readonly handle: FileSystemDirectoryHandle;
    }
  | { readonly kind: "url"; readonly url: string };

export type Precision = "auto" | "f32" | "f16";
export type ColorFix = "model" | "adain" | "wavelet" | "none";
export type Realism = "auto" | number;

/** How a canvas is drawn: by WebGPU itself, or from a texture that is read back at the size of the view. */
export type CanvasMode = "webgpu" | "2d";

export interface DeviceInfo {
  /** What the adapter calls itself; "WebGPU adapter" where a browser keeps that to itself. */
  readonly name: string;
  readonly isSoftware: boolean;
  readonly hasShaderF16: boolean;
  readonly maxBindingBytes: number;
}

export interface ModelInfo {
  readonly name: string;
  /** Equal only for the same model at the same precision (`model-key.ts`). */
  readonly key: string;
  readonly upscale: number;
  readonly precision: "f32" | "f16";
  /** The integers that matrices are: "int8", "int4" or both; null where all are floats. */
  readonly weights: string | null;
  readonly supportsAuto: boolean;
  /** Device bytes that are in use once the model is loaded. */
  readonly bytes: number;
  readonly loadMs: number;
}

/** In pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface ImageInfo {
  /** Counts the pictures that were opened: which one a drawing is of. */
  readonly serial: number;
  readonly width: number;
  readonly height: number;
  /** Of the whole file, of which this may be a part or a smaller copy; null where its head does not tell. */
  readonly file: Size | null;
  /** What of the file is not in the picture, a sentence each. */
  readonly notes: readonly string[];
}

/** A region of a picture in its own pixels, and the longest side that it is reduced to. */
export interface ImageCut {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly maxSide?: number;
}

/** A picture as the worker gets it. */
export interface PictureSource {
  /** Equal only for the same part of the same picture. */
  readonly key: string;
  readonly blob: Blob;
  readonly cut: ImageCut | null;
}

/** What a file shows, small, and its size. */
export interface Thumbnail {
  readonly blob: Blob;
  readonly width: number;
  readonly height: number;
}

/** A result as files. */
export interface ResultFiles {
  /** PNG. */
  readonly file: Blob;
  readonly thumbnail: Blob;
}

/** Weight of `realism` at each pixel: 0 keeps the slider's setting, 255 takes the mask's. */
export interface PaintedMask {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly realism: number;
}

export interface UpscaleSettings {
  readonly realism: Realism;
  readonly colorFix: ColorFix;
  readonly seed: number | null;
  /** Pixels of the result for one of the picture, along a side; with `size` rounded, to be read. */
  readonly scale: number;
  /** One side of the result in pixels, in place of `scale`. */
  readonly size: ResultSize | null;
  readonly mask: PaintedMask | null;
}

/** Of a picture that need not be open. */
export interface EstimateArgs extends UpscaleSettings {
  readonly picture: Size;
}

export type StageTimings = Readonly<Record<Exclude<Stage, "load">, number>>;

/** A result that comes in parts; until they are there it shows a blend of results or the picture enlarged by bicubic. */
export interface ResultBegun {
  readonly id: number;
  readonly width: number;
  readonly height: number;
  /** Results that are gone: they made room for it and had not become files. */
  readonly dropped: readonly number[];
}

/** What an upscale would take. */
export interface Estimate {
  /** Pixels of the result. */
  readonly width: number;
  readonly height: number;
  /** Parts that the picture would be computed in. */
  readonly regions: number;
  /** Floating-point operations of all stages together. */
  readonly work: number;
  /** Null where no run on this device has told yet. */
  readonly timeMs: number | null;
  readonly peakBytes: number;
  readonly advice: readonly string[];
}

/** One finished upscale. Its pixels stay in the worker, as textures or as a file that they are decoded from again. */
export interface ResultInfo {
  /** Never used twice, also not by results that a later visit brings back. */
  readonly id: number;
  readonly width: number;
  readonly height: number;
  readonly settings: UpscaleSettings;
  /** `ModelInfo.key` of the model that made it. */
  readonly model: string;
  /** The place on the slider that was used, also where "auto" chose it. */
  readonly realism: number;
  readonly timestep: number;
  readonly predictedMetric: number | null;
  readonly timingsMs: StageTimings;
  /** Regions that the picture was computed in. */
  readonly regions: number;
  /** Stages that were served from the last encoding of the same picture. */
  readonly reused: readonly Stage[];
  /** What the model says of its numbers. */
  readonly notes: readonly string[];
  readonly totalMs: number;
  readonly peakBytes: number;
  /** Results that are gone: they made room for this one and had not become files. */
  readonly dropped: readonly number[];
}

/** What can be looked at: the picture enlarged by bicubic, a blend of two results, or a result. */
export type LayerId = "bicubic" | "blend" | number;

/** Two results of equal size that are drawn as one picture between them. */
export interface Blend {
  readonly from: number;
  readonly to: number;
  /** 0: `from` alone; 1: `to` alone. */
  readonly share: number;
}

export type CompareMode = "single" | "split" | "side" | "flicker" | "difference";

/** Everything that decides how the canvas looks; lengths in device pixels. */
export interface ViewState {
  /** Of the picture. */
  readonly serial: number;
  readonly canvasWidth: number;
  readonly canvasHeight: number;
  readonly mode: CompareMode;
  /** `single`, `flicker` show `left`; the others both. */
  readonly left: LayerId;
  readonly right: LayerId;
  /** The layer "blend". */
  readonly blend: Blend | null;
  /** Place of the divider, 0 … 1 of the canvas. */
  readonly divider: number;
  /** Canvas pixels per pixel of the result. */
  readonly scale: number;
  /** The result's pixel in the middle of the canvas (of each half, side by side). */
  readonly centre: readonly [x: number, y: number];
  /** Pixels of the result. */
  readonly picture: readonly [width: number, height: number];
}

/** What the canvas shows now: the worker draws a little later than it is told. */
export interface Drawn {
  /** Of the picture; 0 where nothing is drawn yet. */
  readonly serial: number;
  /** Until the pixels of a picture are read, its bitmap is drawn on a canvas of its own. */
  readonly source: "bitmap" | "pixels";
  readonly mode: CompareMode;
  readonly left: LayerId;
  readonly right: LayerId;
}

/** Bytes on the device. */
export interface DeviceMemory {
  /** The engine's buffers. */
  readonly engine: number;
  /** Textures of the picture and of its results. */
  readonly pictures: number;
}

export interface SaveOptions {
  readonly result: number;
  readonly type: "image/png" | "image/jpeg" | "image/webp";
  /** 0 … 1; PNG ignores it. */
  readonly quality?: number;
}

/** Commands of the page: name → what it takes, what it gives. All are cancelled by an AbortSignal. */
export interface Commands {
  start: { args: { readonly withoutFeatures?: readonly string[] }; result: DeviceInfo };
  /** Hands the canvas to the worker; a later canvas replaces it. */
  attachCanvas: {
    args: { readonly canvas: OffscreenCanvas; readonly mode: CanvasMode };
    result: void;
  };
  loadModel: {
    args: { readonly choice: ModelChoice; readonly precision: Precision };
    result: ModelInfo;
  };
  /** Hands over the canvas for bitmaps; `drawn` tells what is seen on both. */
  attachPreview: {
    args: { readonly canvas: OffscreenCanvas; readonly drawn: UpdatePort<Drawn> };
    result: void;
  };
  /** Shows a picture at once; its pixels are there after `readImage`. */
  openImage: { args: PictureSource; result: ImageInfo };
  readImage: { args: null; result: void };
  thumbnail: { args: { readonly blob: Blob }; result: Thumbnail };
  /** Null before a model is there. Rejects as the run would. */
  estimate: { args: EstimateArgs; result: Estimate | null };
  upscale: {
    args: UpscaleSettings & {
      readonly source: PictureSource;
      /** What is seen until parts are there; null: the picture enlarged by bicubic. */
      readonly under: Blend | null;
      readonly updates: UpdatePort<ResultBegun>;
    };
    result: ResultInfo;
  };
  /** Results that nobody has asked for, at several places of realism; of a picture that is computed as a whole. */
  upscaleAhead: {
    args: UpscaleSettings & { readonly places: readonly number[] };
    result: readonly ResultInfo[];
  };
  /** Makes files of a result, which from now on can be looked at also without its textures. */
  keepResult: { args: { readonly result: number }; result: ResultFiles };
  /** Results of an earlier visit; their ids are not given again. */
  restoreResults: {
    args: { readonly files: readonly (readonly [id: number, file: Blob])[] };
    result: void;
  };
  forgetResults: { args: { readonly results: readonly number[] }; result: void };
  save: { args: SaveOptions; result: Blob };
  benchmark: { args: BenchmarkArgs; result: BenchmarkRecord };
  inside: { args: InsideArgs; result: InsideRecord };
  verify: { args: VerifyArgs; result: VerifyOutcome };
  /** For tests: what lies on the device. */
  deviceMemory: { args: null; result: DeviceMemory };
  /** For tests of the recovery: the device goes away as after a driver reset. */
  destroyDevice: { args: null; result: void };
}

export type CommandName = keyof Commands;
export type CommandArgs<N extends CommandName> = Commands[N]["args"];
export type CommandResult<N extends CommandName> = Commands[N]["result"];

/** From the page; answers, progress and errors are those of the package's `Connection`. */
export type ToWorker =
  | {
      [N in CommandName]: {
        readonly kind: "call";
        readonly call: number;
        readonly name: N;
        readonly args: CommandArgs<N>;
      };
    }[CommandName]
  | { readonly kind: "view"; readonly view: ViewState };
