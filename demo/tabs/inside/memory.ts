/** The memory plan of a network: buffers from top to bottom, steps from left to right, a box per value. */
import type { NetworkPlan, PlannedValue } from "rcod-webgpu";
import { foldedTable } from "../../ui/data-table.ts";
import { h, select } from "../../ui/dom.ts";
import { bytes } from "../../ui/format.ts";
import type { Drawing } from "../../ui/plot.ts";
import { Plot } from "../../ui/plot.ts";
import { svg } from "../../ui/svg.ts";

const HEIGHT = 300;
const TOP = 22;
const AXIS = 24;
const COLOURS = 6;

const NAMES: Readonly<Record<string, string>> = {
  tokens: "Visual tokens",
  encode: "Encoder",
  mem: "Metric estimation",
  unet: "UNet",
  decode: "Decoder",
  degradation: "Degradation estimation",
  modulation: "Modulation",
};

export function memoryPlan(networks: readonly NetworkPlan[]): HTMLElement {
  const largest = networks.toSorted((a, b) => b.activationBytes - a.activationBytes)[0];
  if (!largest) return h("p", { class: "hint" }, "This model has no networks to plan.");
  const plot = new Plot(
    "Memory plan. The arrow keys go from value to value; the table below has the same figures",
  );
  const summary = h("p", { class: "prose" });
  const table = h("div", {});
  const show = (network: NetworkPlan): void => {
    const { values, slotBytes, activationBytes, peakLiveBytes, steps } = network;
    const separately = values.reduce((sum, { byteLength }) => sum + byteLength, 0);
    summary.textContent =
      `${values.length} values of ${bytes(separately)} share ${slotBytes.length} buffers of ${bytes(activationBytes)}. ` +
      `No plan could do with less than ${bytes(peakLiveBytes)}: that much is needed at once, at step ${peakStep(network) + 1} of ${steps.length} (the line).`;
    plot.show((width) => drawing(network, width));
    table.replaceChildren(
      foldedTable("The plan as a table", {
        caption: "Values and their buffers",
        columns: [
          { label: "value", text: ({ label }) => label },
          { label: "buffer", isNumber: true, text: ({ slot }) => String(slot + 1) },
          { label: "size", isNumber: true, text: ({ byteLength }) => bytes(byteLength) },
          { label: "steps", isNumber: true, text: (value) => span(value, network) },
        ],
        rows: values,
      }),
    );
  };
  const choice = select(
    networks.map(({ name }) => [name, NAMES[name] ?? name] as const),
    largest.name,
    (chosen) => {
      const found = networks.find(({ name }) => name === chosen);
      if (found) show(found);
    },
  );
  choice.setAttribute("aria-label", "Network of the memory plan");
  show(largest);
  return h(
    "div",
    { class: "report-results" },
    h("div", { class: "button-row" }, choice),
    plot.element,
    summary,
    table,
  );
}

function drawing(network: NetworkPlan, width: number): Drawing {
  const { slotBytes, activationBytes, peakLiveBytes, steps, values } = network;
  const scale = (HEIGHT - TOP) / activationBytes;
  const tops: number[] = [];
  let top = TOP;
  for (const size of slotBytes) {
    tops.push(top);
    top += size * scale;
  }
  const x = (step: number): number => (Math.min(step, steps.length) / steps.length) * (width - 1);
  const marks = values.map((value, i) => ({
    element: svg("rect", {
      x: x(value.firstStep),
      y: tops[value.slot] ?? 0,
      width: Math.max(1, x(value.lastStep + 1) - x(value.firstStep)),
      // Never thinner than can be seen.
      height: Math.max(0.6, value.byteLength * scale),
      class: `bar-mark is-boxed series-${i % COLOURS}`,
    }),
    text: [
      value.label,
      `buffer ${value.slot + 1}, ${bytes(value.byteLength)}`,
      `steps ${span(value, network)}`,
    ].join("\n"),
  }));
  const peak = x(peakStep(network) + 0.5);
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
        `peak ${bytes(peakLiveBytes)}`,
      ),
      svg("text", { x: 0, y: HEIGHT + 17, class: "axis" }, "step 1"),
      svg("text", { x: width, y: HEIGHT + 17, class: "axis end" }, `step ${steps.length}`),
    ),
    marks,
  };
}

/** The first step at which most bytes are needed. */
export function peakStep({ values, steps }: Pick<NetworkPlan, "values" | "steps">): number {
  const live = steps.map((_, step) =>
    values.reduce(
      (sum, { firstStep, lastStep, byteLength }) =>
        firstStep <= step && step <= lastStep ? sum + byteLength : sum,
      0,
    ),
  );
  return live.reduce((best, size, step) => (size > (live[best] ?? 0) ? step : best), 0);
}

/** "3 to 7"; results stay until they are read. */
function span({ firstStep, lastStep }: PlannedValue, { steps }: NetworkPlan): string {
  return `${firstStep + 1} to ${lastStep >= steps.length ? "the end" : lastStep + 1}`;
}
