/** Models in a page: over HTTP, from chosen files and from directory handles, against PyTorch's images. */
import { describe, expect, it } from "vitest";
import type { RawImage } from "../../src/index.ts";
import { diskFile, folderFiles } from "../../src/node/index.ts";
import { largestDifference } from "../rcod/support.ts";
import { SAMPLE_CHECKPOINTS, SAMPLE_CLIP, sampleImage, sampleSdFiles } from "../support/samples.ts";
import type { EncodedImage } from "./page/main.ts";
import { builtPage, useBrowser } from "./support.ts";

const browser = await useBrowser();

describe.skipIf(browser === null)("a model in a page", () => {
  const encoded = (image: RawImage): EncodedImage => ({
    ...image,
    data: Buffer.from(image.data).toString("base64"),
  });
  const decoded = (image: EncodedImage): RawImage => ({
    ...image,
    data: Buffer.from(image.data, "base64"),
  });

  it("comes in pieces over HTTP", async () => {
    const { server, open } = browser!;
    server.mount("page", await builtPage("tests/browser/page"));
    server.mount("sd", sampleSdFiles());
    server.mount("clip", folderFiles(SAMPLE_CLIP));
    const checkpoint = diskFile(SAMPLE_CHECKPOINTS[0] as string);
    server.mount("checkpoint", {
      name: "checkpoint",
      open: (_path, signal) => checkpoint.open(signal),
    });
    const { page } = await open("/page/");
    const image = encoded(await sampleImage("inputs/image_u8_hwc"));
    const got = await page.evaluate(
      (input, at) =>
        rcod.upscale(
          { model: `${at}/sd`, clip: `${at}/clip`, checkpoint: `${at}/checkpoint/rcod_o.pkl` },
          input,
          { timestep: 249 },
        ),
      image,
      server.address,
    );
    const expected = await sampleImage("outputs/image_u8_t249");
    expect(largestDifference(decoded(got), expected)).toBeLessThanOrEqual(1); // theirs is truncated
  });
});
