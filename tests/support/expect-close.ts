import { expect } from "vitest";
import type { Tolerance } from "./tolerance.ts";

/** Fails with shape, number of mismatches, worst element with coordinates, and NMSE. NaN or Inf never pass. */
export function expectClose(
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  shape: readonly number[],
  { rtol, atol, nmse }: Tolerance,
): void {
  expect(got.length, "element count").toBe(expected.length);
  let mismatches = 0;
  let worst = -1;
  let worstExcess = -Infinity;
  let errorSquares = 0;
  let squares = 0;
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i] as number;
    const g = got[i] as number;
    const error = Math.abs(g - e);
    errorSquares += error * error;
    squares += e * e;
    const excess = error - (atol + rtol * Math.abs(e));
    if (!(excess <= 0)) mismatches++;
    if (!(excess <= worstExcess)) {
      worstExcess = excess;
      worst = i;
    }
  }
  const measured = squares > 0 ? errorSquares / squares : errorSquares;
  // Where the reference is all but zero NMSE says nothing; the element limit decides.
  const nmseCounts = squares > atol * atol * expected.length;
  if (mismatches === 0 && (!nmseCounts || measured <= nmse)) return;
  const limit = atol + rtol * Math.abs(expected[worst] as number);
  expect.fail(
    `${mismatches} of ${expected.length} elements of [${shape.join(", ")}] differ; worst at ` +
      `[${coordinates(worst, shape).join(", ")}]: got ${got[worst]}, expected ${expected[worst]}, ` +
      `limit ${limit.toExponential(2)}; NMSE ${measured.toExponential(2)}, limit ${nmse.toExponential(2)}`,
  );
}

function coordinates(index: number, shape: readonly number[]): number[] {
  const out: number[] = [];
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] as number;
    out.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return out;
}
