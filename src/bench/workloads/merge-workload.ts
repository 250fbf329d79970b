/**
 * RCOD_S's merge of one square linear layer for one image, as a workload: M folded into B, then W + s·(B·Mᵀ)·A packed.
 * The other exact form, a branch beside the layer, is the two cases `linear …→32` and `linear …32→…`.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { TensorSource } from "../../graph/weights/device-weights.ts";
import type { ModulateLoraProblem } from "../../kernels/contraction/modulate-lora.ts";
import {
  modulateLora,
  modulatedFactorByteLength,
} from "../../kernels/contraction/modulate-lora.ts";
import type { PackWeightProblem } from "../../kernels/contraction/pack-weight.ts";
import { packWeight } from "../../kernels/contraction/pack-weight.ts";
import type { CaseShape } from "./case-shape.ts";
import type { Reader } from "./reference.ts";
import type { TestTensor } from "./test-data.ts";
import { elementReader } from "./test-data.ts";
import type { Workload } from "./workload.ts";
import { UNIT_PRODUCT_RMS, contractionTolerance, totalCost } from "./workload.ts";

/** The released UNet's: 8 / 32. */
const SCALING = 0.25;
const A_SCALE = 1 / 16;
const M_SCALE = 1 / 8;

const NO_TENSORS: TensorSource = {
  tensor: (name) => {
    throw new Error(`internal: no weight "${name}"`);
  },
  lora: () => null,
};

export function mergeWorkload(
  { channels, rank }: Extract<CaseShape, { kind: "lora-merge" }>,
  dtype: DType,
  caps: Caps,
): Workload {
  const fold: ModulateLoraProblem = { outChannels: channels, rank, bDType: "F32", block: 0 };
  const pack: PackWeightProblem = {
    dtype,
    sourceDType: dtype === "f32" ? "F32" : "F16",
    outChannels: channels,
    inChannels: channels,
    taps: 1,
    geglu: false,
    upsample: false,
    lora: { rank, scaling: SCALING, aDType: "F32", bDType: "F32" },
    place: null,
    roundToHalf: false,
  };
  const quads = channels / 4;
  const square: TestTensor = {
    name: "source",
    dtype,
    rows: channels,
    channels,
    scale: 1,
    seed: 41,
  };
  const inputs = [
    square,
    { ...square, name: "lora_a", dtype: "f32", rows: rank, scale: A_SCALE, seed: 42 },
    { ...square, name: "lora_b", dtype: "f32", channels: rank, seed: 43 },
    {
      name: "modulation",
      dtype: "f32",
      rows: 1,
      channels: rank * rank,
      scale: M_SCALE,
      seed: 44,
    },
  ] as const satisfies readonly TestTensor[];
  return {
    kernel: packWeight.name,
    variants: packWeight.variants,
    selected: packWeight.select(pack, caps),
    plan: () => [
      {
        kernel: modulateLora.name,
        plan: modulateLora.plan(fold, caps),
        buffers: { result: "folded" },
      },
      {
        kernel: packWeight.name,
        plan: packWeight.plan(pack, caps),
        buffers: { lora_b: "folded", packed: "y" },
      },
    ],
    cost: totalCost([modulateLora.cost(fold), packWeight.cost(pack)]),
    inputs,
    weights: [],
    source: NO_TENSORS,
    temporaries: { folded: modulatedFactorByteLength(fold) },
    // [in / 4][out / 4][in % 4][out % 4], see `packWeight`
    output: { dtype, rows: quads * channels, channels: 4, groupChannels: 4 },
    reference() {
      const [w, a, b, m] = inputs.map(elementReader) as [Reader, Reader, Reader, Reader];
      return (index) => {
        const row = Math.floor(index / 4);
        const out = 4 * (Math.floor(row / 4) % quads) + (index % 4);
        const input = 4 * Math.floor(row / channels) + (row % 4);
        let delta = 0;
        for (let k = 0; k < rank; k++) {
          let folded = 0;
          for (let j = 0; j < rank; j++) folded += b(out * rank + j) * m(k * rank + j);
          delta += folded * a(k * channels + input);
        }
        return w(out * channels + input) + SCALING * delta;
      };
    },
    tolerance: contractionTolerance(
      dtype,
      rank * rank,
      SCALING * A_SCALE * M_SCALE * UNIT_PRODUCT_RMS,
    ),
  };
}
