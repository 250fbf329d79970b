/** The passes of an upscale over time: a lane for each class of kernel, stages as bands. */
import type { NetworkStage, PassTime } from "rcod-webgpu";
import { dataTable, foldedTable } from "../../ui/data-table.ts";
import type { Column } from "../../ui/data-table.ts";
import { button, disable, h, select } from "../../ui/dom.ts";
import { milliseconds, percent } from "../../ui/format-rate.ts";
import { duration } from "../../ui/format.ts";
import type { Drawing } from "../../ui/plot.ts";
import { Plot } from "../../ui/plot.ts";
import { svg } from "../../ui/svg.ts";
import { KERNEL_CLASSES, kernelClass } from "./kernel-class.ts";

export const STAGE_NAMES: Readonly<Record<NetworkStage, string>> = {
  tokens: "Visual tokens",
  encode: "Encode",
  unet: "UNet",
  decode: "Decode",
};

const LANE = 30;
const TOP = 26;
const LABEL_WIDTH = 104;
const AXIS = 24;
const MAX_ZOOM = 64;
/** A bar is at least this wide, so that it can be pointed at. */
const MIN_BAR = 0.8;

/** Shows passes, which are in order, one behind the other: what lies between them is compiling and waiting. */
export function timeline(measured: readonly PassTime[]): HTMLElement {
  let end = 0;
  const passes = measured.map((pass) => {
    const startMs = end;
    end += pass.durationMs;
    return { ...pass, startMs };
  });
  const total = passes.reduce((sum, { durationMs }) => sum + durationMs, 0);
  const stages = [...new Set(passes.map(({ stage }) => stage))];
  const plot = new Plot(
    "Passes over time. The arrow keys go from pass to pass; the tables below have the same figures",
  );
  const view: { stage: NetworkStage | "all"; zoom: number } = { stage: "all", zoom: 1 };
  const draw = (): void => {
    const shown = passes.filter(({ stage }) => view.stage === "all" || stage === view.stage);
    plot.show((width) => drawing(shown, total, width * view.zoom));
    disable(out, view.zoom <= 1 ? "All of it is shown." : null);
    disable(into, view.zoom >= MAX_ZOOM ? `×${MAX_ZOOM} is the most.` : null);
  };
  const zoomBy = (factor: number): void => {
    const { scrollArea: area } = plot;
    const centre = (area.scrollLeft + area.clientWidth / 2) / area.scrollWidth;
    view.zoom = Math.min(MAX_ZOOM, Math.max(1, view.zoom * factor));
    draw();
    area.scrollLeft = centre * area.scrollWidth - area.clientWidth / 2;
  };
  const out = button({ class: "button is-quiet" }, () => zoomBy(0.5), "Zoom out");
  const into = button({ class: "button is-quiet" }, () => zoomBy(2), "Zoom in");
  const stageChoice = select<NetworkStage | "all">(
    [["all", "All stages"], ...stages.map((stage) => [stage, STAGE_NAMES[stage]] as const)],
    "all",
    (stage) => {
      view.stage = stage;
      view.zoom = 1;
      draw();
    },
  );
  stageChoice.setAttribute("aria-label", "Stage");
  // The names of the lanes stay where they can be read.
  plot.scrollArea.addEventListener("scroll", () => {
    const names = plot.scrollArea.querySelector(".lane-names");
    names?.setAttribute("transform", `translate(${plot.scrollArea.scrollLeft})`);
  });
  draw();
  return h(
    "div",
    { class: "report-results" },
    h("p", { class: "prose" }, shares(passes)),
    h("div", { class: "button-row" }, stageChoice, out, into),
    plot.element,
    dataTable({
      caption: "Time by class of kernel",
      columns: CLASS_COLUMNS,
      rows: classTotals(passes),
    }),
    foldedTable(`All ${passes.length} passes as a table`, {
      caption: "All passes, in order",
      columns: passColumns(total),
      rows: passes,
    }),
  );
}

