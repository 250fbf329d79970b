import { describe, expect, it } from "vitest";
import { sharedBytesOf } from "../../../bench/compilers/shared-bytes.ts";
import type { Caps } from "../../../src/gpu/caps.ts";
import { BASELINE_CAPS, DEFAULT_LIMITS } from "../../../src/gpu/caps.ts";
import { ShapeError } from "../../../src/gpu/shape.ts";
import type { MatrixUnits } from "../../../src/gpu/subgroup-matrix.ts";
import { matrixStorageBytes } from "../../../src/kernels/attention/attention-matrix.ts";
import { threadQueries } from "../../../src/kernels/attention/attention-thread.ts";
import { tileShape, tileStorageBytes } from "../../../src/kernels/attention/attention-tile.ts";
import type { AttentionProblem } from "../../../src/kernels/attention/attention.ts";
import { attention } from "../../../src/kernels/attention/attention.ts";
import { MATRIX_CAPS, matrixCaps } from "../../support/matrix-caps.ts";

const SD: AttentionProblem = {
  dtype: "f16",
  batch: 2,
  queryTokens: 100,
  keyTokens: 257,
  numHeads: 5,
  headDim: 64,
  scale: 0.125,
  queryStride: 320,
  keyStride: 640,
  valueStride: 640,
  outputStride: 320,
  queryOffset: 0,
  keyOffset: 0,
  valueOffset: 320,
};

const HEAD_DIMS = Array.from({ length: 128 }, (_, i) => 4 * (i + 1));

function withHeadDim(headDim: number): AttentionProblem {
  const width = headDim;
  return {
    ...SD,
    numHeads: 1,
    headDim,
    queryStride: width,
    keyStride: width,
    valueStride: width,
    outputStride: width,
    valueOffset: 0,
  };
}

describe("attention check", () => {
  it("accepts windows of fused matrices", () => {
    expect(() => attention.check(SD)).not.toThrow();
  });

  it.each<[string, Partial<AttentionProblem>, string]>([
    [
      "no keys",
      { keyTokens: 0 },
      "keyTokens and numHeads must be integers ≥ 1, got 2, 100, 0 and 5",
    ],
    ["half a token", { queryTokens: 1.5 }, "must be integers ≥ 1, got 2, 1.5, 257 and 5"],
    ["headDim 6", { headDim: 6 }, "headDim must be a multiple of 4 from 4 to 512, got 6 (5 heads)"],
    ["headDim 516", { headDim: 516 }, "headDim must be a multiple of 4 from 4 to 512, got 516"],
    ["headDim 0", { headDim: 0 }, "headDim must be a multiple of 4 from 4 to 512, got 0"],
    ["stride 322", { queryStride: 322 }, "query stride and offset must be multiples of 4"],
    [
      "offset 2",
      { keyOffset: 2 },
      "key stride and offset must be multiples of 4, ≥ 0, got 640 and 2",
    ],
    ["offset −4", { keyOffset: -4 }, "key stride and offset must be multiples of 4, ≥ 0"],
    [
      "a window that leaves the row",
      { valueOffset: 324 },
      "valueStride must hold offset + numHeads·headDim channels, got stride 640, offset 324, 5·64",
    ],
    ["a narrow output", { outputStride: 316 }, "outputStride must hold"],
    ["scale NaN", { scale: NaN }, "scale must be finite, got NaN"],
    ["too many queries", { queryTokens: 2 ** 21 }, "queryTokens must be ≤ 1048560"],
  ])("refuses %s", (_, change, message) => {
    const check = () => attention.check({ ...SD, ...change });
    expect(check).toThrow(ShapeError);
    expect(check).toThrow(message);
    expect(() => attention.plan({ ...SD, ...change }, BASELINE_CAPS)).toThrow(message);
  });
});

describe("attention select", () => {
  const select = (caps: Partial<Caps>, headDim = 64) =>
    attention.select(withHeadDim(headDim), { ...BASELINE_CAPS, ...caps });
  it("takes tile on any GPU within the default limits, whatever headDim", () => {
    for (const headDim of HEAD_DIMS) expect(select({}, headDim)).toBe("tile");
  });
  it("takes thread on software adapters", () => {
    expect(select({ isSoftware: true })).toBe("thread");
  });
  it("takes thread where tile does not fit", () => {
    const limits = (change: Partial<Caps["limits"]>) => ({
      limits: { ...DEFAULT_LIMITS, ...change },
    });
    expect(select(limits({ maxComputeWorkgroupStorageSize: tileStorageBytes(64) - 1 }))).toBe(
      "thread",
    );
    expect(select(limits({ maxComputeInvocationsPerWorkgroup: 64 }), 64)).toBe("tile");
    expect(select(limits({ maxComputeInvocationsPerWorkgroup: 64 }), 512)).toBe("thread");
    expect(select(limits({ maxComputeWorkgroupSizeX: 32 }))).toBe("thread");
  });
});

