import { afterEach, describe, expect, it, vi } from "vitest";
import { UPLOAD_CHUNK_BYTES, readBytes, uploadBytes } from "../../src/gpu/transfer.ts";
import { useGpu } from "../support/gpu.ts";

const setup = useGpu();

const made: GPUBuffer[] = [];
/** A buffer full of 0xee. */
function poisoned(byteLength: number): GPUBuffer {
  const buffer = setup.gpu.memory.create("x", byteLength, "activations");
  setup.gpu.device.queue.writeBuffer(buffer, 0, new Uint8Array(buffer.size).fill(0xee));
  made.push(buffer);
  return buffer;
}
afterEach(() => {
  for (const buffer of made.splice(0)) setup.gpu.memory.release(buffer);
  vi.restoreAllMocks();
});

/** Bytes that tell their place, so that a shift by any power of two shows. */
const pattern = (length: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, i) => (i * 167 + (i >> 8) * 13 + (i >> 16) * 7) & 0xff);

describe("uploadBytes", () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 1021])(
    "writes %i bytes and zeros up to the next word",
    async (n) => {
      const { gpu } = setup;
      const buffer = poisoned(1040);
      const data = pattern(n);
      uploadBytes(gpu, buffer, 8, data);
      const got = await readBytes(gpu, buffer, 0, 1040);
      const expected = new Uint8Array(1040).fill(0xee);
      expected.fill(0, 8, 8 + Math.ceil(n / 4) * 4);
      expected.set(data, 8);
      expect(got).toEqual(expected);
    },
  );

  it("writes nothing for no bytes", async () => {
    const buffer = poisoned(16);
    uploadBytes(setup.gpu, buffer, 0, new Uint8Array(0));
    expect(await readBytes(setup.gpu, buffer, 0, 16)).toEqual(new Uint8Array(16).fill(0xee));
  });

  it("takes a view into a larger buffer", async () => {
    const buffer = poisoned(32);
    uploadBytes(setup.gpu, buffer, 0, pattern(64).subarray(13, 13 + 21));
    const got = await readBytes(setup.gpu, buffer, 0, 21);
    expect(got).toEqual(pattern(64).slice(13, 13 + 21));
  });

  it("cuts large data into bounded pieces that join without a gap", async () => {
    const { gpu } = setup;
    const length = 2 * UPLOAD_CHUNK_BYTES + 4 * 1000 + 3;
    const data = pattern(length);
    const buffer = poisoned(length + 4);
    const write = vi.spyOn(gpu.device.queue, "writeBuffer");
    uploadBytes(gpu, buffer, 4, data);
    const sizes = write.mock.calls.map(([, , bytes, , size]) => size ?? bytes.byteLength);
    expect(sizes).toEqual([UPLOAD_CHUNK_BYTES, UPLOAD_CHUNK_BYTES, 4000, 4]);
    const got = await readBytes(gpu, buffer, 4, length);
    expect(Buffer.compare(got, data)).toBe(0);
  });
});

describe("readBytes", () => {
  it.each([
    [0, 1],
    [4, 3],
    [8, 6],
    [0, 64],
    [60, 4],
  ])("reads from %i, %i bytes", async (offset, length) => {
    const buffer = poisoned(64);
    uploadBytes(setup.gpu, buffer, 0, pattern(64));
    const got = await readBytes(setup.gpu, buffer, offset, length);
    expect(got).toEqual(pattern(64).slice(offset, offset + length));
  });

  it("frees its staging buffer, also when the range is outside", async () => {
    const { gpu } = setup;
    const buffer = poisoned(64);
    await readBytes(gpu, buffer, 0, 64);
    await expect(readBytes(gpu, buffer, 32, 64)).rejects.toThrow(/^device: /);
    expect(gpu.memory.use().byPurpose["staging"]?.current).toBe(0);
    expect(await readBytes(gpu, buffer, 0, 4)).toHaveLength(4); // the device goes on
  });
});
