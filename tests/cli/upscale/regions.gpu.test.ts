/** `rcod upscale` with the engine: a file that is written region by region against the same picture from the library. */
import { writeFile } from "node:fs/promises";
import sharp from "sharp";
import { expect, it } from "vitest";
import { loadModelAt } from "../../../cli/engine.ts";
import { BUNDLED_MODEL } from "../../../cli/package-root.ts";
import { runUpscale } from "../../../cli/upscale/run.ts";
import { loadModel } from "../../../src/index.ts";
import { folderFiles } from "../../../src/node/index.ts";
import { largestDifference } from "../../rcod/support.ts";
import { keptGpu, useGpu } from "../../support/gpu.ts";
import { noise } from "../support/image-files.ts";
import { recordingTerminal, useFolder } from "../support/terminal.ts";

const setup = useGpu();
const folder = useFolder();

it("writes the regions of a picture that is read in bands", { timeout: 300_000 }, async () => {
  const [width, height] = [80, 48];
  const pixels = await noise(width, height).blur(2).raw().toBuffer();
  const image = { width, height, channels: 3, data: pixels } as const;
  const png = await sharp(pixels, { raw: image }).png().toBuffer();
  await writeFile(folder.file("photo.png"), png);
  const terminal = recordingTerminal();
  const exitCode = await runUpscale(
    {
      input: [folder.file("photo.png")],
      model: BUNDLED_MODEL,
      precision: "f32",
      dawnToggles: [],
      region: 256,
    },
    terminal,
    {
      launch: async () => null,
      openGpu: async () => keptGpu(setup.gpu),
      loadModel: loadModelAt,
      mostHeld: { input: 100, result: 100 },
    },
  );
  expect(exitCode).toBe(0);
  expect(terminal.stdout.at(-1)).toMatch(/80 × 48 → 320 × 192, 2 regions {2}/);
  const model = await loadModel(folderFiles(BUNDLED_MODEL), { gpu: setup.gpu, precision: "f32" });
  const expected = await model.upscale(image, { region: 256, regionOrder: "rows" });
  model.dispose();
  const { data } = await sharp(folder.file("photo-x4.png"))
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect(largestDifference({ ...expected.image, data }, expected.image)).toBe(0);
});
