/**
 * Measured kernels against their lower bounds on this card. What a card needs at least follows from its peaks and from what a
 * compiler made of the kernel for a card of the same make: its times there, scaled by the peaks of both. How often workgroups
 * leave cores idle at the end of a dispatch is that card's too. A kernel whose code is not known has the bound of its FLOPs
 * and bytes.
 */
import type { Limit } from "../../compilers/bound.ts";
import type { Peaks } from "../../compilers/cards.ts";
import type { KernelRecord, RunRecord } from "../../compilers/record.ts";

/** Kernels with one shader label, as suite `model` reports them: of one image. */
export interface MeasuredClass {
  readonly label: string;
  readonly steps: number;
  readonly durationMs: number;
  readonly gflops: number;
  readonly gbps: number;
}

/** Code that was compiled for a card with these peaks. */
export interface CompiledRun {
  readonly peaks: Peaks;
  readonly kernels: RunRecord["kernels"];
}

/** A kernel beside its bound. */
export interface KernelBound {
  readonly label: string;
  readonly steps: number;
  readonly measuredMs: number;
  readonly boundMs: number;
  /** Measured over bound. */
  readonly ratio: number;
  /** What sets the bound. */
  readonly limit: Limit;
  /** What the bound follows from: compiled code, or FLOPs and bytes alone. */
  readonly basis: "code" | "work";
}

/** Sums of kernels with the same limit. */
export interface LimitTotal {
  readonly limit: Limit;
  readonly measuredMs: number;
  readonly boundMs: number;
  readonly ratio: number;
}

type Limits = Readonly<Partial<Record<Limit, number>>>;

/** All kernels, longest first. */
export function boundsOf(
  classes: readonly MeasuredClass[],
  peaks: Peaks,
  compiled?: CompiledRun,
): readonly KernelBound[] {
  return classes
    .map((one): KernelBound => {
      const code = compiled && codeLimits(one, peaks, compiled);
      const [limit, boundMs] = longest(code ?? workLimits(one, peaks));
      const { label, steps, durationMs: measuredMs } = one;
      const basis = code ? "code" : "work";
      return { label, steps, measuredMs, boundMs, ratio: measuredMs / boundMs, limit, basis };
    })
    .toSorted((a, b) => b.measuredMs - a.measuredMs);
}

/** What a model of the card gets wrong, by what it says takes the longest. */
export function limitTotals(kernels: readonly KernelBound[]): readonly LimitTotal[] {
  return [...new Set(kernels.map(({ limit }) => limit))].map((limit) => {
    const all = kernels.filter((one) => one.limit === limit);
    const sum = (value: (one: KernelBound) => number): number =>
      all.reduce((total, one) => total + value(one), 0);
    const [measuredMs, boundMs] = [sum((one) => one.measuredMs), sum((one) => one.boundMs)];
    return { limit, measuredMs, boundMs, ratio: measuredMs / boundMs };
  });
}

function longest(limits: Limits): readonly [Limit, number] {
  const all = Object.entries(limits) as [Limit, number][];
  return all.reduce((a, b) => (b[1] > a[1] ? b : a));
}

const flopsOf = ({ gflops, durationMs }: MeasuredClass): number => gflops * durationMs * 1e6;

const isOnMatrixUnits = (label: string): boolean => /\/matrix/.test(label);

/** Multiply-adds of the f32 lanes, and of the matrix units, in a millisecond. */
const laneRate = ({ cores, gigahertz, lanes, floatLanes = lanes }: Peaks): number =>
  cores * gigahertz * floatLanes * 1e6;
const matrixRate = ({ cores, gigahertz, matrixMultiplyAdds }: Peaks): number =>
  cores * gigahertz * matrixMultiplyAdds * 1e6;

function workLimits(one: MeasuredClass, peaks: Peaks): Limits {
  const buffers = (one.gbps * one.durationMs) / peaks.gigabytesPerSecond;
  const multiplyAdds = flopsOf(one) / 2;
  return isOnMatrixUnits(one.label) && peaks.matrixMultiplyAdds > 0
    ? { "matrix units": multiplyAdds / matrixRate(peaks), buffers }
    : { arithmetic: multiplyAdds / laneRate(peaks), buffers };
}

/** Undefined for a kernel that was not compiled. */
function codeLimits(
  one: MeasuredClass,
  peaks: Peaks,
  { peaks: there, kernels }: CompiledRun,
): Limits | undefined {
  // Shaders with the same label have numbers behind it in the record.
  const known = Object.entries(kernels).filter(
    ([name]) => name.replace(/ #\d+$/, "") === one.label,
  );
  if (known.length === 0) return undefined;
  const sum = (value: (kernel: KernelRecord) => number): number =>
    known.reduce((total, [, kernel]) => total + value(kernel), 0);
  const flops = sum((kernel) => kernel.flops);
  // The plan here may have another number of them.
  const share = flops > 0 ? flopsOf(one) / flops : one.steps / sum((kernel) => kernel.dispatches);
  const core = (share * there.cores * there.gigahertz) / (peaks.cores * peaks.gigahertz);
  const time = (kind: "matrix" | "shared" | "global"): number => sum(({ times }) => times[kind]);
  const matrix = time("matrix");
  return {
    // Where arithmetic is not what takes the longest, only its largest part is recorded.
    arithmetic:
      sum(({ limit, leastMs, times }) =>
        limit === "arithmetic" ? leastMs : times.multiplyAdd + times.vector,
      ) *
      core *
      (there.lanes / peaks.lanes),
    ...(matrix > 0 &&
      peaks.matrixMultiplyAdds > 0 && {
        "matrix units": matrix * core * (there.matrixMultiplyAdds / peaks.matrixMultiplyAdds),
      }),
    "workgroup memory": time("shared") * core * (there.sharedBytes / peaks.sharedBytes),
    buffers: time("global") * share * (there.gigabytesPerSecond / peaks.gigabytesPerSecond),
  };
}

/** A table for people. */
export function boundsText(title: string, kernels: readonly KernelBound[]): string {
  const rows = kernels.map(({ label, steps, measuredMs, boundMs, ratio, limit, basis }) =>
    [
      label.padEnd(46),
      String(steps).padStart(4),
      measuredMs.toFixed(3).padStart(10),
      boundMs.toFixed(3).padStart(10),
      ratio.toFixed(2).padStart(7),
      ` ${limit}${basis === "work" ? " (FLOPs and bytes alone)" : ""}`,
    ].join(" "),
  );
  const head = `${"kernel".padEnd(46)}    n   measured      bound   ratio  set by`;
  const totals = limitTotals(kernels).map(
    ({ limit, measuredMs, boundMs, ratio }) =>
      `${limit}: ${measuredMs.toFixed(2)} ms, bound ${boundMs.toFixed(2)} ms, ${ratio.toFixed(2)} ×`,
  );
  return `${[title, head, ...rows, ...totals].join("\n")}\n`;
}
