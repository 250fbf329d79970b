/** How the pictures are looked at: mode, layers, divider, zoom. */
import type { AppState } from "../app.ts";
import type { PlacedBlend } from "../instant/at-once.ts";
import type { CompareMode, LayerId, ResultInfo } from "../protocol.ts";
import { DEFAULT_SETTINGS } from "../settings.ts";
import type { Store } from "../store.ts";
import { createStore } from "../store.ts";
import { realismName } from "../ui/format.ts";

/** `fit` follows the size of the window; a scale is in device pixels per pixel of the enlarged picture. */
export type Zoom =
  | "fit"
  | { readonly scale: number; readonly centre: readonly [x: number, y: number] };

export interface CompareState {
  readonly mode: CompareMode;
  readonly left: LayerId;
  readonly right: LayerId;
  /** A preview of the settings, which is the layer "blend"; null where there is none. */
  readonly blend: PlacedBlend | null;
  /** 0 … 1 of the stage's width. */
  readonly divider: number;
  readonly zoom: Zoom;
  /** Flicker, or a held key: the left picture is shown in place of the right one. */
  readonly isFlipped: boolean;
}

export function createCompareState(app: Store<AppState>): Store<CompareState> {
  const compare = createStore<CompareState>({
    mode: app.get().settings.mode,
    left: "bicubic",
    right: "bicubic",
    blend: null,
    divider: 0.5,
    zoom: "fit",
    isFlipped: false,
  });
  app.subscribe((state, before) => {
    const { results, partial, image, settings } = state;
    if (image?.serial !== before.image?.serial) {
      const newest = layersOf(state).at(-1) ?? "bicubic";
      compare.set({ zoom: "fit", left: "bicubic", right: newest, blend: null });
    }
    if (settings.mode !== compare.get().mode) {
      compare.set({ mode: settings.mode, isFlipped: false });
    }
    if (results !== before.results || partial !== before.partial) {
      compare.set(followResults(compare.get(), state, before));
    }
    const { wanted } = state;
    if (wanted && wanted !== before.wanted && layersOf(state).includes(wanted.id)) {
      compare.set({ right: wanted.id });
    }
  });
  return compare;
}

/** The right side shows the newest result unless an older one was chosen; what is gone becomes bicubic. */
function followResults(
  { left, right }: CompareState,
  state: AppState,
  before: AppState,
): Pick<CompareState, "left" | "right"> {
  const layers = layersOf(state);
  const has = (layer: LayerId): boolean => layers.includes(layer);
  const newest = layers.at(-1) ?? "bicubic";
  const wasNewest = right === layersOf(before).at(-1);
  return {
    left: has(left) ? left : "bicubic",
    right: wasNewest || !has(right) ? newest : right,
  };
}

/** All results, newest last, and the picture that came. */
export const layersOf = ({ results, partial }: AppState): readonly LayerId[] => [
  "bicubic",
  ...results.map(({ id }) => id),
  ...(partial ? [partial.id] : []),
];

/** What a layer is called: "Original", "rcod · Neutral", "rcod · Auto 0.61 · ×2", "rcod · 0.72 · preview". */
export function layerName(
  layer: LayerId,
  results: readonly ResultInfo[],
  blend: PlacedBlend | null = null,
): string {
  if (layer === "bicubic") return "Original";
  if (layer === "blend") return `rcod · ${realismName(blend?.realism ?? 0)} · preview`;
  const result = results.find(({ id }) => id === layer);
  return `rcod · ${result ? settingName(result) : "so far"}`;
}

/** What a result was made with: "Neutral", "Auto 0.61 · ×2". */
export function settingName({ settings, realism }: ResultInfo): string {
  const parts = [
    settings.realism === "auto" ? `Auto ${realism.toFixed(2)}` : realismName(realism),
    ...(settings.mask ? [`painted ${realismName(settings.mask.realism)}`] : []),
    ...(settings.colorFix === "model" ? [] : [settings.colorFix]),
    ...(settings.seed === null ? [] : [`seed ${settings.seed}`]),
    ...(settings.scale === DEFAULT_SETTINGS.scale ? [] : [`×${settings.scale}`]),
  ];
  return parts.join(" · ");
}

/** More on a layer, for those who ask. */
export function layerHint(layer: LayerId): string {
  if (layer === "bicubic") return "The original, enlarged by bicubic: no detail is added";
  if (layer === "blend") return "Blended of two results; the exact one is computed";
  return "";
}
