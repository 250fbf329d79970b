/** `rcod upscale --model --clip --checkpoint` on files as other programs wrote them, against PyTorch's images. */
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runConvert } from "../../cli/convert/run.ts";
import { loadModelAt } from "../../cli/engine.ts";
import { readImage } from "../../cli/image/decode.ts";
import { runInfo } from "../../cli/info/run.ts";
import type { UpscaleCliOptions } from "../../cli/upscale/command.ts";
import { runUpscale } from "../../cli/upscale/run.ts";
import type { RcodModel } from "../../src/index.ts";
import { loadModel } from "../../src/index.ts";
import { diskFile, folderFiles } from "../../src/node/index.ts";
import type { RawImage } from "../../src/rcod/settings/options.ts";
import { largestDifference } from "../rcod/support.ts";
import { keptGpu, useGpu } from "../support/gpu.ts";
import {
  SAMPLE_CHECKPOINTS,
  SAMPLE_CLIP,
  SAMPLE_RCOD_CONFIG,
  SAMPLE_SD,
  sampleImage,
  sampleSdFiles,
} from "../support/samples.ts";
import { recordingTerminal, useFolder } from "./support/terminal.ts";

const setup = useGpu();
const folder = useFolder();
const [ARCHIVE, STRIDED, LEGACY] = SAMPLE_CHECKPOINTS as [string, string, string];

/** `SAMPLE_SD` on disk, with the configuration of the expected images, and their input. */
async function writeInputs(): Promise<{ readonly model: string; readonly input: string }> {
  for (const part of ["unet", "vae"]) await symlink(`${SAMPLE_SD}/${part}`, folder.file(part));
  await writeFile(folder.file("rcod_config.json"), JSON.stringify(SAMPLE_RCOD_CONFIG));
  const { width, height, channels, data } = await sampleImage("inputs/image_u8_hwc");
  const png = sharp(data, { raw: { width, height, channels } }).png();
  await writeFile(folder.file("in.png"), await png.toBuffer());
  return { model: folder.path, input: folder.file("in.png") };
}

const rgb = ({ width, height, channels, data }: RawImage): RawImage => ({
  width,
  height,
  channels: 3,
  data: data.filter((_value, i) => i % channels < 3),
});

// Compiling the pipelines of the sample's sizes is what takes time on a software adapter: once, before the tests,
// and in steps, each with a timeout of its own.
let pieces: RcodModel | undefined;
/** What the pieces give at timestep 749. */
let unconverted: RawImage | undefined;
beforeAll(async () => {
  pieces = await loadModel(
    { model: sampleSdFiles(), clip: folderFiles(SAMPLE_CLIP), checkpoint: diskFile(ARCHIVE) },
    { gpu: setup.gpu, precision: "f32" },
  );
});
for (const last of ["encode", "unet", null]) {
  beforeAll(async () => {
    const controller = new AbortController();
    const work = pieces?.upscale(await sampleImage("inputs/image_u8_hwc"), {
      timestep: 749,
      signal: controller.signal,
      onProgress: ({ stage }) => stage === last && controller.abort("compiled"),
    });
    if (last === null) unconverted = (await work)?.image;
    else await work?.catch((reason: unknown) => expect(reason).toBe("compiled"));
  });
}
afterAll(() => pieces?.dispose());

