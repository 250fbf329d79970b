import { describe, expect, it } from "vitest";
import { decode } from "../support/pictures.ts";

interface BmpParts {
  readonly width: number;
  /** Negative: top-down. */
  readonly height: number;
  readonly bits: number;
  readonly compression?: number;
  /** Behind the 40 bytes of the header: masks, palette. */
  readonly extra?: Buffer;
  readonly pixels: Buffer;
  /** Bytes between all that and the pixels. */
  readonly gap?: number;
}

function bmp({ width, height, bits, compression = 0, extra, pixels, gap = 0 }: BmpParts): Buffer {
  const head = Buffer.alloc(54);
  const behind = Buffer.concat([extra ?? Buffer.alloc(0), Buffer.alloc(gap)]);
  head.write("BM", "latin1");
  head.writeUInt32LE(54 + behind.length, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(width, 18);
  head.writeInt32LE(height, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(bits, 28);
  head.writeUInt32LE(compression, 30);
  head.writeInt32LE(11_811, 38);
  head.writeInt32LE(11_811, 42);
  return Buffer.concat([head, behind, pixels]);
}

/** Rows of bytes, each filled up to four. */
const rows = (...lines: readonly (readonly number[])[]): Buffer =>
  Buffer.concat(
    lines.map((line) => Buffer.from([...line, ...Array<number>(-line.length & 3).fill(0)])),
  );

/** Blue, green, red, as palettes have them. */
const PALETTE = Buffer.from([0, 0, 0, 0, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0]);
const [K, R, G, B] = [
  [0, 0, 0],
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
];
const palette = (colours: number): Buffer =>
  Buffer.concat([PALETTE, Buffer.alloc(4 * colours)]).subarray(0, 4 * colours);

const u16 = (...values: readonly number[]): readonly number[] =>
  values.flatMap((value) => [value & 255, value >> 8]);
const u32 = (...values: readonly number[]): readonly number[] =>
  values.flatMap((value) => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24]);

/** Three wide and two high: red, green, blue above black, red, green. */
const EXPECTED = [R, G, B, K, R, G].flat();

const FILES: readonly (readonly [string, Buffer])[] = [
  [
    "24 bits, bottom-up",
    bmp({
      width: 3,
      height: 2,
      bits: 24,
      pixels: rows([0, 0, 0, 0, 0, 255, 0, 255, 0], [0, 0, 255, 0, 255, 0, 255, 0, 0]),
    }),
  ],
  [
    "24 bits, top-down, with a gap",
    bmp({
      width: 3,
      height: -2,
      bits: 24,
      gap: 6,
      pixels: rows([0, 0, 255, 0, 255, 0, 255, 0, 0], [0, 0, 0, 0, 0, 255, 0, 255, 0]),
    }),
  ],
  [
    "8 bits",
    bmp({
      width: 3,
      height: 2,
      bits: 8,
      extra: palette(256),
      pixels: rows([0, 1, 2], [1, 2, 3]),
    }),
  ],
  [
    "4 bits, an odd width",
    bmp({
      width: 3,
      height: 2,
      bits: 4,
      extra: palette(16),
      pixels: rows([0x01, 0x20], [0x12, 0x30]),
    }),
  ],
  [
    "16 bits of five",
    bmp({
      width: 3,
      height: 2,
      bits: 16,
      pixels: rows(u16(0, 0x7c00, 0x3e0), u16(0x7c00, 0x3e0, 0x1f)),
    }),
  ],
  [
    "16 bits by masks",
    bmp({
      width: 3,
      height: 2,
      bits: 16,
      compression: 3,
      extra: Buffer.from(u32(0xf800, 0x7e0, 0x1f)),
      pixels: rows(u16(0, 0xf800, 0x7e0), u16(0xf800, 0x7e0, 0x1f)),
    }),
  ],
  [
    "32 bits without alpha, whatever its fourth byte",
    bmp({
      width: 3,
      height: 2,
      bits: 32,
      pixels: rows(u32(0, 0x7fff0000, 0xff00), u32(0xff0000, 0x1200ff00, 0xff)),
    }),
  ],
  [
    "32 bits by masks in another order",
    bmp({
      width: 3,
      height: 2,
      bits: 32,
      compression: 3,
      extra: Buffer.from(u32(0xff000000, 0xff0000, 0xff00)),
      pixels: rows(u32(0, 0xff000000, 0xff0000), u32(0xff000000, 0xff0000, 0xff00)),
    }),
  ],
  [
    "8 bits of runs",
    bmp({
      width: 3,
      height: 2,
      bits: 8,
      compression: 1,
      extra: palette(256),
      // A run; three as they are, filled up to four; the end of a row; a run beyond the row; the end.
      pixels: Buffer.from([1, 0, 1, 1, 1, 2, 0, 0, 0, 3, 1, 2, 3, 0, 9, 1, 0, 1]),
    }),
  ],
  [
    "4 bits of runs and a jump",
    bmp({
      width: 3,
      height: 2,
      bits: 4,
      compression: 2,
      extra: palette(16),
      // Jumps to the second pixel of the first row, which stays black before.
      pixels: Buffer.from([0, 2, 1, 0, 2, 0x12, 0, 0, 0, 3, 0x12, 0x30, 0, 1]),
    }),
  ],
];

describe("BMP", () => {
  it.each(FILES)("%s", async (_name, file) => {
    const { frames, metadata } = await decode(file);
    const [{ width, height, channels, data }] = frames;
    expect([width, height, channels]).toEqual([3, 2, 3]);
    expect([...data]).toEqual(EXPECTED);
    expect(metadata).toEqual({ density: [11_811, 11_811] });
  });

  it("1 bit, wider than a byte", async () => {
    const file = bmp({
      width: 11,
      height: 1,
      bits: 1,
      extra: palette(2),
      pixels: rows([0b1000_0001, 0b0110_0000]),
    });
    const [{ data }] = (await decode(file)).frames;
    const reds = Array.from({ length: 11 }, (_, x) => (data[3 * x] as number) / 255);
    expect(reds).toEqual([1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1]);
  });

  it("alpha by a mask, unless all of it is zero", async () => {
    const extra = Buffer.from(u32(0xff0000, 0xff00, 0xff, 0xff000000));
    const file = (alpha: number) =>
      bmp({
        width: 2,
        height: 1,
        bits: 32,
        compression: 6,
        extra,
        pixels: rows(u32((alpha << 24) | 0xff0000, 0xff)),
      });
    expect([...(await decode(file(128))).frames[0].data]).toEqual([255, 0, 0, 128, 0, 0, 255, 0]);
    expect([...(await decode(file(0))).frames[0].data]).toEqual([255, 0, 0, 0, 0, 255]);
  });

  it("with the header of OS/2", async () => {
    const head = Buffer.alloc(26);
    head.write("BM", "latin1");
    head.writeUInt32LE(26, 10);
    head.writeUInt32LE(12, 14);
    head.writeUInt16LE(2, 18);
    head.writeUInt16LE(1, 20);
    head.writeUInt16LE(24, 24);
    const file = Buffer.concat([head, rows([0, 0, 255, 255, 0, 0])]);
    expect([...(await decode(file)).frames[0].data]).toEqual([255, 0, 0, 0, 0, 255]);
  });

  it.each([
    ["an unknown compression", { width: 1, height: 1, bits: 8, compression: 4 }, "compression 4"],
    ["runs of 24 bits", { width: 1, height: 1, bits: 24, compression: 1 }, "24 bits a pixel"],
    ["2 bits", { width: 1, height: 1, bits: 2 }, "2 bits a pixel"],
    ["no rows", { width: 1, height: 0, bits: 24 }, "1 × 0 pixels"],
    ["a negative width", { width: -1, height: 1, bits: 24 }, "-1 × 1 pixels"],
    ["no palette", { width: 1, height: 1, bits: 8 }, "the palette is cut off"],
    ["no masks", { width: 1, height: 1, bits: 16, compression: 3 }, "the masks are cut off"],
    [
      "runs without an end",
      { width: 9, height: 9, bits: 8, compression: 1, extra: palette(256) },
      "the pixels are cut off",
    ],
  ])("refuses %s", async (_name, parts, reason) => {
    const file = bmp({ pixels: Buffer.alloc(0), ...parts });
    await expect(decode(file)).rejects.toThrow(`the image is damaged or cut off (${reason}`);
  });
});
