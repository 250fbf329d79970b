/**
 * Per-channel partial statistics over the pixels of a rectangle: the first step of GroupNorm.
 *
 *   mean = Σx / pixels,  M2 = Σ(x − mean)²      for each image, partial and channel
 *
 * Layout: x [N, H, W, C] in quads. stats f32: two vec4 (mean, M2) at ((n·partials + s)·quads + q)·2; the
 * channel padding gives zeros. Partial s is a strip: `partialPixels` consecutive pixels of the rectangle in row
 * order. Pixels outside the rectangle (the overlap of a tile) do not count.
 *
 * One invocation per (image, partial, quad), quads innermost, so that neighbours read neighbouring memory. No
 * workgroup memory. An invocation takes four pixels at a time. It computes their own mean and M2 first and merges
 * them into the running pair by Chan's formula: four loads in flight, one division.
 *
 * All sums are over x − (first pixel of the strip). Plain f32 Welford at an offset of 1000 loses 1e-3 of the spread
 * over 1,000 pixels; shifted, the error is relative to the spread. Never Σx² − (Σx)²/n.
 *
 * Idea: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
 * variances", 1979.
 */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { dtypeByteLength } from "../../gpu/dtype.ts";
import { ShapeError, isShape, quadCount } from "../../gpu/shape.ts";
import type { Param } from "../../gpu/wgsl.ts";
import { foldWorkgroups } from "../../gpu/wgsl.ts";
import type { Kernel } from "../kernel.ts";
import { defineKernel, dispatch, reads, u32, writes } from "../kernel.ts";

/** Half-open rectangle of pixels. */
export interface PixelRegion {
  readonly y0: number;
  readonly y1: number;
  readonly x0: number;
  readonly x1: number;
}

/** Operands: `x` [batch, height, width, channels], `stats` (f32, `channelStatsByteLength` bytes). */
export interface ChannelStatsProblem {
  /** Storage of the activations. */
  readonly dtype: DType;
  /** Number of images. */
  readonly batch: number;
  /** Rows of the map. */
  readonly height: number;
  /** Columns of the map. */
  readonly width: number;
  /** Channels, without padding. */
  readonly channels: number;
  /** The pixels that count. */
  readonly region: PixelRegion;
  /** Strips that the region is cut into, at most its pixels; see `choosePartials`. */
  readonly partials: number;
}

const WORKGROUP = 64;

/** Invocations that keep a large GPU's memory busy, and enough for a CPU's few threads. */
const TARGET_INVOCATIONS = 32_768;
const TARGET_INVOCATIONS_SOFTWARE = 1_024;

/** Least pixels of a strip. Statistics are 32 B for each of its quads, written and read again. */
const MIN_STRIP_PIXELS = 32;

/**
 * Partials that are not strips but the tiles of a map, row by row. The last tile of a row and the tiles of the last
 * row may be smaller. A doubled map has the tiles of one phase after another.
 */
export interface StatisticsTiles {
  /** Pixels of the map of one phase. */
  readonly map: readonly [height: number, width: number];
  /** Pixels of a tile. */
  readonly tile: readonly [height: number, width: number];
}

/** How the pixels of an image are divided among its partials. */
export interface PartialCounts {
  /** Partials of an image, at most its pixels. */
  readonly partials: number;
  /** Pixels that the statistics count. */
  readonly pixels: number;
  /** Null: strips, as `channelStats` cuts them. */
  readonly tiles: StatisticsTiles | null;
}

/** Neighbouring channels that one entry of statistics covers. */
export type ChannelsPerEntry = 1 | 2 | 4;

/**
 * Statistics within a buffer of f32. An entry is mean and M2 of `channelsPerEntry` neighbouring channels. Those of quad
 * q in partial s of image n begin at first + ((n·partials + s)·quads + q)·8/channelsPerEntry: all means, then all M2.
 * `channelStats` writes entries of one channel.
 */
export interface Statistics extends PartialCounts {
  /** Channels of an entry. */
  readonly channelsPerEntry: ChannelsPerEntry;
  /** Where they begin, in f32. */
  readonly first: number;
}

