/** What would make a call smaller or faster, in sentences, each with what it would be then. */

/** A call, or what it would be with another setting. */
export interface Outlook {
  readonly work: number;
  readonly timeMs?: number;
  readonly peakBytes: number;
  readonly regions: number;
}

/** Settings that may help, and what the call would be with them. */
export interface Alternatives {
  /** Of a picture of half the sides. */
  readonly half?: Outlook;
  /** In regions of this side, or of a smaller one. */
  readonly region?: Outlook & { readonly side: number };
  /** Without `tile`. */
  readonly untiled?: Outlook;
  /** Without `realismMask`. */
  readonly unmasked?: Outlook;
  /** Bytes with `lowMemory`. */
  readonly lowMemoryBytes?: number;
  /** Whether this device computes with halves, and the model does not. */
  readonly couldBeF16: boolean;
}

/** Less saving than this share is not worth a sentence. */
const WORTH_TELLING = 0.1;

export function advise(
  call: Outlook,
  { half, region, untiled, unmasked, lowMemoryBytes, couldBeF16 }: Alternatives,
): readonly string[] {
  const saves = (other: number, present: number): boolean => other < (1 - WORTH_TELLING) * present;
  const memory = (bytes: number): string =>
    `${formatBytes(bytes)} of the device's memory instead of ${formatBytes(call.peakBytes)}`;
  const time = (other: Outlook): string =>
    other.timeMs !== undefined && call.timeMs !== undefined
      ? `${formatTime(other.timeMs)} instead of ${formatTime(call.timeMs)}`
      : `${Math.round((100 * other.work) / call.work)} % of the work`;
  const advice: string[] = [];
  if (half && saves(half.work, call.work)) {
    const smaller = saves(half.peakBytes, call.peakBytes) ? ` and ${memory(half.peakBytes)}` : "";
    advice.push(`A picture of half the width and height takes ${time(half)}${smaller}.`);
  }
  if (untiled && saves(untiled.work, call.work)) {
    advice.push(`Without "tile" it takes ${time(untiled)}: tiles compute their margins too.`);
  }
  if (unmasked && saves(unmasked.work, call.work)) {
    advice.push(`Without "realismMask" it takes ${time(unmasked)}: the UNet runs once.`);
  }
  if (region && saves(region.peakBytes, call.peakBytes)) {
    const longer = saves(call.work, region.work) ? `, and ${time(region)}` : "";
    const setting = `"region: ${region.side}"`;
    advice.push(
      `With ${setting} it takes ${memory(region.peakBytes)}${longer}, in ${region.regions} regions.`,
    );
  }
  if (lowMemoryBytes !== undefined && saves(lowMemoryBytes, call.peakBytes)) {
    advice.push(
      `Loaded with "lowMemory: true" it takes ${memory(lowMemoryBytes)}; weights are then read again for every picture.`,
    );
  }
  if (couldBeF16) {
    advice.push(
      'Loaded with "precision: \\"f16\\"" weights and activations take half the memory, and the call less time.',
    );
  }
  return advice;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

function formatBytes(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}

function formatTime(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
