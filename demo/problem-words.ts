/** What engine and browsers say, and what a visitor is told instead. */
import { DEVICE_WORDS, MODEL_WORDS } from "./engine-words.ts";
import type { Doing, Entry } from "./problem-entry.ts";

const FAILED: Readonly<Record<Doing, string>> = {
  image: "This picture could not be opened",
  model: "The model could not be loaded",
  upscale: "The picture could not be upscaled",
  save: "The picture could not be saved",
  copy: "It could not be copied",
  run: "The run could not be finished",
};

const READABLE = "PNG, JPEG, WebP, AVIF, GIF and BMP";

const FILES: readonly Entry[] = [
  {
    pattern: /cannot read the file \(([^,]*), 0 bytes\)/,
    words: () => ({
      title: "This file is empty",
      reason: "There is nothing in it; it may still be downloading, or was only copied in part.",
      advice: "Choose the file again when it is complete.",
    }),
  },
  {
    pattern: /cannot read the file \(image\/(?:heic|heif)/,
    words: () => ({
      title: "This browser cannot read HEIC photos",
      reason: "HEIC is how iPhones store photos, and only Safari opens it.",
      advice:
        'Save the photo as JPEG (on an iPhone: Settings, Camera, Formats, "Most Compatible"), or open this page in Safari.',
    }),
  },
  {
    pattern: /cannot read the file \(image\/(png|jpeg|webp|avif|gif|bmp)\b/,
    words: ([, type = ""]) => ({
      title: "This picture is damaged",
      reason: `It calls itself ${type.toUpperCase()}, but the browser finds no whole picture in it.`,
      advice: "Fetch or save the file once more, or choose another one.",
    }),
  },
  {
    pattern: /cannot read the file \((?:image|video|audio|text|application)\/(?!octet)([\w.+-]+)/,
    words: ([, type = ""]) => ({
      title: "This kind of file cannot be opened here",
      reason: `It is ${typeName(type)}; this browser reads ${READABLE}.`,
      advice: "Save it as PNG or JPEG with another program, and open that.",
    }),
  },
  {
    pattern: /cannot read the file/,
    words: () => ({
      title: "This is no picture that the browser knows",
      reason: `It reads ${READABLE}.`,
      advice: "Save it as PNG or JPEG with another program, and open that.",
    }),
  },
  {
    pattern: /image: ([\d×]+) pixels are more than/,
    words: ([, size = ""]) => ({
      title: "This picture is too large to open here",
      reason: `It has ${size.replace("×", " × ")} pixels, more than this browser decodes at once.`,
      advice: "Make it smaller or cut it with another program, or use the command line.",
    }),
  },
  {
    pattern: /NotReadableError|requested file could not be read|NotFoundError/,
    words: () => ({
      title: "The file can no longer be read",
      reason: "It was moved, changed or deleted since it was chosen, or another program holds it.",
      advice: "Choose it again.",
    }),
  },
];

const SAVING: readonly Entry[] = [
  {
    pattern: /image: image\/(\w+) has at most (\d+) pixels a side/,
    words: ([, type = "", side = ""]) => ({
      title: `Too large for ${type.toUpperCase()}`,
      reason: `That format has at most ${side} pixels a side.`,
      advice: "Choose PNG.",
    }),
  },
  {
    pattern: /makes no picture of (\d+)×(\d+) pixels/,
    words: ([, width = "", height = ""]) => ({
      title: "Too large to be saved here",
      reason: `This browser makes no picture of ${width} × ${height} pixels, or has no memory left for it.`,
      advice: "Choose a smaller size or a part of the picture, or use the command line.",
    }),
  },
  {
    pattern: /this browser writes no image\/(\w+)/,
    words: ([, type = ""]) => ({
      title: `This browser cannot write ${type.toUpperCase()}`,
      reason: "It has no encoder for that format.",
      advice: "Choose PNG.",
    }),
  },
  {
    pattern: /this result is gone/,
    words: () => ({
      title: "This result is no longer there",
      reason: "Its memory was needed for a newer one.",
      advice: "Upscale again.",
    }),
  },
  {
    pattern: /clipboard|^NotAllowedError/i,
    words: () => ({
      title: "The clipboard was refused",
      reason: "The browser lets a page write to it only when it is in front and allowed to.",
      advice:
        "Click into the page and try again, allow the clipboard, or save the picture instead.",
    }),
  },
  {
    pattern: /browser cannot copy pictures/,
    words: () => ({
      title: "This browser cannot copy pictures",
      reason: "Its clipboard takes text only.",
      advice: "Save the picture instead.",
    }),
  },
  {
    pattern: /QuotaExceededError|quota/i,
    words: () => ({
      title: "No room left in the browser's storage",
      reason: "The browser gives a page only a share of the disk, and that is used up.",
      advice: "Forget pictures that are no longer needed, or free some disk space.",
    }),
  },
];

const WORKER: readonly Entry[] = [
  {
    pattern: /^WorkerError|worker: the script must run/,
    words: () => ({
      title: "The part of this page that computes has stopped",
      reason: "It ended by an error, or could not be loaded.",
      advice: "Reload the page: pictures and results that were kept come back.",
      remedy: "reload-page",
    }),
  },
];

const OTHERS: readonly Entry[] = [
  {
    pattern: /^ShapeError.*sides of at most ([\d]+)/,
    words: ([, side = ""]) => ({
      title: "Too large to be computed",
      reason: `A side of the result would have more than ${side} pixels.`,
      advice: "Choose a smaller size or a part of the picture.",
    }),
  },
  {
    pattern: /AbortError/,
    words: () => ({
      title: "Stopped",
      reason: "It was ended before it was done.",
      advice: "Start it again when you like.",
    }),
  },
  {
    pattern:
      /Failed to fetch|NetworkError|Load failed|dynamically imported module|could not be loaded/,
    words: () => ({
      title: "A part of this page could not be fetched",
      reason: "There is no connection, or the page was renewed on the server.",
      advice: "Check the connection and reload the page.",
    }),
  },
  {
    pattern: /(?:)/,
    words: (_, doing) => ({
      title: FAILED[doing],
      reason: "This page has no name for what went wrong.",
      advice: "Try once more; if it stays, reload the page.",
    }),
  },
];

export const WORDS: readonly Entry[] = [
  ...WORKER, // quotes any other
  ...FILES,
  ...SAVING,
  ...DEVICE_WORDS,
  ...MODEL_WORDS,
  ...OTHERS,
];

/** "TIFF", "SVG", "PDF" for a type's second half. */
function typeName(type: string): string {
  const [first = type] = type.replace(/^(?:x-|vnd\.)/, "").split(/[+;.]/);
  return first.replaceAll("-", " ").toUpperCase();
}
