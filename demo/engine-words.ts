/** What the engine says of devices and models, and what a visitor is told instead. */
import type { Doing, Entry } from "./problem-entry.ts";

const OF_PICTURE = {
  reason: "A picture of this size takes more memory than is free here.",
  advice: "Choose a smaller size or a part of the picture, or close other programs and tabs.",
};
const MEMORY_WORDS: Partial<Record<Doing, typeof OF_PICTURE>> = {
  model: {
    reason: "The model takes more memory than is free here.",
    advice: "Close other programs and tabs, choose f16 under More, or take a smaller model.",
  },
  run: {
    reason: "It takes more memory than is free here.",
    advice: "Close other programs and tabs, and run it again.",
  },
};

export const DEVICE_WORDS: readonly Entry[] = [
  {
    pattern: /DeviceLostError|device: lost/,
    words: () => ({
      title: "The GPU went away",
      reason: "The driver restarted, the computer slept, or memory ran out.",
      advice: "Your picture and settings are still here: start it again.",
      remedy: "recover",
    }),
  },
  {
    pattern:
      /out of memory|OutOfMemory|allocation failed|Invalid (?:typed )?array length|no memory for|needs \d+ bytes, this adapter allows/i,
    words: (_, doing) => ({
      title: "Not enough memory",
      ...(MEMORY_WORDS[doing] ?? OF_PICTURE),
      ...(doing === "model" && { remedy: "reload-model" as const }),
    }),
  },
  {
    pattern: /no adapter answered|asking for an adapter failed|refused a device|no WebGPU/,
    words: () => ({
      title: "The browser gave no GPU",
      reason: "After several losses it refuses one for a minute or two.",
      advice: "Wait a little and start it again, or restart the browser.",
      remedy: "recover",
    }),
  },
  {
    pattern: /^NumbersError/,
    words: () => ({
      title: "The model computed no picture",
      reason: "Its numbers went beyond what can be stored.",
      advice: "Choose f32 as precision under More, or another model.",
    }),
  },
  {
    pattern: /^DeviceError/,
    words: () => ({
      title: "The GPU could not do this",
      reason: "Its driver refused a step of the work.",
      advice: "Start it again, or choose a smaller size.",
      remedy: "recover",
    }),
  },
];

const UNUSABLE = "This model cannot be used";

export const MODEL_WORDS: readonly Entry[] = [
  {
    pattern: /no permission to read the folder (.+)/,
    words: ([, name = ""]) => ({
      title: "The model's folder may not be read",
      reason: `The browser needs your permission to read “${name}” again, and did not get it.`,
      advice: "Start once more and allow it, or use the model of this page.",
      remedy: "reload-model",
    }),
  },
  {
    pattern: /server must be reachable/,
    words: () => ({
      title: "The address of the model cannot be reached",
      reason:
        "Nothing answers there, or the server does not let other pages read its files (CORS).",
      advice: "Check the address and the connection, or download the folder and choose it here.",
      remedy: "reload-model",
    }),
  },
  {
    pattern: /HTTP 40[13]|Access is denied|they may be there, but denied/,
    words: () => ({
      title: "The server gives no access to the model",
      reason: "It wants a key, or that its licence is accepted first.",
      advice: "Download the folder in your browser and choose it here.",
      remedy: "reload-model",
    }),
  },
  {
    pattern: /weights: no model in (.+?): (.*?) (?:is|are) missing/,
    words: ([, name = "", missing = ""]) => ({
      title: /^https?:/.test(name)
        ? "There is no model at this address"
        : "There is no model in this folder",
      reason: `${missing} ${missing.includes(",") ? "are" : "is"} missing.`,
      advice:
        "Choose the folder that holds unet, vae and image_encoder, or the address of that folder.",
      remedy: "reload-model",
    }),
  },
  {
    pattern: /file must exist|The file is gone|HTTP 404|HTTP 410/,
    words: () => ({
      title: "A file of the model is missing",
      reason: "The folder names it, but does not have it.",
      advice: "Check the folder or the address, and copy the model there once more.",
      remedy: "reload-model",
    }),
  },
  {
    pattern: /got HTTP \d|must answer, and send/,
    words: () => ({
      title: "The model's server does not answer as it should",
      reason: "It is busy, too slow, or not made for large files.",
      advice: "Try again later, or download the folder and choose it here.",
      remedy: "reload-model",
    }),
  },
  {
    pattern: /file cannot be (?:opened|read)|while open/,
    words: () => ({
      title: "The model's folder can no longer be read",
      reason: "It was moved or changed, or the permission to read it has ended.",
      advice: "Choose the folder again and allow reading.",
      remedy: "reload-model",
    }),
  },
  {
    pattern: /WeightsError.*(?:file has|truncated|was cut|body ended|damaged|sha256|shorter|NaN)/s,
    words: () => ({
      title: UNUSABLE,
      reason: "One of its files is damaged or incomplete.",
      advice: "Download it again, or use the model of this page.",
      remedy: "reload-model",
    }),
  },
  {
    pattern: /^(?:WeightsError|ConfigError)/,
    words: () => ({
      title: UNUSABLE,
      reason: "Its files are not those of an RCOD model that this page knows.",
      advice: "Choose another folder, or use the model of this page.",
      remedy: "reload-model",
    }),
  },
];
