/** The roofline plot of the library as a drawing of the page, with marks that tell their figures. */
import type { CaseRecord, Roofline } from "rcod-webgpu/bench";
import { rooflineShapes } from "rcod-webgpu/bench";
import { milliseconds, rate } from "../../ui/format-rate.ts";
import type { Drawing, Mark } from "../../ui/plot.ts";
import { svg } from "../../ui/svg.ts";
import { variantRows } from "./table.ts";

const HEIGHT = 420;
const MARGIN = { left: 64, right: 16, top: 16, bottom: 48 } as const;
const RADIUS = 5;

/** Names of kernels in the order of their colours; what is not here gets the last one. */
export const SERIES = ["conv2d", "linear", "attention", "groupNorm", "layerNorm"] as const;

export function seriesOf(kernel: string): number {
  const known = SERIES.findIndex((name) => name === kernel);
  return known < 0 ? SERIES.length : known;
}

export function rooflineDrawing(
  roofline: Roofline,
  cases: readonly CaseRecord[],
  width: number,
): Drawing {
  const points = variantRows(cases).flatMap(({ record, variant }) =>
    variant?.gflops === undefined
      ? []
      : [{ record, variant, gflops: variant.gflops, intensity: record.flops / record.bytes }],
  );
  const plotted = rooflineShapes(roofline, points, {
    left: MARGIN.left,
    right: width - MARGIN.right,
    top: MARGIN.top,
    bottom: HEIGHT - MARGIN.bottom,
  });
  const marks = plotted.marks.map(({ point, x, y, roofPercent }): Mark => {
    const { record, variant, gflops, intensity } = point;
    return {
      element: svg("circle", {
        cx: x,
        cy: y,
        r: RADIUS,
        class: `point series-${seriesOf(record.kernel)}${variant.selected ? "" : " hollow"}`,
      }),
      text: [
        record.case,
        `${record.kernel}, ${variant.variant}${variant.selected ? ", in use" : ""}`,
        `${rate(gflops)} GFLOP/s at ${rate(intensity)} flops per byte`,
        `${rate(roofPercent)} % of the roof, ${milliseconds(variant.timing?.medianMs)}`,
      ].join("\n"),
    };
  });
  return {
    svg: svg(
      "svg",
      { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
      ...plotted.shapes.map(({ tag, attributes, text }) => svg(tag, attributes, text)),
      ...marks.map(({ element }) => element),
    ),
    marks,
  };
}
