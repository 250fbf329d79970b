/** Results as files, on the clipboard, or as a link with the settings. */
import type { App } from "../app.ts";
import { listed } from "../library/listed.ts";
import { resultOfWishes } from "../library/match.ts";
import { resultFileName } from "../library/names.ts";
import { inWords } from "../problems.ts";
import type { ResultInfo, SaveOptions } from "../protocol.ts";
import { addressOf } from "../settings.ts";
import type { CompareState } from "../stage/compare-state.ts";
import { layerName } from "../stage/compare-state.ts";
import type { Store } from "../store.ts";
import { ICONS, button, disable, h, icon, select } from "../ui/dom.ts";
import { download } from "../ui/download.ts";
import { canShareFiles, shareFile } from "./share-file.ts";

const TYPES = [
  ["image/png", "PNG"],
  ["image/jpeg", "JPEG"],
  ["image/webp", "WebP"],
] as const;
/** Of JPEG and WebP: no visible loss, a third of the bytes of PNG. */
const QUALITY = 0.92;

const NO_RESULT = "This part of the picture has no result yet.";

export interface SaveSection {
  readonly element: HTMLElement;
  readonly save: HTMLButtonElement;
  /** Null where the browser hands no files to other apps. */
  readonly share: HTMLButtonElement | null;
  /** What became of the last of them. */
  readonly status: HTMLElement;
}

export function createSaveSection(app: App, compare: Store<CompareState>): SaveSection {
  let type: SaveOptions["type"] = "image/png";
  const status = h("p", { class: "hint", role: "status" });
  const which = h("p", { class: "hint" });
  const tell = async (work: () => Promise<string>): Promise<void> => {
    try {
      status.textContent = await work();
    } catch (error) {
      status.textContent = inWords(error, "save");
    }
  };
  /** What is kept: the result that is seen. A preview becomes one first. */
  const kept = async (): Promise<ResultInfo> => {
    if (compare.get().right === "blend") {
      status.textContent = "Computing the exact picture first";
      return exactResult(app);
    }
    const result = savedResult(app, compare);
    if (!result) throw new Error("internal: nothing to be kept, and a button for it");
    return result;
  };
  const nameOf = ({ settings }: ResultInfo): string =>
    resultFileName(app.store.get().image?.name ?? "", settings, type);
  const encode = ({ id }: ResultInfo, chosen: SaveOptions["type"]): Promise<Blob> =>
    app.call("save", { result: id, type: chosen, quality: QUALITY });

  const action = (
    glyph: string,
    label: string,
    work: Parameters<typeof tell>[0],
  ): HTMLButtonElement =>
    button({ class: "button is-grown" }, () => void tell(work), icon(glyph), label);
  const save = action(ICONS.download, "Save", async () => {
    const result = await kept();
    const name = nameOf(result);
    download(await encode(result, type), name);
    return `Saved as ${name}`;
  });
  const copy = action(ICONS.copy, "Copy", async () => {
    if (typeof ClipboardItem === "undefined") {
      throw new Error("This browser cannot copy pictures. Save it instead");
    }
    // A promise in the item: Safari allows the clipboard only within the click.
    const png = kept().then((result) => encode(result, "image/png"));
    png.catch(() => undefined); // the clipboard may be refused before that
    const item = new ClipboardItem({ "image/png": png });
    await navigator.clipboard.write([item]).catch(() => {
      throw new Error("The browser did not let the page copy. Save the picture instead");
    });
    return "Picture copied";
  });
  const link = action(ICONS.link, "Link", async () => {
    await navigator.clipboard.writeText(addressOf(app.store.get().settings)).catch(() => {
      throw new Error(
        "The browser did not let the page copy. Copy the address of the page instead",
      );
    });
    return "Link copied: opens the page with these settings";
  });
  const zip = action(ICONS.download, "", async () => {
    // Most visitors never need it.
    const { zipResults } = await import("../library/zip.ts");
    const progress = (done: number, count: number): void => {
      status.textContent = `Packing ${done + 1} of ${count}`;
    };
    const { blob, name, count, missing } = await zipResults(
      app,
      { type, quality: QUALITY },
      progress,
    );
    download(blob, name);
    const saved = `${count} pictures saved in ${name}`;
    return missing.length === 0 ? saved : `${saved}; not there any more: ${listed(missing)}`;
  });
  zip.id = "save-all";
  const share = canShareFiles()
    ? action(ICONS.share, "Share", async () => {
        const result = await kept();
        const name = nameOf(result);
        const make = async (): Promise<File> =>
          new File([await encode(result, type)], name, { type });
        return shareFile(`${result.id} ${name}`, make);
      })
    : null;
  const format = select(TYPES, type, (chosen) => {
    type = chosen;
  });
  format.setAttribute("aria-label", "File format");
  const element = h(
    "section",
    { class: "panel-section", id: "save" },
    h("h2", {}, "Keep it"),
    which,
    h("div", { class: "row" }, save, format),
    h("div", { class: "row" }, copy, link, share),
    h("div", { class: "row" }, zip),
    status,
  );
  const update = (): void => {
    const { results, pictures } = app.store.get();
    const count = pictures.reduce((sum, picture) => sum + picture.results.length, 0);
    element.hidden = count === 0;
    const reason = results.length === 0 ? NO_RESULT : null;
    for (const one of [save, copy, share]) if (one) disable(one, reason);
    zip.hidden = count < 2;
    zip.lastChild?.replaceWith(`Save all ${count} as ZIP`);
    which.textContent = whatIsSaved(app, compare);
  };
  compare.subscribe(update);
  app.store.subscribe(({ results, pictures }, before) => {
    if (results !== before.results) status.textContent = "";
    if (results !== before.results || pictures !== before.pictures) update();
  });
  return { element, save, share, status };
}

/** What the preview is one of. Rejects where its run is ended, or another picture opened meanwhile. */
async function exactResult(app: App): Promise<ResultInfo> {
  const { store } = app;
  const { image } = store.get();
  const made = (): ResultInfo | undefined => {
    const state = store.get();
    return state.image?.id === image?.id ? resultOfWishes(state) : undefined;
  };
  let stop = (): void => undefined;
  // A queue that goes on after it is not waited for.
  const isThere = new Promise<void>((resolve) => {
    stop = store.subscribe(() => made() && resolve());
  });
  await Promise.race([isThere, app.upscale()]);
  stop();
  const exact = made();
  if (!exact) throw new DOMException("its run was ended", "AbortError");
  return exact;
}

/** The result on the right; the newest where the original is shown there, or one that is not finished. */
function savedResult(app: App, compare: Store<CompareState>): ResultInfo | undefined {
  const { right } = compare.get();
  const { results } = app.store.get();
  return results.find(({ id }) => id === right) ?? results.at(-1);
}

/** Says so where what is saved is not what is shown. */
function whatIsSaved(app: App, compare: Store<CompareState>): string {
  const { right } = compare.get();
  const saved = savedResult(app, compare);
  if (!saved) return NO_RESULT;
  if (saved.id === right) return "";
  const name = layerName(saved.id, app.store.get().results);
  if (right === "blend") {
    return "A preview is shown on the right. To be kept, the exact picture is computed first.";
  }
  return right === "bicubic"
    ? `The original is shown on the right. This saves the result: ${name}.`
    : `The result on the right is not finished. This saves the one before: ${name}.`;
}
