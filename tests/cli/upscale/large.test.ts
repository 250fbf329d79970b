/** Results that go to their files in rows while they are computed, and files that are read in bands. */
import { readFile, readdir, writeFile } from "node:fs/promises";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import type { UpscaleCliOptions } from "../../../cli/upscale/command.ts";
import { PieceRows } from "../../../cli/upscale/piece-rows.ts";
import { DeviceLostError } from "../../../src/gpu/errors.ts";
import type { RawImage } from "../../../src/rcod/settings/options.ts";
import type { FakeEngine } from "../support/fake-engine.ts";
import { fakeEngine, nearest } from "../support/fake-engine.ts";
import { runOn } from "../support/run-upscale.ts";
import { useFolder } from "../support/terminal.ts";

const folder = useFolder();

const [WIDTH, HEIGHT] = [201, 101];
/** Less than these pictures and their results have. */
const MOST_HELD = { input: 20_000, result: 300_000 };

/** Stripes of colours, with alpha that varies. */
function stripes(width: number, height: number, channels: 3 | 4): RawImage {
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < data.length; i++) data[i] = ((i >> 6) * 37 + (i % channels) * 80) & 255;
  return { width, height, channels, data };
}

async function saveStripes(name: string, channels: 3 | 4 = 3): Promise<RawImage> {
  const image = stripes(WIDTH, HEIGHT, channels);
  const raw = { width: WIDTH, height: HEIGHT, channels } as const;
  const png = sharp(image.data, { raw }).withMetadata({ density: 300 });
  await writeFile(folder.file(name), await png.png({ compressionLevel: 1 }).toBuffer());
  return image;
}

const run = (
  name: string,
  options: Partial<UpscaleCliOptions> = {},
  engine: FakeEngine = fakeEngine(),
) =>
  runOn([folder.file(name)], { model: folder.path, ...options }, engine, { mostHeld: MOST_HELD });

describe("a large result", () => {
  it("is written as its regions come, with what the file says", async () => {
    const image = await saveStripes("photo.png", 4);
    const { exitCode, engine, stdout } = await run("photo.png");
    expect(exitCode).toBe(0);
    expect(engine.calls[0]).toMatchObject({ output: "regions", regionOrder: "rows" });
    expect(stdout.at(-1)).toMatch(/201 × 101 → 804 × 404, 9 regions {2}/);
    const result = sharp(folder.file("photo-x4.png"), { failOn: "warning" });
    expect(await result.metadata()).toMatchObject({ width: 804, height: 404, density: 300 });
    const pixels = await result.raw().toBuffer();
    expect(Buffer.compare(pixels, Buffer.from(nearest(image).data.buffer))).toBe(0);
    expect((await readdir(folder.path)).toSorted()).toEqual(["photo-x4.png", "photo.png"]);
  });

  it("goes on where a device was lost", async () => {
    const image = await saveStripes("photo.png");
    let losses = 0;
    const engine = fakeEngine({
      onRegion: (index) => {
        if ((index === 4 && losses === 0) || (index === 5 && losses === 1)) {
          losses++;
          throw new DeviceLostError("unknown", "the driver was reset");
        }
      },
    });
    const { exitCode, told } = await run("photo.png", { format: "tiff" }, engine);
    expect(exitCode).toBe(0);
    const note =
      "rcod: device: lost (unknown): the driver was reset. The model is loaded again on a new one, " +
      "which goes on with the regions that are missing";
    expect(told).toEqual([note, note]);
    expect(engine.events.filter((event) => event.startsWith("upscale"))).toEqual([
      "upscale 201x101x3",
      "upscale 201x101x3 on",
      "upscale 201x101x3 on",
    ]);
    const pixels = await sharp(folder.file("photo-x4.tif"), { failOn: "warning" }).raw().toBuffer();
    expect(Buffer.compare(pixels, Buffer.from(nearest(image).data.buffer))).toBe(0);
  });

  it("goes on with the memory of the first device, or its regions would be others", async () => {
    await saveStripes("photo.png");
    let isLost = false;
    const engine = fakeEngine({
      onRegion: (index) => {
        if (index !== 4 || isLost) return;
        isLost = true;
        throw new DeviceLostError("unknown", "the driver was reset");
      },
    });
    const budgets: unknown[] = [];
    let opened = 0;
    const { exitCode } = await run(
      "photo.png",
      {},
      {
        ...engine,
        async openGpu() {
          const gpu = await engine.openGpu();
          return { ...gpu, caps: { ...gpu.caps, memoryBudget: 1000 - opened++ } };
        },
        loadModel(paths, options) {
          budgets.push(options.gpu.caps.memoryBudget);
          return engine.loadModel(paths, options);
        },
      },
    );
    expect({ exitCode, budgets }).toEqual({ exitCode: 0, budgets: [1000, 1000] });
  });

  it("is given up where devices are lost again and again, and leaves nothing", async () => {
    await saveStripes("photo.png");
    const engine = fakeEngine({
      onRegion: (index) => {
        if (index === 2) throw new DeviceLostError("unknown", "the driver was reset");
      },
    });
    const { exitCode, told } = await run("photo.png", {}, engine);
    expect(exitCode).toBe(1);
    expect(told).toHaveLength(3);
    expect(await readdir(folder.path)).toEqual(["photo.png"]);
  });

  it("ends with Ctrl-C in the middle of it, and leaves nothing", async () => {
    await saveStripes("photo.png");
    const engine = fakeEngine({
      stageMs: 10,
      onRegion: (index) => {
        if (index === 3) process.emit("SIGINT", "SIGINT");
      },
    });
    const error = await run("photo.png", { out: folder.file("new/a.jpg") }, engine).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({ exitCode: 130, message: "interrupted" });
    expect(await readdir(folder.path)).toEqual(["photo.png"]);
  });

  it("goes to standard output whole, and is skipped where it is there", async () => {
    await saveStripes("photo.png");
    const written: Uint8Array[] = [];
    const streams = {
      read: () => readFile(folder.file("photo.png")),
      write: async (bytes: Uint8Array) => void written.push(Uint8Array.from(bytes)),
    };
    const options = { model: folder.path, out: "-", format: "jpeg" } as const;
    expect(
      (await runOn(["-"], options, fakeEngine(), { streams, mostHeld: MOST_HELD })).exitCode,
    ).toBe(0);
    const bytes = Buffer.concat(written);
    expect(await sharp(bytes).metadata()).toMatchObject({ width: 804, height: 404 });
    await writeFile(folder.file("photo-x4.jpg"), bytes);
    const again = await run("photo.png", { format: "jpeg", skipExisting: true });
    expect([again.exitCode, again.engine.events]).toEqual([0, []]);
  });
});