describe("rcod upscale", () => {
  async function run(options: Pick<UpscaleCliOptions, "clip" | "checkpoint" | "timestep">) {
    const { model, input } = await writeInputs();
    const terminal = recordingTerminal();
    const exitCode = await runUpscale(
      { input: [input], model, precision: "f32", dawnToggles: [], quiet: true, ...options },
      terminal,
      {
        launch: async () => null,
        openGpu: async () => keptGpu(setup.gpu),
        loadModel: loadModelAt,
      },
    );
    expect([exitCode, terminal.stderr]).toEqual([0, []]);
    return rgb(await readImage(folder.file("in-x4.png")));
  }

  it.each([
    ["an archive", ARCHIVE, 249],
    ["tensors in any stride", STRIDED, 749],
    ["the older form", LEGACY, 749],
  ] as const)("gives PyTorch's image: %s", async (_form, checkpoint, timestep) => {
    const expected = await sampleImage(`outputs/image_u8_t${timestep}`);
    const got = await run({ clip: SAMPLE_CLIP, checkpoint, timestep });
    expect(largestDifference(got, expected)).toBeLessThanOrEqual(1); // theirs is truncated
    const other = await sampleImage(`outputs/image_u8_t${timestep === 249 ? 749 : 249}`);
    expect(largestDifference(got, other)).toBeGreaterThan(5);
  });

  it("says what is missing before a GPU is asked for", async () => {
    const { model, input } = await writeInputs();
    const failure = (options: Pick<UpscaleCliOptions, "clip" | "checkpoint">) =>
      runUpscale(
        { input: [input], model, precision: "f32", dawnToggles: [], ...options },
        recordingTerminal(),
        {
          launch: async () => expect.unreachable("launched"),
          openGpu: async () => expect.unreachable("asked for a GPU"),
          loadModel: async () => expect.unreachable("loaded"),
        },
      ).catch((error: unknown) => error);
    for (const [options, message] of [
      [{ clip: folder.file("none") }, `CLIP folder ${folder.file("none")} does not exist`],
      [
        { clip: input },
        `CLIP ${input} is a file; give the folder with its config.json and weights`,
      ],
      [{ checkpoint: "none.pkl" }, "checkpoint none.pkl does not exist"],
      [
        { checkpoint: folder.path },
        `checkpoint ${folder.path} is a folder; give the file, such as rcod_o.pkl`,
      ],
    ] as const) {
      expect(await failure(options)).toMatchObject({ exitCode: 2, message });
    }
  });
});

describe("rcod info", () => {
  const options = {
    model: SAMPLE_SD,
    clip: SAMPLE_CLIP,
    size: [64, 64],
    precision: "f32",
    json: true,
    dawnToggles: [],
  } as const;

  it("checks the pieces against each other", async () => {
    const terminal = recordingTerminal();
    expect(await runInfo({ ...options, checkpoint: ARCHIVE }, terminal)).toBe(0);
    const report = JSON.parse(terminal.stdout[0] as string) as Record<string, unknown>;
    expect(report).toMatchObject({
      model: SAMPLE_SD,
      clip: SAMPLE_CLIP,
      checkpoint: ARCHIVE,
      weights: [
        { part: "clip", tensors: 49, problem: null },
        { part: "vae", tensors: 244, problem: null },
        { part: "unet", tensors: 442, problem: null },
        { part: "checkpoint", tensors: 398, problem: null },
      ],
    });
  });

  it("tells that the projection is missing without a checkpoint, with exit code 2", async () => {
    const terminal = recordingTerminal();
    expect(await runInfo(options, terminal)).toBe(2);
    expect(terminal.stdout[0]).toContain(
      "weights: the token projection must come from a checkpoint or from image_proj/, got neither",
    );
    await expect(
      runInfo({ ...options, model: `${SAMPLE_CLIP}/config.json` }, terminal),
    ).rejects.toThrow("config.json is a file; give the folder");
  });
});

describe.each([
  ["fp32", 0],
  ["fp16", 2],
] as const)("rcod convert --dtype %s", (dtype, levels) => {
  let parent = "";
  beforeAll(async () => {
    parent = await mkdtemp(join(tmpdir(), "rcod-test-"));
    const sources = { model: SAMPLE_SD, clip: SAMPLE_CLIP, checkpoint: LEGACY };
    const options = {
      ...sources,
      out: join(parent, "out"),
      dtype,
      shardSize: 5e5,
      quiet: true,
    };
    expect(await runConvert(options, recordingTerminal())).toBe(0);
    await writeFile(join(parent, "out", "rcod_config.json"), JSON.stringify(SAMPLE_RCOD_CONFIG));
  });
  afterAll(() => rm(parent, { recursive: true, force: true }));

  it(`gives a folder with the image of the pieces but for ${levels} levels`, async () => {
    const source = folderFiles(join(parent, "out"));
    const converted = await loadModel(source, { gpu: setup.gpu, precision: "f32" });
    const input = await sampleImage("inputs/image_u8_hwc");
    const { image } = await converted.upscale(input, { timestep: 749 });
    converted.dispose();
    expect(largestDifference(image, unconverted as RawImage)).toBeLessThanOrEqual(levels);
  });
});

it("reads the fixture that it says", async () => {
  const { createHash } = await import("node:crypto");
  const { files } = JSON.parse(
    await readFile(new URL("../fixtures/samples/manifest.json", import.meta.url), "utf8"),
  ) as { files: readonly { file: string; sha256: string }[] };
  for (const { file, sha256 } of files) {
    const bytes = await readFile(new URL(`../fixtures/samples/${file}`, import.meta.url));
    expect(createHash("sha256").update(bytes).digest("hex"), file).toBe(sha256);
  }
});
