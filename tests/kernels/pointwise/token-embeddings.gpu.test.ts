import { describe, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { roundToDtype } from "../../../src/gpu/dtype.ts";
import { tokenEmbeddings } from "../../../src/kernels/pointwise/token-embeddings.ts";
import { tokenEmbeddings as reference } from "../../reference/token-embeddings.ts";
import { expectClose } from "../../support/expect-close.ts";
import { packRows, runKernel, unpackRows, useGpu } from "../../support/gpu.ts";
import { uniformArray } from "../../support/random.ts";
import { pointwise } from "../../support/tolerance.ts";

const setup = useGpu();

/** [batch, patches, channels]; the last is CLIP ViT-L/14 at 224×224. */
const SHAPES: readonly (readonly [number, number, number])[] = [
  [1, 1, 1],
  [2, 3, 5],
  [1, 15, 16], // exactly one workgroup
  [3, 16, 16],
  [1, 256, 1024],
];

describe.each<DType>(["f32", "f16"])("tokenEmbeddings %s", (dtype) => {
  it.each(SHAPES)("b=%i patches=%i channels=%i", async (batch, patches, channels) => {
    const x = uniformArray(batch * patches * channels, 1, 4).map((v) => roundToDtype(v, dtype));
    const classEmbedding = uniformArray(channels, 2, 2).map(Math.fround);
    const position = uniformArray((patches + 1) * channels, 3, 2).map(Math.fround);
    const expected = reference(batch, x, classEmbedding, position);
    const { y } = await runKernel(
      setup.gpu,
      tokenEmbeddings.plan({ dtype, batch, patches, channels }, setup.caps),
      {
        patches: packRows(x, channels, dtype),
        class_embedding: packRows(classEmbedding, channels, "f32"),
        position: packRows(position, channels, "f32"),
      },
      { y: packRows(expected, channels, dtype).byteLength },
    );
    const got = unpackRows(y as Uint8Array<ArrayBuffer>, channels, dtype);
    expectClose(got, expected, [batch, patches + 1, channels], pointwise(dtype));
  });
});
