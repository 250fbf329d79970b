/** LayerNorm in the loads of the variant "tiled"; tests/matrix-units has those of "matrix". */
import { expect, it } from "vitest";
import type { LinearProblem } from "../../../src/kernels/contraction/linear.ts";
import { linear } from "../../../src/kernels/contraction/linear.ts";
import { useGpu } from "../../support/gpu.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";
import { LAYER_NORM_CASES, checkLayerNormOnLoad } from "../norm/layer-norm-rows.ts";

const setup = useGpu();
const EPS = 1e-5;

it.each(LAYER_NORM_CASES.map((row) => [`${row.dtype} ${JSON.stringify(row)}`, row] as const))(
  "%s",
  async (_, row) => {
    await checkLayerNormOnLoad(setup.gpu, row, "tiled");
  },
);

it("refuses what has no whole tiles, and other variants", () => {
  const problem: LinearProblem = {
    dtype: "f32",
    rows: 8,
    inChannels: [64],
    outChannels: 64,
    rowsPerImage: 8,
    inputNorm: "none",
    mergedNorm: null,
    weightStorage: "float",
    layerNorm: { eps: EPS },
    epilogue: PLAIN_EPILOGUE,
  };
  const plan =
    (change: Partial<LinearProblem>, variant: "tiled" | "naive" = "tiled") =>
    () =>
      linear.plan({ ...problem, ...change }, setup.caps, variant);
  expect(plan({})).not.toThrow();
  expect(plan({}, "naive")).toThrow("linear: naive does not normalise rows. Apply layerNorm");
  expect(plan({ inChannels: [60] })).toThrow("one source of a multiple of 64 channels");
  expect(plan({ inChannels: [64, 64] })).toThrow("one source of a multiple of 64 channels");
  expect(plan({ layerNorm: { eps: 0 } })).toThrow("linear: eps must be a positive number, got 0");
  expect(plan({ inputNorm: "affine" })).toThrow("linear: layerNorm excludes inputNorm");
  const rows = { ...PLAIN_EPILOGUE, statistics: "rows" } as const;
  expect(plan({ layerNorm: null, epilogue: rows, outChannels: 60 })).toThrow(
    'linear: takes statistics of rows as "tiled" of a multiple of 64 columns, got "tiled" of 60',
  );
});