/** Pixels of partial `partial`. Where strips cannot be equal the first ones are one pixel longer. */
export function partialPixels({ partials, pixels, tiles }: PartialCounts, partial: number): number {
  if (tiles === null) return Math.floor(pixels / partials) + (partial < pixels % partials ? 1 : 0);
  const [mapHeight, mapWidth] = tiles.map;
  const [tileHeight, tileWidth] = tiles.tile;
  const columns = Math.ceil(mapWidth / tileWidth);
  const tile = partial % (columns * Math.ceil(mapHeight / tileHeight));
  const x = (tile % columns) * tileWidth;
  const y = Math.floor(tile / columns) * tileHeight;
  return Math.min(tileWidth, mapWidth - x) * Math.min(tileHeight, mapHeight - y);
}

/** WGSL `partial_pixels<suffix>(partial) -> f32`, the pixels of a partial. Needs `partialParams`. */
export const partialPixelsWgsl = (suffix: string): string => /* wgsl */ `
fn partial_pixels${suffix}(partial: u32) -> f32 {
  if (params.tile_columns${suffix} == 0u) {
    return f32(params.strip_pixels${suffix} + select(0u, 1u, partial < params.longer_strips${suffix}));
  }
  let tile = partial % params.map_tiles${suffix};
  let x = (tile % params.tile_columns${suffix}) * params.tile_width${suffix};
  let y = (tile / params.tile_columns${suffix}) * params.tile_height${suffix};
  return f32(min(params.tile_width${suffix}, params.map_width${suffix} - x)
    * min(params.tile_height${suffix}, params.map_height${suffix} - y));
}
`;

/** Uniforms of `partialPixelsWgsl`. */
export function partialParams({ partials, pixels, tiles }: PartialCounts, suffix: string): Param[] {
  const [mapHeight, mapWidth] = tiles?.map ?? [1, 1];
  const [tileHeight, tileWidth] = tiles?.tile ?? [1, 1];
  const columns = tiles ? Math.ceil(mapWidth / tileWidth) : 0;
  return [
    u32(`strip_pixels${suffix}`, Math.floor(pixels / partials)),
    u32(`longer_strips${suffix}`, pixels % partials),
    u32(`tile_columns${suffix}`, columns),
    u32(`map_tiles${suffix}`, Math.max(1, columns * Math.ceil(mapHeight / tileHeight))),
    u32(`map_height${suffix}`, mapHeight),
    u32(`map_width${suffix}`, mapWidth),
    u32(`tile_height${suffix}`, tileHeight),
    u32(`tile_width${suffix}`, tileWidth),
  ];
}

/** How many strips suit the device, ≥ 1 and never more than `pixels`. */
export function choosePartials(pixels: number, channels: number, caps: Caps): number {
  const target = caps.isSoftware ? TARGET_INVOCATIONS_SOFTWARE : TARGET_INVOCATIONS;
  const enough = Math.ceil(target / quadCount(channels));
  return Math.max(1, Math.min(enough, Math.floor(pixels / MIN_STRIP_PIXELS)));
}

/** Number of pixels in a region. */
export function regionPixels(region: PixelRegion): number {
  return (region.y1 - region.y0) * (region.x1 - region.x0);
}

/** Bytes of the `stats` operand, or of statistics with more channels per entry. */
export function channelStatsByteLength(
  batch: number,
  partials: number,
  channels: number,
  channelsPerEntry: ChannelsPerEntry = 1,
): number {
  return (batch * partials * quadCount(channels) * 2 * 16) / channelsPerEntry;
}

