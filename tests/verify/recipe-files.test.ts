/** Model folders made of configurations alone. */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { checkPart, openPart } from "../../src/rcod/loading/open-model.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { modelParameters, modelParts } from "../../src/rcod/networks/stage-graphs.ts";
import { recipeFiles } from "../../src/verify/recipe-files.ts";
import { recipeHalves } from "../../src/verify/runner/recipe.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const full = folderFiles(`${root}bench/configs/sd21-clip-l`);

it("offers every tensor of the full-size model, of the right shape, and no other", async () => {
  const files = await recipeFiles(full);
  const configs = await readConfigs(files);
  const parameters = modelParameters(configs);
  for (const part of modelParts(configs)) {
    const store = await openPart(files, part, null);
    checkPart(store, part, parameters[part]);
    await store.close();
  }
});

it("makes the recipe's values, whatever range is read", async () => {
  const files = await recipeFiles(full);
  const store = await openPart(files, "unet", null);
  const shape = [320, 4, 3, 3];
  const all = new Uint8Array(recipeHalves("conv_in.weight", shape, 0, 0, 320 * 36).buffer);
  expect(await store.read("conv_in.weight")).toEqual(all);
  expect(await store.readRange("conv_in.weight", 7, 12)).toEqual(all.slice(7, 19));
  const clip = await openPart(files, "clip", null);
  const projection = await clip.readRange("image_proj.weight", 0, 8);
  expect(projection).toEqual(
    new Uint8Array(recipeHalves("image_proj.weight", [1024, 1024], 0, 0, 4).buffer),
  );
});

it("reads across tensors and into the header", async () => {
  const file = await (await recipeFiles(full)).open("vae/diffusion_pytorch_model.safetensors");
  const read = async (from: number, to: number): Promise<Uint8Array> =>
    (await file?.read(from, to - from)) ?? new Uint8Array();
  const [cut, end] = [30_001, 100_000]; // the header ends between them
  const parts = Buffer.concat([await read(0, cut), await read(cut, end)]);
  // Whole buffers: comparing element by element takes minutes.
  expect(parts.equals(await read(0, end))).toBe(true);
  expect(parts.subarray(cut).some((byte) => byte > 0x7f)).toBe(true);
});

it("refuses a folder whose weights a checkpoint completes", async () => {
  await expect(recipeFiles(folderFiles(`${root}models/rcod-tiny`))).rejects.toThrow(
    /recipe weights need a model without a checkpoint, got "rcod_lora.safetensors"/,
  );
});