describe("a large file", () => {
  it("is read in bands", async () => {
    const image = stripes(503, 340, 3);
    const { width, height, data } = image;
    const file = await sharp(data, { raw: { width, height, channels: 3 } })
      .tiff({ compression: "none" })
      .toBuffer();
    await writeFile(folder.file("large.tif"), file);
    const seen: RawImage[] = [];
    const engine = fakeEngine({ onUpscale: (given) => void seen.push(given) });
    const { exitCode } = await run("large.tif", { scale: 1 }, engine);
    expect(exitCode).toBe(0);
    expect(Buffer.compare(Buffer.from(seen[0]?.data ?? []), Buffer.from(data))).toBe(0);
    const result = await sharp(folder.file("large-x1.tif")).raw().toBuffer();
    expect(Buffer.compare(result, Buffer.from(data))).toBe(0);
  });
});

describe("PieceRows", () => {
  const shape = { width: 6, height: 8, channels: 1, depth: 8 } as const;
  const piece = (x: number, y: number, width: number, height: number) => ({
    x,
    y,
    width,
    height,
    channels: 1 as const,
    data: Uint8Array.from(
      { length: width * height },
      (_, i) => 10 * (y + Math.floor(i / width)) + x + (i % width),
    ),
  });
  const values = (from: number, to: number): number[] =>
    Array.from({ length: 6 * (to - from) }, (_, i) => 10 * (from + Math.floor(i / 6)) + (i % 6));

  it("gives whole rows as soon as they are there, whatever shape the parts have", () => {
    const rows = new PieceRows(shape);
    expect(rows.add(piece(0, 0, 4, 3))).toBeUndefined();
    expect(rows.add(piece(4, 4, 2, 4))).toBeUndefined();
    const first = rows.add(piece(4, 0, 2, 4));
    expect([first?.height, [...(first?.data ?? [])]]).toEqual([3, values(0, 3)]);
    const second = rows.add(piece(0, 3, 4, 5));
    expect([second?.height, [...(second?.data ?? [])]]).toEqual([5, values(3, 8)]);
  });

  it("passes whole rows on, and refuses what came already", () => {
    const rows = new PieceRows(shape);
    expect([...(rows.add(piece(0, 0, 6, 5))?.data ?? [])]).toEqual(values(0, 5));
    expect(() => rows.add(piece(0, 4, 6, 1))).toThrow("came twice");
  });
});
