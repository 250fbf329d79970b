/**
 * The parameters of graphs on the device: read tensor by tensor, packed by a kernel that also merges LoRA, and shared by
 * all programs that use them. Each is stored once.
 */
import { abortable } from "../../abort.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { brainFloatsToFloats, halvesToFloats } from "../../gpu/dtype.ts";
import { ShapeError, elementCount, paddedChannels, quadCount } from "../../gpu/shape.ts";
import { UPLOAD_CHUNK_BYTES, submittedWorkDone, uploadBytes } from "../../gpu/transfer.ts";
import { FAULTS } from "../../gpu/wgsl.ts";
import type { SourceDType } from "../../kernels/contraction/pack-weight.ts";
import { packWeight, packedColumnQuads } from "../../kernels/contraction/pack-weight.ts";
import { runPlan } from "../execution/run-plan.ts";
import type { Weight } from "../ir/ir.ts";
import { weightKey, weightMembers } from "../ir/ir.ts";
import { ModulatedWeight } from "./modulated-weight.ts";
import type { SourceTensor, TensorSource } from "./tensor-source.ts";
import { integersOf } from "./tensor-source.ts";
import { WeightCheck } from "./weight-check.ts";
import type { WeightFaults } from "./weight-check.ts";
import type { PackedMember } from "./weight-layout.ts";
import { isMatrix, packedMembers, weightByteLength } from "./weight-layout.ts";

export type {
  IntegerTensor,
  LoraUpdate,
  SourceTensor,
  StoredBytes,
  TensorSource,
} from "./tensor-source.ts";

/** How weights are stored. */
export interface DeviceWeightsOptions {
  /** Storage of matrices. Vectors and tables are f32. */
  readonly dtype: DType;
  /** Round matrices to f16 even in f32 storage, as a merge saved in fp16 does. */
  readonly roundToHalf?: boolean;
}

/**
 * Bytes of tensors between two waits for the device. Uploads queue up faster than the device takes them, and the queue
 * holds copies. Loading 2.5 GiB on SwiftShader took 636, 495 and 445 MiB of the process beside the device's copy with 128, 32
 * and 16 MiB between waits.
 */
const UPLOADS_IN_FLIGHT_BYTES = 4 * UPLOAD_CHUNK_BYTES;

/** Merges in flight at once, in flops: enough to keep the device busy, few enough to abort soon. */
const MERGE_FLOPS_SOFTWARE = 1e8;
const MERGE_FLOPS = 5e10;

/** Owns the weight buffers. `dispose` frees them; programs that use them must not run afterwards. */
export class DeviceWeights {
  /** Storage of matrices. */
  readonly dtype: DType;
  readonly #gpu: Gpu;
  readonly #source: TensorSource;
  readonly #roundToHalf: boolean;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #zeros = new Map<number, GPUBuffer>();
  readonly #modulated = new Map<string, ModulatedWeight>();

  constructor(gpu: Gpu, source: TensorSource, options: DeviceWeightsOptions) {
    this.#gpu = gpu;
    this.#source = source;
    this.dtype = options.dtype;
    this.#roundToHalf = options.roundToHalf ?? false;
  }

  /** The loaded buffer of a weight. */
  buffer(weight: Weight): GPUBuffer {
    const buffer = this.#buffers.get(weightKey(weight));
    if (buffer === undefined) throw new Error(`internal: weight "${weight.name}" is not loaded`);
    return buffer;
  }

  /** A shared buffer of zeros. */
  zeros(byteLength: number): GPUBuffer {
    let buffer = this.#zeros.get(byteLength);
    if (buffer === undefined) {
      buffer = this.#gpu.memory.create(`zeros ${byteLength}`, byteLength, "weights");
      this.#zeros.set(byteLength, buffer);
    }
    return buffer;
  }

