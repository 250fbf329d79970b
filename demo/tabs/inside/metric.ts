/** Latent domain grouping: what M_L is, where this picture falls, and which timestep that gives. */
import { h } from "../../ui/dom.ts";
import type { Drawing } from "../../ui/plot.ts";
import { Plot } from "../../ui/plot.ts";
import { svg } from "../../ui/svg.ts";
import type { MetricChoice } from "./record.ts";

const HEIGHT = 92;
/** Of a letter, with room. */
const NAME_WIDTH = 8;
const BAND = { top: 34, bottom: 62 } as const;

interface MetricGroup {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly timestep: number;
}

/** By rising metric; the tables of RCOD have three. */
export function metricGroups({
  thresholds,
  timesteps,
}: Pick<MetricChoice, "thresholds" | "timesteps">): readonly MetricGroup[] {
  const [first, second] = thresholds;
  return [
    { name: "realism", from: 0, to: first, timestep: timesteps.realism },
    { name: "neutral", from: first, to: second, timestep: timesteps.neutral },
    { name: "fidelity", from: second, to: 1, timestep: timesteps.fidelity },
  ];
}

/** The group of a metric. Compared in f32, as the model does. */
export function groupOf(metric: number, groups: readonly MetricGroup[]): MetricGroup | undefined {
  const value = Math.fround(metric);
  return groups.findLast(({ from }) => value >= Math.fround(from)) ?? groups[0];
}

export function metricSection(choice: MetricChoice): HTMLElement {
  const groups = metricGroups(choice);
  const { metric } = choice;
  const own = metric === null ? undefined : groupOf(metric, groups);
  const plot = new Plot("The latent metric, its thresholds and this picture");
  plot.show((width) => drawing(groups, metric, width));
  const answer: readonly (Node | string)[] =
    metric === null
      ? [
          choice.isPredictable
            ? "Run with automatic realism to see where this picture falls."
            : "This model has no network that predicts it.",
        ]
      : [
          "This picture: ",
          symbol(),
          ` is predicted as ${metric.toFixed(3)}, so the automatic choice is the group “${own?.name}” and timestep ${own?.timestep}.`,
        ];
  return h(
    "div",
    { class: "report-results" },
    h(
      "p",
      { class: "prose" },
      "How much has a picture lost? RCOD asks its latents: the cosine of the angle between those of the poor picture and those of the perfect one. 1 means nothing was lost.",
    ),
    h(
      "p",
      {
        class: "formula",
        role: "img",
        "aria-label":
          "M L equals the inner product of z L Q and z H Q, divided by the product of their lengths",
      },
      ...formula(),
    ),
    h(
      "p",
      { class: "prose" },
      "In training the metric sorts pictures into groups, and each group gets a timestep of its own: the more is lost, the later the timestep, and the more the UNet may invent. Nobody has the perfect picture at hand, so a small network predicts the metric from the poor one. The thresholds belong to the model: 0.5 and 0.7 in the paper.",
    ),
    h("p", { class: "verdict-line is-small", role: "status" }, ...answer),
    plot.element,
    groupTable(groups, own),
  );
}

/** M with its index. */
function symbol(): Node {
  return h("span", {}, h("i", {}, "M"), h("sub", {}, "L"));
}

function formula(): readonly (Node | string)[] {
  const z = (name: string): Node => h("span", {}, h("i", {}, "z"), h("sub", {}, name));
  return [symbol(), " = ⟨", z("LQ"), ", ", z("HQ"), "⟩ / (‖", z("LQ"), "‖ · ‖", z("HQ"), "‖)"];
}

function groupTable(groups: readonly MetricGroup[], own: MetricGroup | undefined): HTMLElement {
  const rows = groups.map((group) =>
    h(
      "tr",
      { class: group === own ? "is-current" : null, "aria-current": group === own ? "true" : null },
      h("th", { scope: "row" }, range(group)),
      h("td", {}, group.name),
      h("td", { class: "number" }, String(group.timestep)),
    ),
  );
  return h(
    "div",
    {
      class: "table-scroll is-narrow",
      tabindex: 0,
      role: "region",
      "aria-label": "Groups and timesteps",
    },
    h(
      "table",
      { class: "data-table" },
      h("caption", { class: "visually-hidden" }, "Groups and timesteps"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, symbol()),
          h("th", { scope: "col" }, "group"),
          h("th", { scope: "col", class: "number" }, "timestep"),
        ),
      ),
      h("tbody", {}, ...rows),
    ),
  );
}

function range({ from, to }: MetricGroup): string {
  if (from === 0) return `below ${to}`;
  return to === 1 ? `${from} and above` : `${from} to ${to}`;
}

/** Everything below the lower of the first threshold and this picture looks the same: the axis starts there. */
function axisStart(groups: readonly MetricGroup[], metric: number | null): number {
  const lowest = Math.min(groups[0]?.to ?? 0, metric ?? 1);
  return Math.max(0, Math.floor(10 * (lowest - 0.15)) / 10);
}

function drawing(groups: readonly MetricGroup[], metric: number | null, width: number): Drawing {
  const low = axisStart(groups, metric);
  const x = (value: number): number =>
    8 + ((Math.min(1, Math.max(low, value)) - low) / (1 - low)) * (width - 16);
  const marks = groups.map((group, i) => ({
    element: svg("rect", {
      x: x(group.from),
      y: BAND.top,
      width: x(group.to) - x(group.from),
      height: BAND.bottom - BAND.top,
      class: `bar-mark is-boxed metric-${i}`,
    }),
    text: `${group.name}\nmetric ${range(group)}\ntimestep ${group.timestep}`,
  }));
  const fits = ({ name, from, to }: MetricGroup): boolean =>
    x(to) - x(from) > NAME_WIDTH * name.length;
  const names = groups.filter(fits).map(({ name, from, to }) =>
    svg(
      "text",
      {
        x: (x(from) + x(to)) / 2,
        y: (BAND.top + BAND.bottom) / 2 + 4,
        class: "band-name middle",
      },
      name,
    ),
  );
  const ticks = [low, ...groups.slice(1).map(({ from }) => from), 1].map((value) =>
    svg(
      "text",
      {
        x: x(value),
        y: BAND.bottom + 17,
        class: `tick ${value === low ? "" : value === 1 ? "end" : "middle"}`,
      },
      String(value),
    ),
  );
  const pointer =
    metric === null
      ? []
      : [
          svg("path", {
            class: "pointer",
            d: `M${x(metric)} ${BAND.bottom + 3}V${BAND.top - 6}l-6 -9h12l-6 9`,
          }),
          svg(
            "text",
            {
              x: x(metric),
              y: 13,
              class: `axis ${x(metric) > 0.85 * width ? "end" : x(metric) < 0.15 * width ? "" : "middle"}`,
            },
            `this picture: ${metric.toFixed(3)}`,
          ),
        ];
  return {
    svg: svg(
      "svg",
      { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
      ...marks.map(({ element }) => element),
      ...names,
      ...ticks,
      ...pointer,
    ),
    marks,
  };
}
