/** Which networks a call runs in one piece, and at which sizes. */
import { expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { callNetworks } from "../../../src/rcod/stages/call-networks.ts";
import { folderFiles } from "../../../src/weights/sources/node-source.ts";

const configs = await readConfigs(folderFiles("bench/configs/sd21-clip-l"));

it.each([
  ["one piece each", [128, 128], {}, ["tokens", "encode 512x512", "unet 64x64", "decode 64x64"]],
  ["a VAE in tiles", [128, 128], { tile: 256 }, ["tokens", "unet 64x64"]],
  [
    "a tile that is large enough",
    [64, 64],
    { tile: 512 },
    ["tokens", "encode 512x512", "unet 64x64", "decode 64x64"],
  ],
  ["tiles of latents", [256, 256], {}, ["tokens", "unet 80x80"]],
] as const)("%s", (_, [width, height], options, keys) => {
  const networks = callNetworks(configs, () => "f16", BASELINE_CAPS, width, height, options);
  expect([...networks].map(({ key }) => key)).toEqual(keys);
});

it("refuses what the call refuses", () => {
  const networks = callNetworks(configs, () => "f16", BASELINE_CAPS, 0, 5, {});
  expect(() => [...networks]).toThrow();
});
