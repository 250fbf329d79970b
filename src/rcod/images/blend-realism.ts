/** Pictures between results: what a slider shows at once, while or instead of computing it. */
import { ShapeError } from "../../gpu/shape.ts";
import { shown } from "../../options.ts";
import type { RawImage } from "../settings/options.ts";
import { checkImage, samplesLike } from "./raw-image.ts";

/** A picture, and its place between fidelity (0) and realism (1). Results of `upscale` are such. */
export interface RealismResult {
  /** As in `UpscaleReport`. */
  readonly realism: number;
  /** Its pixels. */
  readonly image: RawImage;
}

/**
 * The picture at `realism` by linear interpolation of the stored values, rounded, between the two nearest of `results`; at the
 * place of a result a copy of it. Results must be of one picture and differ in `realism` only, in whatever order; alpha, which all
 * have in common, stays. It takes one pass over the pixels, and what is between is near, not equal, to what `upscale` computes.
 * @throws RangeError where no results lie on both sides of `realism`, ShapeError for images that are none or not alike
 */
export function blendRealism(results: readonly RealismResult[], realism: number): RawImage {
  let below: RealismResult | undefined;
  let above: RealismResult | undefined;
  for (const result of results) {
    const place = result.realism;
    if (place <= realism && !(below && below.realism >= place)) below = result;
    if (place >= realism && !(above && above.realism <= place)) above = result;
  }
  if (!below || !above) {
    const places = results.map((result) => result.realism).join(", ") || "none";
    throw new RangeError(
      `blendRealism: realism must be a number between those of two results, got ${shown(realism)} and results at ${places}. ` +
        "Upscale with realism: [0, 1] for all between",
    );
  }
  checkImage(below.image);
  checkImage(above.image);
  const [from, to] = [formOf(below.image), formOf(above.image)];
  if (from !== to) {
    throw new ShapeError(
      `blendRealism: results must be alike, got ${from} and ${to}. Take results of one picture with the same options`,
    );
  }
  const [a, b] = [below.image.data, above.image.data];
  const share = (realism - below.realism) / (above.realism - below.realism || 1);
  const data = samplesLike(a, a.length);
  for (let i = 0; i < data.length; i++) {
    const value = a[i] as number;
    data[i] = value + ((b[i] as number) - value) * share + 0.5; // stored without its fraction
  }
  return { ...below.image, data };
}

const formOf = ({ width, height, channels, data, colorSpace = "srgb" }: RawImage): string =>
  `${width}×${height}×${channels} of ${8 * data.BYTES_PER_ELEMENT} bits in ${colorSpace}`;
