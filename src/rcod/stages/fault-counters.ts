/** Counts, station by station of a call, values that could not be stored as they are: see `FAULTS` (gpu/wgsl.ts). */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { F16_MAX } from "../../gpu/dtype.ts";
import { readBytes, uploadBytes } from "../../gpu/transfer.ts";
import { FAULT_BYTES } from "../../gpu/wgsl.ts";
import type { ModelPart, WeightStage } from "../networks/stage-graphs.ts";
import { STAGE_PART } from "../networks/stage-graphs.ts";
import type { NetworkStage } from "../settings/options.ts";

/** A network of a call; "lora": merging RCOD_S's for the UNet, which belongs to the encoding of an image. */
export type Station = WeightStage | "lora";

/** In the order of a call. */
export const STATIONS: readonly Station[] = [
  "tokens",
  "degradation",
  "encode",
  "lora",
  "mem",
  "unet",
  "decode",
];

/** Those that every call runs; the others are kept with the encoding of an image. */
export const CALL_STATIONS = ["unet", "decode"] as const satisfies readonly Station[];

/** The part that computes at a station. */
export const stationPart = (station: Station): ModelPart =>
  station === "lora" ? "unet" : STAGE_PART[station];

/** The stage that a station belongs to. */
export const stationStage = (station: Station): NetworkStage =>
  station === "degradation" || station === "lora" || station === "mem" ? "encode" : station;

/** Values of one station. */
export interface Faults {
  /** NaN or infinite. */
  readonly nonFinite: number;
  /** Beyond ±65,504 where storage is f16, and clamped. */
  readonly saturated: number;
}

/** Faults of all stations. */
export type CallFaults = ReadonlyMap<Station, Faults>;

export class FaultCounters {
  readonly #gpu: Gpu;
  readonly #stride: number;
  readonly #onHost = new Map<Station, Faults>();
  #buffer: GPUBuffer | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#stride = gpu.caps.limits.minStorageBufferOffsetAlignment;
  }

  /** The counters of a station, for shaders. Valid until `dispose`. */
  binding(station: Station): GPUBufferBinding {
    const offset = STATIONS.indexOf(station) * this.#stride;
    return { buffer: this.#counters(), offset, size: FAULT_BYTES };
  }

  /** Counts values that the host is about to store. */
  note(station: Station, values: Float32Array, dtype: DType): void {
    let { nonFinite, saturated } = this.#onHost.get(station) ?? { nonFinite: 0, saturated: 0 };
    for (const value of values) {
      if (!Number.isFinite(value)) nonFinite++;
      else if (dtype === "f16" && Math.abs(value) > F16_MAX) saturated++;
    }
    this.#onHost.set(station, { nonFinite, saturated });
  }

  /** Begins anew for these stations. */
  clear(stations: readonly Station[]): void {
    for (const station of stations) {
      this.#onHost.delete(station);
      const { buffer, offset = 0, size = 0 } = this.binding(station);
      uploadBytes(this.#gpu, buffer, offset, new Uint8Array(size));
    }
  }

  /** What has been counted by everything that was submitted before. */
  async read(): Promise<CallFaults> {
    const byteLength = STATIONS.length * this.#stride;
    const { buffer } = await readBytes(this.#gpu, this.#counters(), 0, byteLength);
    const words = new Uint32Array(buffer);
    return new Map(
      STATIONS.map((station, i) => {
        const at = (i * this.#stride) / 4;
        const { nonFinite, saturated } = this.#onHost.get(station) ?? {
          nonFinite: 0,
          saturated: 0,
        };
        return [
          station,
          {
            nonFinite: nonFinite + (words[at] as number),
            saturated: saturated + (words[at + 1] as number),
          },
        ];
      }),
    );
  }

  /** Frees the counters; the next `binding` makes new ones. */
  dispose(): void {
    if (this.#buffer) this.#gpu.memory.release(this.#buffer);
    this.#buffer = undefined;
    this.#onHost.clear();
  }

  #counters(): GPUBuffer {
    const byteLength = STATIONS.length * this.#stride;
    return (this.#buffer ??= this.#gpu.memory.create("faults", byteLength, "params"));
  }
}
