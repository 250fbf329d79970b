/** Pictures, results and a state without a page. */
import type { AppState } from "../../../demo/app-state.ts";
import type { Picture, PictureResult } from "../../../demo/library/picture.ts";
import { newPicture } from "../../../demo/library/picture.ts";
import { modelKey } from "../../../demo/model-key.ts";
import type { ModelInfo, ResultInfo, UpscaleSettings } from "../../../demo/protocol.ts";
import { DEFAULT_SETTINGS } from "../../../demo/settings.ts";
import type { Store } from "../../../demo/store.ts";
import { createStore } from "../../../demo/store.ts";

export const EMBEDDED = {
  kind: "embedded",
  weights: "int8",
  url: "https://page/models/rcod-tiny-int8",
} as const;
export const KEY = modelKey(EMBEDDED, "f32");

export const MODEL: ModelInfo = {
  name: "rcod-tiny",
  key: KEY,
  upscale: 4,
  precision: "f32",
  weights: "int8",
  supportsAuto: true,
  bytes: 1,
  loadMs: 1,
};

export const UPSCALE: UpscaleSettings = {
  realism: 0.5,
  colorFix: "model",
  seed: null,
  scale: 4,
  size: null,
  mask: null,
};

export const blobOf = (byteLength: number, fill = 1): Blob =>
  new Blob([new Uint8Array(byteLength).fill(fill)], { type: "image/png" });

export const picture = (name: string, byteLength = 10): Picture => ({
  ...newPicture(blobOf(byteLength), name),
  size: [8, 8],
});

export function info(id: number, settings: Partial<UpscaleSettings> = {}): ResultInfo {
  const timingsMs = { preprocess: 1, tokens: 1, encode: 1, unet: 1, decode: 1, color: 1 };
  return {
    id,
    width: 32,
    height: 32,
    settings: { ...UPSCALE, ...settings },
    model: KEY,
    realism: 0.5,
    timestep: 1,
    predictedMetric: null,
    timingsMs,
    regions: 1,
    reused: [],
    notes: [],
    totalMs: 6,
    peakBytes: 1,
    dropped: [],
  };
}

export const result = (
  id: number,
  settings: Partial<UpscaleSettings> = {},
  more: Partial<PictureResult> = {},
): PictureResult => ({
  info: info(id, settings),
  cut: null,
  file: blobOf(20, id),
  thumbnail: null,
  isKept: null,
  ...more,
});

export const open = ({ id, name, blob }: Picture): AppState["image"] => ({
  id,
  serial: 1,
  name,
  blob,
  width: 8,
  height: 8,
  notes: [],
  frame: { x: 0, y: 0, width: 8, height: 8 },
  cut: null,
  file: null,
});

export function stateWith(patch: Partial<AppState> = {}): Store<AppState> {
  return createStore<AppState>({
    device: null,
    isDeviceLost: false,
    canvasMode: "2d",
    model: MODEL,
    modelChoice: EMBEDDED,
    pictures: [],
    isQueueRunning: false,
    image: null,
    opening: null,
    results: [],
    wanted: null,
    partial: null,
    estimate: null,
    refusal: null,
    activity: null,
    problem: null,
    notice: null,
    settings: DEFAULT_SETTINGS,
    mask: null,
    ...patch,
  });
}
