/** The examples that are scripts, each on a small image. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testImage } from "../rcod/support.ts";
import type { Checkout } from "./support.ts";
import { builtCheckout, readImage, runIn, writeImage } from "./support.ts";

const image = testImage(12, 10);
const DENO = join("node_modules", "deno", "bin.cjs");

let checkout: Checkout;
beforeAll(async () => {
  checkout = await builtCheckout();
  await writeImage(join(checkout.folder, "photo.png"), image);
  await writeImage(join(checkout.folder, "photo.ppm"), image);
});
afterAll(() => checkout.remove());

const node = (...args: string[]): Promise<string> =>
  runIn(checkout.folder, process.execPath, ...args);
const read = (name: string): ReturnType<typeof readImage> => readImage(join(checkout.folder, name));

/** Level of an image with its edges repeated. */
function levelAt(x: number, y: number, channel: number): number {
  const column = Math.min(Math.max(x, 0), image.width - 1);
  const row = Math.min(Math.max(y, 0), image.height - 1);
  return image.data[(row * image.width + column) * 3 + channel] as number;
}

describe("upscaling", () => {
  it("in Node and in Deno", async () => {
    const said = await node("examples/node/upscale.mjs", "photo.png", "out.png", "0.25");
    expect(said).toMatch(/^out\.png: 48×40, [\d.]+ s on /);
    const { data, ...size } = await read("out.png");
    expect(size).toEqual({ width: 48, height: 40 });
    expect(new Set(data).size).toBeGreaterThan(16); // a picture; whether the right one, other tests know

    // The test's software adapter serves Deno too: the variables that choose it are Vulkan's.
    const flags = ["run", "-A", "--unstable-webgpu", "--no-lock"];
    const script = ["examples/deno/upscale.ts", "photo.ppm", "out.ppm", "0.25"];
    expect(await node(DENO, ...flags, ...script)).toMatch(/^out\.ppm: 48×40 on /);
    const fromDeno = await read("out.ppm");
    expect(fromDeno).toMatchObject(size);
    // Another WebGPU implementation: rounding may differ by a level here and there.
    const differences = fromDeno.data.map((level, i) => Math.abs(level - (data[i] as number)));
    expect(Math.max(...differences)).toBeLessThanOrEqual(2);
  }, 300_000);
});

describe("graphs of one's own", () => {
  it("the edge finder finds edges", async () => {
    const said = await node("examples/custom-graph/edges.mjs", "photo.png", "edges.png");
    // The activation went into the convolution.
    expect(said.trim()).toBe("linear (luma) → conv2d (sobel) → linear (sum)");
    const { width, height, data } = await read("edges.png");
    expect([width, height]).toEqual([image.width - 2, image.height - 2]);
    const luma = (x: number, y: number): number =>
      (0.299 * levelAt(x, y, 0) + 0.587 * levelAt(x, y, 1) + 0.114 * levelAt(x, y, 2)) / 32;
    const silu = (v: number): number => v / (1 + Math.exp(-v));
    for (let y = 1; y < image.height - 1; y++) {
      for (let x = 1; x < image.width - 1; x++) {
        let [gx, gy] = [0, 0];
        for (const i of [-1, 0, 1]) {
          gx += (2 - Math.abs(i)) * (luma(x + 1, y + i) - luma(x - 1, y + i));
          gy += (2 - Math.abs(i)) * (luma(x + i, y + 1) - luma(x + i, y - 1));
        }
        const sum = (silu(gx) + silu(-gx) + silu(gy) + silu(-gy)) / 4;
        const level = data[((y - 1) * width + x - 1) * (data.length / (width * height))];
        expect(Math.abs((level as number) - Math.min(255, sum * 32))).toBeLessThan(0.51);
      }
    }
  });

  it("the bilateral filter sharpens", async () => {
    await node("examples/custom-kernel/bilateral.mjs", "photo.png", "sharp.png");
    const { width, height, data } = await read("sharp.png");
    expect([width, height]).toEqual([image.width, image.height]);
    const color = (x: number, y: number): number[] => [0, 1, 2].map((c) => levelAt(x, y, c) / 255);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const center = color(x, y);
        const sum = [0, 0, 0];
        let weights = 0;
        for (let dy = -2; dy <= 2; dy++) {
          for (let dx = -2; dx <= 2; dx++) {
            const value = color(x + dx, y + dy);
            const distance = value.reduce((d, v, c) => d + (v - (center[c] as number)) ** 2, 0);
            const weight = Math.exp(-(dx * dx + dy * dy) / 8 - distance / 0.02);
            value.forEach((v, c) => (sum[c] = (sum[c] as number) + weight * v));
            weights += weight;
          }
        }
        center.forEach((v, c) => {
          const sharp = 255 * (2.5 * v - (1.5 * (sum[c] as number)) / weights);
          const got = data[(y * width + x) * 3 + c] as number;
          expect(Math.abs(got - Math.min(255, Math.max(0, sharp)))).toBeLessThan(0.51);
        });
      }
    }
  });

  it("are what the compiler takes", async () => {
    const flags = ["--noEmit", "--strict", "--allowJs", "--checkJs", "--skipLibCheck"];
    const target = ["--target", "es2023", "--module", "nodenext"];
    const lib = ["--lib", "es2024,dom,dom.iterable,dom.asynciterable", "--types", "node"];
    const files = [
      "examples/node/upscale.mjs",
      "examples/custom-graph/edges.mjs",
      "examples/custom-kernel/bilateral.mjs",
      "examples/vite-app/main.ts",
    ];
    await node("node_modules/typescript/bin/tsc", ...flags, ...target, ...lib, ...files);
  });
});
