/** What happens in one upscale: time, memory, values in between, and the choice of the timestep. */
import type { NetworkStage } from "rcod-webgpu";
import type { App } from "../app.ts";
import { button, field, h, select } from "../ui/dom.ts";
import { duration } from "../ui/format.ts";
import type { Run } from "../ui/run-panel.ts";
import { runPanel } from "../ui/run-panel.ts";
import { attentionView } from "./inside/attention.ts";
import { captureCard, latentsSection } from "./inside/captures.ts";
import { memoryPlan } from "./inside/memory.ts";
import { metricSection } from "./inside/metric.ts";
import type { InsideArgs, InsideRecord } from "./inside/record.ts";
import { STAGE_NAMES, timeline } from "./inside/timeline.ts";

/** Up to this side the UNet runs without tiles: 96² latents of the full model. */
const MAX_SIDE = 192;
const MAX_SIDE_SOFTWARE = 128;
const EXAMPLE = "photos/boats.png";
const STAGE_VALUES = new Set(["tokens", "latents", "eps", "z"]);

type RealismChoice = "auto" | "slider";

export function mount(container: HTMLElement, app: App): void {
  let realism: RealismChoice = "auto";
  const time = h("div", {});
  const memory = h("div", {});
  const values = h("div", {});
  const modules = h("div", {});
  const attention = h("div", {});
  const metric = h("div", {});
  const moduleChoice = h("select", { class: "select" });
  const layerChoice = h("select", { class: "select" });

  const inspect = async (
    { signal, progress }: Run,
    captures: InsideArgs["captures"],
  ): Promise<InsideRecord> => {
    await ready(app, signal);
    const { device, settings, model } = app.store.get();
    const requested = realism === "auto" || settings.realism === "auto" ? "auto" : settings.realism;
    const args: InsideArgs = {
      realism: requested === "auto" && !model?.supportsAuto ? 0.5 : requested,
      captures,
      maxSide: device?.isSoftware ? MAX_SIDE_SOFTWARE : MAX_SIDE,
    };
    return app.call("inside", args, {
      signal,
      onProgress: ({ fraction, stage }) => progress(fraction, stageName(stage)),
    });
  };

  const showCaptures = (record: InsideRecord): void => {
    const own = record.captures.filter(({ name }) => !STAGE_VALUES.has(name));
    if (own[0]) {
      moduleChoice.value = own[0].name;
      modules.replaceChildren(
        h("div", { class: "card-row" }, ...own.map((view) => captureCard(view, [view.name], ""))),
      );
    }
    const [layer] = Object.keys(record.attention).map((name) => name.replace(/\.[qk]$/, ""));
    const shown = layer === undefined ? null : attentionView(record, layer);
    if (shown && layer !== undefined) {
      layerChoice.value = layer;
      attention.replaceChildren(shown);
    }
  };

  const panel = runPanel(app, "Look inside", async (run) => {
    const startedAt = performance.now();
    const record = await inspect(run, "default");
    time.replaceChildren(
      record.passes?.some(({ durationMs }) => durationMs > 0)
        ? timeline(record.passes)
        : h(
            "p",
            { class: "hint" },
            "This browser gives no usable timestamps of the GPU (timestamp-query), so there are no times of steps.",
          ),
    );
    memory.replaceChildren(memoryPlan(record.networks));
    values.replaceChildren(latentsSection(record));
    metric.replaceChildren(metricSection(record.choice));
    fillModules(moduleChoice, record);
    fillLayers(layerChoice, record);
    showCaptures(record);
    results.hidden = false;
    return `Done in ${duration(performance.now() - startedAt)}. Timestamps around every step make it slower than usual.`;
  });
  const look = async (run: Run, captures: readonly string[]): Promise<string> => {
    showCaptures(await inspect(run, captures));
    return "";
  };
  const modulePanel = runPanel(app, "Show this module", (run) => look(run, [moduleChoice.value]), {
    isMain: false,
  });
  const layerPanel = runPanel(
    app,
    "Show this layer",
    (run) => look(run, [`${layerChoice.value}.q`, `${layerChoice.value}.k`]),
    { isMain: false },
  );

  const section = (title: string, text: string, ...children: readonly Node[]): HTMLElement =>
    h(
      "section",
      { class: "report-section" },
      h("h3", {}, title),
      h("p", { class: "prose" }, text),
      ...children,
    );
  const results = h(
    "div",
    { class: "report-results", hidden: true },
    section(
      "Time",
      "Every bar is one step of a network on the GPU, in the lane of its kind.",
      time,
    ),
    section("From latents to latents", "", values),
    section("Which timestep", "", metric),
    section(
      "Inside a block",
      "The same view for any module of the four networks: its liveliest channels, and all of them as colours.",
      modules,
      h("div", { class: "control-row" }, field("Module", moduleChoice)),
      modulePanel.element,
    ),
    section(
      "Attention",
      "",
      attention,
      h("div", { class: "control-row" }, field("Layer", layerChoice)),
      layerPanel.element,
    ),
    section(
      "Memory",
      "Values that are not needed at the same time share a buffer. The plan is made before the first byte is allocated: from left to right the steps of a stage, from top to bottom its buffers, a box for each value while it is needed. Colours only tell values apart.",
      memory,
    ),
  );
  const source = h("p", { class: "hint" });
  const example = button({ class: "button" }, () => void openExample(app), "Open an example photo");
  app.store.subscribe(({ image, device }) => {
    const side = device?.isSoftware ? MAX_SIDE_SOFTWARE : MAX_SIDE;
    panel.element.hidden = image === null;
    example.hidden = image !== null;
    source.textContent =
      image === null
        ? "Open a picture on the Upscale tab first, or take an example."
        : `${image.name}, ${image.width} × ${image.height}${Math.max(image.width, image.height) > side ? `: at most ${side} × ${side} pixels from its middle` : ""}.`;
  });

  container.append(
    h(
      "div",
      { class: "page-column report" },
      h("h2", {}, "Inside"),
      h(
        "p",
        { class: "lead" },
        "One upscale, taken apart: what each pass of the GPU costs, what the networks see in between, and why this picture gets the timestep it gets.",
      ),
      source,
      example,
      h(
        "div",
        { class: "control-row" },
        field(
          "Realism",
          select<RealismChoice>(
            [
              ["auto", "Automatic, by the predicted metric"],
              ["slider", "As on the Upscale tab"],
            ],
            realism,
            (choice) => (realism = choice),
          ),
        ),
      ),
      panel.element,
      results,
    ),
  );
}

