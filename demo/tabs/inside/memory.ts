/** The memory plan of a stage: buffers from top to bottom, steps from left to right, a box per value. */
import { h, select } from "../../ui/dom.ts";
import { bytes } from "../../ui/format.ts";
import { dataTable } from "../../ui/data-table.ts";
import type { Drawing } from "../../ui/plot.ts";
import { Plot } from "../../ui/plot.ts";
import { svg } from "../../ui/svg.ts";
import type { PlannedValue, StageMemory } from "./record.ts";
import { STAGE_NAMES } from "./timeline.ts";

const HEIGHT = 300;
const TOP = 22;
const AXIS = 24;
const COLOURS = 6;

export function memoryPlan(stages: readonly StageMemory[]): HTMLElement {
  const largest = stages.toSorted((a, b) => b.totalBytes - a.totalBytes)[0];
  if (!largest) return h("p", { class: "hint" }, "This run has no plan to show.");
  const plot = new Plot(
    "Memory plan. The arrow keys go from value to value; the table below has the same figures",
  );
  const summary = h("p", { class: "hint" });
  const table = h("div", {});
  const show = (memory: StageMemory): void => {
    const { values, slotByteLengths, totalBytes, peakLiveBytes, peakStep, stepCount } = memory;
    const separately = values.reduce((sum, { byteLength }) => sum + byteLength, 0);
    summary.textContent =
      `${values.length} values of ${bytes(separately)} share ${slotByteLengths.length} buffers of ${bytes(totalBytes)}. ` +
      `The most that is needed at once is ${bytes(peakLiveBytes)}, at step ${peakStep + 1} of ${stepCount} (the line).`;
    plot.show((width) => drawing(memory, width));
    table.replaceChildren(
      dataTable({
        caption: "Values and their buffers",
        columns: [
          { label: "value", text: ({ name }) => name },
          { label: "buffer", isNumber: true, text: ({ slot }) => String(slot + 1) },
          { label: "size", isNumber: true, text: ({ byteLength }) => bytes(byteLength) },
          {
            label: "steps",
            isNumber: true,
            text: ({ firstStep, lastStep }) => `${firstStep + 1}–${lastStep + 1}`,
          },
        ],
        rows: values,
      }),
    );
  };
  const choice = select(
    stages.map(({ stage }) => [stage, STAGE_NAMES[stage]] as const),
    largest.stage,
    (wanted) => {
      const found = stages.find(({ stage }) => stage === wanted);
      if (found) show(found);
    },
  );
  choice.classList.add("is-small");
  choice.setAttribute("aria-label", "Stage of the memory plan");
  show(largest);
  return h(
    "div",
    { class: "report-results" },
    h("div", { class: "button-row" }, choice),
    plot.element,
    summary,
    h("details", { class: "file-section" }, h("summary", {}, "The plan as a table"), table),
  );
}

function drawing(memory: StageMemory, width: number): Drawing {
  const { slotByteLengths, stepCount, totalBytes, peakStep, values } = memory;
  const scale = (HEIGHT - TOP) / totalBytes;
  const tops: number[] = [];
  let top = TOP;
  for (const size of slotByteLengths) {
    tops.push(top);
    top += size * scale;
  }
  const x = (step: number): number => (step / stepCount) * (width - 1);
  const marks = values.map((value, i) => ({
    element: svg("rect", {
      x: x(value.firstStep),
      y: tops[value.slot] ?? 0,
      width: Math.max(1, x(value.lastStep + 1) - x(value.firstStep)),
      // Never thinner than can be seen.
      height: Math.max(0.6, value.byteLength * scale),
      class: `bar-mark is-boxed series-${i % COLOURS}`,
    }),
    text: describe(value),
  }));
  const peak = x(peakStep + 0.5);
  return {
    svg: svg(
      "svg",
      { viewBox: `0 0 ${width} ${HEIGHT + AXIS}`, width, height: HEIGHT + AXIS },
      ...tops.map((y) => svg("path", { class: "grid", d: `M0 ${y}H${width}` })),
      ...marks.map(({ element }) => element),
      svg("path", { class: "peak", d: `M${peak} ${TOP - 6}V${HEIGHT}` }),
      svg(
        "text",
        { x: peak, y: 12, class: `axis ${peak > width / 2 ? "end" : ""}` },
        `peak ${bytes(memory.peakLiveBytes)}`,
      ),
      svg("text", { x: 0, y: HEIGHT + 17, class: "axis" }, "first step"),
      svg("text", { x: width, y: HEIGHT + 17, class: "axis end" }, `step ${stepCount}`),
    ),
    marks,
  };
}

function describe({ name, slot, byteLength, firstStep, lastStep }: PlannedValue): string {
  return [
    name,
    `buffer ${slot + 1}, ${bytes(byteLength)}`,
    `steps ${firstStep + 1} to ${lastStep + 1}`,
  ].join("\n");
}
