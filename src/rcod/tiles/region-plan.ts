/**
 * How a picture that does not fit the device is cut into regions: overlapping rectangles of it, each enlarged as a picture of
 * its own. Pure numbers.
 *
 * ```
 * read   |----------------------|                one region, in pixels of the picture
 *                    |----------------------|    the next one
 * used   |-------------------|
 *                        |------------------|    MARGIN less at inner ends, where a network sees an end that there is not
 *        own 0           share   own 1           segments of the result
 * ```
 *
 * Where two regions share pixels the result goes over from one to the other. A segment is shared by two regions at most.
 */
import type { AxisPart } from "../../kernels/image/resample-weights.ts";
import type { Size } from "../images/result-size.ts";
import type { PixelRectangle, RegionOrder } from "../settings/options.ts";

/** Pixels of the picture that a region reads at an inner end and does not use: also what Lanczos needs there to reduce to ×1. */
const MARGIN = 4;
/** Pixels of the picture that neighbours both use, at least. */
const SHARED = 20;
const OVERLAP = 2 * MARGIN + SHARED;
/** Sides of regions are multiples of this, so that ×4 they are multiples of 8, the VAE's factor. */
const MULTIPLE = 2;

/** A region along one axis. */
export interface RegionSpan {
  /** Pixels of the picture that are enlarged. */
  readonly readFrom: number;
  readonly readTo: number;
  /** Pixels of the result that come of them. */
  readonly from: number;
  readonly to: number;
}

/** The regions of a picture: every column with every row. */
export interface RegionPlan {
  readonly columns: readonly RegionSpan[];
  readonly rows: readonly RegionSpan[];
}

/** How many regions a plan has; without one the picture is computed as a whole, once. */
export const regionCount = (plan: RegionPlan | null): number =>
  plan ? plan.columns.length * plan.rows.length : 1;

/** A part of the result along one axis that one region makes, or two neighbours together. */
export interface Segment {
  readonly from: number;
  readonly to: number;
  /** The first of its regions. */
  readonly region: number;
  readonly isShared: boolean;
}

/** Regions of at most `side` × `side` pixels of the picture; a picture of at most that is one region. */
export function planRegions(picture: Size, result: Size, side: number): RegionPlan {
  return {
    columns: regionSpans(picture.width, result.width, side),
    rows: regionSpans(picture.height, result.height, side),
  };
}

/** Regions of one size, as small as their number allows, with even steps between them. */
function regionSpans(size: number, outSize: number, side: number): RegionSpan[] {
  if (size <= side) return [{ readFrom: 0, readTo: size, from: 0, to: outSize }];
  const largest = Math.floor(side / MULTIPLE) * MULTIPLE;
  const count = Math.ceil((size - OVERLAP) / (largest - OVERLAP));
  const least = (size + (count - 1) * OVERLAP) / count;
  const length = Math.ceil(least / MULTIPLE) * MULTIPLE;
  const scale = outSize / size;
  return Array.from({ length: count }, (_, k) => {
    const readFrom = Math.round((k * (size - length)) / (count - 1));
    const readTo = readFrom + length;
    return {
      readFrom,
      readTo,
      from: k === 0 ? 0 : Math.ceil((readFrom + MARGIN) * scale),
      to: k === count - 1 ? outSize : Math.floor((readTo - MARGIN) * scale),
    };
  });
}

/** The segments of an axis in order: those of region k are at 2k − 1, 2k and 2k + 1, where there are such. */
export function segmentsOf(spans: readonly RegionSpan[]): Segment[] {
  return spans.flatMap(({ from, to }, region) => {
    const [before, next] = [spans[region - 1], spans[region + 1]];
    const own = { from: before?.to ?? from, to: next?.from ?? to, region, isShared: false };
    return next ? [own, { from: next.from, to, region, isShared: true }] : [own];
  });
}

/** A region of a plan, by its place in it. */
export interface RegionPlace {
  readonly column: number;
  readonly row: number;
}

/** All regions in the order in which they are to be computed. */
export function orderedRegions({ columns, rows }: RegionPlan, order: RegionOrder): RegionPlace[] {
  const places = [...rows.keys()].flatMap((row) =>
    [...columns.keys()].map((column) => ({ column, row })),
  );
  if (order === "rows") return places;
  const { x, y } = order === "middle" ? { x: 0.5, y: 0.5 } : order;
  const offset = (spans: readonly RegionSpan[], index: number, at: number): number => {
    const span = spans[index] as RegionSpan;
    return (span.from + span.to) / 2 - at * (spans.at(-1) as RegionSpan).to;
  };
  const distance = ({ column, row }: RegionPlace): number =>
    Math.hypot(offset(columns, column, x), offset(rows, row, y));
  return places.toSorted((a, b) => distance(a) - distance(b));
}

/** What a region reads of the picture. */
export function readRectangle(plan: RegionPlan, place: RegionPlace): PixelRectangle {
  const { column, row } = spansOf(plan, place);
  return {
    x: column.readFrom,
    y: row.readFrom,
    width: column.readTo - column.readFrom,
    height: row.readTo - row.readFrom,
  };
}

/** What a region makes of the result. */
export function madeRectangle(plan: RegionPlan, place: RegionPlace): PixelRectangle {
  const { column, row } = spansOf(plan, place);
  return {
    x: column.from,
    y: row.from,
    width: column.to - column.from,
    height: row.to - row.from,
  };
}

/** How a region's pixels, enlarged by `upscale`, become those that it makes: along one axis. */
export function axisPart(spans: readonly RegionSpan[], index: number, upscale: number): AxisPart {
  const { readFrom, from, to } = spans[index] as RegionSpan;
  const last = spans.at(-1) as RegionSpan;
  return {
    wholeIn: last.readTo * upscale,
    wholeOut: last.to,
    inFrom: readFrom * upscale,
    outFrom: from,
    outSize: to - from,
  };
}

function spansOf(
  { columns, rows }: RegionPlan,
  { column, row }: RegionPlace,
): { readonly column: RegionSpan; readonly row: RegionSpan } {
  return { column: columns[column] as RegionSpan, row: rows[row] as RegionSpan };
}
