/** The distribution of metrics as text and as SVG. */

/** Bins of equal width over 0 … 1; the first and the last take what lies beyond. */
export const BINS = 20;

/** How many metrics are in each bin. NaN is in none. */
export function histogram(metrics: readonly number[]): number[] {
  const counts = Array.from({ length: BINS }, () => 0);
  for (const metric of metrics) {
    if (Number.isNaN(metric)) continue;
    // A threshold such as 0.7 is the edge of a bin; 0.7 · 20 in doubles may be below 14.
    const bin = Math.min(Math.max(Math.floor(metric * BINS + 1e-9), 0), BINS - 1);
    counts[bin] = (counts[bin] as number) + 1;
  }
  return counts;
}

/** A line for each bin from the first to the last that is not empty. */
export function histogramText(counts: readonly number[]): readonly string[] {
  const first = counts.findIndex((count) => count > 0);
  if (first < 0) return [];
  const last = counts.findLastIndex((count) => count > 0);
  const most = Math.max(...counts);
  return counts.slice(first, last + 1).map((count, i) => {
    const low = ((first + i) / BINS).toFixed(2);
    const bar = "#".repeat(Math.ceil((40 * count) / most));
    return `  ${low}  ${bar.padEnd(40)}  ${count}`.trimEnd();
  });
}

const WIDTH = 640;
const HEIGHT = 360;
const LEFT = 48;
const RIGHT = 16;
const TOP = 40;
const BOTTOM = 48;

/**
 * The histogram as an SVG document without scripts or outside resources. Solid lines are the thresholds of three
 * groups, dashed ones those of four.
 */
export function histogramSvg(
  counts: readonly number[],
  thresholds: Readonly<Record<3 | 4, readonly number[]>>,
): string {
  const most = Math.max(1, ...counts);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const [plotWidth, plotHeight] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
  const x = (metric: number): string => (LEFT + metric * plotWidth).toFixed(1);
  const y = (count: number): string => (TOP + plotHeight * (1 - count / most)).toFixed(1);
  const base = TOP + plotHeight;
  const bars = counts.flatMap((count, bin) => {
    if (count === 0) return [];
    const height = ((plotHeight * count) / most).toFixed(1);
    const width = (plotWidth / BINS - 2).toFixed(1);
    const title = `<title>${(bin / BINS).toFixed(2)} … ${((bin + 1) / BINS).toFixed(2)}: ${count}</title>`;
    return [
      `<rect x="${x(bin / BINS)}" y="${y(count)}" width="${width}" height="${height}" fill="#4878a8">${title}</rect>`,
    ];
  });
  const line = (metric: number, dashes: string): string =>
    `<line x1="${x(metric)}" y1="${TOP}" x2="${x(metric)}" y2="${base}" stroke="#b03030"${dashes}/>`;
  const text = (at: string, to: number, anchor: string, label: string): string =>
    `<text x="${at}" y="${to}" text-anchor="${anchor}">${label}</text>`;
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1].map((metric) =>
    text(x(metric), base + 16, "middle", metric.toFixed(1)),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(String(LEFT), 24, "start", `Latent metric of ${total} pair${total === 1 ? "" : "s"}`),
    ...bars,
    ...thresholds[4].map((metric) => line(metric, ' stroke-dasharray="4 4"')),
    ...thresholds[3].map((metric) => line(metric, "")),
    `<line x1="${LEFT}" y1="${base}" x2="${WIDTH - RIGHT}" y2="${base}" stroke="#202020"/>`,
    ...ticks,
    text(String(LEFT - 6), TOP + 4, "end", String(most)),
    text(String(LEFT - 6), base, "end", "0"),
    text(
      String(LEFT + plotWidth / 2),
      HEIGHT - 10,
      "middle",
      "M_L (lines: thresholds of 3 groups, dashed: of 4)",
    ),
    "</svg>",
    "",
  ].join("\n");
}
