/** What the regions of a picture have in common: visual tokens, timesteps and, with RCOD_S, the merged weights of the whole. */
import { enlargeSource } from "../images/enlarged-source.ts";
import { readRectangle as readPixels } from "../images/image-reader.ts";
import type { Survey } from "../images/survey.ts";
import { surveyPicture } from "../images/survey.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { ImageReader, RawImage, UpscaleOptions } from "../settings/options.ts";
import { estimateDegradation, mergeFor } from "../stages/adapt.ts";
import { callGeometry } from "../stages/call-networks.ts";
import type { StageClock } from "../stages/clock.ts";
import type { StageContext } from "../stages/context.ts";
import { dtypeOf, releaseEncoded, roundingOf } from "../stages/context.ts";
import type { WholeTokens } from "../stages/encode.ts";
import { encodeImage, predictMetric, visualTokens } from "../stages/encode.ts";
import type { ChosenTimesteps, TimestepSettings } from "../stages/timestep-choice.ts";
import { chooseTimesteps, isAutomatic } from "../stages/timestep-choice.ts";
import type { RegionPlan, RegionPlace } from "../tiles/region-plan.ts";
import { orderedRegions, readRectangle } from "../tiles/region-plan.ts";

/** Regions, spread evenly, whose means stand for the whole: of the predicted metric, and of RCOD_S's scores. */
const MOST_SAMPLES = 16;

/** A picture that is computed in regions. */
export interface RegionPicture {
  readonly reader: ImageReader;
  readonly plan: RegionPlan;
  readonly settings: TimestepSettings;
}

/** What stays the same when numbers have to be computed again, or on another device. */
export interface WholeFacts extends Survey {
  /** RCOD_S. */
  readonly degrees?: readonly number[];
  /** Of each result. */
  readonly chosen: readonly ChosenTimesteps[];
}

/** Looks at the whole picture. With RCOD_S the weights are those for it afterwards. */
export async function wholeFacts(
  context: StageContext,
  picture: RegionPicture,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<{ readonly facts: WholeFacts; readonly tokens: WholeTokens }> {
  const { reader, plan, settings } = picture;
  clock.startApart("preprocess");
  const { signal } = options;
  const survey = await surveyPicture(reader, previewSide(plan), signal);
  const tokens = await wholeTokens(context, survey.preview, options, clock);
  try {
    const isAdapted = context.configs.degradation !== null;
    const samples = isAdapted || isAutomatic(settings) ? sampled(plan) : [];
    if (isAdapted) clock.startApart("encode");
    const degradations = isAdapted
      ? await ofSamples(picture, samples, signal, (image) =>
          estimateDegradation(context, image, { signal }),
        )
      : [];
    const degrees = meanOfRows(degradations.map((sample) => sample.degrees));
    if (isAdapted) await mergeFor(context, degrees, signal);
    const chosen = await chooseTimesteps(context.configs, settings, async () => {
      const metrics = isAdapted
        ? degradations.map(({ metric = NaN }) => metric)
        : await ofSamples(picture, samples, signal, (image) =>
            metricOfRegion(context, image, tokens, options, clock),
          );
      return meanOfRows(metrics.map((metric) => [metric]))[0] as number;
    });
    return { facts: { ...survey, ...(isAdapted && { degrees }), chosen }, tokens };
  } catch (error) {
    context.gpu.memory.release(tokens.buffer);
    throw error;
  }
}

/** How many regions `wholeFacts` encodes. */
export const encodedSamples = (
  { degradation }: ModelConfigs,
  plan: RegionPlan,
  settings: TimestepSettings,
): number => (degradation === null && isAutomatic(settings) ? sampled(plan).length : 0);

/** What `wholeFacts` leaves on the device, made again. */
export async function restoreWhole(
  context: StageContext,
  { preview, degrees }: WholeFacts,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<WholeTokens> {
  const tokens = await wholeTokens(context, preview, options, clock);
  if (degrees) await mergeFor(context, degrees, options.signal);
  return tokens;
}

/** Those of the whole picture, made small enough to be enlarged in one piece. */
async function wholeTokens(
  context: StageContext,
  preview: RawImage,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<WholeTokens> {
  const { gpu, configs } = context;
  clock.start("tokens");
  const geometry = callGeometry(configs, preview, false);
  const source = await enlargeSource(gpu, preview, geometry, configs, roundingOf(options));
  try {
    const buffer = await visualTokens(context, source, options, clock);
    return { buffer, dtype: dtypeOf(context, "clip") };
  } finally {
    source.release();
    gpu.memory.release(source.image.buffer);
  }
}

async function metricOfRegion(
  context: StageContext,
  image: RawImage,
  tokens: WholeTokens,
  options: UpscaleOptions,
  clock: StageClock,
): Promise<number> {
  const geometry = callGeometry(context.configs, image, false);
  const encoded = await encodeImage(context, image, geometry, options, clock, tokens);
  try {
    return await predictMetric(context, encoded, options);
  } finally {
    releaseEncoded(context.gpu, encoded);
  }
}

async function ofSamples<T>(
  { reader, plan }: RegionPicture,
  samples: readonly RegionPlace[],
  signal: AbortSignal | undefined,
  measure: (image: RawImage) => Promise<T>,
): Promise<T[]> {
  const measured: T[] = [];
  for (const place of samples) {
    signal?.throwIfAborted();
    measured.push(await measure(await readPixels(reader, readRectangle(plan, place), signal)));
  }
  return measured;
}

function sampled(plan: RegionPlan): RegionPlace[] {
  const places = orderedRegions(plan, "rows");
  const count = Math.min(places.length, MOST_SAMPLES);
  return Array.from(
    { length: count },
    (_, i) => places[Math.floor(((i + 0.5) * places.length) / count)] as RegionPlace,
  );
}

/** Sides of previews: those of a region, which the device can enlarge. */
function previewSide({ columns, rows }: RegionPlan): number {
  const [column, row] = [columns[0], rows[0]];
  return Math.max(column?.readTo ?? 1, row?.readTo ?? 1);
}

function meanOfRows(rows: readonly (readonly number[])[]): number[] {
  return (rows[0] ?? []).map(
    (_, i) => rows.reduce((sum, row) => sum + (row[i] as number), 0) / rows.length,
  );
}
