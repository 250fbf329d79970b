/** What the next run will take: from the model once it is loaded, before that from this visitor's own runs. */
import type { App, AppState } from "./app.ts";
import type { DeviceInfo } from "./protocol.ts";
import { upscaleSettings } from "./request.ts";

const KEY = "rcod-ms-per-pixel";
/** SwiftShader on two cores (AMD Zen 5, 24 November 2026): 14 s for 128×128. */
const SOFTWARE_MS_PER_PIXEL = 0.85;

/** Milliseconds of the next run; null where nothing is known yet. */
export function expectedMs({ estimate, image, device }: AppState): number | null {
  const ofModel = estimate?.timeMs ?? null;
  if (ofModel !== null) return ofModel;
  if (!device || !image) return null;
  const measured = rates()[device.name];
  const rate = measured ?? (device.isSoftware ? SOFTWARE_MS_PER_PIXEL : null);
  return rate === null ? null : rate * image.width * image.height;
}

/** Keeps what a whole run took. */
function recordRun(pixels: number, ms: number, device: DeviceInfo | null): void {
  if (!device) return;
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...rates(), [device.name]: ms / pixels }));
  } catch {
    // Storage is switched off: the next visit starts from nothing.
  }
}

function rates(): Readonly<Record<string, number | undefined>> {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return typeof kept === "object" && kept !== null ? (kept as Record<string, number>) : {};
  } catch {
    return {};
  }
}

/** Learns from each run that reused nothing. */
export function recordEstimates({ store }: App): void {
  store.subscribe(({ results, image, device }, before) => {
    const last = results.at(-1);
    if (!last || !image || last === before.results.at(-1) || last.reused.length > 0) return;
    recordRun(image.width * image.height, last.totalMs, device);
  });
}

/** Asks the model again whenever something has changed that counts. */
export function followEstimates(app: App): void {
  let asked: readonly unknown[] = [];
  app.store.subscribe((state) => {
    const { image, model, settings, mask, results } = state;
    const { realism, colorFix, seed, scale } = settings;
    const next = [image, model, mask, results, realism, colorFix, seed, scale];
    if (next.every((part, i) => part === asked[i])) return;
    asked = next;
    if (!image || !model) {
      if (state.estimate) app.store.set({ estimate: null });
      return;
    }
    const ask = async (): Promise<void> => {
      const estimate = await app.call("estimate", upscaleSettings(state)).catch(() => null); // the run will say what is wrong
      if (asked === next) app.store.set({ estimate });
    };
    void ask();
  });
}
