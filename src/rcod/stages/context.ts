/** What every stage of the pipeline works with. */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { uploadBytes } from "../../gpu/transfer.ts";
import { packActivation } from "../../graph/pack-activation.ts";
import { readActivation } from "../../graph/read-activation.ts";
import type { Rounding } from "../../kernels/image/image-layout.ts";
import type { FloatMap } from "../deep/float-map.ts";
import type { Geometry } from "../images/geometry.ts";
import type { DeviceImage } from "../images/image-ops.ts";
import type { Inspector } from "../inspect/inspector.ts";
import type { LoadedWeights } from "../loading/load.ts";
import type { ModelPart } from "../networks/stage-graphs.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { UpscaleOptions } from "../settings/options.ts";
import type { Station } from "./fault-counters.ts";
import { stationPart } from "./fault-counters.ts";
import type { StagePrograms } from "./programs.ts";

export interface StageContext {
  readonly gpu: Gpu;
  readonly configs: ModelConfigs;
  readonly weights: LoadedWeights;
  readonly programs: StagePrograms;
  /** Storage of activations at first; see `dtypeOf`. */
  readonly dtype: DType;
  /** Of this call, where it has `inspect`. */
  readonly inspector?: Inspector;
}

/** What does not depend on realism: all that is known of an encoded image. Whoever made it frees its buffers. */
export interface Encoded {
  /** The colour reference: the enlarged source. */
  readonly source: DeviceImage;
  /** For results of 16 bits: its colours in floats, in 0 … 1, with the padding. */
  readonly deepColors?: FloatMap;
  /** Of the call under way. */
  geometry: Geometry;
  /** [1, latentHeight, latentWidth, L] times the scaling factor. */
  readonly latents: GPUBuffer;
  /** [1, T, D]. */
  readonly tokens: GPUBuffer;
  /** How these two are stored; the UNet's storage may be another. */
  readonly storage: { readonly latents: DType; readonly tokens: DType };
  readonly latentHeight: number;
  readonly latentWidth: number;
  /** Of a region: whether the whole picture consists of areas of one colour for the most part. */
  readonly isFlat?: boolean;
  /** RCOD_S: filled by encoding; RCOD_O: by the first call with "auto". */
  predictedMetric?: number;
}

/** Frees the buffers of an encoded image. */
export function releaseEncoded({ memory }: Gpu, { source, latents, tokens }: Encoded): void {
  for (const buffer of [source.buffer, latents, tokens]) memory.release(buffer);
}

/** Storage of a part's weights and activations. */
export function dtypeOf({ weights, dtype }: StageContext, part: ModelPart): DType {
  return weights[part]?.dtype ?? dtype;
}

/**
 * An activation of `shape` in the storage of a station: `buffer` itself where it is, else a copy that the caller frees. It goes
 * through the host: there is one only where a part runs in f32 and its neighbour in f16.
 */
export async function inStorageOf(
  context: StageContext,
  station: Station,
  buffer: GPUBuffer,
  shape: readonly number[],
  from: DType,
): Promise<GPUBuffer> {
  const { gpu, programs } = context;
  const to = dtypeOf(context, stationPart(station));
  if (from === to) return buffer;
  const values = await readActivation(gpu, buffer, shape, from);
  programs.faults.note(station, values, to);
  const bytes = packActivation(values, shape.at(-1) ?? 1, to);
  const copy = gpu.memory.create(buffer.label, bytes.byteLength, "images");
  uploadBytes(gpu, copy, 0, bytes);
  return copy;
}

export function roundingOf(options: UpscaleOptions): Rounding {
  return options.reference ? "truncate" : "nearest";
}
