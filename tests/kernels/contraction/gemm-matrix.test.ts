/** The variant "matrix" as text, for the shapes and subgroup sizes that nothing here can run. */
import { describe, expect, it } from "vitest";
import type { Caps } from "../../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { MatrixUnits } from "../../../src/gpu/subgroup-matrix.ts";
import { gemmBody } from "../../../src/kernels/contraction/gemm-matrix.ts";
import type { LinearProblem } from "../../../src/kernels/contraction/linear.ts";
import { linear } from "../../../src/kernels/contraction/linear.ts";
import { MATRIX_CAPS, matrixCaps } from "../../support/matrix-caps.ts";
import { PLAIN_EPILOGUE } from "../../support/plain-epilogue.ts";

const PROBLEM: LinearProblem = {
  dtype: "f16",
  rows: 256,
  inChannels: [1280],
  outChannels: 1280,
  rowsPerImage: 256,
  inputNorm: "none",
  mergedNorm: null,
  weightStorage: "float",
  layerNorm: null,
  epilogue: PLAIN_EPILOGUE,
};

const codeOf = (caps: Caps, change: Partial<LinearProblem> = {}): string =>
  linear.plan({ ...PROBLEM, ...change }, caps, "matrix").dispatches[0]?.code ?? "";

/** Shapes as M, N, K and the subgroup size, and the fragments that each subgroup should have. */
const SHAPES = [
  [16, 16, 16, 32, 2, 2], // NVIDIA
  [16, 16, 16, 64, 4, 2], // AMD
  [8, 16, 16, 16, 2, 2], // Intel: 16 × 32
  [8, 8, 8, 32, 4, 4],
  [8, 8, 8, 8, 2, 2], // llvmpipe
  [16, 16, 32, 128, 4, 4],
  [16, 8, 16, 32, 2, 4],
] as const;

const BYTES = { f16: 2, f32: 4, "vec4<f16>": 8, "vec4<f32>": 16 } as const;

describe.each(SHAPES)("%i×%i×%i in subgroups of %i", (M, N, K, subgroupSize, rows, columns) => {
  const SPELLINGS = ["quads", "elements", "flag"] as const;
  const units = { ...(MATRIX_CAPS.matrixUnits as MatrixUnits), M, N, K, subgroupSize };

  it(`gives each subgroup ${rows} × ${columns} fragments, and all of them the tile`, () => {
    const { begin } = gemmBody("matrix", matrixCaps(units), false, "float");
    const sums = [...begin.matchAll(/var sum(\d)_(\d): subgroup_matrix_result</g)];
    expect(sums.length).toBe(rows * columns);
    expect(sums.at(-1)?.slice(1)).toEqual([`${rows - 1}`, `${columns - 1}`]);
    expect(sums.length * M * N * (128 / subgroupSize)).toBe(64 * 64);
  });

  it.each(SPELLINGS)("fits 16 KiB of workgroup memory, spelled %s", (spelling) => {
    const code = codeOf(matrixCaps({ ...units, spelling }));
    const arrays = [...code.matchAll(/var<workgroup> \w+: array<(.+), (\d+)>;/g)];
    expect(arrays.length).toBe(3);
    const bytes = arrays.map(
      ([, type, count]) => BYTES[type as keyof typeof BYTES] * Number(count),
    );
    expect(bytes.reduce((a, b) => a + b)).toBeLessThanOrEqual(16_384);
  });
});

it("spells what devices take, and pins the subgroup size where it can", () => {
  const units = MATRIX_CAPS.matrixUnits as MatrixUnits;
  const quads = codeOf(MATRIX_CAPS);
  expect(quads).toContain(
    "subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile_a,",
  );
  expect(quads).toContain("@workgroup_size(INVOCATIONS) @subgroup_size(32)");
  expect(quads.indexOf("diagnostic(off")).toBeLessThan(quads.indexOf("alias"));
  const flag = codeOf(matrixCaps({ ...units, spelling: "flag", pinsSubgroupSize: false }));
  expect(flag).toMatch(
    /subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>>\(&tile_w, .*, true, 40u\)/,
  );
  expect(flag).not.toContain("subgroup_size");
});

it("clamps what a norm on load makes to the range of f16, and only that", () => {
  expect(codeOf(MATRIX_CAPS)).toContain("vec4<f16>(a)");
  expect(codeOf(MATRIX_CAPS, { inputNorm: "affine" })).toContain("pack(a)");
  const layerNorm = { eps: 1e-5 };
  expect(codeOf(MATRIX_CAPS, { layerNorm })).toContain("pack(a)");
});

it("says why it does not run", () => {
  const plan =
    (caps: Caps, change: Partial<LinearProblem> = {}) =>
    () =>
      linear.plan({ ...PROBLEM, ...change }, caps, "matrix");
  expect(plan(MATRIX_CAPS, { dtype: "f32" })).toThrow(
    "linear: matrix units take f16 storage, got f32",
  );
  expect(plan(BASELINE_CAPS)).toThrow(
    "linear: matrix units cannot be used: the WebGPU baseline has none",
  );
  const limits = { ...MATRIX_CAPS.limits, maxComputeWorkgroupStorageSize: 8192 };
  expect(plan({ ...MATRIX_CAPS, limits })).toThrow(
    "linear: matrix units need 14336 bytes of workgroup storage, got 8192",
  );
  expect(linear.select(PROBLEM, { ...MATRIX_CAPS, limits })).toBe("tiled");
});