const BODY = /* wgsl */ `
struct Cursor {
  index: u32, // of the quad in x
  column: u32, // from the left edge of the region
}

fn advance(at: Cursor) -> Cursor {
  let row_ends = at.column + 1u == params.region_width;
  return Cursor(at.index + params.quads + select(0u, params.row_gap, row_ends),
                select(at.column + 1u, 0u, row_ends));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * WORKGROUP + local;
  if (i >= params.invocations) { return; }
  let quad = i % params.quads;
  let partial = (i / params.quads) % params.partials;
  let image = i / (params.quads * params.partials);
  let pixels = params.strip_pixels + select(0u, 1u, partial < params.longer_strips);
  let first = partial * params.strip_pixels + min(partial, params.longer_strips);
  let column = first % params.region_width;
  let pixel = image * params.image_pixels + params.region_start
    + (first / params.region_width) * params.width + column;

  var at = Cursor(pixel * params.quads + quad, column);
  let shift = unpack(x[at.index]);
  var mean = vec4<f32>(0.0);
  var m2 = vec4<f32>(0.0);
  var seen = 0u;
  for (; seen + 4u <= pixels; seen += 4u) {
    let at1 = advance(at);
    let at2 = advance(at1);
    let at3 = advance(at2);
    let v0 = unpack(x[at.index]) - shift;
    let v1 = unpack(x[at1.index]) - shift;
    let v2 = unpack(x[at2.index]) - shift;
    let v3 = unpack(x[at3.index]) - shift;
    let block_mean = ((v0 + v1) + (v2 + v3)) * 0.25;
    let d0 = v0 - block_mean;
    let d1 = v1 - block_mean;
    let d2 = v2 - block_mean;
    let d3 = v3 - block_mean;
    let share = 4.0 / f32(seen + 4u);
    let delta = block_mean - mean;
    mean += delta * share;
    m2 += ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + delta * delta * (f32(seen) * share);
    at = advance(at3);
  }
  for (; seen < pixels; seen += 1u) {
    let share = 1.0 / f32(seen + 1u);
    let delta = unpack(x[at.index]) - shift - mean;
    mean += delta * share;
    m2 += delta * delta * (f32(seen) * share);
    at = advance(at);
  }
  stats[i * 2u] = shift + mean;
  stats[i * 2u + 1u] = m2;
}
`;

/** Mean and squared deviations of each channel over a rectangle, in strips: the first step of GroupNorm. */
export const channelStats: Kernel<ChannelStatsProblem, "strip"> = defineKernel({
  name: "channelStats",
  variants: ["strip"],
  check({ batch, height, width, channels, region, partials }) {
    const { y0, y1, x0, x1 } = region;
    if (!isShape([batch, height, width, channels])) {
      throw new ShapeError(
        `channelStats: sizes must be integers ≥ 1, got [${batch}, ${height}, ${width}, ${channels}]`,
      );
    }
    const isWithin = (from: number, to: number, size: number): boolean =>
      [from, to].every(Number.isSafeInteger) && 0 <= from && from < to && to <= size;
    if (!isWithin(y0, y1, height) || !isWithin(x0, x1, width)) {
      throw new ShapeError(
        `channelStats: region must be a non-empty rectangle within ${height}x${width}, ` +
          `got rows ${y0}..${y1}, columns ${x0}..${x1}`,
      );
    }
    if (!isShape([partials]) || partials > regionPixels(region)) {
      throw new ShapeError(
        `channelStats: partials must be an integer from 1 to the ${regionPixels(region)} pixels of the region, ` +
          `got ${partials}`,
      );
    }
  },
  dispatches({ dtype, batch, height, width, channels, region, partials }, caps) {
    const quads = quadCount(channels);
    const pixels = regionPixels(region);
    const regionWidth = region.x1 - region.x0;
    const invocations = batch * partials * quads;
    const header = {
      caps,
      dtype,
      operands: [reads("x"), writes("stats", "vec4<f32>")],
      params: [
        u32("invocations", invocations),
        u32("quads", quads),
        u32("partials", partials),
        u32("strip_pixels", Math.floor(pixels / partials)),
        u32("longer_strips", pixels % partials),
        u32("image_pixels", height * width),
        u32("width", width),
        u32("region_start", region.y0 * width + region.x0),
        u32("region_width", regionWidth),
        u32("row_gap", (width - regionWidth) * quads),
      ],
      constants: { WORKGROUP },
    };
    const workgroups = foldWorkgroups(Math.ceil(invocations / WORKGROUP));
    return [dispatch("channelStats", header, BODY, workgroups)];
  },
  cost({ dtype, batch, channels, region, partials }) {
    const elements = batch * regionPixels(region) * quadCount(channels) * 4;
    return {
      flops: elements * 5, // shift, two sums, difference, square
      bytesRead: elements * dtypeByteLength(dtype),
      bytesWritten: channelStatsByteLength(batch, partials, channels),
    };
  },
});
