import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { CliError } from "../../../cli/errors.ts";
import { readImage } from "../../../cli/image/decode.ts";
import type { UpscaleCliOptions } from "../../../cli/upscale/command.ts";
import { runUpscale } from "../../../cli/upscale/run.ts";
import { DeviceLostError } from "../../../src/gpu/errors.ts";
import { WeightsError } from "../../../src/weights/errors.ts";
import type { FakeEngine } from "../support/fake-engine.ts";
import { fakeEngine, nearest } from "../support/fake-engine.ts";
import { noise, plain, save, saveCutOff } from "../support/image-files.ts";
import { recordingTerminal, useFolder } from "../support/terminal.ts";

const folder = useFolder();

/** Runs the command on names inside the folder. */
async function run(
  names: readonly string[],
  options: Partial<UpscaleCliOptions> = {},
  engine: FakeEngine = fakeEngine(),
  launched: number | null = null,
) {
  const terminal = recordingTerminal();
  const exitCode = await runUpscale(
    {
      input: names.map((name) => folder.file(name)),
      model: folder.path,
      precision: "auto",
      dawnToggles: [],
      ...options,
    },
    terminal,
    {
      launch: async () => launched,
      openGpu: engine.openGpu,
      loadModel: engine.loadModel,
    },
  );
  return { exitCode, ...terminal, engine };
}

