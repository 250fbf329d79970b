/** `rcod upscale --plan`: what each image will take, without computing or writing anything. */
import { defined } from "../defined.ts";
import type { CallEstimate, Model } from "../engine.ts";
import { formatBytes, formatMs } from "../format.ts";
import type { UpscaleCliOptions } from "./command.ts";
import type { InspectedImage } from "./one-image.ts";
import type { Job } from "./outputs.ts";
import { fileName } from "./report.ts";

/** What one image will take: an element of `plans` under `--json`. Sizes are `[width, height]`. */
export interface PlannedImage extends Omit<CallEstimate, "outWidth" | "outHeight" | "work"> {
  readonly input: string;
  readonly output: string;
  readonly inputSize: readonly [number, number];
  readonly outputSize: readonly [number, number];
  readonly notes?: readonly string[];
}

/** Asks the model. Throws as `estimate`. */
export async function planImage(
  job: Job,
  { header, target }: InspectedImage,
  model: Model,
  { realism, timestep, seed, tile, region, reference }: UpscaleCliOptions,
): Promise<PlannedImage> {
  const { width, height } = header;
  const estimate = await model.estimate({
    width,
    height,
    ...target.asked,
    ...defined({ realism, timestep, seed, tile, region, reference }),
  });
  const { outWidth, outHeight, work: _, ...figures } = estimate;
  return {
    input: job.input,
    output: job.output,
    inputSize: [width, height],
    outputSize: [outWidth, outHeight],
    ...figures,
    ...(target.notes.length > 0 && { notes: target.notes }),
  };
}

/** One line about an image, and one for each piece of advice. */
export function planLines(plan: PlannedImage): readonly string[] {
  const { regions, timeMs, firstRunMs, peakBytes, advice, notes = [] } = plan;
  const size = ([width, height]: readonly [number, number]) => `${width} × ${height}`;
  const pieces = regions > 1 ? `, ${regions} regions` : "";
  const ms = firstRunMs ?? timeMs;
  const time = ms === undefined ? "time unknown before a first run" : `about ${formatMs(ms)}`;
  return [
    `${fileName(plan.input)} → ${fileName(plan.output, "standard output")}  ${size(plan.inputSize)} → ` +
      `${size(plan.outputSize)}${pieces}  ${time}, GPU memory ${formatBytes(peakBytes)}`,
    ...[...notes, ...advice].map((sentence) => `  ${sentence}`),
  ];
}
