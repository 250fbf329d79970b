/**
 * Checks a result against double precision at sampled elements: rows spread over the whole result, a few channels of
 * each. The suite fills the result with NaN before a run, so that elements which a kernel skips fail the check.
 */
import type { Gpu } from "../gpu/device.ts";
import { dtypeByteLength, halfBitsToFloat } from "../gpu/dtype.ts";
import { paddedChannels } from "../gpu/shape.ts";
import { submit } from "../gpu/submit.ts";
import { readBytes } from "../gpu/transfer.ts";
import { mix } from "./workloads/test-data.ts";
import type { Workload } from "./workloads/workload.ts";

export interface SamplePoint {
  readonly row: number;
  readonly channel: number;
}

/** A result against double precision, at sampled elements. */
export interface CheckResult {
  /** Whether all samples are within rounding. */
  readonly pass: boolean;
  /** Elements of the result that were compared. */
  readonly samples: number;
  /** Largest error as a share of what rounding may explain: passes up to 1. Infinity for NaN. */
  readonly worstShare: number;
  /** Largest absolute error. */
  readonly maxAbs: number;
  /** The worst sample, where the check fails. */
  readonly worst?: SamplePoint & { readonly got: number; readonly expected: number };
}

const SAMPLED_ROWS = 16;
const CHANNELS_PER_ROW = 4;

/**
 * 64 elements: 16 rows, one from each sixteenth of the result and always the first and the last; of each
 * four channels, all in one group (the reference's work is shared there).
 */
export function samplePoints({
  rows,
  channels,
  groupChannels,
}: Workload["output"]): readonly SamplePoint[] {
  const groups = channels / groupChannels;
  const points = new Map<string, SamplePoint>();
  const add = (row: number, channel: number): void =>
    void points.set(`${row} ${channel}`, { row, channel });
  for (let i = 0; i < SAMPLED_ROWS; i++) {
    const [from, to] = [
      Math.floor((i * rows) / SAMPLED_ROWS),
      Math.floor(((i + 1) * rows) / SAMPLED_ROWS),
    ];
    const inside = to > from ? mix(2 * i + 1) % (to - from) : 0;
    const row = i === 0 ? 0 : i === SAMPLED_ROWS - 1 ? rows - 1 : from + inside;
    const group = mix(2 * i + 2) % groups;
    // Groups of one channel share nothing: spread over all of them.
    const [first, width] =
      groupChannels > 1 ? [group * groupChannels, groupChannels] : [0, channels];
    for (let j = 0; j < CHANNELS_PER_ROW; j++) {
      const start = Math.floor((j * width) / CHANNELS_PER_ROW);
      const end = Math.floor(((j + 1) * width) / CHANNELS_PER_ROW);
      add(row, first + start + (end > start ? mix(97 * i + j) % (end - start) : 0));
    }
  }
  add(rows - 1, channels - 1);
  return [...points.values()];
}

/** Elements of the result buffer at `points`. Copies only their words. */
export async function readPoints(
  gpu: Gpu,
  buffer: GPUBuffer,
  { dtype, channels }: Workload["output"],
  points: readonly SamplePoint[],
): Promise<readonly number[]> {
  const picked = gpu.memory.create("bench samples", points.length * 4, "staging");
  try {
    const element = dtypeByteLength(dtype);
    const offsets = points.map(
      ({ row, channel }) => (row * paddedChannels(channels) + channel) * element,
    );
    submit(gpu, "bench samples", (encoder) =>
      offsets.forEach((offset, i) =>
        encoder.copyBufferToBuffer(buffer, offset - (offset % 4), picked, i * 4, 4),
      ),
    );
    const view = new DataView((await readBytes(gpu, picked, 0, points.length * 4)).buffer);
    return offsets.map((offset, i) =>
      dtype === "f32"
        ? view.getFloat32(i * 4, true)
        : halfBitsToFloat(view.getUint16(i * 4 + (offset % 4), true)),
    );
  } finally {
    gpu.memory.release(picked);
  }
}

/** Compares samples with what they should be. */
export function compareSamples(
  points: readonly SamplePoint[],
  got: readonly number[],
  expected: readonly number[],
  { rtol, atol }: Workload["tolerance"],
): CheckResult {
  let worstShare = 0;
  let maxAbs = 0;
  let worst: CheckResult["worst"];
  points.forEach((point, i) => {
    const [g, e] = [got[i] as number, expected[i] as number];
    const error = Number.isFinite(g) ? Math.abs(g - e) : Infinity;
    const share = error === 0 ? 0 : error / (atol + rtol * Math.abs(e));
    maxAbs = Math.max(maxAbs, error);
    if (share > worstShare) {
      worstShare = share;
      worst = { ...point, got: g, expected: e };
    }
  });
  const pass = worstShare <= 1;
  return { pass, samples: points.length, worstShare, maxAbs, ...(!pass && worst && { worst }) };
}
