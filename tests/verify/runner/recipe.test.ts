import { describe, expect, test } from "vitest";
import { halfBitsToFloat } from "../../../src/gpu/dtype.ts";
import { elementCount } from "../../../src/gpu/shape.ts";
import {
  fnv1a32,
  recipeHalves,
  recipeScale,
  recipeTensor,
} from "../../../src/verify/runner/recipe.ts";
import { fmix32 } from "../../support/fmix32.ts";

/** Bits of elements 0, 1 and the last, of variant 0; from the reference implementation. */
const TABLE: readonly (readonly [
  name: string,
  shape: readonly number[],
  bits: readonly [number, number, number],
])[] = [
  ["conv_in.weight", [320, 4, 3, 3], [0xa981, 0xaffd, 0x23a4]],
  [
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight",
    [320, 320],
    [0xab1a, 0xac53, 0x252a],
  ],
  [
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0.weight",
    [640, 640],
    [0x28aa, 0x28d3, 0x2859],
  ],
  ["conv_norm_out.weight", [320], [0x3c41, 0x3c45, 0x3bb2]],
  ["conv_norm_out.bias", [320], [0x27cf, 0xad0c, 0xa39e]],
  ["vision_model.embeddings.class_embedding", [1024], [0x377a, 0xa60e, 0x2a2a]],
  ["vision_model.embeddings.position_embedding.weight", [257, 1024], [0x346b, 0x30a1, 0x3696]],
  ["vision_model.embeddings.patch_embedding.weight", [1024, 3, 14, 14], [0x2c87, 0x29e7, 0x2a1b]],
  ["quant_conv.weight", [8, 8, 1, 1], [0x2e19, 0xc1b7, 0xb8a5]],
  ["post_quant_conv.weight", [4, 4, 1, 1], [0xb1df, 0xa2f3, 0xb20b]],
  ["decoder.conv_out.weight", [3, 128, 3, 3], [0x25c2, 0x96af, 0x219e]],
  ["image_proj.weight", [1024, 1024], [0x2189, 0xa4fe, 0x1b70]],
  ["mid_block.resnets.0.conv1.lora_A.weight", [4, 64, 3, 3], [0x2bd4, 0xa30d, 0xab43]],
  ["mid_block.resnets.0.conv1.lora_B.weight", [64, 4, 1, 1], [0x2c65, 0x2d99, 0xa8f1]],
];

describe("recipe", () => {
  test("hashes", () => {
    expect(fnv1a32("")).toBe(0x811c9dc5);
    expect(fnv1a32("a")).toBe(0xe40c292c);
    expect(fnv1a32("conv_in.weight")).toBe(0xb1e79747);
    expect(fmix32(0)).toBe(0);
    expect(fmix32(1)).toBe(0x514e28b7);
    expect(fmix32(0x9e3779b9)).toBe(0x92ca2f0e);
  });

  test.each(TABLE)("%s", (name, shape, bits) => {
    const halves = recipeHalves(name, shape, 0, 0, elementCount(shape));
    expect([halves[0], halves[1], halves[halves.length - 1]]).toEqual(bits);
  });

  test("the loop equals the formula, element by element", () => {
    const [name, shape, variant] = [
      "mid_block.resnets.0.conv1.weight",
      [8, 16, 3, 3],
      0x5eed1234,
    ] as const;
    const { base, amp } = recipeScale(name, shape);
    const halves = recipeHalves(name, shape, variant, 0, elementCount(shape));
    halves.forEach((bits, i) => {
      const x = ((fnv1a32(name) ^ variant) + Math.imul(i, 0x9e3779b9)) >>> 0;
      const value = Math.fround(base + amp * (fmix32(x) / 2 ** 31 - 1));
      // Half precision has 11 significant bits: the nearest half is within half a unit of the last place.
      expect(Math.abs(halfBitsToFloat(bits) - value)).toBeLessThanOrEqual(
        Math.abs(value) * 2 ** -11 + 2 ** -25,
      );
    });
  });

  test("ranges of a tensor are the tensor, also with odd bounds", async () => {
    const tensor = recipeTensor("conv_in.weight", [5, 7, 3, 3], 42);
    const whole = await tensor.read(0, tensor.byteLength);
    for (const [start, length] of [
      [0, 6],
      [2, 8],
      [3, 5],
      [7, 1],
      [tensor.byteLength - 3, 3],
    ] as const) {
      expect(await tensor.read(start, length)).toEqual(whole.slice(start, start + length));
    }
  });

  test("the variant changes the values", () => {
    expect(recipeHalves("conv_in.bias", [16], 1, 0, 16)).not.toEqual(
      recipeHalves("conv_in.bias", [16], 0, 0, 16),
    );
  });
});
