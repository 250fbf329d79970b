/** What is kept of a run of all shaders on cards: JSON that the check, the pictures, the documentation and the demo page read. */
import type { DType } from "../../src/gpu/dtype.ts";
import type { Card } from "./cards.ts";
import type { KernelFigures } from "./measure.ts";

export interface CompilersRecord {
  /** Year, month and day. */
  readonly date: string;
  /** Of this repository, where git tells. */
  readonly revision: string | null;
  readonly mesa: string;
  readonly model: string;
  /** Pixels of the image. */
  readonly size: string;
  /** By `runId`. */
  readonly runs: Readonly<Record<string, RunRecord>>;
}

/** All shaders of the model on a card. */
export interface RunRecord {
  /** The card's name. */
  readonly card: string;
  readonly occupancyUnit: string;
  readonly precision: DType;
  readonly hasMatrixUnits: boolean;
  /** Of the whole model, also where only some of its shaders were compiled. */
  readonly flops: number;
  /** The multiply-adds of these kernels at the peak of the card's f32 lanes. */
  readonly multiplyAddMs: number;
  /** By their names: see `named`. */
  readonly kernels: Readonly<Record<string, KernelRecord>>;
}

export type KernelRecord = Omit<KernelFigures, "label">;

/** `navi31`, `navi31+matrix`, `navi31 f32`. */
export const runId = (card: string, dtype: DType, hasMatrixUnits: boolean): string =>
  `${card}${hasMatrixUnits ? "+matrix" : ""}${dtype === "f16" ? "" : ` ${dtype}`}`;

/** The record of a run. `flops`: of the whole model. */
export function runRecord(
  card: Card,
  dtype: DType,
  hasMatrixUnits: boolean,
  flops: number,
  figures: readonly KernelFigures[],
): RunRecord {
  const { cores, gigahertz, lanes, floatLanes = lanes } = card.peaks;
  const multiplyAdds = figures.reduce((sum, one) => sum + one.flops, 0) / 2;
  return {
    card: card.name,
    occupancyUnit: card.occupancyUnit,
    precision: dtype,
    hasMatrixUnits,
    flops,
    multiplyAddMs: rounded(multiplyAdds / (cores * floatLanes * gigahertz * 1e6)),
    kernels: Object.fromEntries(
      named(figures).map(([name, figure]) => [name, withoutLabel(figure)] as const),
    ),
  };
}

/** Its name has it. */
function withoutLabel(figures: KernelFigures): KernelRecord {
  const { label: _label, ...rest } = figures;
  return rest;
}

/**
 * Kernels with their labels, most work first. Where several have one label, as two shaders of one kind for maps of other
 * sizes, the second is `<label> #2`: how much work there is does not change with how it is done.
 */
function named(figures: readonly KernelFigures[]): readonly (readonly [string, KernelFigures])[] {
  const counts = new Map<string, number>();
  return figures
    .toSorted((a, b) => b.flops - a.flops || b.dispatches - a.dispatches)
    .map((one) => {
      const count = (counts.get(one.label) ?? 0) + 1;
      counts.set(one.label, count);
      return [count === 1 ? one.label : `${one.label} #${count}`, one] as const;
    });
}

/** The least milliseconds of an image, all kernels together. */
export const leastMsOf = ({ kernels }: RunRecord): number =>
  Object.values(kernels).reduce((sum, { leastMs }) => sum + leastMs, 0);

/** JSON with a line for each kernel, so that a difference can be read. */
export function recordText(record: CompilersRecord): string {
  const line = (value: unknown): string =>
    JSON.stringify(value, (_, one: unknown) => (typeof one === "number" ? rounded(one) : one));
  const fields = (object: object, indent: string): readonly string[] =>
    Object.entries(object).map(([name, value]) => `${indent}${line(name)}: ${line(value)}`);
  const block = (lines: readonly string[], indent: string): string =>
    `{\n${lines.join(",\n")}\n${indent}}`;
  const { runs, ...rest } = record;
  const runLines = Object.entries(runs).map(([id, { kernels, ...run }]) => {
    const kernelLines = `      "kernels": ${block(fields(kernels, "        "), "      ")}`;
    return `    ${line(id)}: ${block([...fields(run, "      "), kernelLines], "    ")}`;
  });
  return `${block([...fields(rest, "  "), `  "runs": ${block(runLines, "  ")}`], "")}\n`;
}

/** Four digits say all that a bound can say. */
function rounded(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(4));
}
