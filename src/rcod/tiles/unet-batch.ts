/** How many tiles and timesteps of a latent map go through the UNet at once. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import { activationByteLength } from "../../graph/lowering/lower.ts";
import type { UNetConfig } from "../settings/config.ts";

/**
 * Tiles go through the UNet together up to so many latents: a software adapter takes up to a third less time for each where they
 * are small, and as much from 64² on. That small maps leave cores of a GPU idle is a prediction.
 */
const LATENTS_TOGETHER = 96 * 96;
/** Bytes of the largest map of a batch: activations are some eight times as many. */
const MOST_MAP_BYTES = 256 * 1024 * 1024;

/**
 * How many of `runs` tiles of `height` × `width` latents the UNet computes at once: a divisor of their number. The `timesteps` of
 * one map go together where a batch of them can be bound.
 */
export function unetBatch(
  { blockOutChannels }: UNetConfig,
  { limits }: Caps,
  dtype: DType,
  height: number,
  width: number,
  runs: number,
  timesteps: number,
): number {
  // The inner layer of a feed-forward network has four times the channels.
  const mapBytes = blockOutChannels.map((channels, level) =>
    activationByteLength(
      [Math.ceil(height / 2 ** level), Math.ceil(width / 2 ** level), 4 * channels],
      dtype,
    ),
  );
  const { maxStorageBufferBindingSize, maxBufferSize } = limits;
  const most = Math.min(maxStorageBufferBindingSize, maxBufferSize, MOST_MAP_BYTES);
  const together = Math.max(timesteps, Math.floor(LATENTS_TOGETHER / (height * width)));
  let batch = Math.min(runs, together, Math.floor(most / Math.max(...mapBytes)));
  while (batch > 1 && runs % batch !== 0) batch--;
  return Math.max(1, batch);
}
