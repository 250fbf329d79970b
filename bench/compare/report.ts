/** The comparison as text and as points of a roofline plot. */
import { rate } from "../../cli/bench/report.ts";
import { formatMs, formatTable } from "../../cli/format.ts";
import type { PlotPoint } from "../../src/bench/roofline-plot.ts";
import type { CompareRecord } from "./run.ts";

/** A table of one case: the engines, and how many times as fast ours is. */
export function compareLines({ case: name, engines, speedup }: CompareRecord): string {
  const rows = engines.map(({ engine, pass, relRms, firstRunMs, timing, gflops, error }) => [
    `  ${engine}`,
    pass ? `ok ${(relRms ?? 0).toExponential(1)}` : `FAIL ${relRms?.toExponential(1) ?? ""}`.trim(),
    ...(timing === undefined
      ? [error ?? "computes wrong: not timed"]
      : [
          formatMs(firstRunMs),
          formatMs(timing.medianMs),
          `${formatMs(timing.p10Ms)}–${formatMs(timing.p90Ms)}`,
          `${timing.samples}×${timing.repeats}`,
          `${rate(gflops ?? 0)} GFLOP/s`,
        ]),
  ]);
  const times = (value: number | undefined): string =>
    value === undefined ? "–" : `${value.toFixed(2)}×`;
  const align = ["left", "left", "right", "right", "right", "right", "right"] as const;
  return [
    name,
    formatTable(rows, align),
    `  ours is ${times(speedup.webgpu)} as fast as ort webgpu, ${times(speedup.wasm)} as ort wasm`,
  ].join("\n");
}

/** A point per engine and case. */
export function comparePoints(records: readonly CompareRecord[]): readonly PlotPoint[] {
  return records.flatMap(({ case: name, flops, bytes, engines }) =>
    engines.flatMap(({ engine, gflops }) =>
      gflops === undefined ? [] : [{ name, series: engine, intensity: flops / bytes, gflops }],
    ),
  );
}
