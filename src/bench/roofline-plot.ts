/**
 * The roofline plot: arithmetic intensity across, GFLOP/s upwards, both logarithmic. The roof is what a copy and a
 * multiply-add kernel reached in the same run. A mark's distance from it is the work left: under the slope memory is the
 * limit, under the flat part arithmetic.
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

/** Where a plot lies in its picture, in pixels. Names of the axes lie outside of it, to the left and below. */
export interface PlotArea {
  /** Left edge. */
  readonly left: number;
  /** Right edge. */
  readonly right: number;
  /** Upper edge. */
  readonly top: number;
  /** Lower edge. */
  readonly bottom: number;
}

/** An SVG element, for those who write text and those who make elements. Its `class` says how it looks. */
export interface PlotShape {
  /** Its tag. */
  readonly tag: "path" | "polyline" | "text";
  /** Its attributes. */
  readonly attributes: Readonly<Record<string, string | number>>;
  /** What it says. */
  readonly text: string;
}

/** A point where it lies in the picture. */
export interface PlotMark<P> {
  /** As it was given. */
  readonly point: P;
  /** Pixels from the left. */
  readonly x: number;
  /** Pixels from the top. */
  readonly y: number;
  /** Its rate as a share of the roof above it, in percent. */
  readonly roofPercent: number;
}

/** Axes, roof and the places of all points that have flops and a rate. Classes: grid, tick, axis, roof, middle, end. */
export function rooflineShapes<P extends Pick<PlotPoint, "intensity" | "gflops">>(
  { copyGbps, fmaGflops }: Roofline,
  points: readonly P[],
  { left, right, top, bottom }: PlotArea,
): { readonly shapes: readonly PlotShape[]; readonly marks: readonly PlotMark<P>[] } {
  const shown = points.filter(({ intensity, gflops }) => intensity > 0 && gflops > 0);
  const ridge = fmaGflops / copyGbps;
  const x = logAxis([ridge, ...shown.map(({ intensity }) => intensity)], left, right);
  const y = logAxis([fmaGflops, ...shown.map(({ gflops }) => gflops)], bottom, top);
  const roofAt = (intensity: number): number => Math.min(fmaGflops, copyGbps * intensity);
  // From where the slope enters the picture: its start may lie below the axis.
  const roof = [Math.max(x.from, y.from / copyGbps), ridge, x.to]
    .map((intensity) => `${x.at(intensity)},${y.at(roofAt(intensity))}`)
    .join(" ");
  const path = (kind: string, d: string): PlotShape => ({
    tag: "path",
    attributes: { class: kind, d },
    text: "",
  });
  const words = (kind: string, at: PlotShape["attributes"], text: string): PlotShape => ({
    tag: "text",
    attributes: { ...at, class: kind },
    text,
  });
  const upright = `translate(${left - 50} ${(top + bottom) / 2}) rotate(-90)`;
  return {
    shapes: [
      ...x.ticks.flatMap((tick) => [
        path("grid", `M${x.at(tick)} ${top}V${bottom}`),
        words("tick middle", { x: x.at(tick), y: bottom + 18 }, shortPower(tick)),
      ]),
      ...y.ticks.flatMap((tick) => [
        path("grid", `M${left} ${y.at(tick)}H${right}`),
        words("tick end", { x: left - 8, y: y.at(tick) + 4 }, shortPower(tick)),
      ]),
      words("axis middle", { x: (left + right) / 2, y: bottom + 38 }, "flops per byte moved"),
      words("axis middle", { transform: upright }, "GFLOP/s"),
      { tag: "polyline", attributes: { class: "roof", points: roof }, text: "" },
      words(
        "axis end",
        { x: right - 4, y: y.at(fmaGflops) - 8 },
        `arithmetic ${three(fmaGflops)} GFLOP/s`,
      ),
      words("axis", { x: left + 8, y: top + 14 }, `slope: memory ${three(copyGbps)} GB/s`),
    ],
    marks: shown.map((point) => ({
      point,
      x: x.at(point.intensity),
      y: y.at(point.gflops),
      roofPercent: (100 * point.gflops) / roofAt(point.intensity),
    })),
  };
}

const WIDTH = 860;
const HEIGHT = 520;
const AREA: PlotArea = { left: 74, right: 640, top: 48, bottom: 464 };
/** Okabe and Ito's colours, which colour-blind readers can tell apart. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
const STYLE =
  ".grid{stroke:#ddd;fill:none}.roof{stroke:#444;stroke-width:2;fill:none}" +
  ".middle{text-anchor:middle}.end{text-anchor:end}";

/** The whole picture as SVG text, with a title and a legend. Points without flops or without a time are left out. */
export function rooflineSvg(
  title: string,
  roofline: Roofline,
  points: readonly PlotPoint[],
): string {
  const { shapes, marks } = rooflineShapes(roofline, points, AREA);
  const series = [...new Set(marks.map(({ point }) => point.series))];
  const colourOf = (name: string): string => COLOURS[series.indexOf(name) % COLOURS.length] ?? "";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${AREA.left}" y="24" font-size="14">${escaped(title)}</text>`,
    ...shapes.map(({ tag, attributes, text }) => {
      const pairs = Object.entries(attributes).map(([name, value]) => `${name}="${value}"`);
      return `<${tag} ${pairs.join(" ")}>${escaped(text)}</${tag}>`;
    }),
    ...marks.map(({ point: { name, series: of, gflops }, x, y, roofPercent }) => {
      const words = `${name}, ${of}: ${three(gflops)} GFLOP/s, ${three(roofPercent)} % of the roof`;
      return `<circle cx="${x}" cy="${y}" r="4" fill="${colourOf(of)}"><title>${escaped(words)}</title></circle>`;
    }),
    ...series.map((name, i) => {
      const [x, y] = [AREA.right + 22, AREA.top + 10 + 20 * i];
      return `<circle cx="${x}" cy="${y - 4}" r="4" fill="${colourOf(name)}"/><text x="${x + 12}" y="${y}">${escaped(name)}</text>`;
    }),
    "</svg>",
    "",
  ].join("\n");
}

interface LogAxis {
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly number[];
  /** Pixels, to a tenth. */
  readonly at: (value: number) => number;
}

/** Whole decades that hold all `values`, with room above the largest. */
function logAxis(values: readonly number[], first: number, last: number): LogAxis {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values)) + 0.05));
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => Number(`1e${low + i}`));
  const at = (value: number): number =>
    Math.round(10 * (first + ((Math.log10(value) - low) / (high - low)) * (last - first))) / 10;
  return { from: Number(`1e${low}`), to: Number(`1e${high}`), ticks, at };
}

function shortPower(value: number): string {
  return value >= 0.01 && value < 10_000 ? String(value) : `1e${Math.round(Math.log10(value))}`;
}

function three(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Text within XML. */
export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
