/** A converted folder of integers, wherever it comes from: the picture is the same, and nothing is read twice. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runConvert } from "../../../cli/convert/run.ts";
import type { ModelSource } from "../../../src/rcod/loading/model-source.ts";
import type { QuantizationRecipe } from "../../../src/rcod/loading/quantization-recipe.ts";
import type { LoadOptions } from "../../../src/rcod/model.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import { WeightsError } from "../../../src/weights/index.ts";
import { folderFiles } from "../../../src/weights/sources/node-source.ts";
import type { FileServer } from "../../browser/file-server.ts";
import { startFileServer } from "../../browser/file-server.ts";
import { recordingTerminal } from "../../cli/support/terminal.ts";
import { useGpu } from "../../support/gpu.ts";
import { SAMPLE_CHECKPOINTS, SAMPLE_CLIP, SAMPLE_SD } from "../../support/samples.ts";
import { testImage } from "../support.ts";

const setup = useGpu();
const IMAGE = testImage(12, 9);
let server: FileServer;
let folder = "";

beforeAll(async () => {
  server = await startFileServer();
  folder = await mkdtemp(join(tmpdir(), "rcod-test-"));
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

async function picture(source: ModelSource, options: LoadOptions = {}): Promise<RawImage> {
  const model = await loadModel(source, { gpu: setup.gpu, precision: "f32", ...options });
  try {
    return (await model.upscale(IMAGE)).image;
  } finally {
    model.dispose();
  }
}

// A picture compiles all shaders anew: so the ways of loading are shared out.
describe.each<[QuantizationRecipe, 32 | 64, LoadOptions, string]>([
  ["int8", 32, {}, "at once"],
  ["mixed", 64, { lowMemory: true }, "stage by stage"],
])("%s in blocks of %i", (weights, block, options, way) => {
  const name = `${weights}-${block}`;
  let fromDisk: RawImage;
  let bytes = 0;

  beforeAll(async () => {
    const out = join(folder, name);
    const pieces = {
      model: SAMPLE_SD,
      clip: SAMPLE_CLIP,
      checkpoint: SAMPLE_CHECKPOINTS[0] as string,
    };
    const conversion = { ...pieces, out, weights, block, dtype: "fp16", shardSize: 2e5 } as const;
    const terminal = recordingTerminal();
    await runConvert({ ...conversion, json: true }, terminal);
    ({ bytes } = JSON.parse(terminal.stdout[0] as string) as { readonly bytes: number });
    fromDisk = await picture(folderFiles(out));
    server.mount(name, folderFiles(out));
  });

  it(`comes over HTTP, ${way}`, async () => {
    server.clear();
    expect(await picture(`${server.address}/${name}`, options)).toEqual(fromDisk);
    const sent = server.requests.reduce((sum, request) => sum + request.bytes, 0);
    expect(sent).toBeGreaterThan(0.9 * bytes);
    expect(sent).toBeLessThan(1.1 * bytes);
  });

  it("is refused where the server's file is cut, and loads once it is whole", async () => {
    server.fault = (path, range) =>
      path.endsWith(".safetensors") && range !== null ? { cutAfter: 1000 } : null;
    try {
      await expect(picture(`${server.address}/${name}`)).rejects.toThrow(WeightsError);
    } finally {
      server.fault = null;
    }
    const model = await loadModel(`${server.address}/${name}`, { gpu: setup.gpu });
    model.dispose();
  });
});
