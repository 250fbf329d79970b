import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import type { ShaderHeader } from "../../src/gpu/wgsl.ts";
import { foldWorkgroups, packParams, shaderHeader } from "../../src/gpu/wgsl.ts";

describe("foldWorkgroups", () => {
  it.each([
    [0, [1, 1, 1]],
    [1, [1, 1, 1]],
    [65_535, [65_535, 1, 1]],
    [65_536, [32_768, 2, 1]],
    [131_071, [43_691, 3, 1]],
    [1_000_000, [62_500, 16, 1]],
  ])("%i workgroups", (count, grid) => {
    expect(foldWorkgroups(count)).toEqual(grid);
  });

  it("covers every workgroup within the limit and with less than one surplus row", () => {
    for (const count of [65_537, 100_003, 999_983, 4_294_836, 65_535 * 1000 + 1]) {
      const [x, y, z] = foldWorkgroups(count);
      expect(Math.max(x, y)).toBeLessThanOrEqual(65_535);
      expect(z).toBe(1);
      expect(x * y).toBeGreaterThanOrEqual(count);
      expect(x * y - count).toBeLessThan(y);
    }
  });
});

describe("packParams", () => {
  it("writes fields in order, little-endian, four bytes each", () => {
    const bytes = packParams([
      ["a", "u32", 4_294_967_295],
      ["b", "i32", -2],
      ["c", "f32", 1.5],
      ["d", "u32", 7],
      ["e", "f32", 0.1],
    ]);
    const view = new DataView(bytes.buffer);
    expect(bytes.byteLength).toBe(32);
    expect(view.getUint32(0, true)).toBe(4_294_967_295);
    expect(view.getInt32(4, true)).toBe(-2);
    expect(view.getFloat32(8, true)).toBe(1.5);
    expect(view.getUint32(12, true)).toBe(7);
    expect(view.getFloat32(16, true)).toBe(Math.fround(0.1));
    expect([...bytes.subarray(20)]).toEqual(Array<number>(12).fill(0));
  });

  it.each([
    [0, 16],
    [1, 16],
    [4, 16],
    [5, 32],
  ])("pads %i fields to %i bytes", (count, byteLength) => {
    const params = Array.from({ length: count }, (_, i) => [`p${i}`, "u32", i] as const);
    expect(packParams(params).byteLength).toBe(byteLength);
  });

  it("refuses fractions and NaN in integer fields", () => {
    expect(() => packParams([["rows", "u32", 2.5]])).toThrow("rows must be an integer, got 2.5");
    expect(() => packParams([["rows", "i32", NaN]])).toThrow("rows must be an integer, got NaN");
  });
});

describe("shaderHeader", () => {
  const header: ShaderHeader = {
    caps: BASELINE_CAPS,
    dtype: "f16",
    operands: [
      { name: "x", element: "Quad", access: "read" },
      { name: "y", element: "vec4<f32>", access: "read_write" },
    ],
    params: [
      ["rows", "u32", 3],
      ["eps", "f32", 1e-5],
    ],
    constants: { TILE: 16 },
  };

  it("declares operands in binding order, params last", () => {
    const text = shaderHeader(header);
    expect(text).toContain("@group(0) @binding(0) var<storage, read> x: array<Quad>;");
    expect(text).toContain("@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;");
    expect(text).toContain("struct Params { rows: u32, eps: f32 }");
    expect(text).toContain("@group(0) @binding(2) var<uniform> params: Params;");
    expect(text).toContain("const TILE: u32 = 16u;");
    expect(text).toContain("fn flat_group(");
  });

  it.each([
    ["f32", true, "alias Quad = vec4<f32>;", false],
    ["f32", false, "alias Quad = vec4<f32>;", false],
    ["f16", true, "alias Quad = vec4<f16>;", true],
    ["f16", false, "alias Quad = vec2<u32>;", false],
  ] as const)("%s with shader-f16 %s is %s", (dtype, hasShaderF16, alias, enables) => {
    const text = shaderHeader({ ...header, dtype, caps: { ...BASELINE_CAPS, hasShaderF16 } });
    expect(text).toContain(alias);
    expect(text.startsWith("enable f16;")).toBe(enables);
  });

  it("depends on parameter names, not on their values", () => {
    const params = header.params.map(([name, type]) => [name, type, 99] as const);
    expect(shaderHeader({ ...header, params })).toBe(shaderHeader(header));
  });
});
