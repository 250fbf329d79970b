/**
 * The messages between a page and its worker. The worker itself gets one message for each model, which brings a port;
 * all other messages go through the port. So models share a worker with one another and with other code.
 */
import type { EstimateOptions } from "../rcod/estimate-call.ts";
import type { ModelSources } from "../rcod/loading/model-source.ts";
import type { RcodModel } from "../rcod/model.ts";
import type { Progress, RawImage, ResultRegion, UpscaleOptions } from "../rcod/settings/options.ts";
import type { ErrorRecord } from "./error-record.ts";

/** A folder in a form that can be cloned. Cloning a `File` loses its `webkitRelativePath`, so paths are sent beside. */
export type SentFolder =
  | string
  | ReadonlyMap<string, string>
  | FileSystemDirectoryHandle
  | { readonly files: readonly File[]; readonly paths: readonly string[] };

/** A file in a form that can be cloned. */
export type SentFile = string | Blob | FileSystemFileHandle;

/** A model source in a form that can be cloned. Addresses are absolute: a worker has another base than its page. */
export type SentSource = {
  readonly [Piece in keyof ModelSources]: Piece extends "model" | "clip" ? SentFolder : SentFile;
};

/** What the page knows of a loaded model. */
export type ModelFacts = Pick<RcodModel, "precision" | "caps" | "configs" | "supportsAuto">;

/** Page to worker, on the worker itself. */
export interface Connect {
  readonly kind: "rcod-connect";
  readonly port: MessagePort;
}

/** Page to worker, on the port of a model. Loading is call 0. */
export type Request =
  | { readonly kind: "load"; readonly source: SentSource; readonly options: object }
  | {
      readonly kind: "upscale";
      readonly call: number;
      /** Absent when the image is the one of the last call: the worker still has it. */
      readonly image?: RawImage | ImageBitmap;
      readonly options: Omit<UpscaleOptions, "signal" | "onProgress" | "onRegion" | "output"> & {
        readonly output?: "image" | "regions";
      };
      /** Whether the page has an `onRegion`. */
      readonly hearsRegions: boolean;
    }
  | { readonly kind: "estimate"; readonly call: number; readonly options: EstimateOptions };

/** Page to worker, on every port, whatever is called on it. */
export type Control =
  /** The last part was taken: the work goes on. */
  | { readonly kind: "taken"; readonly call: number }
  | { readonly kind: "abort"; readonly call: number }
  | { readonly kind: "dispose" };

/** Whether a message is for the port itself, not for what is behind it. */
export function isControl(data: object): data is Control {
  return "kind" in data && ["taken", "abort", "dispose"].includes(data.kind as string);
}

/** Worker to page, on the port. */
export type Reply =
  | { readonly kind: "progress"; readonly call: number; readonly progress: Progress }
  | { readonly kind: "region"; readonly call: number; readonly region: ResultRegion }
  | { readonly kind: "done"; readonly call: number; readonly value: unknown }
  | { readonly kind: "failed"; readonly call: number; readonly error: ErrorRecord }
  | { readonly kind: "lost"; readonly error: ErrorRecord };

/** Whether a message to the worker comes from this library. */
export function isConnect(data: unknown): data is Connect {
  return (
    typeof data === "object" && data !== null && "kind" in data && data.kind === "rcod-connect"
  );
}

/**
 * The buffers behind the arrays in `value`, to be moved instead of copied. Only for what a call returned, which nobody
 * else uses; never for what a caller gave.
 */
export function buffersIn(value: unknown, found = new Set<ArrayBuffer>()): Set<ArrayBuffer> {
  if (ArrayBuffer.isView(value)) {
    if (value.buffer instanceof ArrayBuffer) found.add(value.buffer);
  } else if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) buffersIn(inner, found);
  }
  return found;
}
