/** Tells screen readers what the eye sees at once: that something began, how far it is, how it ended. */
import type { App, AppState } from "../app.ts";
import type { ResultInfo } from "../protocol.ts";
import { duration, pixels, timeLeft } from "../ui/format.ts";

/** Whoever has just heard something is left alone. */
const QUIET_MS = 5000;
const THIRDS = ["", "A third is done", "Two thirds are done"] as const;

export function announceTo(element: HTMLElement, { store }: App): void {
  let begun = store.get();
  let told = 0;
  let toldAt = 0;
  const say = (text: string): void => {
    element.textContent = text;
    toldAt = performance.now();
  };
  store.subscribe((state, before) => {
    const { activity, problem, image } = state;
    if (image && image !== before.image) say(opened(image));
    if (activity && activity.kind !== before.activity?.kind) {
      begun = state;
      told = 0;
      say(BEGUN[activity.kind]);
    } else if (activity) {
      const third = thirdOf(activity);
      const isNews = third > told && performance.now() - toldAt > QUIET_MS;
      if (isNews) say(`${THIRDS[third]}${left(activity)}.`);
      if (isNews) told = third;
    } else if (before.activity && !activity && !problem) {
      const text = outcome(before.activity, state, begun);
      if (text !== null) say(text);
      // A run that makes room for the next one begins again at once.
      else setTimeout(() => !store.get().activity && say("Stopped."));
    }
  });
}

const BEGUN = { upscale: "Upscaling.", image: "Opening.", model: "Loading the model." } as const;

type Activity = NonNullable<AppState["activity"]>;

function thirdOf({ kind, progress }: Activity): 0 | 1 | 2 {
  if (kind !== "upscale" || !progress || progress.stage === "load") return 0;
  return progress.fraction >= 2 / 3 ? 2 : progress.fraction >= 1 / 3 ? 1 : 0;
}

function left({ progress }: Activity): string {
  return progress?.leftMs === undefined ? "" : `, ${timeLeft(progress.leftMs)} left`;
}

const opened = ({ name, width, height }: NonNullable<AppState["image"]>): string =>
  `${name} is open, ${pixels(width, height)} pixels.`;

/** What has come of an activity; null where nothing has. */
function outcome({ kind, picture }: Activity, state: AppState, begun: AppState): string | null {
  const { image, model } = state;
  switch (kind) {
    case "image":
      return image && image !== begun.image ? opened(image) : null;
    case "model":
      return model && model !== begun.model ? `${model.name} is loaded.` : null;
    case "upscale": {
      if (state.wanted && state.wanted !== begun.wanted) return "This result is there already.";
      const last = lastResult(state, picture);
      if (!last || last.id === lastResult(begun, picture)?.id) return null;
      const { name = "" } = state.pictures.find(({ id }) => id === picture) ?? {};
      const whose = picture === image?.id ? "Done" : `${name} is done`;
      return `${whose} in ${duration(last.totalMs)}: ${pixels(last.width, last.height)} pixels.`;
    }
    default:
      return kind satisfies never;
  }
}

const lastResult = ({ pictures }: AppState, picture: string | null): ResultInfo | undefined =>
  pictures.find(({ id }) => id === picture)?.results.at(-1)?.info;
