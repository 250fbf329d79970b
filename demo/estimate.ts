/** How long a picture will take: from this visitor's own runs, on software adapters also without any. */
import type { App } from "./app.ts";
import type { DeviceInfo } from "./protocol.ts";

const KEY = "rcod-ms-per-pixel";
/** SwiftShader on two cores (AMD Zen 5, 24 November 2026): 14 s for 128×128. */
const SOFTWARE_MS_PER_PIXEL = 0.85;

/** Milliseconds for a picture of so many input pixels; null where nothing is known yet. */
export function estimateMs(pixels: number, device: DeviceInfo | null): number | null {
  if (!device) return null;
  const measured = rates()[device.name];
  const rate = measured ?? (device.isSoftware ? SOFTWARE_MS_PER_PIXEL : null);
  return rate === null ? null : rate * pixels;
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
