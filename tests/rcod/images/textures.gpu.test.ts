import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { DeviceError } from "../../../src/gpu/errors.ts";
import { ShapeError } from "../../../src/gpu/shape.ts";
import { requestNodeGpu } from "../../../src/node/gpu.ts";
import { readImage, resizeImage, uploadImage } from "../../../src/rcod/images/image-ops.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import type { Pipeline } from "../../../src/rcod/pipeline.ts";
import type { RawImage, TextureOptions } from "../../../src/rcod/settings/options.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import { useGpu } from "../../support/gpu.ts";
import type { TextureFields } from "../../support/texture.ts";
import { makeTexture, readTexture, writeTexture } from "../../support/texture.ts";
import { minimalFiles, minimalPipeline, testImage } from "../support.ts";

const setup = useGpu();
let pipeline: Pipeline;
beforeAll(async () => {
  ({ pipeline } = await minimalPipeline(setup.gpu));
});
afterAll(() => pipeline.dispose());

/** RGBA bytes of an image, alpha 255 where it has none. */
function rgba({ data, channels }: RawImage): Uint8Array {
  if (channels === 4) return Uint8Array.from(data);
  return Uint8Array.from({ length: (data.length / 3) * 4 }, (_, i) =>
    i % 4 === 3 ? 255 : (data[Math.floor(i / 4) * 3 + (i % 4)] as number),
  );
}

/** Bytes of what is read back during `use`, and its result. */
async function readbacks<T>(
  use: () => Promise<T>,
): Promise<{ readonly result: T; readonly sizes: readonly number[] }> {
  const create = vi.spyOn(setup.gpu.device, "createBuffer");
  try {
    const result = await use();
    const made = create.mock.calls.map(([descriptor]) => descriptor);
    return { result, sizes: made.flatMap(({ usage, size }) => (usage & MAP_READ ? size : [])) };
  } finally {
    create.mockRestore();
  }
}

const MAP_READ = 0x1;

describe("a texture as input", () => {
  // Rows of 4·64 bytes are copied at once, others one by one.
  it.each([
    [7, 5],
    [64, 3],
    [1, 1],
  ])("of %i×%i gives what its pixels give, alpha included", async (width, height) => {
    const image = testImage(width, height, 4);
    const texture = makeTexture(setup.gpu, width, height, image.data);
    const [expected, got] = [await pipeline.upscale(image), await pipeline.upscale(texture)];
    expect(got.image.channels).toBe(4);
    expect(got.image.data).toEqual(expected.image.data);
    texture.destroy();
  });

  it("is encoded once, and again where the caller says that it changed", async () => {
    const [a, b] = [testImage(6, 6, 4, 1), testImage(6, 6, 4, 2)];
    const texture = makeTexture(setup.gpu, 6, 6, a.data);
    const first = await pipeline.upscale(texture);
    const second = await pipeline.upscale(texture, { realism: "realism" });
    expect(first.reused).toEqual([]);
    expect(second.reused).toEqual(["preprocess", "tokens", "encode"]);
    writeTexture(setup.gpu, texture, b.data);
    const changed = await pipeline.upscale(texture, { reuse: false });
    expect(changed.reused).toEqual([]);
    expect(changed.image.data).toEqual((await pipeline.upscale(b)).image.data);
    expect(changed.image.data).not.toEqual(first.image.data);
    texture.destroy();
  });

  it("is refused in another format, usage or shape before anything is allocated", async () => {
    const before = setup.gpu.memory.use().currentBytes;
    const message =
      /^image: a texture must be 2d, rgba8unorm, with one layer, one sample and usage COPY_SRC, got /;
    for (const [fields, got] of [
      [{ format: "bgra8unorm" }, "2d, bgra8unorm, 1 layers"],
      [{ usage: 0x4 }, "usage 0x4"],
      [{ size: [4, 4, 3] }, "3 layers"],
    ] satisfies [TextureFields, string][]) {
      const texture = makeTexture(setup.gpu, 4, 4, undefined, fields);
      const error = await pipeline.upscale(texture).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ShapeError);
      expect((error as Error).message).toMatch(message);
      expect((error as Error).message).toContain(got);
      texture.destroy();
    }
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });

  it("of another device, or destroyed, is an error that says so; the next call works", async () => {
    const other = await requestNodeGpu();
    const image = testImage(4, 4, 4);
    const expected = (await pipeline.upscale({ ...image })).image.data;
    const foreign = makeTexture(other, 4, 4, image.data);
    const dead = makeTexture(setup.gpu, 4, 4, image.data);
    dead.destroy();
    for (const texture of [foreign, dead]) {
      const error = await pipeline.upscale(texture).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(DeviceError);
      expect((error as Error).message).toContain("device: the input texture cannot be read");
      expect((error as Error).message).toContain("load the model with { gpu: device }");
    }
    expect((await pipeline.upscale(image)).image.data).toEqual(expected);
    other.destroy();
  });
});

