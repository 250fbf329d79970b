/**
 * Latent Domain Grouping (RCOD paper §3.2): images are grouped by their latent metric M_L, the cosine similarity
 * of the latents before and after restoration, and each group is trained at a timestep of its own.
 */
import type { RcodConfig } from "./config.ts";

type TrainedTimesteps = Pick<RcodConfig, "timesteps" | "thresholds">;

/** Groups by rising metric. */
export interface LatentGroups {
  /** Metric from which on an image is in the next group; rising. */
  readonly thresholds: readonly number[];
  /** One more than thresholds, falling: the more is lost, the later the timestep. */
  readonly timesteps: readonly number[];
}

/** The released tables by their number of groups; 3 is what the released models were trained with. */
export const LATENT_GROUPS: Readonly<Record<3 | 4, LatentGroups>> = {
  3: { thresholds: [0.5, 0.7], timesteps: [749, 499, 249] },
  4: { thresholds: [0.3, 0.5, 0.7], timesteps: [999, 749, 499, 249] },
};

/**
 * Index of the group of a metric. Compared in f32, as the released program does: there 0.69999999 is 0.7. NaN
 * is in the last group but one, whose timestep is 499 in both tables.
 */
export function groupOfMetric(
  metric: number,
  { thresholds }: Pick<LatentGroups, "thresholds">,
): number {
  if (Number.isNaN(metric)) return thresholds.length - 1;
  return thresholds.filter((threshold) => Math.fround(metric) >= Math.fround(threshold)).length;
}

/** Timestep of the group of a metric. */
export function timestepOfGroups(metric: number, groups: LatentGroups): number {
  return groups.timesteps[groupOfMetric(metric, groups)] as number;
}

/** The groups that a model was trained for. */
export function groupsOf({ timesteps, thresholds }: TrainedTimesteps): LatentGroups {
  return { thresholds, timesteps: [timesteps.realism, timesteps.neutral, timesteps.fidelity] };
}

/**
 * A model's timestep for a predicted M_L: realism below the first threshold, fidelity from the second one on, neutral
 * between them, and for NaN.
 */
export function timestepOfMetric(metric: number, rcod: TrainedTimesteps): number {
  return timestepOfGroups(metric, groupsOf(rcod));
}

/** M_L of two latents of equal length: ⟨a, b⟩ / (‖a‖·‖b‖), each norm at least 1e-8 as in the release. In doubles. */
export function cosineSimilarity(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length || a.length === 0) {
    throw new RangeError(
      `metric: both latents must have the same number of values ≥ 1, got ${a.length} and ${b.length}`,
    );
  }
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return dot / (Math.max(Math.sqrt(aa), 1e-8) * Math.max(Math.sqrt(bb), 1e-8));
}
