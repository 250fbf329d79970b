import { describe, expect, it } from "vitest";
import { storeSource, withCurrentAttentionNames, withLora } from "../../src/rcod/checkpoint.ts";
import type { TensorData } from "../../src/weights/index.ts";
import { WeightsError, memoryStore } from "../../src/weights/index.ts";

function floats(
  shape: readonly number[],
  dtype: TensorData["dtype"] = "F32",
  bytesEach = 4,
): TensorData {
  return {
    dtype,
    shape,
    data: new Uint8Array(bytesEach * shape.reduce((product, size) => product * size, 1)),
  };
}

function store(tensors: Record<string, readonly number[]>, name = "store") {
  return memoryStore(
    name,
    new Map(Object.entries(tensors).map(([key, shape]) => [key, floats(shape)])),
  );
}

describe("withCurrentAttentionNames", () => {
  it("renames the old names of the mid block, and nothing else", () => {
    const renamed = withCurrentAttentionNames(
      store({
        "encoder.mid_block.attentions.0.query.weight": [1],
        "encoder.mid_block.attentions.0.key.bias": [1],
        "decoder.mid_block.attentions.0.value.weight": [1],
        "decoder.mid_block.attentions.0.proj_attn.bias": [1],
        "decoder.mid_block.attentions.0.group_norm.weight": [1],
        "decoder.up_blocks.0.query.weight": [1],
      }),
    );
    expect([...renamed.names()]).toEqual([
      "encoder.mid_block.attentions.0.to_q.weight",
      "encoder.mid_block.attentions.0.to_k.bias",
      "decoder.mid_block.attentions.0.to_v.weight",
      "decoder.mid_block.attentions.0.to_out.0.bias",
      "decoder.mid_block.attentions.0.group_norm.weight",
      "decoder.up_blocks.0.query.weight",
    ]);
  });

  it("refuses a file that has both", () => {
    const both = store({
      "a.mid_block.attentions.0.query.weight": [1],
      "a.mid_block.attentions.0.to_q.weight": [1],
    });
    expect(() => withCurrentAttentionNames(both)).toThrow(WeightsError);
  });
});

describe("withLora", () => {
  const base = storeSource(
    store({ "to_q.weight": [6, 5], "conv.weight": [4, 3, 3, 3], "norm.weight": [4] }),
  );

  it("pairs A and B, with and without an adapter's name, scaled by alpha / rank", () => {
    const source = withLora(
      base,
      store({
        "to_q.lora_A.default.weight": [2, 5],
        "to_q.lora_B.default.weight": [6, 2],
        "conv.lora_A.weight": [4, 3, 3, 3],
        "conv.lora_B.weight": [4, 4, 1, 1],
      }),
    );
    expect(source.lora("to_q.weight")).toMatchObject({ rank: 2, scaling: 4 });
    expect(source.lora("conv.weight")).toMatchObject({ rank: 4, scaling: 2 });
    expect(source.lora("norm.weight")).toBeNull();
    expect(source.tensor("to_q.weight").shape).toEqual([6, 5]);
    expect(
      withLora(base, store({ "to_q.lora_A.weight": [2, 5], "to_q.lora_B.weight": [6, 2] }), 2).lora(
        "to_q.weight",
      )?.scaling,
    ).toBe(1);
  });

  const broken: readonly [string, Record<string, readonly number[]>, string][] = [
    ["A without B", { "to_q.lora_A.weight": [2, 5] }, '"to_q.lora_A.weight" has no lora_B'],
    ["B without A", { "to_q.lora_B.weight": [6, 2] }, '"to_q.lora_B.weight" has no lora_A'],
    [
      "ranks that differ",
      { "to_q.lora_A.weight": [2, 5], "to_q.lora_B.weight": [6, 3] },
      '"to_q": A [2,5] and B [6,3] do not fit [6,5]',
    ],
    [
      "another input",
      { "to_q.lora_A.weight": [2, 4], "to_q.lora_B.weight": [6, 2] },
      "do not fit [6,5]",
    ],
    ["no rank", { "to_q.lora_A.weight": [0, 5], "to_q.lora_B.weight": [6, 0] }, "do not fit [6,5]"],
    ["a vector", { "norm.lora_A.weight": [2], "norm.lora_B.weight": [4, 2] }, "do not fit [4]"],
    [
      "an unknown module",
      { "to_k.lora_A.weight": [2, 5], "to_k.lora_B.weight": [6, 2] },
      '"to_k" is no module of the base',
    ],
    ["no LoRA at all", { "to_q.weight": [6, 5] }, '"to_q.weight" is no LoRA tensor'],
  ];
  it.each(broken)("refuses %s", (_name, tensors, message) => {
    const merge = () => withLora(base, store(tensors, "adapter.safetensors"));
    expect(merge).toThrow(WeightsError);
    expect(merge).toThrow(message);
    expect(merge).toThrow("(adapter.safetensors)");
  });

  it("lists several problems at once", () => {
    expect(() =>
      withLora(base, store({ "a.lora_A.weight": [1, 1], "b.lora_B.weight": [1, 1] })),
    ).toThrow("weights: 2 LoRA problems: ");
  });
});

describe("storeSource", () => {
  it("narrows doubles piece by piece", async () => {
    const values = Float64Array.of(1.5, -2.25, 1e300, 3);
    const source = storeSource(
      memoryStore(
        "doubles",
        new Map([["w", { dtype: "F64", shape: [4], data: new Uint8Array(values.buffer) }]]),
      ),
    );
    const tensor = source.tensor("w");
    expect([tensor.dtype, tensor.byteLength]).toEqual(["F32", 16]);
    const piece = await tensor.read(4, 8);
    expect([...new Float32Array(piece.slice().buffer)]).toEqual([-2.25, Infinity]);
  });

  it("refuses integers by name", () => {
    const source = storeSource(memoryStore("ids", new Map([["w", floats([2], "I64", 8)]])));
    expect(() => source.tensor("w")).toThrow(
      'weights: "w" must be F64, F32, F16 or BF16, got I64 (ids). Convert the checkpoint',
    );
  });
});
