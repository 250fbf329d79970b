/**
 * Where the tiles of a VAE pass lie: with margins as wide as the network's reach, for an exact result, or as the
 * "tiled VAE" hook of the released program has them. Pure numbers.
 */
import { ShapeError } from "../../gpu/shape.ts";
import type { Size } from "../images/result-size.ts";
import type { VaeConfig } from "../settings/config.ts";
import { vaeFactor } from "../settings/config.ts";
import type { Box } from "./tiling.ts";
import { checkIntegers } from "./tiling.ts";

/** The direction of a pass. Its input has image pixels to encode and latent pixels to decode. */
export type VaeKind = "encode" | "decode";

/** Margins of the released hook, in input pixels. */
export const REFERENCE_PAD = { encode: 32, decode: 11 } as const;

/** One tile: what it reads, which of it counts in statistics, and where its result goes. */
export interface Tile {
  /** Read from the input map. */
  readonly input: Box;
  /** Pixels of the input map whose features enter the statistics. */
  readonly counted: Box;
  /** Written to the output map. The outputs of all tiles partition it. */
  readonly output: Box;
}

/** A tile along one axis, in input pixels: what it reads, and its core. */
interface Span {
  readonly from: number;
  readonly to: number;
  readonly start: number;
  readonly end: number;
}

/**
 * How far the tiled part of the network looks beyond a pixel, in input pixels, rounded up. Encoder: conv_in, resnets
 * and downsamplers (which look two pixels to the right). Decoder: resnets, upsamplers and conv_out.
 */
export function vaeReach(config: VaeConfig, kind: VaeKind): number {
  const levels = config.blockOutChannels.length;
  let reach = kind === "encode" ? 1 : 2 ** (1 - levels);
  for (let level = 0; level < levels; level++) {
    const isLast = level === levels - 1;
    if (kind === "encode") reach += (2 * config.layersPerBlock + (isLast ? 0 : 2)) * 2 ** level;
    else reach += (2 * (config.layersPerBlock + 1) + (isLast ? 0 : 1)) * 2 ** -level;
  }
  return Math.ceil(reach);
}

/** Tiles for an exact result, with cores of about `tileSize`: as `exactTiles`, with the network's own sizes. */
export function exactVaeTiles(
  config: VaeConfig,
  kind: VaeKind,
  map: Size,
  tileSize: number,
): Tile[] {
  const factor = vaeFactor(config);
  const [scale, multiple] = kind === "encode" ? [1 / factor, factor] : [factor, 1];
  const margin = Math.ceil(vaeReach(config, kind) / multiple) * multiple;
  return exactTiles(map, tileSize, margin, multiple, scale);
}

/** Cores of about `tileSize` that partition the map, each read with a margin and counted without. */
export function exactTiles(
  { width, height }: Size,
  tileSize: number,
  margin: number,
  multiple: number,
  scale: number,
): Tile[] {
  const spans = (size: number): Span[] => {
    const count = Math.max(1, Math.ceil(size / tileSize));
    const side = Math.ceil(size / count / multiple) * multiple;
    return Array.from({ length: Math.ceil(size / side) }, (_, k) => {
      const start = k * side;
      const end = Math.min(size, start + side);
      return { start, end, from: Math.max(0, start - margin), to: Math.min(size, end + margin) };
    });
  };
  return crossed(spans(height), spans(width), scale).map(({ core, ...tile }) => ({
    ...tile,
    counted: core,
  }));
}

/**
 * Tiles of the released program for a map of width × height input pixels, row by row. There is one tile with the whole
 * map where its longer side is at most tileSize + 2·pad. All that a tile reads counts in its statistics. Where a tile's
 * input was cut from the map, its result is cropped to `output`. `factor` is image pixels per latent pixel.
 */
export function referenceTiles(
  { width, height }: Size,
  tileSize: number,
  pad: number,
  { kind, factor }: { readonly kind: VaeKind; readonly factor: number },
): Tile[] {
  checkIntegers("vaeTiles", { width, height, tileSize, factor }, 1);
  checkIntegers("vaeTiles", { pad }, 0);
  if (kind === "encode") {
    for (const [name, value] of Object.entries({ width, height, tileSize, pad })) {
      if (value % factor !== 0) {
        throw new ShapeError(
          `vaeTiles: ${name} must be a multiple of ${factor} to encode, got ${value}`,
        );
      }
    }
  }
  const isWhole = Math.max(width, height) <= 2 * pad + tileSize;
  const spans = (size: number): Span[] =>
    isWhole ? [{ from: 0, to: size, start: 0, end: size }] : referenceSpans(size, tileSize, pad);
  const scale = kind === "decode" ? factor : 1 / factor;
  return crossed(spans(height), spans(width), scale).map(({ input, output }) => ({
    input,
    counted: input,
    output,
  }));
}

function referenceSpans(size: number, tileSize: number, pad: number): Span[] {
  const inner = size - 2 * pad;
  const count = Math.max(1, Math.ceil(inner / tileSize));
  const side = referenceSide(Math.ceil(inner / count), tileSize);
  return Array.from({ length: count }, (_, k) => {
    const from = pad + k * side;
    const to = Math.min(from + side, size);
    return {
      from: Math.max(0, from - pad),
      to: Math.min(size, to + pad),
      start: from > pad ? from : 0,
      end: to < size - pad ? to : size,
    };
  });
}

/** `least` rounded up to the largest of 32, 16, 8, 4, 2 that keeps it within `tileSize`. */
function referenceSide(least: number, tileSize: number): number {
  for (const divisor of [32, 16, 8, 4, 2]) {
    // The mathematical modulo: `least` is negative for a side below 2·pad.
    const remainder = ((least % divisor) + divisor) % divisor;
    if (remainder === 0) return least;
    const rounded = least - remainder + divisor;
    if (rounded <= tileSize) return rounded;
  }
  return least;
}

/** Every row with every column. `scale` is output pixels per input pixel. */
function crossed(
  rows: readonly Span[],
  columns: readonly Span[],
  scale: number,
): { readonly input: Box; readonly core: Box; readonly output: Box }[] {
  return rows.flatMap((row) =>
    columns.map((column) => {
      const core = { x0: column.start, x1: column.end, y0: row.start, y1: row.end };
      return {
        input: { x0: column.from, x1: column.to, y0: row.from, y1: row.to },
        core,
        output: {
          x0: core.x0 * scale,
          x1: core.x1 * scale,
          y0: core.y0 * scale,
          y1: core.y1 * scale,
        },
      };
    }),
  );
}
