import { describe, expect, it } from "vitest";
import {
  blockCount,
  blockOfModule,
  fourierEmbedding,
  repeatRows,
} from "../../../src/rcod/networks/modulation.ts";

describe("the modulation matrix of a module", () => {
  it.each([
    ["encoder.conv_in", 5],
    ["encoder.conv_out", 5],
    ["encoder.down_blocks.0.resnets.0.conv1", 0],
    ["encoder.down_blocks.3.resnets.1.conv2", 3],
    ["encoder.down_blocks.2.downsamplers.0.conv", 2],
    ["encoder.mid_block.attentions.0.to_out.0", 4],
  ])("VAE %s: %i of 6", (module, block) => {
    expect(blockCount("vae", 4)).toBe(6);
    expect(blockOfModule("vae", module, 4)).toBe(block);
  });

  it.each([
    ["down_blocks.0.attentions.0.proj_in", 0],
    ["down_blocks.3.resnets.0.conv1", 3],
    ["mid_block.resnets.1.conv2", 4],
    ["up_blocks.0.resnets.0.conv_shortcut", 5],
    ["up_blocks.3.attentions.2.transformer_blocks.0.ff.net.2", 8],
    ["conv_out", 9],
  ])("UNet %s: %i of 10", (module, block) => {
    expect(blockCount("unet", 4)).toBe(10);
    expect(blockOfModule("unet", module, 4)).toBe(block);
  });
});

it("the embedding is sines, then cosines, of each score in turn", () => {
  const embedding = fourierEmbedding([0.25, 0], [1, 2, -1]);
  const expected = [1, 0, -1, 0, -1, 0, 0, 0, 0, 1, 1, 1];
  expect(embedding.length).toBe(12);
  expected.forEach((value, i) => expect(embedding[i]).toBeCloseTo(value, 6));
});

it("rows are repeated whole", () => {
  expect([...repeatRows(Float32Array.of(1, 2), 3)]).toEqual([1, 2, 1, 2, 1, 2]);
});
