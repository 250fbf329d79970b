/** The result as a file, on the clipboard, or as a link with the settings. */
import type { App } from "../app.ts";
import type { SaveOptions } from "../protocol.ts";
import { toHash } from "../settings.ts";
import type { CompareState } from "../stage/compare-state.ts";
import type { Store } from "../store.ts";
import { ICONS, button, h, icon, select } from "../ui/dom.ts";

const TYPES = [
  ["image/png", "PNG"],
  ["image/jpeg", "JPEG"],
  ["image/webp", "WebP"],
] as const;
/** Of JPEG and WebP: no visible loss, a third of the bytes of PNG. */
const QUALITY = 0.92;

export function createSaveSection(app: App, compare: Store<CompareState>): HTMLElement {
  let type: SaveOptions["type"] = "image/png";
  const status = h("p", { class: "hint", role: "status" });
  const tell = async (work: () => Promise<string>): Promise<void> => {
    try {
      status.textContent = await work();
    } catch (error) {
      status.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  const encode = (chosen: SaveOptions["type"]): Promise<Blob> =>
    app.call("save", { result: shownResult(app, compare), type: chosen, quality: QUALITY });

  const action = (
    glyph: string,
    label: string,
    work: Parameters<typeof tell>[0],
  ): HTMLButtonElement =>
    button({ class: "button is-grown" }, () => void tell(work), icon(glyph), label);
  const save = action(ICONS.download, "Save", async () => {
    const name = fileName(app, shownResult(app, compare), type);
    const blob = await encode(type);
    download(blob, name);
    return `Saved as ${name}`;
  });
  const copy = action(ICONS.copy, "Copy", async () => {
    if (typeof ClipboardItem === "undefined") {
      throw new Error("This browser cannot copy pictures. Save it instead");
    }
    // A promise in the item: Safari allows the clipboard only within the click.
    await navigator.clipboard.write([new ClipboardItem({ "image/png": encode("image/png") })]);
    return "Picture copied";
  });
  const link = action(ICONS.link, "Link", async () => {
    const address = `${location.href.split("#")[0] ?? ""}#${toHash(app.store.get().settings)}`;
    await navigator.clipboard.writeText(address);
    return "Link to these settings copied";
  });
  const format = select(TYPES, type, (chosen) => {
    type = chosen;
  });
  format.setAttribute("aria-label", "File format");
  const element = h(
    "section",
    { class: "panel-section", id: "save" },
    h("h2", {}, "Keep it"),
    h("div", { class: "row" }, save, format),
    h("div", { class: "row" }, copy, link),
    status,
  );
  app.store.subscribe(({ results }, before) => {
    element.hidden = results.length === 0;
    if (results !== before.results) status.textContent = "";
  });
  return element;
}

/** The result on the right, or the newest where none is shown, or one that is not finished. */
function shownResult(app: App, compare: Store<CompareState>): number {
  const { right } = compare.get();
  const { results } = app.store.get();
  return (results.find(({ id }) => id === right) ?? results.at(-1))?.id ?? 0;
}

function fileName(app: App, result: number, type: SaveOptions["type"]): string {
  const { image, results } = app.store.get();
  const scale = results.find(({ id }) => id === result)?.settings.scale ?? "";
  const stem = (image?.name ?? "picture").replace(/\.\w{2,4}$/, "");
  const suffix = type === "image/jpeg" ? "jpg" : type.slice("image/".length);
  return `${stem}-x${scale}.${suffix}`;
}

function download(blob: Blob, name: string): void {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  // The browser reads the address after this turn.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