describe("runUpscale", () => {
  it("writes the result beside the input and says so in one line", async () => {
    await save(folder.file("photo.png"), noise(5, 3));
    const { exitCode, stdout, stderr, engine } = await run(["photo.png"]);
    expect(exitCode).toBe(0);
    expect(stdout).toHaveLength(1);
    expect(stdout[0]).toMatch(
      /photo\.png → .*photo-x4\.png {2}5 × 3 → 20 × 12 {2}.* m?s, GPU memory 1 MiB$/,
    );
    expect(stderr).toHaveLength(7); // one line per stage, loading included
    const input = await readImage(folder.file("photo.png"));
    expect([...(await readImage(folder.file("photo-x4.png"))).data]).toEqual([
      ...nearest(input).data,
    ]);
    expect(engine.events).toEqual([
      "openGpu",
      `load ${folder.path} auto`,
      "upscale 5x3x3",
      "dispose",
      "destroy",
    ]);
  });

  it.each([
    [1, 1],
    [3, 5],
  ])("upscales %d × %d pixels", async (width, height) => {
    await save(folder.file("tiny.png"), plain(width, height));
    expect((await run(["tiny.png"], { quiet: true })).exitCode).toBe(0);
    const result = await sharp(await readFile(folder.file("tiny-x4.png"))).metadata();
    expect([result.width, result.height]).toEqual([width * 4, height * 4]);
  });

  it("hands on RCOD_S's files, and low memory", async () => {
    const files = ["rcod_s.pkl", "de_net.pth", "mem.pkl"].map((name) => folder.file(name));
    await save(folder.file("photo.png"), plain(2, 2));
    for (const file of files) await writeFile(file, "");
    const [checkpoint = "", deNet = "", mem = ""] = files;
    const { engine, stdout } = await run(["photo.png"], {
      checkpoint,
      deNet,
      mem,
      lowMemory: true,
      json: true,
    });
    expect(engine.events).toContain(`load ${folder.path} ${files.join(" ")} auto low memory`);
    const report = JSON.parse(stdout[0] as string) as object;
    expect(report).toMatchObject({ checkpoint, deNet, mem, lowMemory: true });
    await expect(
      run(["photo.png"], { deNet: folder.file("none"), force: true }),
    ).rejects.toMatchObject({
      exitCode: 2,
      message: `degradation estimator ${folder.file("none")} does not exist`,
    });
  });

  it("hands options to the engine by the engine's names", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    const engine = fakeEngine();
    await run(
      ["photo.png"],
      { realism: 0.25, color: "wavelet", seed: 7, tile: 64, reference: true, precision: "f16" },
      engine,
    );
    expect(engine.events).toContain(`load ${folder.path} f16`);
    expect(engine.calls).toEqual([
      {
        realism: 0.25,
        colorFix: "wavelet",
        seed: 7,
        tile: 64,
        reference: true,
        signal: expect.any(AbortSignal),
        onProgress: expect.any(Function),
      },
    ]);
    await run(["photo.png"], { timestep: 500, force: true }, engine);
    expect(engine.calls[1]).toEqual({
      timestep: 500,
      signal: expect.any(AbortSignal),
      onProgress: expect.any(Function),
    });
  });

  it("prints one JSON object and nothing else on stdout", async () => {
    await save(folder.file("a.png"), plain(2, 3));
    await save(folder.file("b.webp"), plain(4, 1, 0.5));
    const { exitCode, stdout } = await run(["a.png", "b.webp"], { json: true });
    expect(exitCode).toBe(0);
    expect(stdout).toHaveLength(1);
    const result = JSON.parse(stdout[0] as string) as { results: { timingsMs: object }[] };
    expect(result).toMatchObject({
      model: folder.path,
      precision: "f32",
      adapter: { description: "WebGPU baseline", isSoftware: false },
      loadMs: expect.any(Number),
      failed: 0,
      results: [
        {
          input: folder.file("a.png"),
          output: folder.file("a-x4.png"),
          inputSize: [2, 3],
          outputSize: [8, 12],
          timestep: 499,
          peakBytes: 1048576,
          totalMs: expect.any(Number),
        },
        { inputSize: [4, 1], outputSize: [16, 4] },
      ],
    });
    expect(result).not.toHaveProperty("error");
    expect(Object.keys(result.results[0]?.timingsMs ?? {})).toEqual([
      "read",
      "preprocess",
      "tokens",
      "encode",
      "unet",
      "decode",
      "color",
      "write",
    ]);
  });

  it("tells for each image what auto chose, and by what", async () => {
    await mkdir(folder.file("mem"));
    await writeFile(folder.file("mem", "config.json"), "{}");
    await save(folder.file("a.png"), plain(5, 3));
    await save(folder.file("b.png"), plain(4, 1));
    const text = await run(["a.png", "b.png"], { realism: "auto" });
    expect(text.stdout).toEqual([
      expect.stringMatching(/ {2}timestep 499 for a predicted metric of 0\.6250 {2}.* m?s, GPU/),
      expect.stringMatching(/ {2}timestep 499 for a predicted metric of 0\.5000 {2}.* m?s, GPU/),
      expect.stringMatching(/^2 done, 0 skipped, 0 failed in .* m?s$/),
    ]);
    expect(text.engine.calls[0]).toMatchObject({ realism: "auto" });
    const json = await run(["a.png", "b.png"], { realism: "auto", json: true, force: true });
    expect(JSON.parse(json.stdout[0] as string)).toMatchObject({
      results: [
        { timestep: 499, predictedMetric: 0.625 },
        { timestep: 499, predictedMetric: 0.5 },
      ],
    });
    const fixed = await run(["a.png"], { json: true, force: true });
    expect(fixed.stdout[0]).not.toContain("predictedMetric");
  });

  it("refuses auto without mem/ before a GPU is asked for", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    const engine = fakeEngine();
    const error = await run(["photo.png"], { realism: "auto" }, engine).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({
      exitCode: 2,
      message: `--realism auto: model ${folder.path} has no mem/; choose fidelity, neutral, realism or a number from 0 to 1`,
    });
    expect(engine.events).toEqual([]);
  });

  it("leaves auto to the engine with RCOD_S, whose module is no folder", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    await writeFile(folder.file("rcod_config.json"), '{ "instance": "RCOD_S" }');
    const { exitCode, engine } = await run(["photo.png"], { realism: "auto" });
    expect(exitCode).toBe(0);
    expect(engine.calls[0]).toMatchObject({ realism: "auto" });
  });

  it("goes on with the other images when one is bad, and fails at the end", async () => {
    await save(folder.file("a.png"), plain(2, 2));
    await writeFile(folder.file("b.png"), "");
    await saveCutOff(folder.file("c.png"), noise(64, 64));
    await save(folder.file("d.png"), plain(2, 2));
    const { exitCode, stdout, stderr, engine } = await run(["a.png", "b.png", "c.png", "d.png"], {
      json: true,
    });
    expect(exitCode).toBe(1);
    const errors = stderr.filter((line) => line.startsWith("rcod: "));
    expect(errors).toEqual([
      `rcod: ${folder.file("b.png")}: the file is empty`,
      expect.stringMatching(/^rcod: .*c\.png: the image is damaged or cut off \(/),
    ]);
    expect(JSON.parse(stdout[0] as string)).toMatchObject({
      failed: 2,
      error: "the file is empty",
      results: [
        { input: folder.file("a.png") },
        { error: "the file is empty" },
        { error: expect.stringMatching(/cut off/) },
        { input: folder.file("d.png") },
      ],
    });
    expect((await readdir(folder.path)).filter((name) => name.includes("x4"))).toEqual([
      "a-x4.png",
      "d-x4.png",
    ]);
    expect(engine.events.filter((event) => event.startsWith("load"))).toHaveLength(1);
  });

  it("ends with 2 and needs no GPU when the only image is bad", async () => {
    await writeFile(folder.file("b.png"), "no image");
    const engine = fakeEngine();
    const { exitCode, stdout } = await run(["b.png"], { json: true }, engine, 7);
    expect(exitCode).toBe(2);
    expect(engine.events).toEqual([]);
    expect(JSON.parse(stdout[0] as string)).toMatchObject({
      adapter: null,
      failed: 1,
      error: expect.stringMatching(/not an image/),
    });
  });

  it("refuses before any work what cannot be written", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    await save(folder.file("wide.png"), plain(20_000, 2));
    await writeFile(folder.file("photo-x4.png"), "old");
    const engine = fakeEngine();
    await expect(run(["photo.png"], {}, engine)).rejects.toThrow(/exists already/);
    const { exitCode, stderr } = await run(["wide.png"], { out: folder.file("wide.jpg") }, engine);
    expect(exitCode).toBe(2);
    expect(stderr).toEqual([expect.stringMatching(/80000 × 8 pixels, JPEG files end at 65500/)]);
    expect(engine.events).toEqual([]);
    expect(await readFile(folder.file("photo-x4.png"), "utf8")).toBe("old");
  });

  it("replaces a result when forced", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    await writeFile(folder.file("photo-x4.png"), "old");
    expect((await run(["photo.png"], { force: true })).exitCode).toBe(0);
    expect((await readImage(folder.file("photo-x4.png"))).width).toBe(8);
  });

  it("upscales a 20 000 pixels wide strip", async () => {
    await save(folder.file("wide.png"), plain(20_000, 2));
    expect((await run(["wide.png"], { quiet: true })).exitCode).toBe(0);
    expect((await readImage(folder.file("wide-x4.png"))).width).toBe(80_000);
  });

  it("keeps alpha, and says when a format cannot", async () => {
    await save(folder.file("photo.png"), plain(2, 2, 0.5));
    expect((await run(["photo.png"])).exitCode).toBe(0);
    expect((await readImage(folder.file("photo-x4.png"))).data[3]).toBe(127);
    const { stderr } = await run(["photo.png"], { out: folder.file("photo.jpg") });
    expect(stderr.at(-1)).toMatch(
      /^rcod: .*photo\.png: JPEG has no transparency; transparent parts become white$/,
    );
  });

  it("is silent when quiet", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    const { stdout, stderr } = await run(["photo.png"], { quiet: true });
    expect([...stdout, ...stderr]).toEqual([]);
  });

  it.each([
    ["a missing model folder", "nothing", /^model folder .*nothing does not exist$/],
    ["a model that is a file", "photo.png", /photo\.png is a file; give the folder/],
  ])("refuses %s", async (_name, model, message) => {
    await save(folder.file("photo.png"), plain(2, 2));
    const error = await run(["photo.png"], { model: folder.file(model) }).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({ exitCode: 2, message: expect.stringMatching(message) });
  });

  it("gives the GPU back and ends when the model does not load", async () => {
    await save(folder.file("a.png"), plain(2, 2));
    await save(folder.file("b.png"), plain(2, 2));
    const engine = fakeEngine({
      onLoad: () => {
        throw new WeightsError("weights: no model here");
      },
    });
    await expect(run(["a.png", "b.png"], {}, engine)).rejects.toThrow("no model here");
    expect(engine.events).toEqual(["openGpu", `load ${folder.path} auto`, "destroy"]);
  });

  it("loads the model again where a device is lost, and ends where that happens too often", async () => {
    for (const name of ["a.png", "b.png"]) await save(folder.file(name), plain(2, 2));
    const engine = fakeEngine({
      onUpscale: () => {
        throw new DeviceLostError("unknown", "the driver was reset");
      },
    });
    const { exitCode, stderr } = await run(["a.png", "b.png"], { quiet: true }, engine);
    expect(exitCode).toBe(1);
    expect(stderr).toEqual([
      expect.stringMatching(/a\.png: device: lost \(unknown\): the driver was reset/),
    ]);
    const turn = ["openGpu", `load ${folder.path} auto`, "upscale 2x2x3", "dispose", "destroy"];
    expect(engine.events).toEqual([...turn, ...turn, ...turn]);
  });

  it("passes on the exit code of the process that did the work", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    const engine = fakeEngine();
    expect((await run(["photo.png"], {}, engine, 7)).exitCode).toBe(7);
    expect(engine.events).toEqual([]);
  });

  it("ends with 130 after Ctrl-C and leaves no file", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    const engine = fakeEngine({
      stageMs: 20,
      onUpscale: () => void process.emit("SIGINT", "SIGINT"),
    });
    const error = await run(["photo.png"], { out: folder.file("new/") + "/" }, engine).catch(
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(CliError);
    expect(error).toMatchObject({ exitCode: 130, message: "interrupted" });
    expect(await readdir(folder.path)).toEqual(["photo.png"]);
    expect(engine.events.slice(-2)).toEqual(["dispose", "destroy"]);
    expect(process.listenerCount("SIGHUP")).toBe(0);
  });
});
