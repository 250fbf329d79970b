/** Sizes of results: options, names, limits. */
import { readdir } from "node:fs/promises";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { main } from "../../../cli/main.ts";
import type { SizeOptions } from "../../../cli/upscale/sizing.ts";
import { resultSuffix, sourceOfResult, targetSize } from "../../../cli/upscale/sizing.ts";
import { fakeEngine } from "../support/fake-engine.ts";
import { plain, save, saveCutOff } from "../support/image-files.ts";
import { runOn } from "../support/run-upscale.ts";
import { recordingTerminal, useFolder } from "../support/terminal.ts";

const folder = useFolder();
const photo = { width: 4000, height: 3000 };

describe("targetSize", () => {
  it.each([
    [{}, 16_000, 12_000],
    [{ scale: 2 }, 8000, 6000],
    [{ scale: 1.5 }, 6000, 4500],
    [{ scale: 1 }, 4000, 3000],
    [{ width: 6000 }, 6000, 4500],
    [{ height: 6000 }, 8000, 6000],
    [{ width: 6000, height: 6000 }, 6000, 4500],
    [{ fit: { width: 9000, height: 3000 } }, 4000, 3000],
    [{ width: 400 }, 400, 300],
    [{ maxMegapixels: 200 }, 16_000, 12_000],
  ] as const)("%j of 4000 × 3000 is %i × %i", (options, width, height) => {
    const { result, notes } = targetSize(photo, options, 4);
    expect({ ...result, notes }).toEqual({ width, height, notes: [] });
  });

  it.each([
    [photo, 24, 5656, 4242],
    [photo, 1, 1154, 866],
    [{ width: 1, height: 20_000 }, 0.01, 1, 10_000],
    [{ width: 20_000, height: 1 }, 0.01, 10_000, 1],
    [{ width: 7, height: 9 }, 0.001, 27, 35],
  ])("%j stays within %f megapixels", (picture, maxMegapixels, width, height) => {
    const { result, asked, notes } = targetSize(picture, { maxMegapixels }, 4);
    expect(result.width * result.height).toBeLessThanOrEqual(maxMegapixels * 1e6);
    expect(result).toEqual({ width, height });
    expect(asked).toEqual({ size: { width, height, fit: "fill" } });
    expect(notes).toEqual([
      `made ${width} × ${height} instead of ${4 * picture.width} × ${4 * picture.height} to stay within ${maxMegapixels} megapixels`,
    ]);
  });

  it("refuses more than the model enlarges", () => {
    const error = (): unknown => targetSize(photo, { width: 20_000 }, 4);
    expect(error).toThrow(/at most 4 times the picture, 16000×12000 .* got 20000×15000/);
    expect(error).toThrow(expect.objectContaining({ exitCode: 2 }));
  });
});

describe("names", () => {
  it.each([
    [{}, "-x4"],
    [{ scale: 4 }, "-x4"],
    [{ scale: 2 }, "-x2"],
    [{ scale: 1.5 }, "-x1.5"],
    [{ width: 1920 }, "-w1920"],
    [{ height: 1080 }, "-h1080"],
    [{ width: 1920, height: 1080 }, "-1920x1080"],
    [{ fit: { width: 1920, height: 1080 } }, "-1920x1080"],
    [{ maxMegapixels: 24 }, "-max24mp"],
    [{ scale: 2, maxMegapixels: 1.5 }, "-x2-max1.5mp"],
    [{ width: 800, maxMegapixels: 2 }, "-w800-max2mp"],
  ] as const)("of %j are photo%s", (options: SizeOptions, suffix) => {
    expect(resultSuffix(options)).toBe(suffix);
    expect(sourceOfResult(`photo${suffix}`)).toBe("photo");
    expect(sourceOfResult(`a-x4\n${suffix}`)).toBe("a-x4\n");
  });

  it.each(["photo", "x4", "-x4", "photo-4", "photo-x", "photo-1920", "photo-x4-edited", "-max2mp"])(
    "%s is not one",
    (name) => {
      expect(sourceOfResult(name)).toBeUndefined();
    },
  );
});

