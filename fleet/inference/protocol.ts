/** What the bookkeeping thread and the inference thread say to each other. Plain data; pixels stay in the inference thread. */
import type { ModelPaths } from "../../cli/model-paths.ts";
import type { JobReport } from "../../cli/upscale/report.ts";

/** What the inference thread is started with. */
export interface InferenceSetup extends ModelPaths {
  /** Switches for Dawn. */
  readonly dawnToggles: readonly string[];
  /** Name of the adapter, where there are several. */
  readonly adapter?: string;
  /** As of `loadModel`. */
  readonly lowMemory?: boolean;
  /** As of `loadModel`. */
  readonly autotune?: boolean;
  /** Pictures with more, all frames together, are refused. */
  readonly mostPixels: number;
}

/** A picture to upscale, from file to file. */
export interface PictureTask {
  /** A local file. */
  readonly input: string;
  /** A file that is not there yet, in a folder that is. */
  readonly output: string;
  /** Of the result: `output` is a temporary name that does not say it. */
  readonly format: string | undefined;
  /** Words as of `rcod upscale`. */
  readonly options: readonly string[];
}

/** Why a picture did not become a result. */
export type FailureKind =
  /** The picture or its options: another try may help, other pictures are not concerned. */
  | "picture"
  /** The result cannot be written: the disk is full or refuses. The message is the reason alone. */
  | "place"
  /** More than a job may ask for: another try would not help. */
  | "refused"
  /** The device was lost; the next picture gets a new one. */
  | "device"
  /** The model does not load here: no picture would work. */
  | "model"
  /** The task was aborted. */
  | "aborted";

export type ToInference =
  | { readonly kind: "task"; readonly id: number; readonly task: PictureTask }
  | { readonly kind: "abort"; readonly id: number };

export type FromInference =
  /** The GPU works on it. */
  | { readonly kind: "begun"; readonly id: number }
  | { readonly kind: "done"; readonly id: number; readonly report: JobReport }
  | { readonly kind: "note"; readonly text: string }
  | {
      readonly kind: "failed";
      readonly id: number;
      readonly why: FailureKind;
      readonly message: string;
    };
