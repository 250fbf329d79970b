/** Which model: the one in the page, a folder from disk, an address. */
import type { App } from "../app.ts";
import { EMBEDDED_MODEL } from "../app.ts";
import { button, field, h } from "../ui/dom.ts";
import { bytes, duration } from "../ui/format.ts";

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
  app.store.subscribe(({ model, modelChoice }) => {
    name.textContent = model?.name ?? (modelChoice.kind === "embedded" ? "rcod-tiny" : "…");
    name.title = name.textContent;
    facts.textContent = model
      ? `×${model.upscale}, stored as ${model.precision}, ${bytes(model.bytes)} on the device, loaded in ${duration(model.loadMs)}.`
      : "Loaded with the first picture. 7.8 MB, part of this page.";
  });
  return h(
    "details",
    { class: "panel-section" },
    h("summary", { class: "section-head" }, h("h2", {}, "Model"), name),
    h(
      "div",
      { class: "details-body" },
      facts,
      h(
        "div",
        { class: "row" },
        button(
          { class: "button is-grown" },
          () => void app.chooseModel(EMBEDDED_MODEL),
          "rcod-tiny",
        ),
        button({ class: "button is-grown" }, () => void chooseFolder(app), "Folder…"),
      ),
      form,
    ),
  );
}

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
