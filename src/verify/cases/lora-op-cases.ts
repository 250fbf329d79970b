/** One layer with a low-rank update: the merge kernel, and the layer on what it merged. */
import type { Gpu } from "../../gpu/device.ts";
import { storedFloats } from "../../gpu/dtype.ts";
import { quadCount } from "../../gpu/shape.ts";
import { readBytes } from "../../gpu/transfer.ts";
import { WeightScope } from "../../graph/ir/builder.ts";
import type { Weight } from "../../graph/ir/ir.ts";
import type { HostTensor } from "../../graph/program.ts";
import type { DeviceWeights } from "../../graph/weights/device-weights.ts";
import { weightByteLength } from "../../graph/weights/weight-layout.ts";
import type { LoraParameters } from "../runner/case-weights.ts";
import type { Limit, OutputResult } from "../runner/compare.ts";
import type { CaseRun, CaseRunner } from "../runner/run-case.ts";
import {
  caseWeights,
  compareResults,
  compareValues,
  loraScaling,
  readInput,
} from "../runner/run-case.ts";
import type { WeightSet } from "../runner/session.ts";

const ROOT = new WeightScope();

/**
 * The order of summation of B·A is open. So a value close to the middle between two halves may round either way:
 * one in thousands of elements is off by one unit in the last place. A wrong rounding mode or a wrong product is
 * off by 1e-4 or more.
 */
const MERGED_LIMIT = { on: "relRms", value: 5e-5 } as const;

/**
 * `y` and `merged_weight_fp16` belong to the merge rounded to fp16 (as a saved merge is), `y_unmerged_exact` to
 * the unrounded one, which f16 storage cannot tell apart.
 */
export const loraOp: CaseRunner = async (run) => {
  const { golden, session } = run;
  const compared: OutputResult[] = [];
  const lora: LoraParameters = {
    scaling: loraScaling(golden),
    factors: (weight) => (weight === "weight" ? { a: "lora_A.weight", b: "lora_B.weight" } : null),
  };
  const weights = caseWeights(golden, { lora }, `lora_ops/${golden.name}/`);
  const rounded: WeightSet = { ...weights, key: `${weights.key}/rounded`, roundToHalf: true };
  if (golden.has("outputs/y")) {
    compared.push(
      ...(await compareResults(golden, session.dtype, await runLayer(run, rounded, "y"))),
    );
  }
  if (golden.has("outputs/merged_weight_fp16")) {
    compared.push(await compareMerged(run, rounded, "merged_weight_fp16", "weight", MERGED_LIMIT));
  }
  if (golden.has("outputs/y_unmerged_exact")) {
    const results = await runLayer(run, weights, "y_unmerged_exact");
    compared.push(...(await compareResults(golden, session.dtype, results)));
  }
  return compared;
};

/** The layer of a case on `weights`; `kind` is "linear" or a convolution's. */
export async function runLayer(
  { golden, session }: CaseRun,
  weights: WeightSet,
  output: string,
  kind = golden.parameters.text("op"),
): Promise<Record<string, HostTensor>> {
  const { parameters } = golden;
  const x = await readInput(golden, "x");
  const outputShape = golden.shape(`outputs/${output}`);
  const bias = golden.has("weights/bias") || parameters.get("weights") === "recipe";
  return session.run({
    weights,
    build(g) {
      const input = g.input("x", x.shape);
      const y =
        kind === "linear"
          ? g.linear(input, ROOT, outputShape[outputShape.length - 1] as number, bias)
          : g.conv2d(input, ROOT, {
              outChannels: outputShape[1] as number,
              kernelSize: parameters.number("kernel"),
              stride: parameters.number("stride"),
              padding: parameters.number("padding"),
              bias,
            });
      g.output(output, y);
    },
    inputs: { x: x.data },
  });
}

/** Compares the packed matrix `name` of a weight set with an output. */
export async function compareMerged(
  { golden, session }: CaseRun,
  weights: WeightSet,
  output: string,
  name: string,
  limit?: Limit,
): Promise<OutputResult> {
  const weight: Weight = { name, shape: golden.shape(`outputs/${output}`), layout: "matrix" };
  const device = session.deviceWeights(weights, [weight]);
  await device.load([weight]);
  const values = await readMatrix(session.gpu, device, weight);
  return compareValues(golden, session.dtype, output, values, limit);
}

/** A packed matrix in the order of its checkpoint tensor [O, I, kh, kw]. */
async function readMatrix(
  gpu: Gpu,
  weights: DeviceWeights,
  weight: Weight,
): Promise<Float32Array<ArrayBuffer>> {
  const [outChannels = 1, inChannels = 1, kernelHeight = 1, kernelWidth = 1] = weight.shape;
  const taps = kernelHeight * kernelWidth;
  const [outQuads, inQuads] = [quadCount(outChannels), quadCount(inChannels)];
  const bytes = await readBytes(
    gpu,
    weights.buffer(weight),
    0,
    weightByteLength(weight, weights.dtype),
  );
  const packed = storedFloats(bytes, weights.dtype);
  const out = new Float32Array(outChannels * inChannels * taps);
  for (let o = 0; o < outChannels; o++) {
    for (let i = 0; i < inChannels; i++) {
      for (let tap = 0; tap < taps; tap++) {
        // [tap][i / 4][o / 4][i % 4][o % 4], see `packWeight`.
        const quad = ((tap * inQuads + (i >> 2)) * outQuads + (o >> 2)) * 4 + (i & 3);
        out[(o * inChannels + i) * taps + tap] = packed[quad * 4 + (o & 3)] as number;
      }
    }
  }
  return out;
}
