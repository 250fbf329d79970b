/** Shapes that this device lacks: at least Tint's front end takes the shaders, in each spelling. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import type { MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";
import type { AttentionProblem } from "../../src/kernels/attention/attention.ts";
import { attention } from "../../src/kernels/attention/attention.ts";
import type { Conv2dProblem } from "../../src/kernels/contraction/conv2d.ts";
import { conv2d } from "../../src/kernels/contraction/conv2d.ts";
import type { LinearProblem } from "../../src/kernels/contraction/linear.ts";
import { linear } from "../../src/kernels/contraction/linear.ts";
import { MATRIX_CAPS, matrixCaps } from "../support/matrix-caps.ts";
import { PLAIN_EPILOGUE } from "../support/plain-epilogue.ts";
import { openMatrixGpu } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openMatrixGpu();
});
afterAll(() => gpu.destroy());

const CONVOLUTION: Conv2dProblem = {
  dtype: "f16",
  batch: 1,
  inHeight: 16,
  inWidth: 16,
  inChannels: [640, 320],
  outChannels: 640,
  kernelSize: [3, 3],
  stride: 1,
  padding: [1, 1, 1, 1],
  upsample: false,
  shortcutChannels: [],
  inputNorm: "affine-silu",
  mergedNorm: null,
  weightStorage: "float",
  epilogue: { ...PLAIN_EPILOGUE, statistics: "channels" },
};
const LAYER: LinearProblem = {
  dtype: "f16",
  rows: 256,
  inChannels: [1280],
  outChannels: 1280,
  rowsPerImage: 256,
  inputNorm: "none",
  mergedNorm: null,
  weightStorage: "float",
  layerNorm: { eps: 1e-5 },
  epilogue: { ...PLAIN_EPILOGUE, statistics: "rows" },
};
const HEAD: AttentionProblem = {
  dtype: "f16",
  batch: 1,
  queryTokens: 100,
  keyTokens: 100,
  numHeads: 1,
  headDim: 64,
  scale: 0.125,
  queryStride: 512,
  keyStride: 512,
  valueStride: 512,
  outputStride: 512,
  queryOffset: 0,
  keyOffset: 0,
  valueOffset: 0,
};
const SPLIT = { ...LAYER, layerNorm: null, epilogue: PLAIN_EPILOGUE };

const LARGE = MATRIX_CAPS.matrixUnits as MatrixUnits;
const UNITS: readonly MatrixUnits[] = [
  ...(["quads", "elements", "flag"] as const).map((spelling) => ({ ...LARGE, spelling })),
  { ...LARGE, subgroupSize: 64 },
  { ...LARGE, M: 8, subgroupSize: 16 },
  { ...LARGE, pinsSubgroupSize: false },
];

it.each(UNITS.map((units) => [JSON.stringify(units), units] as const))("%s", async (_, units) => {
  const caps = matrixCaps(units);
  const plans = [
    conv2d.plan(CONVOLUTION, caps, "matrix"),
    conv2d.plan(CONVOLUTION, caps, "matrix-patch-8"),
    conv2d.plan({ ...CONVOLUTION, upsample: true }, caps, "matrix-patch-4"),
    ...[64, 512].map((headDim) => attention.plan({ ...HEAD, headDim }, caps, "matrix")),
    linear.plan(LAYER, caps, "matrix"),
    linear.plan({ ...SPLIT, epilogue: { ...PLAIN_EPILOGUE, geglu: true } }, caps, "matrix"),
    linear.plan(SPLIT, caps, "matrix-split"),
  ];
  for (const { code, label } of plans.flatMap(({ dispatches }) => dispatches)) {
    gpu.device.pushErrorScope("validation");
    const module = gpu.device.createShaderModule({ label, code });
    const { messages } = await module.getCompilationInfo();
    expect((await gpu.device.popErrorScope())?.message, label).toBeUndefined();
    expect(messages.filter(({ type }) => type === "error")).toEqual([]);
  }
});
