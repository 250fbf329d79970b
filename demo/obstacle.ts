/** What stands against a run, known before it is made. */
import { canBeSaved } from "./canvas-limits.ts";
import type { ExpectedTime } from "./estimate.ts";
import { TOO_LONG_MS, expectedTime } from "./estimate.ts";
import type { DeviceInfo, Estimate, Size } from "./protocol.ts";

export type Obstacle =
  /** More than one picture of this browser holds. */
  | { readonly kind: "unsavable" }
  /** More than the engine computes. */
  | { readonly kind: "refused" }
  | { readonly kind: "memory"; readonly bytes: number }
  /** Nothing forbids it. */
  | { readonly kind: "slow"; readonly time: ExpectedTime };

export interface Outlook {
  readonly picture: Size;
  readonly result: readonly [width: number, height: number];
  readonly estimate: Estimate | null;
  readonly refusal: string | null;
  readonly device: DeviceInfo | null;
}

/** Where a browser does not tell: of a computer, of a phone. */
const MEMORY_GB = [8, 4] as const;
const PIXEL_BYTES = 4;

/** The worst obstacle; null where there is none. */
export function obstacleOf(
  { picture, result, estimate, refusal, device }: Outlook,
  memoryGb = deviceMemoryGb(),
): Obstacle | null {
  if (!canBeSaved(...result)) return { kind: "unsavable" };
  if (refusal !== null) return { kind: "refused" };
  const bytes = memoryOf(picture, result, estimate);
  if (bytes > memoryGb * 2 ** 30) return { kind: "memory", bytes };
  const time = expectedTime(estimate, device);
  return time && time.ms > TOO_LONG_MS ? { kind: "slow", time } : null;
}

/** Whether a run would end in a failure. */
export const isForbidden = (obstacle: Obstacle | null): boolean =>
  obstacle !== null && obstacle.kind !== "slow";

/** The networks' memory, and the picture and its result both as pixels and as textures. */
export function memoryOf(
  { width, height }: Size,
  [outWidth, outHeight]: Outlook["result"],
  estimate: Estimate | null,
): number {
  const pictures = 2 * PIXEL_BYTES * (width * height + outWidth * outHeight);
  return pictures + (estimate?.peakBytes ?? 0);
}

/** Of the device, in steps, and never more than a browser tells. */
function deviceMemoryGb(): number {
  const { deviceMemory } = navigator as { readonly deviceMemory?: number };
  return deviceMemory ?? MEMORY_GB[matchMedia("(pointer: coarse)").matches ? 1 : 0];
}
