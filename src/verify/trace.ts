/** Finds the first module of a network whose result differs from the reference's stored statistics. */
import type { DType } from "../gpu/dtype.ts";
import type { HostTensor } from "../graph/program.ts";
import { toChannelsFirst } from "./runner/axis-order.ts";
import type { GoldenCase, Intermediate } from "./runner/golden-file.ts";
import type { GraphJob, Session } from "./runner/session.ts";

/** Difference, relative to the module's own spread, above which a module counts as wrong. */
const DIVERGED: Readonly<Record<DType, number>> = { f32: 1e-3, f16: 5e-2 };

/** A line that names the first module in execution order that diverges, or says that none does; null without statistics. */
export async function traceCase(
  session: Session,
  golden: GoldenCase,
  jobs: readonly GraphJob[],
): Promise<string | null> {
  if (golden.intermediates.size === 0 || jobs.length === 0) return null;
  const got = new Map<string, HostTensor>();
  for (const job of jobs) {
    const results = await session.run(job, [...golden.intermediates.keys()]);
    for (const [name, tensor] of Object.entries(results)) {
      if (golden.intermediates.has(name)) got.set(name, tensor);
    }
  }
  let compared = 0;
  for (const [name, expected] of golden.intermediates) {
    const tensor = got.get(name);
    if (tensor === undefined) continue;
    compared++;
    const error = divergence(expected, tensor);
    if (!(error <= DIVERGED[session.dtype])) {
      return `first divergent module: ${name} (off by ${error.toPrecision(3)} of its standard deviation)`;
    }
  }
  return `none of ${compared} traced modules diverges: the error builds up slowly, or is behind the last one`;
}

/** Largest difference of mean, standard deviation and first eight values, in standard deviations. */
function divergence(expected: Intermediate, { shape, data }: HostTensor): number {
  const values = toChannelsFirst(data, shape);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const std = Math.sqrt(
    values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length,
  );
  const differences = [
    Math.abs(mean - expected.mean),
    Math.abs(std - expected.std),
    ...expected.first8.map((value, i) => Math.abs((values[i] ?? NaN) - value)),
  ];
  return (
    differences.reduce((a, b) => (Number.isNaN(b) || b > a ? b : a), 0) /
    Math.max(expected.std, 1e-12)
  );
}
