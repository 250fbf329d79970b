/**
 * A matrix whose LoRA depends on the input: the checkpoint's tensors stay on the device, and `merge` writes
 * W + scaling · (B·Mᵀ) · A into the packed buffer that programs are bound to, for a new M each time.
 */
import type { Gpu } from "../../gpu/device.ts";
import { FAULTS } from "../../gpu/wgsl.ts";
import type { ModulateLoraProblem } from "../../kernels/contraction/modulate-lora.ts";
import {
  modulateLora,
  modulatedFactorByteLength,
} from "../../kernels/contraction/modulate-lora.ts";
import type { PackWeightProblem } from "../../kernels/contraction/pack-weight.ts";
import { packWeight } from "../../kernels/contraction/pack-weight.ts";
import { runPlan } from "../execution/run-plan.ts";

/** Buffers of a modulated weight: tensors as the checkpoint has them, and the packed result. */
export interface ModulatedBuffers {
  readonly source: GPUBuffer;
  readonly lora_a: GPUBuffer;
  readonly lora_b: GPUBuffer;
  readonly packed: GPUBuffer;
}

export class ModulatedWeight {
  readonly #modulate: ModulateLoraProblem;
  readonly #pack: PackWeightProblem;
  readonly #buffers: ModulatedBuffers;

  /** `problem` describes the merge with the tensors of `buffers`; its matrix is number `block`. */
  constructor(problem: PackWeightProblem, block: number, buffers: ModulatedBuffers) {
    const { lora, outChannels } = problem;
    if (lora === null) throw new Error("internal: a modulated weight needs LoRA");
    this.#modulate = { outChannels, rank: lora.rank, bDType: lora.bDType, block };
    this.#pack = { ...problem, lora: { ...lora, bDType: "F32" } };
    this.#buffers = buffers;
  }

  /** Bytes of scratch that `merge` needs. */
  get scratchByteLength(): number {
    return modulatedFactorByteLength(this.#modulate);
  }

  /** Work of one merge. */
  get flops(): number {
    return modulateLora.cost(this.#modulate).flops + packWeight.cost(this.#pack).flops;
  }

  /** Submits the merge with matrix `block` of `modulation` (f32, see `modulateLora`). `faults` counts, see `FAULTS`. */
  async merge(
    gpu: Gpu,
    modulation: GPUBuffer,
    scratch: GPUBuffer,
    faults?: GPUBufferBinding,
  ): Promise<void> {
    const { source, lora_a, lora_b, packed } = this.#buffers;
    await runPlan(gpu, modulateLora.plan(this.#modulate, gpu.caps), {
      lora_b,
      modulation,
      result: scratch,
    });
    const caps = { ...gpu.caps, countsFaults: faults !== undefined };
    await runPlan(gpu, packWeight.plan(this.#pack, caps), {
      source,
      lora_a,
      lora_b: scratch,
      packed,
      ...(faults && { [FAULTS.name]: faults }),
    });
  }

  /** Frees the resident tensors, not the packed result. */
  dispose(gpu: Gpu): void {
    const { source, lora_a, lora_b } = this.#buffers;
    for (const buffer of [source, lora_a, lora_b]) gpu.memory.release(buffer);
  }
}
