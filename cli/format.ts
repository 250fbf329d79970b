/** Names, numbers and tables for people. Imports nothing of Node: the benchmark page uses it too. */
import type { Caps } from "../src/gpu/caps.ts";
import { adapterNames } from "../src/gpu/caps.ts";

/** What the adapter says it is. */
export function adapterName(caps: Omit<Caps, "limits">): string {
  return adapterNames(caps) || "unnamed";
}

/** `1.5 GiB`, `128 MiB`, `512 B`: three significant digits, binary units. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  // 999.5 and above would print as four digits.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${threeDigits(value)} ${units[unit]}`;
}

/** `0.42 ms`, `350 ms`, `12.3 s`, `2 min 05 s`, `1 h 02 min`. */
export function formatMs(ms: number): string {
  if (ms < 999.5) return `${threeDigits(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${twoDigits(whole % 60)} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${twoDigits(minutes % 60)} min`;
}

function threeDigits(value: number): string {
  if (Number.isInteger(value) || value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}

/**
 * Rows as aligned columns, two spaces apart, without trailing spaces. `align` is given by column (default
 * left); missing cells are empty.
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  align: readonly ("left" | "right")[] = [],
): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return align[column] === "right" ? cell.padStart(width) : cell.padEnd(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
