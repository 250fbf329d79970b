import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { GraphBuilder, WeightScope } from "../../../src/graph/ir/builder.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { folderFiles } from "../../../src/node/index.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { vaeDecoderTail, vaeEncoderHead } from "../../../src/rcod/networks/vae.ts";
import { chooseVaeTile } from "../../../src/rcod/tiles/vae-tile-choice.ts";
import { exactVaeTiles } from "../../../src/rcod/tiles/vae-tiles.ts";

const { vae } = await readConfigs(folderFiles("bench/configs/sd21-clip-l"));
const BINDING = BASELINE_CAPS.limits.maxStorageBufferBindingSize;

describe.each(["f32", "f16"] as const)("SD's VAE in %s with 128 MiB bindings", (dtype) => {
  it.each([
    ["encode", 512, 1024],
    ["encode", 2048, 2048],
    ["decode", 800, 1024],
    ["decode", 2048, 2048],
  ] as const)("%s of %i×%i: every tile fits, margins included", (kind, height, width) => {
    const tile = chooseVaeTile(vae, BASELINE_CAPS, dtype, kind, height, width, {}) ?? Infinity;
    const isEncode = kind === "encode";
    const map = isEncode ? { height, width } : { height: height / 8, width: width / 8 };
    for (const { input } of exactVaeTiles(vae, kind, map, tile)) {
      const g = new GraphBuilder(dtype);
      const shape = [1, input.y1 - input.y0, input.x1 - input.x0, isEncode ? 3 : 512];
      const part = isEncode ? vaeEncoderHead : vaeDecoderTail;
      g.output("y", part(g, new WeightScope(), g.input("x", shape), vae));
      const { memory } = planGraph(g.build(), BASELINE_CAPS);
      expect(Math.max(...memory.slotByteLengths)).toBeLessThanOrEqual(BINDING);
    }
  });
});

it("stays at 512 where bindings are large, and whole where all fits", () => {
  const limits = {
    ...BASELINE_CAPS.limits,
    maxStorageBufferBindingSize: 2 ** 30,
    maxBufferSize: 2 ** 30,
  };
  const caps = { ...BASELINE_CAPS, limits };
  expect(chooseVaeTile(vae, caps, "f16", "decode", 4096, 4096, {})).toBe(64);
  expect(chooseVaeTile(vae, caps, "f16", "encode", 4096, 4096, {})).toBe(512);
  expect(chooseVaeTile(vae, BASELINE_CAPS, "f16", "decode", 512, 512, {})).toBeNull();
});

it("tiles beyond the side that is asked for, not at it", () => {
  const choose = (kind: "encode" | "decode", side: number) =>
    chooseVaeTile(vae, BASELINE_CAPS, "f16", kind, 64, side, { tile: 250 }); // 256: whole latent pixels
  expect([choose("encode", 256), choose("decode", 256)]).toEqual([null, null]);
  expect([choose("encode", 264), choose("decode", 264)]).toEqual([256, 32]);
});

it("tiles what takes more than 2 GiB, even where every binding would fit", () => {
  const most = { maxStorageBufferBindingSize: 2 ** 33, maxBufferSize: 2 ** 33 };
  const caps = { ...BASELINE_CAPS, limits: { ...BASELINE_CAPS.limits, ...most } };
  const choose = (kind: "encode" | "decode", side: number) =>
    chooseVaeTile(vae, caps, "f16", kind, side, side, {});
  // Untiled passes take 1.8 and 3.2 GiB to encode, 1.9 and 2.3 to decode.
  expect([choose("encode", 1536), choose("encode", 2048)]).toEqual([null, 512]);
  expect([choose("decode", 1408), choose("decode", 1536)]).toEqual([null, 64]);
});
