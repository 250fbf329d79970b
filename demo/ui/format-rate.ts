/** Figures of measurements: three digits, and a dash for what was not measured. */

const NONE = "–";

export function rate(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value) ? NONE : threeDigits(value);
}

/** Milliseconds, microseconds below one tenth of them, seconds from ten. */
export function milliseconds(ms: number | undefined): string {
  if (ms === undefined || !Number.isFinite(ms)) return NONE;
  if (ms >= 10_000) return `${threeDigits(ms / 1000)} s`;
  return ms < 0.1 ? `${threeDigits(1000 * ms)} µs` : `${threeDigits(ms)} ms`;
}

/** "1.2e-6", "0". */
export function scientific(value: number): string {
  if (value === 0) return "0";
  return Number.isFinite(value) ? value.toExponential(1) : String(value);
}

/** "3.4 %", "61 %", without a line break in it. */
export function percent(share: number): string {
  const value = 100 * share;
  if (value > 0 && value < 0.05) return "<\u00a00.1\u00a0%";
  return `${value >= 9.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)}\u00a0%`;
}

function threeDigits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