describe("attention on matrix units", () => {
  it("is chosen where heads are whole chunks of f16", () => {
    const variants = [64, 512, 40, 96].map((headDim) =>
      attention.select(withHeadDim(headDim), MATRIX_CAPS),
    );
    expect(variants).toEqual(["matrix", "matrix", "tile", "tile"]);
    expect(attention.select({ ...SD, dtype: "f32" }, MATRIX_CAPS)).toBe("tile");
    expect(attention.select(SD, { ...MATRIX_CAPS, isSoftware: true })).toBe("thread");
    const limits = { ...MATRIX_CAPS.limits, maxComputeWorkgroupStorageSize: 16_384 };
    expect(attention.select(SD, { ...MATRIX_CAPS, limits })).toBe("tile");
    expect(attention.refusal?.(SD, { ...MATRIX_CAPS, limits }, "matrix")).toBe(
      "matrix units need 19972 bytes of workgroup storage, got 16384",
    );
    expect(attention.refusal?.(withHeadDim(96), MATRIX_CAPS, "matrix")).toBe(
      "matrix takes heads of a multiple of 64 channels, got 96",
    );
    expect(attention.refusal?.(SD, BASELINE_CAPS, "matrix")).toBe(
      "matrix units cannot be used: the WebGPU baseline has none",
    );
  });

  it.each([
    [16, 16, 16, 32], // NVIDIA
    [16, 8, 16, 32],
    [16, 16, 16, 64], // AMD
    [8, 16, 16, 16], // Intel
    [8, 8, 8, 8], // llvmpipe
  ])(
    "%i×%i×%i in subgroups of %i: declares what it says, and each output once",
    (M, N, K, size) => {
      const units = { ...(MATRIX_CAPS.matrixUnits as MatrixUnits), M, N, K, subgroupSize: size };
      for (const headDim of [64, 128, 512]) {
        const [step] = attention.plan(withHeadDim(headDim), matrixCaps(units), "matrix").dispatches;
        const code = step?.code ?? "";
        expect(sharedBytesOf(code)).toBe(matrixStorageBytes(units, headDim));
        const outputs = code.match(/var out\d_\d_\d:/g)?.length ?? 0;
        const queries = Number(/const BQ: u32 = (\d+)u/.exec(code)?.[1]);
        expect(outputs * M * N * 4).toBe(queries * headDim);
      }
    },
  );
});

describe("attention plan", () => {
  it("declares the workgroup memory that it asks for, within the default limits", () => {
    for (const headDim of HEAD_DIMS) {
      const { code = "" } =
        attention.plan(withHeadDim(headDim), BASELINE_CAPS, "tile").dispatches[0] ?? {};
      const sizeOf = (name: string): number =>
        Number(new RegExp(`const ${name}: u32 = (\\d+)u;`).exec(code)?.[1]);
      let bytes = 0;
      for (const [, type = ""] of code.matchAll(/var<workgroup> \w+: (array<.+>);/g)) {
        const sizes = [...type.matchAll(/, (\w+)>/g)].map(([, name = ""]) => sizeOf(name));
        bytes += sizes.reduce((product, size) => product * size, 16); // of vec4<f32>
      }
      expect(bytes).toBe(tileStorageBytes(headDim));
      expect(bytes).toBeLessThanOrEqual(DEFAULT_LIMITS.maxComputeWorkgroupStorageSize);
    }
  });

  it("keeps accumulators and function memory bounded for every headDim", () => {
    for (const headDim of HEAD_DIMS) {
      const { QUADS, TX } = tileShape(headDim);
      expect(QUADS).toBeLessThanOrEqual(4);
      expect(4 * QUADS * TX).toBeGreaterThanOrEqual(headDim);
      expect(threadQueries(headDim) * headDim * 8).toBeLessThanOrEqual(6144);
    }
  });

  it("covers all queries, heads and batch entries", () => {
    const grids = attention.variants.map(
      (variant) => attention.plan(SD, MATRIX_CAPS, variant).dispatches[0]?.workgroups,
    );
    expect(grids).toEqual([
      [2, 80, 2], // 64 queries; 5 heads of 16 quads
      [2, 5, 2], // 16 invocations of 4 queries
      [4, 5, 2], // 32 queries
      [2, 5, 2], // 64 queries, 16 a subgroup
    ]);
  });

  it("shares code between resolutions", () => {
    for (const variant of attention.variants) {
      const code = (problem: AttentionProblem) =>
        attention.plan(problem, MATRIX_CAPS, variant).dispatches[0]?.code;
      expect(code({ ...SD, queryTokens: 4096, keyTokens: 64, numHeads: 4, scale: 1 })).toBe(
        code(SD),
      );
    }
  });

  it("asks for f16 only where the device has it", () => {
    const code = (caps: Caps) => attention.plan(SD, caps, "tile").dispatches[0]?.code;
    expect(code(BASELINE_CAPS)).not.toContain("f16;");
    expect(code({ ...BASELINE_CAPS, hasShaderF16: true })).toContain("enable f16;");
  });
});

it("attention cost counts both products and each operand once", () => {
  expect(attention.cost(SD)).toEqual({
    flops: 4 * 2 * 100 * 257 * 320,
    bytesRead: 2 * (100 + 2 * 257) * 320 * 2,
    bytesWritten: 2 * 100 * 320 * 2,
  });
});
