/** Whether what is asked for is there already. */
import type { AppState } from "../app-state.ts";
import { blendOf } from "../instant/at-once.ts";
import { modelKey } from "../model-key.ts";
import type { Blend, PaintedMask, ResultInfo, UpscaleSettings } from "../protocol.ts";
import { upscaleSettings } from "../request.ts";
import type { Picture } from "./picture.ts";
import { freshResults } from "./picture.ts";

type Asked = Pick<AppState, "settings" | "model" | "modelChoice" | "image" | "mask">;

/** The result of the open picture that the next run would make again. */
export function resultOfWishes(state: Asked & Pick<AppState, "results">): ResultInfo | undefined {
  const wishes = upscaleSettings(state);
  return state.results.findLast((result) => isMadeOf(result, wishes, state));
}

/** The same of any picture. A mask is painted for the picture that is open, and no other. */
export function resultOfPicture(picture: Picture, state: Asked): ResultInfo | undefined {
  const wishes = wishesFor(picture, state);
  return freshResults(picture)
    .map(({ info }) => info)
    .findLast((result) => isMadeOf(result, wishes, state));
}

/** What can be seen of a picture until its result is there: a blend of results that are. */
export function blendFor(picture: Picture, state: Asked): Blend | null {
  const own = state.image?.id === picture.id ? state : { ...state, mask: null };
  const results = freshResults(picture).map(({ info }) => info);
  return blendOf(alikeResults(results, own), upscaleSettings(own).realism);
}

export function wishesFor({ id }: Picture, state: Asked): UpscaleSettings {
  return upscaleSettings(state.image?.id === id ? state : { ...state, mask: null });
}

/** Those that differ from what the next run would make in realism alone. */
export function alikeResults(results: readonly ResultInfo[], state: Asked): readonly ResultInfo[] {
  const wishes = upscaleSettings(state);
  return results.filter((result) => isAlike(result, wishes, state));
}

type ModelAsked = Pick<Asked, "settings" | "model" | "modelChoice">;

const isMadeOf = (result: ResultInfo, wishes: UpscaleSettings, state: ModelAsked): boolean =>
  result.settings.realism === wishes.realism && isAlike(result, wishes, state);

function isAlike(
  { settings, model }: ResultInfo,
  wishes: UpscaleSettings,
  state: ModelAsked,
): boolean {
  return (
    settings.colorFix === wishes.colorFix &&
    settings.seed === wishes.seed &&
    settings.scale === wishes.scale &&
    isSameSize(settings.size, wishes.size) &&
    isSameMask(settings.mask, wishes.mask) &&
    isOfModel(model, state)
  );
}

const isSameSize = (a: UpscaleSettings["size"], b: UpscaleSettings["size"]): boolean =>
  a?.width === b?.width && a?.height === b?.height;

/** Until the model is loaded, "auto" may become any precision. */
function isOfModel(
  key: string,
  { model, modelChoice, settings: { precision } }: ModelAsked,
): boolean {
  if (model) return key === model.key;
  const precisions = precision === "auto" ? (["f32", "f16"] as const) : [precision];
  return precisions.some((one) => key === modelKey(modelChoice, one));
}

function isSameMask(a: PaintedMask | null, b: PaintedMask | null): boolean {
  if (a === b) return true;
  if (!a || !b || a.realism !== b.realism) return false;
  if (a.width !== b.width || a.height !== b.height) return false;
  return fingerprint(a.data) === fingerprint(b.data);
}

const fingerprints = new WeakMap<Uint8Array, number>();

/** FNV-1a, once for each mask: they are compared whenever the state changes. */
function fingerprint(data: Uint8Array): number {
  const known = fingerprints.get(data);
  if (known !== undefined) return known;
  let hash = 0x811c9dc5;
  for (const byte of data) hash = Math.imul(hash ^ byte, 0x01000193);
  fingerprints.set(data, hash);
  return hash;
}
