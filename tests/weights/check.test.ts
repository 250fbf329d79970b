import { describe, expect, test } from "vitest";
import { checkTensors } from "../../src/weights/check.ts";
import { memoryStore } from "../../src/weights/store.ts";
import type { TensorData, TensorDtype } from "../../src/weights/tensor-info.ts";
import { elementByteLength } from "../../src/weights/tensor-info.ts";
import { failureOf } from "./samples.ts";

function storeOf(tensors: Record<string, readonly number[]>, dtype: TensorDtype = "F16") {
  const held = Object.entries(tensors).map(([name, shape]): [string, TensorData] => {
    const byteLength = shape.reduce((a, b) => a * b, 1) * elementByteLength(dtype);
    return [name, { dtype, shape, data: new Uint8Array(byteLength) }];
  });
  return memoryStore("unet", new Map(held));
}

const expected = (tensors: Record<string, readonly number[]>) =>
  Object.entries(tensors).map(([name, shape]) => ({ name, shape }));

describe("checkTensors", () => {
  test("accepts what fits", () => {
    const tensors = { "conv_in.weight": [4, 2, 3, 3], "conv_in.bias": [4], scale: [] };
    for (const dtype of ["F64", "F32", "F16", "BF16"] as const) {
      expect(() =>
        checkTensors(storeOf(tensors, dtype), expected(tensors), { unused: "error" }),
      ).not.toThrow();
    }
  });

  test("takes a matrix for a 1x1 convolution and the reverse", () => {
    const matrices = { "proj_in.weight": [4, 4], "shortcut.weight": [8, 2] };
    const kernels = { "proj_in.weight": [4, 4, 1, 1], "shortcut.weight": [8, 2, 1, 1] };
    checkTensors(storeOf(matrices), expected(kernels), { unused: "error" });
    checkTensors(storeOf(kernels), expected(matrices), { unused: "error" });
  });

  test.each([
    [
      [4, 4],
      [4, 4, 1],
    ],
    [
      [4, 4],
      [4, 4, 3, 1],
    ],
    [
      [4, 4],
      [4, 4, 1, 3],
    ],
    [
      [4, 2],
      [2, 4, 1, 1],
    ],
    [
      [4, 4, 1, 1],
      [4, 4, 1, 1, 1],
    ],
    [[4], [4, 1, 1]],
    [[4], [4, 1]],
    [[], [1]],
    [
      [2, 3],
      [3, 2],
    ],
  ])("does not take %j for %j", async (got, wanted) => {
    const call = () =>
      checkTensors(storeOf({ a: got }), expected({ a: wanted }), { unused: "error" });
    expect(await failureOf(call)).toBe(
      `weights: 1 tensor wrong shape. wrong shape: a (got [${got.join(", ")}], ` +
        `expected [${wanted.join(", ")}]) (unet)`,
    );
  });

  test("reports missing and unused tensors together", async () => {
    const store = storeOf({ "conv_in.biases": [4] });
    const needed = expected({ "conv_in.bias": [4], "conv_in.weight": [4, 4, 3, 3] });
    expect(await failureOf(() => checkTensors(store, needed, { unused: "error" }))).toBe(
      "weights: 2 tensors missing, 1 unused. missing: conv_in.bias, conv_in.weight; " +
        "unused: conv_in.biases (unet)",
    );
  });

  test("reports every kind of problem in one error", async () => {
    const store = storeOf({ ids: [2], w: [3], "odd name": [1] }, "I64");
    const needed = expected({ ids: [2], w: [4], b: [1] });
    expect(await failureOf(() => checkTensors(store, needed, { unused: "error" }))).toBe(
      "weights: 1 tensor missing, 1 wrong shape, 2 unsupported dtype, 1 unused. missing: b; " +
        "wrong shape: w (got [3], expected [4]); unsupported dtype: ids (I64), w (I64); " +
        'unused: "odd name" (unet)',
    );
  });

  test("lists eight of many", async () => {
    const needed = Array.from({ length: 686 }, (_, i) => ({ name: `t${i}`, shape: [1] }));
    expect(await failureOf(() => checkTensors(storeOf({}), needed, { unused: "error" }))).toBe(
      "weights: 686 tensors missing. missing: t0, t1, t2, t3, t4, t5, t6, t7 and 678 more (unet)",
    );
  });

  test("lets tensors be unused by choice", async () => {
    const store = storeOf({ a: [1], "text_model.x": [1], "text_model.y": [1], logit_scale: [] });
    const needed = expected({ a: [1] });
    checkTensors(store, needed, { unused: "ignore" });
    checkTensors(store, needed, { unused: [/^text_model\./g, /^logit_scale$/] });
    expect(await failureOf(() => checkTensors(store, needed, { unused: [/^text_model\./g] }))).toBe(
      "weights: 1 tensor unused. unused: logit_scale (unet)",
    );
    expect(await failureOf(() => checkTensors(store, needed, { unused: [] }))).toMatch(/3 tensors/);
  });

  test("does not mind the dtype of what is unused", () => {
    const store = storeOf({ position_ids: [1, 257] }, "I64");
    checkTensors(store, [], { unused: "ignore" });
  });
});
