/** What results are called as files. */
import type { SaveOptions, UpscaleSettings } from "../protocol.ts";

/** "boats-x4-realism-0.75.png": the picture, and what of its settings is not the default. */
export function resultFileName(
  picture: string,
  { scale, realism, mask, colorFix, seed }: UpscaleSettings,
  type: SaveOptions["type"],
): string {
  const parts = [
    stem(picture),
    `x${scale}`,
    realism === "auto" ? "auto" : `realism-${Number(realism.toFixed(2))}`,
    ...(mask ? ["masked"] : []),
    ...(colorFix === "model" ? [] : [colorFix]),
    ...(seed === null ? [] : [`seed-${seed}`]),
  ];
  return `${parts.join("-")}.${type === "image/jpeg" ? "jpg" : type.slice("image/".length)}`;
}

/** Gives each name once, with a number where it was given before: on disks that ignore case, too. */
export function createUniqueNames(): (name: string) => string {
  const taken = new Set<string>();
  return (name) => {
    const dot = name.lastIndexOf(".");
    let free = name;
    for (let i = 2; taken.has(free.toLowerCase()); i++) {
      free = `${name.slice(0, dot)}-${i}${name.slice(dot)}`;
    }
    taken.add(free.toLowerCase());
    return free;
  };
}

/** Without its ending, and without what file systems refuse. */
function stem(name: string): string {
  const bare = name
    .replace(/\.[a-z0-9]{2,5}$/i, "")
    // oxlint-disable-next-line no-control-regex
    .replace(/[\\/:*?"<>|\u0000-\u001F]+/g, "-")
    .replace(/^\.+|[. ]+$/g, "");
  return bare || "picture";
}