describe("a texture as output", () => {
  it.each([[testImage(7, 5)], [testImage(16, 3, 4)]])(
    "holds the pixels of the image, and nothing is read back",
    async (image) => {
      const expected = (await pipeline.upscale({ ...image })).image;
      const pixels = 4 * expected.width * expected.height;
      const fromHost = await readbacks(() => pipeline.upscale({ ...image }));
      expect(fromHost.sizes).toContain(pixels);
      const { result, sizes } = await readbacks(() =>
        pipeline.upscale({ ...image }, { output: "texture", enlarged: true }),
      );
      expect(sizes).toHaveLength(1); // counters of what is no number
      expect(sizes).not.toContain(pixels);
      expect(result).not.toHaveProperty("image");
      const { texture } = result;
      expect([texture.width, texture.height]).toEqual([expected.width, expected.height]);
      expect(texture.format).toBe("rgba8unorm");
      expect(texture.usage & 0x15).toBe(0x15); // COPY_SRC, TEXTURE_BINDING, RENDER_ATTACHMENT
      expect(await readTexture(setup.gpu, texture)).toEqual(rgba(expected));
      texture.destroy();
      result.enlarged?.destroy();
    },
  );

  it("feeds the next call without the host", async () => {
    const image = testImage(3, 3);
    const { texture } = await pipeline.upscale(image, { output: "texture" });
    const { result, sizes } = await readbacks(() =>
      pipeline.upscale(texture, { output: "texture" }),
    );
    expect(sizes).toHaveLength(1); // as above
    expect([result.texture.width, result.texture.height]).toEqual([48, 48]);
    const once = (await pipeline.upscale(image)).image;
    const twice = (await pipeline.upscale(once)).image;
    expect(await readTexture(setup.gpu, result.texture)).toEqual(rgba(twice));
    for (const each of [texture, result.texture]) each.destroy();
  });

  // Below min_size (4) the pipeline enlarges in two steps; the texture is still one bicubic ×4.
  it.each([[testImage(9, 6, 4)], [testImage(3, 2)]])(
    "enlarged: the source by bicubic, as large as the result",
    async (image) => {
      const { image: out, enlarged } = await pipeline.upscale(image, { enlarged: true });
      const small = uploadImage(setup.gpu, image);
      const large = await resizeImage(setup.gpu, small, out.width, out.height, "bicubic");
      const expected = await readImage(setup.gpu, large);
      expect(enlarged && (await readTexture(setup.gpu, enlarged))).toEqual(expected);
      for (const { buffer } of [small, large]) setup.gpu.memory.release(buffer);
      enlarged?.destroy();
      expect(await pipeline.upscale(image)).not.toHaveProperty("enlarged");
    },
  );

  it("is refused where the device has no such texture, before anything is allocated", async () => {
    const limit = setup.gpu.device.limits.maxTextureDimension2D;
    const image = testImage(Math.ceil((limit + 1) / 4), 1);
    const before = setup.gpu.memory.use().currentBytes;
    for (const options of [{ output: "texture" }, { enlarged: true }] as const) {
      await expect(pipeline.upscale(image, options as { output: "texture" })).rejects.toThrow(
        `texture: sides must be at most ${limit} on this device (maxTextureDimension2D), got ${image.width * 4}×4`,
      );
    }
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });

  it("is destroyed when the caller never gets it", async () => {
    const create = vi.spyOn(setup.gpu.device, "createTexture");
    const destroyed: string[] = [];
    create.mockImplementation((descriptor) => {
      const texture = Object.getPrototypeOf(setup.gpu.device).createTexture.call(
        setup.gpu.device,
        descriptor,
      ) as GPUTexture;
      const destroy = texture.destroy.bind(texture);
      texture.destroy = () => {
        destroyed.push(texture.label);
        destroy();
      };
      return texture;
    });
    try {
      const options: TextureOptions = {
        output: "texture",
        enlarged: true,
        onProgress: ({ fraction }) => {
          if (fraction === 1) throw new Error("the page is gone");
        },
      };
      const run = pipeline.upscale(testImage(4, 4), options);
      await expect(run).rejects.toThrow("the page is gone");
      expect(destroyed.toSorted()).toEqual(["enlarged", "upscaled"]);
    } finally {
      create.mockRestore();
    }
  });
});

it("a model takes and gives textures of its device", async () => {
  const model = await loadModel(memoryFiles(await minimalFiles()), {
    gpu: setup.gpu.device,
    precision: "f32",
  });
  try {
    expect(model.gpu.device).toBe(setup.gpu.device);
    const image = testImage(5, 4, 4);
    const input = makeTexture(model.gpu, 5, 4, image.data);
    const { texture } = await model.upscale(input, { output: "texture" });
    const { image: expected } = await model.upscale(image);
    expect(await readTexture(setup.gpu, texture)).toEqual(expected.data);
    for (const each of [input, texture]) each.destroy();
  } finally {
    model.dispose();
  }
});