/** A device and a model, where one of them is missing. */
async function ready(app: App, signal: AbortSignal): Promise<void> {
  const { model, modelChoice, isDeviceLost } = app.store.get();
  const cancel = (): void => app.cancel();
  signal.addEventListener("abort", cancel);
  try {
    if (isDeviceLost) await app.recover();
    else if (model === null) await app.chooseModel(modelChoice);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
  signal.throwIfAborted();
  const { problem, model: loaded } = app.store.get();
  if (loaded === null) throw new Error(problem?.detail ?? "The model is not loaded");
}

async function openExample(app: App): Promise<void> {
  const response = await fetch(new URL(EXAMPLE, document.baseURI));
  await app.openImage(await response.blob(), "boats.png");
}

function stageName(stage: string): string {
  return Object.hasOwn(STAGE_NAMES, stage) ? STAGE_NAMES[stage as NetworkStage] : stage;
}

function fillModules(element: HTMLSelectElement, { modules }: InsideRecord): void {
  element.replaceChildren(
    ...stagesOf(modules, (name) => !/\.[qk]$/.test(name) && !STAGE_VALUES.has(name)),
  );
}

function fillLayers(element: HTMLSelectElement, { modules }: InsideRecord): void {
  const unet = modules.unet.filter((name) => name.endsWith(".q")).map((name) => name.slice(0, -2));
  element.replaceChildren(...unet.map((name) => h("option", { value: name }, name)));
}

function stagesOf(
  modules: InsideRecord["modules"],
  isWanted: (name: string) => boolean,
): readonly HTMLElement[] {
  return (Object.keys(STAGE_NAMES) as NetworkStage[]).map((stage) =>
    h(
      "optgroup",
      { label: STAGE_NAMES[stage] },
      ...modules[stage].filter(isWanted).map((name) => h("option", { value: name }, name)),
    ),
  );
}
