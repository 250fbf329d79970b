import { expect, it } from "vitest";
import { readBytes } from "../../../src/gpu/transfer.ts";
import { resizeToTensor, uploadImage } from "../../../src/rcod/images/image-ops.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import { useGpu } from "../../support/gpu.ts";
import { testImage } from "../support.ts";

const setup = useGpu();

async function resized(image: RawImage, width: number, height: number): Promise<Float32Array> {
  const { gpu } = setup;
  const source = uploadImage(gpu, image);
  const dst = gpu.memory.create("dst", width * height * 16, "images");
  try {
    await resizeToTensor(
      gpu,
      { ...source, type: "rgba8" },
      { buffer: dst },
      { width, height, dtype: "f32" },
    );
    return new Float32Array((await readBytes(gpu, dst, 0, width * height * 16)).buffer);
  } finally {
    gpu.memory.release(source.buffer);
    gpu.memory.release(dst);
  }
}

it.each([
  [50, 3],
  [9, 2],
])(
  "resizeToTensor of a tall image is that of the wide one, transposed (%i×%i)",
  async (width, height) => {
    const wide = testImage(width, height);
    const data = wide.data.map((_, i) => {
      const [pixel, c] = [Math.floor(i / 3), i % 3];
      return wide.data[((pixel % height) * width + Math.floor(pixel / height)) * 3 + c] as number;
    });
    const before = setup.gpu.memory.use().currentBytes;
    const expected = await resized(wide, 7, 5);
    const got = await resized({ width: height, height: width, channels: 3, data }, 5, 7);
    let largest = 0;
    for (let y = 0; y < 7; y++) {
      for (let x = 0; x < 5; x++) {
        for (let c = 0; c < 4; c++) {
          const difference =
            (got[(y * 5 + x) * 4 + c] as number) - (expected[(x * 7 + y) * 4 + c] as number);
          largest = Math.max(largest, Math.abs(difference));
        }
      }
    }
    expect(largest).toBeLessThanOrEqual(1e-6);
    expect(Math.max(...expected)).toBeGreaterThan(0.1);
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  },
);
