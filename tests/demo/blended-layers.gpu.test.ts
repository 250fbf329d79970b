/** Two layers drawn as one between them, by the view's shader. */
import { expect, it } from "vitest";
import { Layer } from "../../demo/worker/layer.ts";
import { LayerStore } from "../../demo/worker/layers.ts";
import { readTexture } from "../../demo/worker/readback.ts";
import { ResultArchive } from "../../demo/worker/result-archive.ts";
import { blendRealism } from "../../src/rcod/images/blend-realism.ts";
import { useGpu } from "../support/gpu.ts";
import { noiseBytes } from "../support/random.ts";

const setup = useGpu();
const [WIDTH, HEIGHT] = [37, 21];

/** A layer of noise. */
function noiseLayer(seed: number): readonly [Layer, Uint8Array] {
  const { device } = setup.gpu;
  const layer = Layer.empty(device, WIDTH, HEIGHT);
  const data = noiseBytes(WIDTH * HEIGHT * 4, seed);
  layer.write(device.queue, { x: 0, y: 0, width: WIDTH, height: HEIGHT, data });
  return [layer, data];
}

it("is what blendRealism makes of their pixels, and bicubic where one is gone", async () => {
  const { device } = setup.gpu;
  const store = new LayerStore(device, new ResultArchive());
  const grey = new Uint8ClampedArray(9 * 5 * 4).fill(90);
  const image = { width: 9, height: 5, data: grey, colorSpace: "srgb" } as unknown as ImageData;
  store.setSource(image);
  const [[from, a], [to, b]] = [noiseLayer(1), noiseLayer(2)];
  const under = { from: store.add(from).id, to: store.addAhead(to), share: 0.3 };
  const pixels = async (blend: typeof under): Promise<Uint8ClampedArray> => {
    const { layer, id } = store.begin(image, WIDTH, HEIGHT, blend);
    const [tile] = layer.tiles;
    const read = await readTexture(device, tile!.texture);
    store.drop(id);
    return read;
  };
  const of = (realism: number, data: Uint8Array) =>
    ({ realism, image: { width: WIDTH, height: HEIGHT, channels: 4, data } }) as const;
  for (const share of [0.3, 0.75]) {
    const expected = blendRealism([of(0, a), of(1, b)], share).data;
    const got = await pixels({ ...under, share });
    // WGSL leaves the rounding of a texel open, and mix() its arithmetic.
    expect(Math.max(...expected.map((value, i) => Math.abs(value - got[i]!)))).toBeLessThan(2);
  }
  expect([...(await pixels({ ...under, share: 1 }))]).toEqual([...b]);
  store.drop(under.to);
  expect(new Set(await pixels(under))).toEqual(new Set([90]));
});
