import { describe, expect, it } from "vitest";
import type { Caps } from "../../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { folderFiles } from "../../../src/node/index.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { vaeGraph } from "../../../src/rcod/networks/graphs.ts";
import { vaeDecoderTail, vaeEncoderHead } from "../../../src/rcod/networks/vae.ts";
import {
  TILED_WITHOUT,
  cutsOf,
  keptBox,
  mostWaitingBytes,
} from "../../../src/rcod/tiles/segments.ts";
import { exactVaeTiles, vaeReach } from "../../../src/rcod/tiles/vae-tiles.ts";
import { fitsWhole } from "../../../src/rcod/tiles/whole-fit.ts";

const configs = await readConfigs(folderFiles("bench/configs/sd21-clip-l"));
const { vae } = configs;
const withBinding = (bytes: number): Caps => ({
  ...BASELINE_CAPS,
  limits: { ...BASELINE_CAPS.limits, maxStorageBufferBindingSize: bytes, maxBufferSize: bytes },
});
const GIB = 2 ** 30;

describe("fitsWhole", () => {
  it.each([
    ["f16", 128 * 2 ** 20, 1024, true], // in tiles
    ["f16", 128 * 2 ** 20, 1536, false],
    ["f32", 128 * 2 ** 20, 768, true],
    ["f32", 128 * 2 ** 20, 1024, false],
    ["f16", 2 * GIB, 1280, true], // untiled
    ["f16", 2 * GIB, 2048, false],
  ] as const)("SD's VAE in %s with bindings of %i B: %i² %s", (dtype, binding, side, expected) => {
    expect(fitsWhole(configs, withBinding(binding), dtype, side, side)).toBe(expected);
  });

  it("grows with the budget, and not with the side", () => {
    const caps = withBinding(GIB);
    const fits = (side: number, budget?: number): boolean =>
      fitsWhole(configs, caps, "f16", side, side, budget);
    expect([fits(2048), fits(2048, 8 * GIB)]).toEqual([false, true]);
    expect([fits(512), fits(512, GIB / 4)]).toEqual([true, false]);
    // f32 maps of three channels are the largest besides the VAE's.
    expect(fitsWhole(configs, withBinding(2 ** 24), "f16", 1032, 1024, 2 ** 50)).toBe(false);
  });
});

describe("cutsOf", () => {
  it.each([
    ["encode", vaeEncoderHead, 3, 64],
    ["decode", vaeDecoderTail, 512, 8],
  ] as const)("%s: a tile keeps less and less around its core", (kind, network, channels, side) => {
    const graph = vaeGraph(network, vae, "f16", [1, side, side, channels]);
    const plan = planGraph(graph, BASELINE_CAPS, { without: TILED_WITHOUT });
    const cuts = cutsOf(plan);
    expect(cuts).toHaveLength(kind === "encode" ? 16 : 25);
    const reaches = cuts.flatMap(({ waiting }) => waiting.map(({ scale, reach }) => reach / scale));
    expect(Math.max(...reaches)).toBeLessThanOrEqual(vaeReach(vae, kind));
    expect(reaches[0]).toBeGreaterThan(0.9 * vaeReach(vae, kind) - 2);
    const last = cuts.at(-1)?.waiting.map(({ reach }) => reach);
    expect(last).toEqual(kind === "encode" ? [2, 1] : [1]); // two convolutions, one
  });

  it("counts what waits for the whole map, within twice the map itself", () => {
    const graph = vaeGraph(vaeDecoderTail, vae, "f16", [1, 68, 68, 512]);
    const cuts = cutsOf(planGraph(graph, BASELINE_CAPS, { without: TILED_WITHOUT }));
    const tiles = exactVaeTiles(vae, "decode", { height: 128, width: 128 }, 32);
    // 128 new and 256 old channels at the full resolution, in f16.
    const map = 1024 * 1024 * (128 + 256) * 2;
    expect(mostWaitingBytes(cuts, tiles)).toBeGreaterThan(map);
    expect(mostWaitingBytes(cuts, tiles)).toBeLessThan(1.5 * map);
    expect(mostWaitingBytes(cuts, tiles.slice(0, 1))).toBeLessThan(map / 12);
  });

  it("keeps no more than the tile has", () => {
    const map = { id: 0, shape: [1, 96, 64, 4], scale: 2, reach: 5, pixelBytes: 8 };
    const tile = {
      input: { x0: 8, x1: 40, y0: 0, y1: 48 },
      counted: { x0: 16, x1: 40, y0: 0, y1: 32 },
      output: { x0: 0, x1: 0, y0: 0, y1: 0 },
    };
    expect(keptBox(tile, map)).toEqual({ x0: 11, x1: 64, y0: 0, y1: 69 });
  });
});