  /** Frees the buffers of zeros. After a failure of the device they may be invalid; whoever needs them next makes them anew. */
  dropZeros(): void {
    for (const buffer of this.#zeros.values()) this.#gpu.memory.release(buffer);
    this.#zeros.clear();
  }

  /**
   * Loads what is not there yet. `onProgress` gets bytes read of this call's total. At most one tensor is in
   * flight, so host memory stays at one chunk of an upload and device staging at one tensor. Says which tensors hold
   * what is no number, or what storage clamps; all are loaded nevertheless.
   */
  async load(
    weights: readonly Weight[],
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: ((loaded: number, total: number) => void) | undefined;
    } = {},
  ): Promise<WeightFaults> {
    const missing = weights.filter((weight) => !this.#buffers.has(weightKey(weight)));
    if (missing.length === 0) return { nonFinite: [], saturated: [] };
    const matrices = missing.filter(isMatrix).flatMap(weightMembers);
    const check = new WeightCheck(this.#gpu, matrices.length);
    try {
      await this.#loadAll(missing, check, options);
      // An abort may not wait for the device, nor leave a readback.
      if (options.signal) await abortable(submittedWorkDone(this.#gpu), options.signal);
      return await check.result();
    } finally {
      check.dispose();
    }
  }

  async #loadAll(
    missing: readonly Weight[],
    check: WeightCheck,
    options: NonNullable<Parameters<DeviceWeights["load"]>[1]>,
  ): Promise<void> {
    const bytesOf = (weight: Weight): number => sourceByteLength(weight, this.#source);
    const total = missing.reduce((sum, weight) => sum + bytesOf(weight), 0);
    let loaded = 0;
    let sinceSync = 0;
    for (const weight of missing) {
      options.signal?.throwIfAborted();
      this.#buffers.set(weightKey(weight), await this.#loadOne(weight, check, options.signal));
      loaded += bytesOf(weight);
      sinceSync += bytesOf(weight);
      if (sinceSync > UPLOADS_IN_FLIGHT_BYTES) {
        await abortable(submittedWorkDone(this.#gpu), options.signal);
        sinceSync = 0;
      }
      options.onProgress?.(loaded, total);
    }
  }

  /**
   * Merges the modulated updates of all loaded weights anew. Until the first call their matrices are zero. `faults`
   * counts merged values that cannot be stored as they are.
   * `matrices` is f32 [blocks, rank²] as a graph's output has it: row-major matrices, each padded to quads.
   * Resolves when the device has finished; after an abort some weights are of the old and some of the new
   * matrices.
   */
  async modulate(
    matrices: GPUBuffer,
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly faults?: GPUBufferBinding | undefined;
    } = {},
  ): Promise<void> {
    const { memory, caps } = this.#gpu;
    const weights = [...this.#modulated.values()];
    if (weights.length === 0) return;
    const scratch = memory.create(
      "modulated LoRA",
      Math.max(...weights.map(({ scratchByteLength }) => scratchByteLength)),
      "staging",
    );
    const budget = caps.isSoftware ? MERGE_FLOPS_SOFTWARE : MERGE_FLOPS;
    try {
      let inFlight = 0;
      for (const weight of weights) {
        options.signal?.throwIfAborted();
        await weight.merge(this.#gpu, matrices, scratch, options.faults);
        inFlight += weight.flops;
        if (inFlight < budget) continue;
        await submittedWorkDone(this.#gpu);
        inFlight = 0;
      }
      await submittedWorkDone(this.#gpu);
    } finally {
      memory.release(scratch);
    }
  }

  /** Frees all buffers. Idempotent. */
  dispose(): void {
    for (const weight of this.#modulated.values()) weight.dispose(this.#gpu);
    this.#modulated.clear();
    for (const buffer of this.#buffers.values()) this.#gpu.memory.release(buffer);
    this.#buffers.clear();
    this.dropZeros();
  }

  async #loadOne(weight: Weight, check: WeightCheck, signal?: AbortSignal): Promise<GPUBuffer> {
    if (weight.storage !== undefined) {
      const { loadIntegers } = await import("./integer-weight.ts");
      return loadIntegers(this.#gpu, weight, this.#source, check, signal);
    }
    for (const { name, shape: needed } of weightMembers(weight)) {
      const { shape } = this.#source.tensor(name);
      if (elementCount(shape) !== elementCount(needed)) {
        throw new ShapeError(`weights: shape must be [${needed}], got [${shape}] (${name})`);
      }
    }
    return isMatrix(weight)
      ? this.#loadMatrix(weight, check, signal)
      : this.#loadFloats(weight, check, signal);
  }

  async #loadMatrix(weight: Weight, check: WeightCheck, signal?: AbortSignal): Promise<GPUBuffer> {
    const { memory } = this.#gpu;
    const packed = memory.create(weight.name, weightByteLength(weight, this.dtype), "weights");
    try {
      for (const member of packedMembers(weight)) {
        await this.#packMember(weightKey(weight), member, packed, check, signal);
      }
      return packed;
    } catch (error) {
      memory.release(packed);
      throw error;
    }
  }

  /** Packs a tensor, with its LoRA, into its place in `packed`, the buffer of the weight `key`. */
  async #packMember(
    key: string,
    member: PackedMember,
    packed: GPUBuffer,
    check: WeightCheck,
    signal?: AbortSignal,
  ): Promise<void> {
    const { memory } = this.#gpu;
    const { name } = member.tensor;
    const tensor = this.#source.tensor(name);
    const lora = this.#source.lora(name);
    const staging: GPUBuffer[] = [];
    try {
      const stage = async (source: SourceTensor): Promise<GPUBuffer> => {
        const purpose = lora?.block === undefined ? "staging" : "weights";
        const buffer = memory.create(`${name} (source)`, source.byteLength, purpose);
        staging.push(buffer);
        for (let start = 0; start < source.byteLength; start += UPLOAD_CHUNK_BYTES) {
          const length = Math.min(UPLOAD_CHUNK_BYTES, source.byteLength - start);
          const bytes = await source.read(start, length, signal);
          // The factors of a modulated LoRA are merged later, image by image.
          if (lora?.block !== undefined && source !== tensor) check.look(name, source.dtype, bytes);
          uploadBytes(this.#gpu, buffer, start, bytes);
        }
        return buffer;
      };
      const problem = {
        dtype: this.dtype,
        sourceDType: tensor.dtype,
        ...member.layout,
        lora: lora && {
          rank: lora.rank,
          scaling: lora.scaling,
          aDType: lora.a.dtype,
          bDType: lora.b.dtype,
        },
        roundToHalf: this.#roundToHalf,
      };
      const plain = { source: await stage(tensor), packed, [FAULTS.name]: check.next(name) };
      const factors = lora && { lora_a: await stage(lora.a), lora_b: await stage(lora.b) };
      const isModulated = factors !== null && lora?.block !== undefined;
      const caps = { ...this.#gpu.caps, countsFaults: true };
      const plan = packWeight.plan(isModulated ? { ...problem, lora: null } : problem, caps);
      await runPlan(this.#gpu, plan, { ...plain, ...factors }, signal);
      if (isModulated) {
        const operands = { source: plain.source, packed, ...factors };
        this.#modulated.set(`${key} ${name}`, new ModulatedWeight(problem, lora.block, operands));
        staging.length = 0; // its tensors stay
      }
    } finally {
      for (const buffer of staging) memory.release(buffer);
    }
  }

  async #loadFloats(weight: Weight, check: WeightCheck, signal?: AbortSignal): Promise<GPUBuffer> {
    const rows: Float32Array<ArrayBuffer>[] = [];
    for (const { name, shape } of weightMembers(weight)) {
      if (this.#source.lora(name) !== null) {
        throw new ShapeError(
          `weights: LoRA merges into matrices only, got a ${weight.layout} (${name})`,
        );
      }
      const tensor = this.#source.tensor(name);
      const bytes = await tensor.read(0, tensor.byteLength, signal);
      check.look(name, tensor.dtype, bytes);
      const values = decodeFloats(tensor.dtype, bytes);
      rows.push(
        weight.layout === "geglu-vector" ? interleaveHalves(values) : padRows(values, shape),
      );
    }
    const buffer = this.#gpu.memory.create(
      weight.name,
      weightByteLength(weight, this.dtype),
      "weights",
    );
    let offset = 0;
    for (const row of weight.layout === "summed-vector" ? [sumOf(rows)] : rows) {
      uploadBytes(this.#gpu, buffer, offset, new Uint8Array(row.buffer));
      offset += row.byteLength;
    }
    return buffer;
  }
}

/** Bytes of a checkpoint that loading `weight` reads, without LoRA. */
export function sourceByteLength(weight: Weight, source: TensorSource): number {
  return weightMembers(weight).reduce((sum, { name, storage }) => {
    if (storage === undefined) return sum + source.tensor(name).byteLength;
    const { values, scales } = integersOf(source, name);
    return sum + values.byteLength + scales.byteLength;
  }, 0);
}

/** Little-endian checkpoint bytes as floats. */
function decodeFloats(dtype: SourceDType, bytes: Uint8Array): Float32Array {
  const aligned = bytes.slice(); // typed arrays need aligned bytes; ranges of a file may lie anywhere
  if (dtype === "F32") return new Float32Array(aligned.buffer, 0, aligned.byteLength / 4);
  const words = new Uint16Array(aligned.buffer, 0, aligned.byteLength / 2);
  return dtype === "F16" ? halvesToFloats(words) : brainFloatsToFloats(words);
}

/** Elementwise sum of equally long arrays, in doubles, rounded once. */
function sumOf(rows: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  return Float32Array.from(rows[0] ?? [], (_, i) =>
    rows.reduce((sum, row) => sum + (row[i] as number), 0),
  );
}

function padRows(values: Float32Array, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const channels = shape[shape.length - 1] ?? 1;
  const stride = paddedChannels(channels);
  const rows = values.length / channels;
  const out = new Float32Array(rows * stride);
  for (let row = 0; row < rows; row++) {
    out.set(values.subarray(row * channels, (row + 1) * channels), row * stride);
  }
  return out;
}

/** [value | gate] → quads value, gate, value, gate …, as `packWeight` interleaves the columns. */
function interleaveHalves(values: Float32Array): Float32Array<ArrayBuffer> {
  const half = values.length / 2;
  const out = new Float32Array(packedColumnQuads(values.length, true) * 4);
  for (let quad = 0; quad < quadCount(half); quad++) {
    for (let lane = 0; lane < 4; lane++) {
      const index = quad * 4 + lane;
      if (index >= half) continue;
      out[quad * 8 + lane] = values[index] as number;
      out[quad * 8 + 4 + lane] = values[half + index] as number;
    }
  }
  return out;
}
