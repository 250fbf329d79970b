/**
 * What software adapters measure on golden files, and the limits of the tests that follow from it: three times the worst of
 * them, at least 1e-6 in f32 and 1e-4 in f16. The limits of `rcod verify` are ten times as wide, for GPUs whose exp and
 * square root are a few units in the last place off.
 *
 * To renew the record of an adapter, for instance where a golden case is new:
 *
 *   npm run -s rcod -- verify tests/fixtures/goldens goldens --json > report.json
 *   node bench/run.mjs ../tests/verify/measured report.json
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { DType } from "../../src/gpu/dtype.ts";
import type { CaseResult } from "../../src/verify/verify.ts";

const RECORD = new URL("measured.json", import.meta.url);
const FLOOR: Readonly<Record<DType, number>> = { f32: 1e-6, f16: 1e-4 };
const FACTOR = 3;

/** Relative RMS by adapter, precision and "<file> <case> <output>". */
type Measured = Record<string, Record<string, Record<string, number>>>;

const read = (): Measured => JSON.parse(readFileSync(RECORD, "utf8")) as Measured;
let record: Measured | undefined;

const keyOf = (file: string, name: string, output: string): string =>
  `${file.replace(/\.safetensors$/, "")} ${name} ${output}`;

/** The limit on the relative RMS of an output; null where no adapter has measured it. */
export function measuredLimit(key: string, precision: DType): number | null {
  record ??= read();
  const values = Object.values(record).flatMap((adapter) => adapter[precision]?.[key] ?? []);
  return values.length === 0 ? null : Math.max(FLOOR[precision], FACTOR * Math.max(...values));
}

/** Outputs beyond the limits of the tests, in words. */
export function beyondMeasured(results: readonly CaseResult[], precision: DType): string[] {
  return results.flatMap(({ file, case: name, outputs }) =>
    outputs.flatMap(({ output, relRms }) => {
      const key = keyOf(file, name, output);
      const limit = measuredLimit(key, precision);
      if (limit === null) return [`${key}: never measured in ${precision}, see measured.ts`];
      return relRms <= limit ? [] : [`${key}: rel rms ${relRms}, limit of the tests ${limit}`];
    }),
  );
}

interface VerifyReport {
  readonly adapter: string;
  readonly cases: readonly {
    readonly file: string;
    readonly case: string;
    readonly output: string;
    readonly precision: DType;
    readonly relRms: number | null;
    readonly limit: number;
  }[];
}

/** Takes over the reports of `rcod verify --json` in `paths`. */
export function main(paths: readonly string[]): number {
  const all = read();
  for (const path of paths) {
    const { adapter, cases } = JSON.parse(readFileSync(path, "utf8")) as VerifyReport;
    const rows: Record<DType, Record<string, number>> = { f32: {}, f16: {} };
    for (const { file, case: name, output, precision, relRms } of cases) {
      if (relRms === null) throw new Error(`measured: ${file} ${name} has failed in ${path}`);
      // Two digits, rounded up.
      rows[precision][keyOf(file, name, output)] = roundUp(relRms);
    }
    all[adapter] = rows;
  }
  writeFileSync(RECORD, `${JSON.stringify(all, null, 2)}\n`);
  return 0;
}

function roundUp(value: number): number {
  if (value === 0) return 0;
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.ceil(value / unit) * unit).toPrecision(2));
}
