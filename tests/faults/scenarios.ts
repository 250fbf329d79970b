/** What the injected faults hit: the minimal model in calls that between them use everything. */
import type { RcodModel } from "../../src/rcod/model.ts";
import type { RawImage, UpscaleOptions, UpscaleResult } from "../../src/rcod/settings/options.ts";
import { memoryFiles } from "../../src/weights/index.ts";
import { minimalFiles, testImage } from "../rcod/support.ts";
import type { Scenario } from "./injection.ts";

/** A call with `options`; `bytesOf` reads what has to be equal. */
const enlarge =
  (
    image: RawImage,
    options: UpscaleOptions = {},
    bytesOf = ({ image: { data } }: UpscaleResult) => new Uint8Array(data.buffer),
  ) =>
  async (model: RcodModel): Promise<Uint8Array> =>
    // A new object each time: nothing of the encoding is reused.
    bytesOf(await model.upscale({ ...image }, options));

export async function scenarios(): Promise<readonly Scenario[]> {
  const image = testImage(3, 2);
  const files = memoryFiles(await minimalFiles());
  const withMem = memoryFiles(await minimalFiles({ mem: [8] }));
  const deep = {
    ...testImage(3, 2, 4),
    data: Uint16Array.from(testImage(3, 2, 4).data, (level) => 257 * level),
  } as const;
  const mask = { width: 3, height: 2, data: Uint8Array.of(255, 0, 0, 255, 255, 0) };
  return [
    { name: "plain", files, call: enlarge(image) },
    {
      name: "stage by stage",
      files: withMem,
      options: { lowMemory: true },
      call: enlarge(image, { realism: "auto", seed: 7, colorFix: "wavelet" }),
    },
    { name: "16 bits", files, call: enlarge(deep, { colorFix: "adain" }) },
    {
      name: "in tiles",
      files,
      call: enlarge(testImage(20, 4, 4), {
        tile: 64,
        colorFix: "adain",
        realismMask: { ...mask, realism: 1 },
      }),
    },
    {
      name: "textures",
      files,
      async call(model) {
        const result = await model.upscale({ ...testImage(3, 2, 4) }, { enlarged: true });
        result.enlarged?.destroy();
        return new Uint8Array(result.image.data.buffer);
      },
    },
  ];
}
