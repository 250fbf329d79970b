/** For a large picture: what each size would take, and smaller copies that take less. */
import type { App } from "../app.ts";
import type { Answer } from "../estimate.ts";
import { askEstimate, askForSize, expectedTime } from "../estimate.ts";
import { isForbidden, obstacleOf } from "../obstacle.ts";
import type { Estimate, ImageCut, Size } from "../protocol.ts";
import { mostScale, resultSize, sizeAt, upscaleSettings } from "../request.ts";
import { SCALES } from "../settings.ts";
import type { Store } from "../store.ts";
import { createStore } from "../store.ts";

/** A smaller copy of what is open. */
export interface Copy extends Size {
  readonly maxSide: number;
  readonly estimate: Estimate | null;
}

export interface Offers {
  /** Whether the picture is large enough to be asked about. */
  readonly isLarge: boolean;
  readonly byScale: ReadonlyMap<number, Answer>;
  readonly copies: readonly Copy[];
}

/** Runs longer than this are announced with ways to a shorter one. */
const LONG_MS = 90_000;
/** Of copies: the longest side that still takes less than this is offered first. */
const PLEASANT_MS = 300_000;
const COPY_SIDES = [8192, 4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 128];
const COPIES = 2;
const NONE: Offers = { isLarge: false, byScale: new Map(), copies: [] };

export function followOffers(app: App): Store<Offers> {
  const offers = createStore<Offers>(NONE);
  let asked: readonly unknown[] = [];
  app.store.subscribe((state) => {
    const { image, model, device, estimate, refusal, settings } = state;
    const next = [image, model, device, estimate, refusal, settings.target];
    if (next.every((part, i) => part === asked[i])) return;
    if (image !== asked[0]) offers.set(NONE);
    asked = next;
    const isLarge = judge(state);
    if (isLarge !== offers.get().isLarge) offers.set({ isLarge });
    if (!isLarge || !image || !model) return;
    const ask = async (): Promise<void> => {
      const { width, height } = image;
      const picture = { width, height };
      const byScale = new Map<number, Answer>();
      for (const scale of SCALES.filter((each) => each <= mostScale(model))) {
        const plain = { ...settings, scale, target: null };
        const args = { ...upscaleSettings({ ...state, settings: plain }), picture };
        byScale.set(scale, await askEstimate(app, args));
        if (asked !== next) return;
      }
      offers.set({ byScale: new Map(byScale) });
      const copies = await pleasantCopies(app, image);
      if (asked === next) offers.set({ copies });
    };
    void ask();
  });
  return offers;
}

function judge(state: ReturnType<App["store"]["get"]>): boolean {
  const { image, device, estimate, refusal } = state;
  const result = resultSize(state);
  if (!image || !result) return false;
  const time = expectedTime(estimate, device);
  const obstacle = obstacleOf({ picture: image, result, estimate, refusal, device });
  return obstacle !== null || (estimate?.regions ?? 1) > 1 || (time?.ms ?? 0) > LONG_MS;
}

/** The largest copy that takes a pleasant time, and the next smaller one. */
async function pleasantCopies(app: App, image: Size & { readonly frame: Size }): Promise<Copy[]> {
  const { width, height } = image;
  const longest = Math.max(width, height);
  const copies: Copy[] = [];
  for (const maxSide of COPY_SIDES.filter((side) => side <= longest * 0.75)) {
    const [copyWidth, copyHeight] = sizeAt(image, maxSide / longest);
    const size = { width: copyWidth, height: copyHeight };
    const answer = await askForSize(app, size);
    const { device, settings, model } = app.store.get();
    const estimate = typeof answer === "string" ? null : answer;
    const refusal = typeof answer === "string" ? answer : null;
    const result = resultSize({ settings, model, image: size }) ?? [0, 0];
    const outlook = { picture: size, result, estimate, refusal, device } as const;
    const time = expectedTime(estimate, device);
    if (isForbidden(obstacleOf(outlook)) || (time?.ms ?? 0) > PLEASANT_MS) continue;
    copies.push({ maxSide, ...size, estimate });
    if (copies.length === COPIES) break;
  }
  return copies;
}

/** How a copy is opened. */
export const copyCut = (frame: ImageCut, maxSide: number): ImageCut => ({
  x: frame.x,
  y: frame.y,
  width: frame.width,
  height: frame.height,
  maxSide,
});