describe("the command", () => {
  it.each([
    [{ scale: 2 }, "photo-x2.png", [80, 60], { scale: 2 }],
    [{ scale: 1 }, "photo-x1.png", [40, 30], { scale: 1 }],
    [{ width: 100 }, "photo-w100.png", [100, 75], { size: { width: 100 } }],
    [
      { fit: { width: 64, height: 64 } },
      "photo-64x64.png",
      [64, 48],
      { size: { width: 64, height: 64 } },
    ],
    [
      { maxMegapixels: 0.01 },
      "photo-max0.01mp.png",
      [115, 86],
      { size: { width: 115, height: 86, fit: "fill" } },
    ],
  ] as const)("writes %j as %s", async (options, name, [width, height], asked) => {
    await save(folder.file("photo.png"), plain(40, 30));
    const { exitCode, engine, told } = await runOn([folder.file("photo.png")], {
      model: folder.path,
      region: 512,
      ...options,
    });
    expect(exitCode).toBe(0);
    expect(await sharp(folder.file(name)).metadata()).toMatchObject({ width, height });
    expect(engine.calls[0]).toMatchObject({ ...asked, region: 512 });
    const limit = "maxMegapixels" in options ? [/made 115 × 86 instead of 160 × 120/] : [];
    expect(told).toEqual(limit.map((pattern) => expect.stringMatching(pattern)));
  });

  it("leaves results out whatever their size", async () => {
    for (const name of ["a", "a-x2", "a-1920x1080", "a-w80-max3mp", "b-x2"]) {
      await save(folder.file(`${name}.png`), plain(4, 4));
    }
    const { engine, stdout } = await runOn([folder.path], { model: folder.path, scale: 3 });
    expect(engine.events.filter((event) => event.startsWith("upscale"))).toHaveLength(2);
    expect(stdout.at(-1)).toMatch(/^2 done, 3 skipped \(3 × result of an earlier run\)/);
  });

  it.each([
    [["--scale", "5"], /from 1 to 4/],
    [["--scale", "0.5"], /from 1 to 4/],
    [["--scale", "2", "--width", "10"], /cannot be used with/],
    [["--fit", "10x10", "--height", "10"], /cannot be used with/],
    [["--fit", "10"], /such as 3840x2160/],
    [["--fit", "0x10"], /such as 3840x2160/],
    [["--width", "0"], /integer ≥ 1/],
    [["--max-megapixels", "0"], /from 0\.001/],
    [["--region", "100"], /≥ 256/],
  ])("refuses %j", async (args, message) => {
    const terminal = recordingTerminal();
    expect(await main(["upscale", "a.png", ...args], terminal)).toBe(2);
    expect(terminal.stderr.at(-1)).toMatch(message);
  });

  it("says before any work what is larger than the model makes, or than a format holds", async () => {
    await save(folder.file("photo.png"), plain(40, 30));
    await save(folder.file("wide.png"), plain(20_000, 2));
    await save(folder.file("large.png"), plain(4097, 4096));
    const engine = fakeEngine();
    for (const [name, options, message] of [
      ["photo.png", { width: 161 }, /at most 4 times the picture/],
      ["photo.png", { scale: 2, reference: true }, /reference: reproduces/],
      ["wide.png", { format: "jpeg" }, /80000 × 8 pixels, JPEG files end at 65500/],
      ["large.png", { format: "webp" }, /16388 × 16384 pixels, WebP files end at 16383/],
      ["large.png", { format: "avif" }, /16388 × 16384 pixels, AVIF files end at 16384/],
      [
        "large.png",
        { format: "gif" },
        /16388 × 16384 pixels, more than a GIF is written of here\. Write a PNG: --format png, or make it smaller: --max-megapixels 268$/,
      ],
    ] as const) {
      const path = folder.file(name);
      const { exitCode, stderr } = await runOn([path], { model: folder.path, ...options }, engine);
      expect([exitCode, stderr.at(-1)]).toEqual([2, expect.stringMatching(message)]);
    }
    expect(engine.events).toEqual([]);
    const within = await runOn([folder.file("large.png")], {
      model: folder.path,
      format: "gif",
      maxMegapixels: 0.1,
    });
    expect(within.exitCode).toBe(0);
  });
});

describe("--plan", () => {
  it("says what images will take, and neither computes nor writes", async () => {
    await save(folder.file("a.png"), plain(4000, 3125));
    await save(folder.file("b.png"), plain(4, 4));
    await save(folder.file("b-x4.png"), plain(4, 4)); // there already, which does not matter
    await saveCutOff(folder.file("c.png"), plain(64, 64), 0.05);
    const before = await readdir(folder.path);
    const options = { model: folder.path, plan: true } as const;
    const { exitCode, stdout, told, engine } = await runOn([folder.path], options);
    expect(stdout).toEqual([
      expect.stringMatching(
        /a\.png → .*a-x4\.png {2}4000 × 3125 → 16000 × 12500, 200 regions {2}about 3 min 20 s, GPU memory 1 GiB$/,
      ),
      "  a smaller picture takes less",
      expect.stringMatching(/4 × 4 → 16 × 16 {2}time unknown before a first run, GPU memory/),
      "  a smaller picture takes less",
    ]);
    expect([exitCode, told]).toEqual([1, [expect.stringMatching(/c\.png: /)]]);
    expect(engine.events).toEqual([
      "openGpu",
      `load ${folder.path} auto`,
      "estimate 4000x3125",
      "estimate 4x4",
      "dispose",
      "destroy",
    ]);
    expect(await readdir(folder.path)).toEqual(before);
  });

  it("says it in JSON, for standard input too", async () => {
    const streams = { read: () => plain(40, 30).png().toBuffer(), write: async () => {} };
    const options = { model: folder.path, plan: true, json: true, maxMegapixels: 0.01 } as const;
    const { stdout } = await runOn(["-"], options, fakeEngine(), { streams });
    expect(JSON.parse(stdout[0] ?? "")).toMatchObject({
      plans: [
        {
          inputSize: [40, 30],
          outputSize: [115, 86],
          regions: 1,
          peakBytes: 1 << 30,
          notes: [expect.stringMatching(/0\.01 megapixels/)],
        },
      ],
      failed: 0,
    });
  });
});
