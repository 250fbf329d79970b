/** What tiles read of an enlarged image: any rectangle is the one of the whole, bit for bit. */
import { expect, it } from "vitest";
import type { DType } from "../../../src/gpu/dtype.ts";
import { activationByteLength } from "../../../src/graph/lowering/lower.ts";
import { readActivation } from "../../../src/graph/read-activation.ts";
import { enlargeDeep } from "../../../src/rcod/deep/deep-source.ts";
import type { EnlargedSource } from "../../../src/rcod/images/enlarged-source.ts";
import { enlargeBilinear, enlargeSource } from "../../../src/rcod/images/enlarged-source.ts";
import type { Geometry, Rectangle } from "../../../src/rcod/images/geometry.ts";
import { paddedGeometry } from "../../../src/rcod/images/geometry.ts";
import type { ModelConfigs } from "../../../src/rcod/settings/model-configs.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import { useGpu } from "../../support/gpu.ts";
import { testImage } from "../support.ts";

const setup = useGpu();

const [WIDTH, HEIGHT] = [17, 9];
/** 68 × 36 pixels, padded to 96 × 64. */
const GEOMETRY = paddedGeometry(WIDTH, HEIGHT, { upscale: 4, multiple: 32 });
/** RCOD_O enlarges by Pillow. */
const PILLOW: Geometry = {
  ...GEOMETRY,
  prepare: [{ kind: "resize", width: 68, height: 36, filter: "bicubic" }],
};
const RCOD_O = { degradation: null } as ModelConfigs;
const PARTS: readonly Rectangle[] = [
  { x: 0, y: 0, width: 1, height: 1 },
  { x: 5, y: 3, width: 30, height: 33 },
  { x: 60, y: 30, width: 36, height: 34 }, // into the padding on both sides
  { x: 70, y: 40, width: 8, height: 8 }, // in the padding alone
];

async function tensor(
  source: EnlargedSource,
  part: Rectangle,
  dtype: DType,
): Promise<Float32Array> {
  const { memory } = setup.gpu;
  const shape = [part.height, part.width, 3];
  const buffer = memory.create("part", activationByteLength(shape, dtype), "images");
  try {
    await source.toTensor({ buffer }, dtype, part);
    return await readActivation(setup.gpu, buffer, shape, dtype);
  } finally {
    memory.release(buffer);
  }
}

const image = testImage(WIDTH, HEIGHT);
const deep: RawImage = {
  ...image,
  data: Uint16Array.from(image.data, (v, i) => v * 257 + (i % 97)),
};
const SOURCES: readonly (readonly [string, () => Promise<EnlargedSource>])[] = [
  ["RCOD_O", () => enlargeSource(setup.gpu, image, PILLOW, RCOD_O, "nearest")],
  ["RCOD_S", () => enlargeBilinear(setup.gpu, image, GEOMETRY, "nearest")],
  ["16 bits", () => enlargeDeep(setup.gpu, deep, PILLOW, RCOD_O)],
];

it.each(
  SOURCES.flatMap(([name, make]) => (["f32", "f16"] as const).map((d) => [name, d, make] as const)),
)("%s in %s", async (_, dtype, make) => {
  const source = await make();
  const { workWidth, workHeight } = GEOMETRY;
  try {
    const all = { x: 0, y: 0, width: workWidth, height: workHeight };
    const whole = await tensor(source, all, dtype);
    expect(new Set(whole).size).toBeGreaterThan(100);
    for (const part of PARTS) {
      const rows = Array.from({ length: part.height }, (__, row) => {
        const start = ((part.y + row) * workWidth + part.x) * 3;
        return [...whole.subarray(start, start + part.width * 3)];
      });
      expect([...(await tensor(source, part, dtype))], JSON.stringify(part)).toEqual(rows.flat());
    }
  } finally {
    source.release();
    setup.gpu.memory.release(source.image.buffer);
  }
});
