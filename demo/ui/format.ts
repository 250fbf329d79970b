/** Numbers for people. */

/** "7.8 MB": decimal units, as file managers have them. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** "0.4 s", "12 s", "3 min 20 s", "1.5 h". */
export function duration(ms: number): string {
  if (ms < 1) return "0 ms";
  if (ms < 995) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  const rest = Math.round(seconds) % 60;
  if (minutes >= 90) return hours(minutes);
  return minutes < 10 && rest > 0 ? `${minutes} min ${rest} s` : `${minutes} min`;
}

/** "about 12 s", in steps that do not jitter. */
export function timeLeft(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 1.5) return "about a second";
  if (seconds < 10) return `about ${Math.round(seconds)} s`;
  if (seconds < 90) return `about ${Math.round(seconds / 5) * 5} s`;
  const minutes = Math.round(seconds / 60);
  return `about ${minutes >= 90 ? hours(minutes) : `${minutes} min`}`;
}

function hours(minutes: number): string {
  return `${minutes < 600 ? Math.round(minutes / 6) / 10 : Math.round(minutes / 60)} h`;
}

export function pixels(width: number, height: number): string {
  return `${width} × ${height}`;
}

/** "0.50", or the name of a stop of the slider. */
export function realismName(realism: number): string {
  if (realism === 0) return "Fidelity";
  if (realism === 0.5) return "Neutral";
  if (realism === 1) return "Realism";
  return realism.toFixed(2);
}
