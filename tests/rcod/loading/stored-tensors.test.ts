import { describe, expect, it } from "vitest";
import {
  storeSource,
  withCurrentAttentionNames,
} from "../../../src/rcod/loading/stored-tensors.ts";
import type { TensorData } from "../../../src/weights/index.ts";
import { WeightsError, memoryStore } from "../../../src/weights/index.ts";

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
