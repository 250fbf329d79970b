/** What the page knows. */
import type { Progress } from "rcod-webgpu";
import type { Picture } from "./library/picture.ts";
import type { ActivityKind, Problem } from "./problems.ts";
import type {
  CanvasMode,
  DeviceInfo,
  Estimate,
  ImageCut,
  ImageInfo,
  ModelChoice,
  ModelInfo,
  PaintedMask,
  ResultBegun,
  ResultInfo,
} from "./protocol.ts";
import type { Settings } from "./settings.ts";

/** The picture that is open. */
export interface OpenImage extends ImageInfo {
  /** That of its `Picture`. */
  readonly id: string;
  readonly name: string;
  /** The file as it came, for cropping or shrinking it again. */
  readonly blob: Blob;
  /** The region of the file that is open, in the file's pixels. */
  readonly frame: Omit<ImageCut, "maxSide">;
  /** How it was cut or made smaller; null for the file as a whole. */
  readonly cut: ImageCut | null;
}

/** What the worker is doing for the visitor. */
export interface Activity {
  readonly kind: ActivityKind;
  readonly progress: Progress | null;
  /** The picture that it is done to, which need not be the open one. */
  readonly picture: string | null;
}

export interface AppState {
  readonly device: DeviceInfo | null;
  readonly isDeviceLost: boolean;
  /** Null until the device is known, unless the address says it. A canvas of another mode must be a new one. */
  readonly canvasMode: CanvasMode | null;
  readonly model: ModelInfo | null;
  readonly modelChoice: ModelChoice;
  /** The queue, in order. */
  readonly pictures: readonly Picture[];
  /** Whether all pictures that wait are upscaled, one after the other. */
  readonly isQueueRunning: boolean;
  readonly image: OpenImage | null;
  /** Name of a picture that is on its way to `image`. */
  readonly opening: string | null;
  /** Of the part of the picture that is open; newest last. */
  readonly results: readonly ResultInfo[];
  /** A result that is to be seen on the right; a new object for each wish. */
  readonly wanted: { readonly id: number } | null;
  /** The result of the open picture that is being made, where it comes in parts. */
  readonly partial: ResultBegun | null;
  /** Of the next run; null before a model and a picture are there. */
  readonly estimate: Estimate | null;
  /** What the engine has against the next run, said before it is made. */
  readonly refusal: string | null;
  readonly activity: Activity | null;
  readonly problem: Problem | null;
  /** Something worth a sentence that is no problem: files that were skipped, what is not kept. */
  readonly notice: string | null;
  readonly settings: Settings;
  /** Where realism acts, once painted. */
  readonly mask: PaintedMask | null;
}
