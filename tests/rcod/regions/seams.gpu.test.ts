/** What regions look like, with a trained model: near the whole, and without seams. */
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { psnr } from "../../../bench/quantization/differences.ts";
import { folderFiles } from "../../../src/node/index.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import type { RcodModel } from "../../../src/rcod/model.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import { planRegions, segmentsOf } from "../../../src/rcod/tiles/region-plan.ts";
import { useGpu } from "../../support/gpu.ts";

const setup = useGpu();
let model: RcodModel;
beforeAll(async () => {
  model = await loadModel(folderFiles("models/rcod-tiny"), { gpu: setup.gpu, autotune: false });
});
afterAll(() => model.dispose());

const SIDE = 128;
const REGION = 384;

/** A sky, lighter below, with dark ground that makes the regions' statistics differ. No pixel is as its neighbours. */
function sky(): RawImage {
  const data = new Uint8Array(SIDE * SIDE * 3);
  for (let i = 0; i < data.length; i++) {
    const [x, y] = [Math.floor(i / 3) % SIDE, Math.floor(i / 3 / SIDE)];
    const isGround = y > 84 + 8 * Math.sin(x / 9) || (x > 100 && y > 40);
    const grain = (x * 7919 + y * 104_729) % 3;
    data[i] = isGround ? 20 + ((x * 13 + y * 31) % 50) : 110 + 30 * (i % 3) + y / 4 + grain;
  }
  return { width: SIDE, height: SIDE, channels: 3, data };
}

describe("regions of a trained model", () => {
  it("are at least 45 dB from the photograph that is computed as a whole", async () => {
    const pixels = await sharp("examples/photos/boats.png").removeAlpha().raw().toBuffer();
    const data = new Uint8Array(pixels);
    const photo: RawImage = { width: SIDE, height: SIDE, channels: 3, data };
    const whole = await model.upscale(photo);
    const regions = await model.upscale(photo, { region: REGION });
    expect([whole.regions, regions.regions]).toEqual([1, 4]);
    expect(psnr(whole.image.data, regions.image.data)).toBeGreaterThan(45); // 48.2 on llvmpipe
  });

  it("have no seam in a sky: less than a level, and no more gradient than beside it", async () => {
    // In 16 bits: where a sky has few levels, rounding to 8 turns a hundredth of a level into a whole one.
    const { image } = await model.upscale(sky(), { region: REGION, depth: 16 });
    const size = { width: SIDE, height: SIDE };
    const { columns } = planRegions(size, { width: 512, height: 512 }, REGION / 4);
    const shared = segmentsOf(columns).find(({ isShared }) => isShared);
    if (shared === undefined) throw new Error("one region is no test");
    const columnMean = (x: number, c: number): number => {
      let sum = 0;
      for (let y = 20; y < 140; y++) sum += image.data[(y * image.width + x) * 3 + c] as number;
      return sum / 120 / 257;
    };
    const steepest = (from: number, to: number, c: number): number => {
      let most = 0;
      for (let x = from; x < to; x++) {
        most = Math.max(most, Math.abs(columnMean(x + 1, c) - columnMean(x, c)));
      }
      return most;
    };
    for (const c of [0, 1, 2]) {
      const within = steepest(shared.from - 2, shared.to + 2, c);
      const [left, right] = [shared.from - 2, shared.to + 2];
      const beside = Math.max(steepest(left - 80, left, c), steepest(right, right + 80, c));
      expect(within, `channel ${c}`).toBeLessThan(1);
      expect(within, `channel ${c}`).toBeLessThanOrEqual(beside + 0.1);
    }
  });
});
