/** Which model: the page's own in 8 bits or in f16, a folder from disk, an address. */
import { sizes as floatSizes } from "virtual:files/models/rcod-tiny";
import { sizes as integerSizes } from "virtual:files/models/rcod-tiny-int8";
import type { App } from "../app.ts";
import { EMBEDDED_FLOATS, EMBEDDED_MODEL } from "../app.ts";
import { modelName } from "../model-key.ts";
import type { ModelChoice, ModelInfo } from "../protocol.ts";
import { button, field, h } from "../ui/dom.ts";
import { bytes, duration } from "../ui/format.ts";

const total = (sizes: Readonly<Record<string, number>>): number =>
  Object.values(sizes).reduce((sum, size) => sum + size, 0);

const sizesOf = (choice: ModelChoice): Readonly<Record<string, number>> =>
  choice.kind === "embedded" && choice.weights === "f16" ? floatSizes : integerSizes;

export function createModelSection(app: App): HTMLElement {
  const name = h("span", { class: "value" });
  const facts = h("p", { class: "hint" });
  const address = h("input", {
    type: "url",
    class: "input",
    placeholder: "https://…/model-folder",
    required: true,
    spellcheck: "false",
  });
  const form = h(
    "form",
    { class: "row" },
    field("Address of a model folder", address),
    h("button", { type: "submit", class: "button" }, "Load"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void app.chooseModel({ kind: "url", url: address.value.trim() });
  });
  const again = button(
    { class: "button is-wide", id: "read-folder" },
    () => void app.chooseModel(app.store.get().modelChoice),
    "Read the folder again",
  );
  app.store.subscribe(({ model, modelChoice }) => {
    name.textContent = model?.name ?? modelName(modelChoice);
    name.title = name.textContent;
    facts.textContent = [model ? factsOf(model) : outlook(modelChoice), lasting(modelChoice)]
      .filter((sentence) => sentence !== null)
      .join(" ");
    again.hidden = model !== null || modelChoice.kind !== "directory";
  });
  return h(
    "details",
    { class: "panel-section" },
    h("summary", { class: "section-head" }, h("h2", {}, "Model"), name),
    h(
      "div",
      { class: "details-body" },
      facts,
      again,
      h(
        "div",
        { class: "row" },
        button(
          {
            class: "button is-grown",
            title: `Weights of 8 bits, ${bytes(total(sizesOf(EMBEDDED_MODEL)))}`,
          },
          () => void app.chooseModel(EMBEDDED_MODEL),
          modelName(EMBEDDED_MODEL),
        ),
        button(
          {
            class: "button is-grown",
            title: `The same as it was trained, in halves, for reference: ${bytes(total(sizesOf(EMBEDDED_FLOATS)))}`,
          },
          () => void app.chooseModel(EMBEDDED_FLOATS),
          modelName(EMBEDDED_FLOATS),
        ),
        button({ class: "button is-grown" }, () => void chooseFolder(app), "Folder…"),
      ),
      form,
    ),
  );
}

const factsOf = (model: ModelInfo): string =>
  `×${model.upscale}, ${storageOf(model)}, ${bytes(model.bytes)} on the device, loaded in ${duration(model.loadMs)}.`;

/** What is to come of a model that is not there yet. */
function outlook(choice: ModelChoice): string {
  switch (choice.kind) {
    case "embedded":
      return `Loaded with the first picture. ${bytes(total(sizesOf(choice)))}, part of this page.`;
    case "url":
      return `Loaded with the next run, from ${choice.url}.`;
    case "folder":
    case "directory":
      return "Read from your disk with the next run; the browser may ask for your permission first.";
    default:
      return choice satisfies never;
  }
}

/** What a reload forgets; null where it forgets nothing. */
const lasting = ({ kind }: ModelChoice): string | null =>
  kind === "folder"
    ? "This browser does not remember folders: after a reload, choose it again."
    : null;

/** Integers stay what they are; all other numbers are stored in the precision. */
const storageOf = ({ weights, precision }: ModelInfo): string =>
  weights === null ? `stored as ${precision}` : `weights in ${weights}, all else in ${precision}`;

/** What Chromium offers beyond the DOM types. */
interface DirectoryPicker {
  showDirectoryPicker?: () => Promise<FileSystemDirectoryHandle>;
}

async function chooseFolder(app: App): Promise<void> {
  const { showDirectoryPicker } = globalThis as DirectoryPicker;
  if (showDirectoryPicker) {
    // Rejects when the visitor closes the dialog.
    const handle = await showDirectoryPicker().catch(() => null);
    if (handle) await app.chooseModel({ kind: "directory", name: handle.name, handle });
    return;
  }
  const input = h("input", { type: "file", webkitdirectory: true });
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    const name = files[0]?.webkitRelativePath.split("/", 1)[0] ?? "folder";
    if (files.length > 0) void app.chooseModel({ kind: "folder", name, files });
  });
  input.click();
}
