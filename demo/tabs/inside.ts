/** What happens in one upscale: time, memory, values in between, and the choice of the timestep. */
import type { NetworkStage } from "rcod-webgpu";
import type { App } from "../app.ts";
import { ToldError } from "../problems.ts";
import type { DeviceInfo } from "../protocol.ts";
import { contents } from "../ui/contents.ts";
import { field, h, select } from "../ui/dom.ts";
import { duration } from "../ui/format.ts";
import type { Run } from "../ui/run-panel.ts";
import { runPanel } from "../ui/run-panel.ts";
import type { Example } from "./example/example.ts";
import { exampleLine, expectedTime, introduce } from "./example/example.ts";
import type { InsideArgs, InsideRecord } from "./inside/record.ts";
import { InsideSections } from "./inside/sections.ts";
import { STAGE_NAMES } from "./inside/timeline.ts";

/** Up to this side the UNet runs without tiles: 96² latents of the full model. */
const MAX_SIDE = 192;
const MAX_SIDE_SOFTWARE = 128;
/** Where the visitor has opened no picture. */
const SAMPLE = "boats.png";

type RealismChoice = "auto" | "slider";

export function mount(container: HTMLElement, app: App): void {
  let realism: RealismChoice = "auto";

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

  const panel = runPanel(app, "Run here", async (run) => {
    const startedAt = performance.now();
    const record = await inspect(run, "default");
    await showReport(record, null);
    return `Done in ${duration(performance.now() - startedAt)}. Timestamps around every step make it slower than usual.`;
  });
  const look = async (run: Run, captures: readonly string[]): Promise<string> => {
    await sections.showCaptures(await inspect(run, captures));
    return "";
  };
  const beside = { isMain: false };
  const modulePanel = runPanel(
    app,
    "Show this module",
    (run) => look(run, [sections.module]),
    beside,
  );
  const layerPanel = runPanel(
    app,
    "Show this layer",
    (run) => look(run, [`${sections.layer}.q`, `${sections.layer}.k`]),
    beside,
  );
  const sections = new InsideSections(modulePanel.element, layerPanel.element);
  const head = h("div", {});
  const report = h(
    "div",
    { class: "report-results", hidden: true },
    head,
    h(
      "div",
      { class: "with-contents" },
      contents(sections.entries),
      h("div", { class: "report-results" }, ...sections.entries.map(({ section }) => section)),
    ),
  );
  const showReport = (record: InsideRecord, line: HTMLElement | null): Promise<void> => {
    head.replaceChildren(...(line ? [line] : []));
    report.hidden = false;
    return sections.show(record, line !== null);
  };

  const costOf = (example: Example<InsideRecord> | null): string => {
    const { image, device } = app.store.get();
    const side = device?.isSoftware ? MAX_SIDE_SOFTWARE : MAX_SIDE;
    const picture =
      image === null
        ? `Runs on the sample photo ${SAMPLE}; open your own on the Upscale tab.`
        : `Runs on ${image.name}, ${image.width} × ${image.height}${Math.max(image.width, image.height) > side ? `: at most ${side} × ${side} pixels from its middle` : ""}.`;
    const time = example ? timeOf(example, device) : "";
    return `${picture} ${time}`;
  };
  const { cost } = introduce<InsideRecord>(app, "inside", costOf, (example) => {
    if (report.hidden) void showReport(example.record, exampleLine(example));
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
      cost,
      panel.element,
      report,
    ),
  );
}

function timeOf(example: Example<InsideRecord>, device: DeviceInfo | null): string {
  const { width, height } = example.record.source;
  const size = ` of ${width} × ${height} pixels`;
  return expectedTime(example.durationMs, example, device, size);
}

/** A picture, a device and a model, where one of them is missing. */
async function ready(app: App, signal: AbortSignal): Promise<void> {
  const { image, model, modelChoice, isDeviceLost } = app.store.get();
  const cancel = (): void => app.cancel();
  signal.addEventListener("abort", cancel);
  try {
    if (image === null) await openSample(app, signal);
    if (isDeviceLost) await app.recover();
    else if (model === null) await app.chooseModel(modelChoice);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
  signal.throwIfAborted();
  const { problem, model: loaded } = app.store.get();
  if (problem && loaded === null) throw new ToldError(problem);
  if (loaded === null) throw new Error("internal: no model, and nothing said why");
}

async function openSample(app: App, signal: AbortSignal): Promise<void> {
  const response = await fetch(new URL(`photos/${SAMPLE}`, document.baseURI), { signal });
  if (!response.ok) throw new TypeError(`Failed to fetch ${SAMPLE}: HTTP ${response.status}`);
  await app.openImage(await response.blob(), SAMPLE);
}

function stageName(stage: string): string {
  return Object.hasOwn(STAGE_NAMES, stage) ? STAGE_NAMES[stage as NetworkStage] : stage;
}
