/**
 * A roofline plot as SVG text: arithmetic intensity across, GFLOP/s upwards, both logarithmic. The roof is what
 * a copy and a multiply-add kernel reached in the same run, so a mark's distance from it is the work left.
 */
import type { CaseRecord } from "./kernel-suite.ts";
import type { Roofline } from "./roofline.ts";

/** A mark in the plot. */
export interface PlotPoint {
  /** Shown when the pointer rests on the mark. */
  readonly name: string;
  /** Marks of one series have one colour and one line in the legend. */
  readonly series: string;
  /** Flops per byte that must be moved. */
  readonly intensity: number;
  /** GFLOP/s. */
  readonly gflops: number;
}

const WIDTH = 860;
const HEIGHT = 520;
const AREA = { left: 74, right: 640, top: 48, bottom: 464 } as const;
/** Okabe and Ito's colours, which colour-blind readers can tell apart. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/** The timed variants of kernel records, a series per kernel and variant. */
export function kernelPoints(records: readonly CaseRecord[]): readonly PlotPoint[] {
  return records.flatMap(({ case: name, kernel, flops, bytes, variants }) =>
    variants.flatMap(({ variant, gflops }) =>
      gflops === undefined
        ? []
        : [{ name, series: `${kernel} ${variant}`, intensity: flops / bytes, gflops }],
    ),
  );
}

/** The whole picture. Points without flops or without a time are left out. */
export function rooflineSvg(
  title: string,
  { copyGbps, fmaGflops }: Roofline,
  points: readonly PlotPoint[],
): string {
  const shown = points.filter(({ intensity, gflops }) => intensity > 0 && gflops > 0);
  const ridge = fmaGflops / copyGbps;
  const x = logAxis([ridge, ...shown.map(({ intensity }) => intensity)], AREA.left, AREA.right);
  const y = logAxis([fmaGflops, ...shown.map(({ gflops }) => gflops)], AREA.bottom, AREA.top);
  const roofAt = (intensity: number): number => Math.min(fmaGflops, copyGbps * intensity);
  // From where the slope enters the picture: its start may lie below the axis.
  const start = Math.max(x.from, y.from / copyGbps);
  const roof = [start, ridge, x.to]
    .map((intensity) => `${x.at(intensity)},${y.at(roofAt(intensity))}`)
    .join(" ");
  const series = [...new Set(shown.map((point) => point.series))];
  const colourOf = (name: string): string => COLOURS[series.indexOf(name) % COLOURS.length] ?? "";
  const vertical = x.ticks.map(
    (tick) =>
      `<path class="grid" d="M${x.at(tick)} ${AREA.top}V${AREA.bottom}"/>` +
      `<text x="${x.at(tick)}" y="${AREA.bottom + 18}" text-anchor="middle">${tick}</text>`,
  );
  const horizontal = y.ticks.map(
    (tick) =>
      `<path class="grid" d="M${AREA.left} ${y.at(tick)}H${AREA.right}"/>` +
      `<text x="${AREA.left - 8}" y="${y.at(tick) + 4}" text-anchor="end">${tick}</text>`,
  );
  const marks = shown.map(
    ({ name, series: of, intensity, gflops }) =>
      `<circle cx="${x.at(intensity)}" cy="${y.at(gflops)}" r="4" fill="${colourOf(of)}">` +
      `<title>${escaped(
        `${name}, ${of}: ${three(gflops)} GFLOP/s, ${three(
          (100 * gflops) / roofAt(intensity),
        )} % of the roof`,
      )}</title></circle>`,
  );
  const legend = series.map((name, i) => {
    const top = AREA.top + 10 + 20 * i;
    return (
      `<circle cx="${AREA.right + 22}" cy="${top - 4}" r="4" fill="${colourOf(name)}"/>` +
      `<text x="${AREA.right + 34}" y="${top}">${escaped(name)}</text>`
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    "<style>.grid{stroke:#ddd;fill:none}.roof{stroke:#444;stroke-width:2;fill:none}</style>",
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${AREA.left}" y="24" font-size="14">${escaped(title)}</text>`,
    ...vertical,
    ...horizontal,
    `<polyline class="roof" points="${roof}"/>`,
    `<text x="${AREA.left + 6}" y="${AREA.top - 6}">copy ${three(copyGbps)} GB/s, f32 multiply-add ${three(fmaGflops)} GFLOP/s</text>`,
    ...marks,
    ...legend,
    `<text x="${(AREA.left + AREA.right) / 2}" y="${HEIGHT - 14}" text-anchor="middle">flops per byte</text>`,
    `<text transform="translate(20 ${(AREA.top + AREA.bottom) / 2}) rotate(-90)" text-anchor="middle">GFLOP/s</text>`,
    "</svg>",
    "",
  ].join("\n");
}

/** An axis over whole decades that hold all `values`. */
function logAxis(
  values: readonly number[],
  first: number,
  last: number,
): {
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly number[];
  readonly at: (value: number) => number;
} {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => Number(`1e${low + i}`));
  const at = (value: number): number =>
    Math.round(10 * (first + ((Math.log10(value) - low) / (high - low)) * (last - first))) / 10;
  return { from: Number(`1e${low}`), to: Number(`1e${high}`), ticks, at };
}

function three(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
