/** A picture in tiles stays on the device between its upload and its readback. */
import { afterEach, expect, it, vi } from "vitest";
import { STATIONS } from "../../../src/rcod/stages/fault-counters.ts";
import { useGpu } from "../../support/gpu.ts";
import { minimalPipeline, testImage } from "../support.ts";

const setup = useGpu();
afterEach(() => vi.restoreAllMocks());

/** Bytes of every write to a buffer and of every mapped buffer, from now on. */
function countTransfers(device: GPUDevice) {
  const uploads: number[] = [];
  const readbacks: number[] = [];
  const { queue } = device;
  const [write, create] = [queue.writeBuffer.bind(queue), device.createBuffer.bind(device)];
  vi.spyOn(queue, "writeBuffer").mockImplementation((...given) => {
    uploads.push(given[4] ?? given[2].byteLength);
    write(...given);
  });
  vi.spyOn(device, "createBuffer").mockImplementation((descriptor) => {
    const buffer = create(descriptor);
    const mapAsync = buffer.mapAsync.bind(buffer);
    const counted: GPUBuffer["mapAsync"] = (...given) => {
      readbacks.push(buffer.size);
      return mapAsync(...given);
    };
    Object.defineProperty(buffer, "mapAsync", { value: counted });
    return buffer;
  });
  return { uploads, readbacks };
}

it("one upload of the source, one readback of the result, and the counters of faults", async () => {
  const { pipeline } = await minimalPipeline(setup.gpu);
  try {
    const image = testImage(64, 48, 4); // its alpha is needed at the end again
    const options = { tile: 128, reuse: false, colorFix: "adain" } as const; // 2 × 2 tiles
    const first = await pipeline.upscale(image, options);
    const { uploads, readbacks } = countTransfers(setup.gpu.device);
    const { image: result } = await pipeline.upscale(image, options);
    expect(result.data).toEqual(first.image.data);
    expect(readbacks.toSorted((a, b) => a - b)).toEqual([STATIONS.length * 256, 256 * 192 * 4]);
    // Besides the source there are params, of 256 bytes a dispatch, and tables. The map that the encoder reads would be 786 kB.
    const sum = uploads.reduce((bytes, upload) => bytes + upload, 0);
    const source = 64 * 48 * 4;
    expect(uploads.filter((bytes) => bytes === source)).toHaveLength(1);
    expect(sum).toBeLessThan(source + 200_000);
  } finally {
    pipeline.dispose();
  }
});
