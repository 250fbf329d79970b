/** Recorded runs: a report is full at first sight, and says what a run here takes. */
import type { App } from "../../app.ts";
import { takeTurns } from "../../next-frame.ts";
import type { DeviceInfo } from "../../protocol.ts";
import { h } from "../../ui/dom.ts";
import { timeLeft } from "../../ui/format.ts";
import { unpack } from "./packed.ts";

/** A run that was recorded by `record-examples.ts`. */
export interface Example<T> {
  /** The adapter, and what it is. */
  readonly device: string;
  readonly date: string;
  /** The browser, as it names itself. */
  readonly runtime: string;
  readonly durationMs: number;
  readonly record: T;
}

/** What stands above the button of a report until there is a run of this device. */
export interface Introduction {
  /** What a run costs. */
  readonly cost: HTMLElement;
  /** For what else than device and picture the cost depends on. */
  readonly update: () => void;
}

/** Loads the example of a tab and hands it to `show`; says what a run costs, before that and after. */
export function introduce<T>(
  { store }: App,
  tab: string,
  costOf: (example: Example<T> | null) => string,
  show: (example: Example<T>) => void,
): Introduction {
  const cost = h("p", { class: "hint" });
  let example: Example<T> | null = null;
  const update = (): void => {
    cost.textContent = costOf(example);
  };
  store.subscribe(({ device, image }, before) => {
    if (device !== before.device || image !== before.image) update();
  });
  update();
  const begin = async (): Promise<void> => {
    example = await loadExample<T>(tab);
    update();
    await takeTurns(); // unpacking and showing are a task each
    if (example) show(example);
  };
  void begin();
  return { cost, update };
}

/** Null where it cannot be had: the report then begins empty. */
async function loadExample<T>(tab: string): Promise<Example<T> | null> {
  try {
    const response = await fetch(new URL(`examples/${tab}.json`, document.baseURI));
    if (!response.ok) return null;
    const stored = (await response.json()) as Example<string>;
    return { ...stored, record: (await unpack(stored.record)) as T };
  } catch {
    return null; // offline, before the page was kept
  }
}

/** Says above a report that it is not of this device. */
export function exampleLine({ device, date }: Example<unknown>): HTMLElement {
  return h(
    "p",
    { class: "example-line" },
    h("strong", {}, "Example"),
    ` Recorded on ${device}, ${longDate(date)}. “Run here” puts your own in its place.`,
  );
}

/** What `ms` of a recorded run let expect here; nothing before the device is known. `detail` says more of the example. */
export function expectedTime(
  ms: number,
  { device }: Pick<Example<unknown>, "device">,
  here: DeviceInfo | null,
  detail = "",
): string {
  if (here === null) return "";
  return here.isSoftware
    ? `A run takes ${timeLeft(ms)} on a processor like that of the example${detail}.`
    : `The example${detail} took ${timeLeft(ms)} on ${device}; a GPU takes less.`;
}

/** Not by the browser's own words for dates: to fetch them takes it longer than all else that is drawn here. */
const MONTHS =
  "January February March April May June July August September October November December";

function longDate(date: string): string {
  const day = new Date(date);
  return `${day.getUTCDate()} ${MONTHS.split(" ")[day.getUTCMonth()]} ${day.getUTCFullYear()}`;
}
