/**
 * Puts the regions of a result together. What one region makes alone is finished with it; what two or four share is their
 * weighted mean, finished with the last of them. Every pixel of the result is given out once.
 */
import { samplesIn, samplesLike } from "../images/raw-image.ts";
import type { Samples } from "../images/raw-image.ts";
import type { PixelRectangle, RawImage, ResultRegion } from "../settings/options.ts";
import type { RegionPlace, RegionPlan, Segment } from "./region-plan.ts";
import { madeRectangle, segmentsOf } from "./region-plan.ts";

/** A finished part, with its pixels. */
export type FinishedPart = Omit<ResultRegion, "texture"> & { readonly data: Samples };

/** Pixels that wait for a region that shares them. */
interface Waiting {
  /** Weighted sums, rows by columns by channels. */
  readonly sums: Float32Array<ArrayBuffer>;
  /** Regions that are missing. */
  missing: number;
}

export class RegionBlend {
  readonly #plan: RegionPlan;
  readonly #columns: readonly Segment[];
  readonly #rows: readonly Segment[];
  /** By the numbers of their segments. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(plan: RegionPlan) {
    this.#plan = plan;
    this.#columns = segmentsOf(plan.columns);
    this.#rows = segmentsOf(plan.rows);
  }

  /** Takes the pixels that a region has made, and gives the parts of the result that are finished with it. */
  add(place: RegionPlace, image: RawImage): FinishedPart[] {
    const made = madeRectangle(this.#plan, place);
    const finished: FinishedPart[] = [];
    for (const row of segmentsAt(this.#rows, place.row)) {
      for (const column of segmentsAt(this.#columns, place.column)) {
        const [across, down] = [this.#columns[column] as Segment, this.#rows[row] as Segment];
        const part = {
          x: across.from,
          y: down.from,
          width: across.to - across.from,
          height: down.to - down.from,
        };
        if (part.width === 0 || part.height === 0) continue;
        const inside = { ...part, x: part.x - made.x, y: part.y - made.y };
        const { channels } = image;
        if (!across.isShared && !down.isShared) {
          finished.push({ ...part, channels, data: samplesIn(image, inside) });
          continue;
        }
        const key = `${column} ${row}`;
        const waiting = this.#waiting.get(key) ?? {
          sums: new Float32Array(part.width * part.height * channels),
          missing: (across.isShared ? 2 : 1) * (down.isShared ? 2 : 1),
        };
        this.#waiting.set(key, waiting);
        addWeighted(
          waiting.sums,
          image,
          inside,
          weightsOf(across, place.column),
          weightsOf(down, place.row),
        );
        if (--waiting.missing > 0) continue;
        this.#waiting.delete(key);
        finished.push({ ...part, channels, data: rounded(waiting.sums, image) });
      }
    }
    return finished;
  }
}

/** The numbers of a region's segments. */
function segmentsAt(segments: readonly Segment[], region: number): readonly number[] {
  return [2 * region - 1, 2 * region, 2 * region + 1].filter((index) => index in segments);
}

/** How much a region counts at each pixel of a segment: the weights of two neighbours add up to 1, with flat ends. */
function weightsOf({ from, to, region: first, isShared }: Segment, region: number): Float64Array {
  return Float64Array.from({ length: to - from }, (_, i) => {
    if (!isShared) return 1;
    const t = (i + 0.5) / (to - from);
    const ofSecond = t * t * (3 - 2 * t);
    return region === first ? 1 - ofSecond : ofSecond;
  });
}

function addWeighted(
  sums: Float32Array,
  { width: imageWidth, channels, data }: RawImage,
  { x, y, width, height }: PixelRectangle,
  across: Float64Array,
  down: Float64Array,
): void {
  for (let row = 0; row < height; row++) {
    const ofRow = down[row] as number;
    let from = ((y + row) * imageWidth + x) * channels;
    let to = row * width * channels;
    for (let column = 0; column < width; column++) {
      const weight = ofRow * (across[column] as number);
      for (let c = 0; c < channels; c++, to++, from++) {
        sums[to] = (sums[to] as number) + weight * (data[from] as number);
      }
    }
  }
}

function rounded(sums: Float32Array, { data }: RawImage): Samples {
  const out = samplesLike(data, sums.length);
  for (let i = 0; i < sums.length; i++) out[i] = Math.round(sums[i] as number);
  return out;
}
