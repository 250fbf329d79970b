/** Weight packing bit for bit: every source dtype, LoRA merges, GEGLU interleave, rounding to half. */
import { describe, expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { floatToHalfBits, roundToDtype } from "../../../src/gpu/dtype.ts";
import type {
  PackWeightProblem,
  SourceDType,
} from "../../../src/kernels/contraction/pack-weight.ts";
import {
  packWeight,
  packedWeightByteLength,
} from "../../../src/kernels/contraction/pack-weight.ts";
import {
  mergeLora,
  packWeight as packReference,
  upsampleTaps,
} from "../../reference/pack-weight.ts";
import { expectClose } from "../../support/expect-close.ts";
import { runKernel, useGpu } from "../../support/gpu.ts";
import { packOnGpu, roundToSource, sourceBytes } from "../../support/packed-weight.ts";
import { uniformArray } from "../../support/random.ts";
import { contraction } from "../../support/tolerance.ts";

const setup = useGpu();

interface Case {
  readonly out: number;
  readonly in: number;
  readonly taps?: number;
  readonly geglu?: boolean;
  readonly rank?: number;
  /** Folded with a doubling of the map. */
  readonly upsample?: boolean;
}

const CASES: readonly Case[] = [
  { out: 1, in: 1 },
  { out: 3, in: 5 }, // 15 elements: half a word at the end
  { out: 7, in: 5, taps: 9 },
  { out: 4, in: 4, taps: 9 },
  { out: 33, in: 4 },
  { out: 3, in: 37, taps: 3 },
  { out: 320, in: 4, taps: 9 }, // unet.conv_in
  { out: 2, in: 1, geglu: true },
  { out: 64, in: 8, geglu: true },
  { out: 70, in: 5, geglu: true },
  { out: 1, in: 1, rank: 1 },
  { out: 7, in: 5, taps: 9, rank: 3 }, // A and B have odd element counts
  { out: 10, in: 6, geglu: true, rank: 5 },
  { out: 16, in: 12, rank: 4 },
  { out: 1, in: 1, taps: 9, upsample: true },
  { out: 9, in: 6, taps: 9, upsample: true },
  { out: 7, in: 5, taps: 9, rank: 3, upsample: true },
];

/** Element types of the weight and of the LoRA factors A and B. */
const SOURCES: readonly (readonly [SourceDType, SourceDType, SourceDType])[] = [
  ["F32", "F32", "F16"],
  ["F16", "BF16", "F32"],
  ["BF16", "F16", "BF16"],
];

function toProblem(
  { out, in: inChannels, taps = 1, geglu = false, rank, upsample = false }: Case,
  dtype: DType,
  [sourceDType, aDType, bDType]: (typeof SOURCES)[number],
): PackWeightProblem {
  const lora = rank === undefined ? null : { rank, scaling: 0.75, aDType, bDType };
  const shape = { outChannels: out, inChannels, taps, geglu };
  return { dtype, sourceDType, ...shape, upsample, lora, place: null, roundToHalf: false };
}

function expectedBytes(p: PackWeightProblem, weight: Float64Array): Uint8Array {
  const [taps, folded] = p.upsample ? [16, upsampleTaps(weight)] : [p.taps, weight];
  const packed = packReference(folded, p.outChannels, p.inChannels, taps, p.geglu);
  const stored =
    p.dtype === "f32" ? Float32Array.from(packed) : Uint16Array.from(packed, floatToHalfBits);
  return new Uint8Array(stored.buffer);
}

const ROWS = CASES.flatMap((testCase) =>
  (["f32", "f16"] as const).flatMap((dtype) =>
    SOURCES.map((sources) => {
      const problem = toProblem(testCase, dtype, sources);
      const { outChannels, inChannels, taps, geglu, upsample, lora } = problem;
      const update = lora ? ` + ${lora.bDType} [${outChannels},${lora.rank}] × ${lora.aDType}` : "";
      const name = `[${outChannels},${inChannels},${taps}] ${sources[0]}${update}`;
      return [
        `${name} → ${dtype}${geglu ? " geglu" : ""}${upsample ? " upsample" : ""}`,
        problem,
      ] as const;
    }),
  ),
);

/** Multiples of 1/8 in [-1, 1]: a merge of a few is exact in f32 and in f16. */
function eighths(count: number, seed: number): Float64Array {
  return uniformArray(count, seed, 8).map((value) => Math.round(value) / 8);
}

describe("packWeight", () => {
  it.each(ROWS)("%s", async (_, problem) => {
    const { dtype, sourceDType, outChannels, inChannels, taps, lora } = problem;
    const count = outChannels * inChannels * taps;
    if (lora === null) {
      // Sums of eighths are exact; other values are not.
      const values = problem.upsample ? eighths(count, 1) : uniformArray(count, 1);
      const weight = values.map((value) => roundToDtype(roundToSource(value, sourceDType), dtype));
      expect(await packOnGpu(setup.gpu, problem, weight)).toEqual(expectedBytes(problem, weight));
      return;
    }
    const weight = eighths(count, 1);
    const a = eighths(lora.rank * inChannels * taps, 2);
    const b = eighths(outChannels * lora.rank, 3);
    const merged = mergeLora(weight, a, b, lora.rank, lora.scaling);
    expect(await packOnGpu(setup.gpu, problem, weight, { a, b })).toEqual(
      expectedBytes(problem, merged),
    );
  });

  it.each<DType>(["f32", "f16"])("stacks weights in one buffer → %s", async (dtype) => {
    const [inChannels, heights] = [5, [8, 4, 12]];
    const weight = eighths(24 * inChannels, 1);
    const sources = ["F32", "F32", "F32"] as const;
    const whole = toProblem({ out: 24, in: inChannels }, dtype, sources);
    const place = { firstQuad: 0, columnQuads: 6 };
    let packed: Uint8Array<ArrayBuffer> | undefined;
    let row = 0;
    for (const out of heights) {
      const rows = weight.slice(row * inChannels, (row + out) * inChannels);
      const problem = {
        ...toProblem({ out, in: inChannels }, dtype, sources),
        place: { ...place, firstQuad: row },
      };
      const plan = packWeight.plan(problem, setup.caps);
      const inputs = { source: sourceBytes(rows, "F32"), ...(packed && { packed }) };
      const results = await runKernel(setup.gpu, plan, inputs, {
        packed: packedWeightByteLength(whole),
      });
      packed = results["packed"];
      row += out;
    }
    expect(packed).toEqual(expectedBytes(whole, weight));
  });

  it("merges a LoRA of rank 64 whose products round", async () => {
    const sources = ["F16", "F32", "F32"] as const;
    const problem = toProblem({ out: 24, in: 16, taps: 9, rank: 64 }, "f32", sources);
    const weight = uniformArray(24 * 16 * 9, 1).map((value) => roundToSource(value, "F16"));
    const a = uniformArray(64 * 16 * 9, 2).map(Math.fround);
    const b = uniformArray(24 * 64, 3).map(Math.fround);
    const merged = mergeLora(weight, a, b, 64, 0.75);
    const expected = packReference(merged, 24, 16, 9, false);
    const packed = await packOnGpu(setup.gpu, problem, weight, { a, b });
    const got = new Float32Array(packed.buffer, packed.byteOffset, packed.byteLength / 4);
    // Products of two numbers uniform in [-1, 1) have rms 1/3.
    expectClose(got, expected, [9, 4, 6, 4, 4], contraction("f32", 64, 1 / 3));
  });
});

/** Values around every kind of tie and range limit of binary16. */
function roundingProbes(): Float64Array {
  const u16 = 2 ** -11;
  const exact = [0, 1, -1, 2 ** -14, 2 ** -24, 3 * 2 ** -24, 65504, -65504, 1 + 2 * u16];
  const ties = [1 + u16, 1 + 3 * u16, -(1 + u16), 2049, 2051, 1.5 * 2 ** -24, 2.5 * 2 ** -24];
  const near = [1 + u16 + 2 ** -23, 1 + u16 - 2 ** -23, 65519, 0.1, Math.PI, 1.2e-5, 5e-8, 1e-8];
  const carries = [2 - u16 / 2, 2 ** -14 - 2 ** -26, 1023.5 * 2 ** -24, 4095.9];
  const random = [1, 1e-3, 1e-4, 1e-5, 1e-7, 3e4].map((scale, i) => uniformArray(64, i, scale));
  const probes = [
    ...exact,
    ...ties,
    ...near,
    ...carries,
    ...random.flatMap((values) => [...values]),
  ];
  return Float64Array.from(probes, Math.fround);
}

describe.each<DType>(["f32", "f16"])("packWeight roundToHalf → %s", (dtype) => {
  it("rounds to the nearest half, ties to even", async () => {
    const weight = roundingProbes();
    const problem: PackWeightProblem = {
      ...toProblem({ out: 1, in: weight.length }, dtype, ["F32", "F32", "F32"]),
      roundToHalf: true,
    };
    const rounded = weight.map((value) => roundToDtype(value, "f16"));
    expect(await packOnGpu(setup.gpu, problem, weight)).toEqual(expectedBytes(problem, rounded));
  });

  it("clamps what a half cannot hold", async () => {
    const weight = Float64Array.of(65520, -65520, 1e6, -1e30);
    const problem: PackWeightProblem = {
      ...toProblem({ out: 4, in: 1 }, dtype, ["F32", "F32", "F32"]),
      roundToHalf: true,
    };
    const clamped = Float64Array.of(65504, -65504, 65504, -65504);
    expect(await packOnGpu(setup.gpu, problem, weight)).toEqual(expectedBytes(problem, clamped));
  });

  it("an upsampling in f16 or of a saved merge sums rounded taps, in f32 the taps as they are", async () => {
    // Half an ulp at 1 is 2⁻¹¹. 1 + 3·2⁻¹³ rounds to 1; with 2⁻¹², its neighbour in one tap, to 1 + 2⁻¹⁰.
    const kernel = (middle: number): Float64Array =>
      Float64Array.of(0, 0, 0, 0, middle, 0, 0, 2 ** -12, 0);
    const weight = kernel(1 + 3 * 2 ** -13);
    const problem = toProblem({ out: 1, in: 1, taps: 9, upsample: true }, dtype, [
      "F32",
      "F32",
      "F32",
    ]);
    const summed = dtype === "f16" ? kernel(1) : weight;
    expect(await packOnGpu(setup.gpu, problem, weight)).toEqual(expectedBytes(problem, summed));
    const rounded = { ...problem, roundToHalf: true };
    expect(await packOnGpu(setup.gpu, rounded, weight)).toEqual(expectedBytes(rounded, kernel(1)));
  });

  it("rounds after the merge, not before", async () => {
    const problem: PackWeightProblem = {
      ...toProblem({ out: 1, in: 1, rank: 1 }, dtype, ["F32", "F32", "F32"]),
      roundToHalf: true,
    };
    // 1 + 2⁻¹² alone rounds to 1; with 0.75 · 2⁻¹¹ it passes the tie at 1 + 2⁻¹¹.
    const weight = Float64Array.of(1 + 2 ** -12);
    const factors = { a: Float64Array.of(2 ** -11), b: Float64Array.of(1) };
    const expected = Float64Array.of(1 + 2 ** -10);
    const got = await packOnGpu(setup.gpu, problem, weight, factors);
    expect(got).toEqual(expectedBytes(problem, expected));
  });
});
