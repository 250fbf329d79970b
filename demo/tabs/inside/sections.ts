/** The sections of the Inside tab, from a record to what is seen. */
import type { NetworkStage } from "rcod-webgpu";
import { takeTurns } from "../../next-frame.ts";
import type { ContentsEntry } from "../../ui/contents.ts";
import { field, h } from "../../ui/dom.ts";
import { attentionView } from "./attention.ts";
import { captureCards, latentsSection } from "./captures.ts";
import { memoryPlan } from "./memory.ts";
import { metricSection } from "./metric.ts";
import type { InsideRecord } from "./record.ts";
import { STAGE_NAMES, timeline } from "./timeline.ts";

/** What the stages hand on; the rest are modules. */
const STAGE_VALUES = new Set(["tokens", "latents", "eps", "z"]);

export class InsideSections {
  readonly entries: readonly ContentsEntry[];
  readonly #time = h("div", {});
  readonly #values = h("div", {});
  readonly #metric = h("div", {});
  readonly #modules = h("div", {});
  readonly #attention = h("div", {});
  readonly #memory = h("div", {});
  readonly #module = h("select", { class: "select" });
  readonly #layer = h("select", { class: "select" });
  #shown: InsideRecord | null = null;
  /** Only a run here can give another module or layer. */
  readonly #choices: readonly HTMLElement[];

  /** `modulePanel` and `layerPanel` run again for what is chosen. */
  constructor(modulePanel: HTMLElement, layerPanel: HTMLElement) {
    const moduleRow = h("div", { class: "control-row" }, field("Module", this.#module));
    const layerRow = h("div", { class: "control-row" }, field("Layer", this.#layer));
    this.#choices = [moduleRow, modulePanel, layerRow, layerPanel];
    this.entries = [
      entry(
        "Time",
        "Every bar is one step of a network on the GPU, in the lane of its kind.",
        this.#time,
      ),
      entry("From latents to latents", "", this.#values),
      entry("Which timestep", "", this.#metric),
      entry(
        "Inside a block",
        "The same view for any module of the four networks: its liveliest channels, and all of them as colours.",
        this.#modules,
        moduleRow,
        modulePanel,
      ),
      entry("Attention", "", this.#attention, layerRow, layerPanel),
      entry(
        "Memory",
        "Values that are not needed at the same time share a buffer. The plan is made before the first byte is allocated: from left to right the steps of a stage, from top to bottom its buffers, a box for each value while it is needed. Colours only tell values apart.",
        this.#memory,
      ),
    ];
  }

  get module(): string {
    return this.#module.value;
  }

  /** Path of an attention layer. */
  get layer(): string {
    return this.#layer.value;
  }

  /** One section after the other, so that the page answers meanwhile; a later record ends that. */
  async show(record: InsideRecord, isExample: boolean): Promise<void> {
    for (const choice of this.#choices) choice.hidden = isExample;
    const latents = latentsSection(record);
    await this.#inTurns(record, [
      () => this.#showTime(record),
      () => this.#values.replaceChildren(latents.element),
      ...latents.cards,
      () => this.#metric.replaceChildren(metricSection(record.choice)),
      () => fillModules(this.#module, record),
      () => fillLayers(this.#layer, record),
      ...this.#captureParts(record),
      () => this.#memory.replaceChildren(memoryPlan(record.networks)),
    ]);
  }

  /** The modules and the attention layer of a record; the other sections stay. */
  showCaptures(record: InsideRecord): Promise<void> {
    return this.#inTurns(record, this.#captureParts(record));
  }

  async #inTurns(record: InsideRecord, parts: readonly (() => void)[]): Promise<void> {
    this.#shown = record;
    for (const part of parts) {
      if (this.#shown !== record) return;
      part();
      await takeTurns();
    }
  }

  #showTime(record: InsideRecord): void {
    this.#time.replaceChildren(
      record.passes?.some(({ durationMs }) => durationMs > 0)
        ? timeline(record.passes)
        : h(
            "p",
            { class: "hint" },
            "This browser gives no usable timestamps of the GPU (timestamp-query), so there are no times of steps.",
          ),
    );
  }

  #captureParts(record: InsideRecord): readonly (() => void)[] {
    const own = record.captures.filter(({ name }) => !STAGE_VALUES.has(name));
    const [first] = own;
    const { element, cards } = captureCards(own);
    const showModules = (): void => {
      if (!first) return;
      this.#module.value = first.name;
      this.#modules.replaceChildren(element);
    };
    const showAttention = (): void => {
      const [layer] = Object.keys(record.attention).map((name) => name.replace(/\.[qk]$/, ""));
      const shown = layer === undefined ? null : attentionView(record, layer);
      if (!shown || layer === undefined) return;
      this.#layer.value = layer;
      this.#attention.replaceChildren(shown);
    };
    return [showModules, ...cards, showAttention];
  }
}

function entry(title: string, text: string, ...children: readonly Node[]): ContentsEntry {
  const section = h(
    "section",
    { class: "report-section" },
    h("h3", {}, title),
    h("p", { class: "prose" }, text),
    ...children,
  );
  return { title, section };
}

function fillModules(element: HTMLSelectElement, { modules }: InsideRecord): void {
  const isModule = (name: string): boolean => !/\.[qk]$/.test(name) && !STAGE_VALUES.has(name);
  element.replaceChildren(
    ...(Object.keys(STAGE_NAMES) as NetworkStage[]).map((stage) =>
      h(
        "optgroup",
        { label: STAGE_NAMES[stage] },
        ...modules[stage].filter(isModule).map((name) => h("option", { value: name }, name)),
      ),
    ),
  );
}

function fillLayers(element: HTMLSelectElement, { modules }: InsideRecord): void {
  const unet = modules.unet.filter((name) => name.endsWith(".q")).map((name) => name.slice(0, -2));
  element.replaceChildren(...unet.map((name) => h("option", { value: name }, name)));
}
