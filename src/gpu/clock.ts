/**
 * How long a pass takes on the device. Timestamp queries measure it where the device has them and they agree with the
 * wall clock. Else the wall clock does, from submit until the queue is empty. Browsers round timestamps to 100 µs, so
 * measured passes take 10 ms and more.
 */
import type { Gpu } from "./device.ts";
import type { PassSpan } from "./pass-timer.ts";
import { PassTimer } from "./pass-timer.ts";
import { recordPass, submit } from "./submit.ts";
import { submittedWorkDone } from "./transfer.ts";

export type RecordPass = (pass: GPUComputePassEncoder) => void;

export interface Clock {
  readonly kind: "timestamp-query" | "wall";
  /** Milliseconds of one pass with what `record` puts into it. */
  measure(record: RecordPass): Promise<number>;
}

/** A clock of wall time, which every device has. */
export function wallClock(gpu: Gpu): Clock {
  return {
    kind: "wall",
    async measure(record) {
      const startedAt = performance.now();
      submitPass(gpu, record);
      await submittedWorkDone(gpu);
      return performance.now() - startedAt;
    },
  };
}

/** A clock of timestamps. Needs the feature timestamp-query. */
export function timestampClock(gpu: Gpu): Clock {
  return {
    kind: "timestamp-query",
    async measure(record) {
      const timer = new PassTimer(gpu, 1);
      submitPass(gpu, record, timer);
      const [span] = await timer.read();
      return (span as PassSpan).durationMs;
    },
  };
}

function submitPass(gpu: Gpu, record: RecordPass, timer?: PassTimer): void {
  const timed = timer && { timestampWrites: timer.writes(0) };
  submit(gpu, "bench", (encoder) => {
    recordPass(encoder, { label: "bench", ...timed }, record);
    timer?.resolve(encoder);
  });
}

/** Timestamps are used when they show at least this share of the wall time of a long pass, and at most that one. */
const LEAST_SHARE = 0.5;
const MOST_SHARE = 1.05;
const MOST_REPEATS = 4096;

/** Wall time of the compared pass. Submitting and reading back add a few ms at most, which is little of this. */
const COMPARED_MS = 50;

/**
 * The better clock of this device, and why it is the better. `record` puts a short load into a pass a given number of
 * times. Some adapters stamp when work is recorded, or give zeros; the comparison with the wall clock finds them.
 */
export async function chooseClock(
  gpu: Gpu,
  record: (pass: GPUComputePassEncoder, repeats: number) => void,
): Promise<{ readonly clock: Clock; readonly reason: string }> {
  const wall = wallClock(gpu);
  if (!gpu.caps.hasTimestampQuery) return { clock: wall, reason: "no timestamp-query here" };
  let repeats = 1;
  while (
    (await wall.measure((pass) => record(pass, repeats))) < COMPARED_MS &&
    repeats < MOST_REPEATS
  ) {
    repeats *= 4;
  }
  const stamps = timestampClock(gpu);
  // Both clocks measure the same pass: on a busy machine two passes would differ.
  const startedAt = performance.now();
  const stamped = await stamps.measure((pass) => record(pass, repeats));
  const share = stamped / (performance.now() - startedAt);
  const percent = `timestamps show ${(100 * share).toFixed(0)} % of the wall time`;
  if (share >= LEAST_SHARE && share <= MOST_SHARE) return { clock: stamps, reason: percent };
  return { clock: wall, reason: `${percent}: not used` };
}
