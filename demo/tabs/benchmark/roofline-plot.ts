/**
 * The roofline: flops per byte across, GFLOP/s upwards, both logarithmic. Distance to the roof is work left; under
 * its slope memory is the limit, under its flat part arithmetic.
 */
import type { CaseRecord, Roofline } from "rcod-webgpu/bench";
import { milliseconds, rate } from "../../ui/format-rate.ts";
import type { Drawing, Mark } from "../../ui/plot.ts";
import { svg } from "../../ui/svg.ts";
import { variantRows } from "./table.ts";

const HEIGHT = 420;
const MARGIN = { left: 58, right: 16, top: 16, bottom: 48 } as const;
const RADIUS = 5;

/** Names of kernels in the order of their colours; what is not here gets the last one. */
export const SERIES = ["conv2d", "linear", "attention", "groupNorm", "layerNorm"] as const;

export function seriesOf(kernel: string): number {
  const known = SERIES.findIndex((name) => name === kernel);
  return known < 0 ? SERIES.length : known;
}

export function rooflineDrawing(
  { copyGbps, fmaGflops }: Roofline,
  cases: readonly CaseRecord[],
  width: number,
): Drawing {
  const points = variantRows(cases).flatMap(({ record, variant }) => {
    const gflops = variant?.gflops ?? 0;
    return variant && gflops > 0 && record.flops > 0
      ? [{ record, variant, gflops, intensity: record.flops / record.bytes }]
      : [];
  });
  const ridge = fmaGflops / copyGbps;
  const [left, right] = [MARGIN.left, width - MARGIN.right];
  const [top, bottom] = [MARGIN.top, HEIGHT - MARGIN.bottom];
  const x = logAxis([ridge, ...points.map(({ intensity }) => intensity)], left, right);
  const y = logAxis([fmaGflops, ...points.map(({ gflops }) => gflops)], bottom, top);
  const roofAt = (intensity: number): number => Math.min(fmaGflops, copyGbps * intensity);
  // From where the slope enters the picture: its start may lie below the axis.
  const corners = [Math.max(x.from, y.from / copyGbps), ridge, x.to];
  const roof = corners
    .map((intensity) => `${x.at(intensity).toFixed(1)},${y.at(roofAt(intensity)).toFixed(1)}`)
    .join(" ");

  const marks: Mark[] = points.map(({ record, variant, gflops, intensity }) => ({
    element: svg("circle", {
      cx: x.at(intensity),
      cy: y.at(gflops),
      r: RADIUS,
      class: `point series-${seriesOf(record.kernel)}${variant.selected ? "" : " hollow"}`,
    }),
    text: [
      record.case,
      `${record.kernel}, ${variant.variant}${variant.selected ? ", in use" : ""}`,
      `${rate(gflops)} GFLOP/s at ${rate(intensity)} flops per byte`,
      `${rate((100 * gflops) / roofAt(intensity))} % of the roof, ${milliseconds(variant.timing?.medianMs)}`,
    ].join("\n"),
  }));
  const grid = [
    ...x.ticks.flatMap((tick) => [
      svg("path", { class: "grid", d: `M${x.at(tick)} ${top}V${bottom}` }),
      svg("text", { x: x.at(tick), y: bottom + 18, class: "tick middle" }, shortPower(tick)),
    ]),
    ...y.ticks.flatMap((tick) => [
      svg("path", { class: "grid", d: `M${left} ${y.at(tick)}H${right}` }),
      svg("text", { x: left - 8, y: y.at(tick) + 4, class: "tick end" }, shortPower(tick)),
    ]),
  ];
  const axisNames = [
    svg(
      "text",
      { x: (left + right) / 2, y: HEIGHT - 8, class: "axis middle" },
      "flops per byte moved",
    ),
    svg(
      "text",
      { transform: `translate(14 ${(top + bottom) / 2}) rotate(-90)`, class: "axis middle" },
      "GFLOP/s",
    ),
  ];
  const bounds = [
    svg(
      "text",
      { x: right - 4, y: y.at(fmaGflops) - 8, class: "axis end" },
      `arithmetic ${rate(fmaGflops)} GFLOP/s`,
    ),
    svg(
      "text",
      { x: left + 8, y: top + 14, class: "axis" },
      `slope: memory ${rate(copyGbps)} GB/s`,
    ),
  ];
  return {
    svg: svg(
      "svg",
      { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
      ...grid,
      ...axisNames,
      svg("polyline", { class: "roof", points: roof }),
      ...bounds,
      ...marks.map(({ element }) => element),
    ),
    marks,
  };
}

interface LogAxis {
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly number[];
  readonly at: (value: number) => number;
}

/** Whole decades that hold all `values`. */
function logAxis(values: readonly number[], first: number, last: number): LogAxis {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values)) + 0.05));
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  const at = (value: number): number =>
    first + ((Math.log10(value) - low) / (high - low)) * (last - first);
  return { from: 10 ** low, to: 10 ** high, ticks, at };
}

function shortPower(value: number): string {
  return value >= 0.01 && value < 10_000
    ? String(Number(value.toPrecision(1)))
    : `1e${Math.round(Math.log10(value))}`;
}
