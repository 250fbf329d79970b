/** Tensors of `tests/fixtures/image` (see its manifest.json). */
import { readFileSync } from "node:fs";

const folder = new URL("../fixtures/image/", import.meta.url);

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

export interface Fixture {
  readonly shape: readonly number[];
  readonly data: Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer>;
}

/** Reads a safetensors file with U8 and F32 tensors. */
export function readTensors(path: string | URL): (name: string) => Fixture {
  const file = Uint8Array.from(readFileSync(path));
  const headerBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerBytes))) as Record<
    string,
    Entry
  >;
  return (name) => {
    const entry = header[name];
    if (entry === undefined) throw new Error(`fixture ${name} is missing`);
    const [begin, end] = entry.data_offsets;
    const bytes = file.slice(8 + headerBytes + begin, 8 + headerBytes + end);
    return {
      shape: entry.shape,
      data: entry.dtype === "F32" ? new Float32Array(bytes.buffer) : bytes,
    };
  };
}

export const imageFixture = readTensors(new URL("image.safetensors", folder));

export interface TilingFixture {
  readonly axisTable: readonly { n: number; T: number; O: number; starts: readonly number[] }[];
  readonly latent: readonly {
    name: string;
    width: number;
    height: number;
    tile: number;
    overlap: number;
    effectiveTile: number | null;
    xStarts: readonly number[] | null;
    yStarts: readonly number[] | null;
  }[];
  readonly vae: readonly {
    name: string;
    kind: "encode" | "decode";
    width: number;
    height: number;
    tileSize: number;
    pad: number;
    inputBoxes: readonly (readonly number[])[] | null;
    outputBoxes: readonly (readonly number[])[] | null;
  }[];
}

export const tilingFixture = JSON.parse(
  readFileSync(new URL("tiling.json", folder), "utf8"),
) as TilingFixture;

/** HWC RGB bytes as packed RGBA8 with the given alpha. */
export function rgbaFromRgb(rgb: ArrayLike<number>, alpha = 255): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array((rgb.length / 3) * 4);
  for (let i = 0; i < rgb.length / 3; i++) {
    for (let c = 0; c < 3; c++) out[i * 4 + c] = rgb[i * 3 + c] as number;
    out[i * 4 + 3] = alpha;
  }
  return out;
}

/** The colours of RGBA8 bytes, HWC. */
export function rgbFromRgba(rgba: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0; i < rgba.length / 4; i++) {
    for (let c = 0; c < 3; c++) out[i * 3 + c] = rgba[i * 4 + c] as number;
  }
  return out;
}

/** Number of differing bytes and the largest difference. */
export function byteDifference(got: ArrayLike<number>, expected: ArrayLike<number>) {
  if (got.length !== expected.length) {
    throw new Error(`${got.length} bytes against ${expected.length}`);
  }
  let count = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((got[i] as number) - (expected[i] as number));
    if (difference > 0) count++;
    largest = Math.max(largest, difference);
  }
  return { count, largest };
}
