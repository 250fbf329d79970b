import { describe, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import type { KernelPlan } from "../../../src/kernels/kernel.ts";
import type { LayerNormProblem } from "../../../src/kernels/norm/layer-norm.ts";
import { layerNorm } from "../../../src/kernels/norm/layer-norm.ts";
import { layerNorm as layerNormReference } from "../../reference/layer-norm.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();

interface Case {
  readonly rows: number;
  readonly channels: number;
  readonly eps?: number;
  readonly scale?: number;
  readonly offset?: number;
  readonly only?: DType;
}

const CASES: readonly Case[] = [
  { rows: 1, channels: 1 },
  { rows: 1, channels: 4 },
  { rows: 3, channels: 5 },
  { rows: 7, channels: 45 },
  { rows: 64, channels: 256 }, // exactly one workgroup, of rows or of quads
  { rows: 65, channels: 260 },
  { rows: 77, channels: 1024 },
  { rows: 50, channels: 1280, eps: 1e-6 },
  { rows: 1024, channels: 320 },
  // Hostile values.
  { rows: 4, channels: 45, scale: 0, offset: 1000, only: "f32" },
  { rows: 4, channels: 45, scale: 0, offset: 100 },
  { rows: 4, channels: 320, scale: 1, offset: 1000, only: "f32" },
  { rows: 4, channels: 321, scale: 1, offset: -1000, only: "f32" },
  { rows: 4, channels: 320, scale: 1, offset: 100 },
  { rows: 4, channels: 320, scale: 6e4 },
  { rows: 4, channels: 320, scale: 4e-5, offset: 1.5e-4, eps: 1e-5 },
  { rows: 4, channels: 320, scale: 4e-5, offset: 1.5e-4, eps: 1e-6 },
];

const DTYPES: readonly DType[] = ["f32", "f16"];

const TABLE = CASES.flatMap(({ rows, channels, eps = 1e-5, scale = 2, offset = 0, only }) =>
  DTYPES.filter((dtype) => only === undefined || dtype === only).map((dtype) => {
    const name = `layerNorm ${dtype} [${rows},${channels}], ${offset} ± ${scale}, eps ${eps}`;
    return [name, { dtype, rows, channels, eps, scale, offset }] as const;
  }),
);

interface Values {
  readonly scale: number;
  readonly offset: number;
}

async function check(
  problem: LayerNormProblem,
  plan: KernelPlan,
  { scale, offset }: Values,
): Promise<void> {
  const { dtype, rows, channels, eps } = problem;
  const x = uniformArray(rows * channels, 31, scale, offset).map((value) =>
    roundToDtype(value, dtype),
  );
  const gamma = uniformArray(channels, 32, 0.5, 1).map(Math.fround);
  const beta = uniformArray(channels, 33, 0.5).map(Math.fround);
  const bytes = packRows(x, channels, dtype);
  const { y } = await runKernel(
    setup.gpu,
    plan,
    { x: bytes, gamma: packRows(gamma, channels, "f32"), beta: packRows(beta, channels, "f32") },
    { y: bytes.byteLength },
  );
  const got = unpackRows(y as Uint8Array<ArrayBuffer>, channels, dtype);
  expectClose(got, layerNormReference(x, eps, gamma, beta), [rows, channels], pointwise(dtype));
}

describe.each(layerNorm.variants)("%s", (variant) => {
  it.each(TABLE)("%s", (_, { scale, offset, ...problem }) =>
    check(problem, layerNorm.plan(problem, setup.caps, variant), { scale, offset }),
  );

  it("runs on a folded grid with a surplus workgroup", () => {
    const problem: LayerNormProblem = {
      dtype: "f16",
      rows: variant === "row" ? 300 : 5,
      channels: 45,
      eps: 1e-5,
    };
    const { dispatches, ...plan } = layerNorm.plan(problem, setup.caps, variant);
    const folded = dispatches.map((step) => ({ ...step, workgroups: [3, 2, 1] as const }));
    return check(problem, { ...plan, dispatches: folded }, { scale: 2, offset: 0 });
  });
});