function drawing(passes: readonly PassTime[], total: number, width: number): Drawing {
  const begin = passes[0]?.startMs ?? 0;
  const last = passes.at(-1);
  const span = Math.max(1e-6, (last ? last.startMs + last.durationMs : 1) - begin);
  const x = (ms: number): number => LABEL_WIDTH + ((ms - begin) / span) * (width - LABEL_WIDTH - 8);
  const laneTop = (lane: number): number => TOP + lane * LANE;
  const bottom = laneTop(KERNEL_CLASSES.length);
  const marks = passes.map((pass) => {
    const { kernel, variant, label, stage, startMs, durationMs } = pass;
    const lane = KERNEL_CLASSES.indexOf(kernelClass(kernel));
    return {
      element: svg("rect", {
        x: x(startMs),
        y: laneTop(lane) + 4,
        width: Math.max(MIN_BAR, x(startMs + durationMs) - x(startMs)),
        height: LANE - 8,
        class: `bar-mark series-${lane}`,
      }),
      text: [
        label,
        `${STAGE_NAMES[stage]}: ${kernel}, ${variant}`,
        `${milliseconds(durationMs)}, ${percent(durationMs / total)} of all`,
      ].join("\n"),
    };
  });
  const bands = [...new Set(passes.map(({ stage }) => stage))].flatMap((stage, i) => {
    const own = passes.filter((pass) => pass.stage === stage);
    const [first, end] = [own[0], own.at(-1)];
    if (!first || !end) return [];
    const [left, right] = [x(first.startMs), x(end.startMs + end.durationMs)];
    const name = STAGE_NAMES[stage];
    return [
      svg("rect", {
        x: left,
        y: 0,
        width: Math.max(1, right - left),
        height: bottom,
        class: i % 2 ? "band is-odd" : "band",
      }),
      // Only where the name fits.
      ...(right - left > name.length * 7
        ? [svg("text", { x: left + 5, y: 15, class: "axis" }, name)]
        : []),
    ];
  });
  const lines = KERNEL_CLASSES.map((_, lane) =>
    svg("path", { class: "grid", d: `M0 ${laneTop(lane)}H${width}` }),
  );
  const names = svg(
    "g",
    { class: "lane-names" },
    svg("rect", { x: 0, y: 0, width: LABEL_WIDTH - 8, height: bottom + AXIS }),
    ...KERNEL_CLASSES.map((name, lane) =>
      svg("text", { x: 0, y: laneTop(lane) + LANE / 2 + 4, class: "axis" }, name),
    ),
  );
  const ticks = niceTicks(span, Math.max(2, Math.floor((width - LABEL_WIDTH) / 110))).map(
    (ms, i) => {
      const place = i === 0 ? "" : x(begin + ms) > width - 30 ? "end" : "middle";
      const text = span >= 2000 ? `${ms / 1000} s` : `${ms} ms`;
      return svg("text", { x: x(begin + ms), y: bottom + 16, class: `tick ${place}` }, text);
    },
  );
  return {
    svg: svg(
      "svg",
      { viewBox: `0 0 ${width} ${bottom + AXIS}`, width, height: bottom + AXIS },
      ...bands,
      ...lines,
      svg("path", { class: "grid", d: `M0 ${bottom}H${width}` }),
      ...ticks,
      ...marks.map(({ element }) => element),
      names,
    ),
    marks,
  };
}

/** Round numbers from 0 to `span`, at most about `count` of them. */
export function niceTicks(span: number, count: number): readonly number[] {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= raw) ?? 10);
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, i) =>
    Number((i * step).toPrecision(6)),
  );
}

/** "Of 1.2 s on the GPU the UNet takes 61 %, …; 90 % is convolution." */
function shares(passes: readonly PassTime[]): string {
  const total = passes.reduce((sum, { durationMs }) => sum + durationMs, 0);
  const stages = (Object.keys(STAGE_NAMES) as NetworkStage[])
    .map((stage) => {
      const own = passes.filter((pass) => pass.stage === stage);
      return { stage, share: own.reduce((sum, { durationMs }) => sum + durationMs, 0) / total };
    })
    .filter(({ share }) => share > 0)
    .map(({ stage, share }) => `${percent(share)} ${STAGE_PHRASES[stage]}`);
  const [largest] = classTotals(passes).toSorted((a, b) => b.ms - a.ms);
  const kind = largest ? ` By kind, ${percent(largest.share)} is ${largest.name}.` : "";
  return `Waiting between steps is left out, and browsers round times (Chrome to 0.1 ms). Of ${duration(total)} on the GPU, ${stages.join(", ")}.${kind}`;
}

const STAGE_PHRASES: Readonly<Record<NetworkStage, string>> = {
  tokens: "describes the picture",
  encode: "encodes it",
  unet: "is the diffusion step",
  decode: "decodes the result",
};

interface ClassTotal {
  readonly name: string;
  readonly passes: number;
  readonly ms: number;
  readonly share: number;
}

function classTotals(passes: readonly PassTime[]): readonly ClassTotal[] {
  const total = passes.reduce((sum, { durationMs }) => sum + durationMs, 0);
  return KERNEL_CLASSES.map((name) => {
    const own = passes.filter(({ kernel }) => kernelClass(kernel) === name);
    const ms = own.reduce((sum, { durationMs }) => sum + durationMs, 0);
    return { name, passes: own.length, ms, share: total > 0 ? ms / total : 0 };
  }).filter((row) => row.passes > 0);
}

const CLASS_COLUMNS: readonly Column<ClassTotal>[] = [
  { label: "class", text: ({ name }) => name },
  { label: "passes", isNumber: true, text: ({ passes }) => String(passes) },
  { label: "time", isNumber: true, text: ({ ms }) => milliseconds(ms) },
  { label: "share", isNumber: true, text: ({ share }) => percent(share) },
];

function passColumns(total: number): readonly Column<PassTime>[] {
  return [
    { label: "module", text: ({ label }) => label },
    { label: "stage", text: ({ stage }) => STAGE_NAMES[stage] },
    { label: "kernel", text: ({ kernel }) => kernel },
    { label: "variant", text: ({ variant }) => variant },
    { label: "time", isNumber: true, text: ({ durationMs }) => milliseconds(durationMs) },
    { label: "share", isNumber: true, text: ({ durationMs }) => percent(durationMs / total) },
  ];
}
