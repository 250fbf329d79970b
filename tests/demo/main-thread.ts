/**
 * Tasks of the page's main thread that took long, from the browser's own trace. Counted is the processor's time: by the clock a
 * task is long, too, when another program had the processor.
 */
import type { Browser, Page } from "puppeteer-core";

/** A page that is busy for longer does not answer. */
export const MOST_MS = 50;
/** What of a long task is worth to be named. */
const PART_MS = 5;
const BUFFER_KB = 400_000;

const CATEGORIES = [
  "disabled-by-default-devtools.timeline", // tasks
  "devtools.timeline", // what they do
  "mojom", // who asked for them
  "blink.user_timing", // the marks below
  "toplevel", // which sources they come from
];

/** An event of Chromium's trace; times in µs, of the clock that `process.hrtime` has. */
export interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  /** Of the processor. */
  readonly tdur?: number;
  readonly args: {
    readonly name?: string;
    /** Of Chromium, which asked for a task. */
    readonly src_file?: string;
    readonly data?: {
      readonly functionName?: string;
      readonly url?: string;
      readonly type?: string;
    };
    readonly chrome_mojo_event_info?: { readonly mojo_interface_tag?: string };
  };
}

/** A task once more, with its source. */
const POSTED_TASK = "ThreadControllerImpl::RunTask";

/** What of the trace is the test's own work. */
const [BEGIN, END] = ["test begins", "test ends"] as const;

/** Has work of the test in the page not counted as the page's. What `page.evaluate` does before it first waits is not anyway. */
export async function asTest<T>(page: Page, work: () => Promise<T>): Promise<T> {
  await page.evaluate((name) => void performance.mark(name), BEGIN);
  try {
    return await work();
  } finally {
    await page.evaluate((name) => void performance.mark(name), END);
  }
}

/** Closes a page. What it takes to take it down is nothing that a visitor waits for. */
export async function closePage(page: Page): Promise<void> {
  await page.evaluate((name) => void performance.mark(name), BEGIN);
  await page.close();
}

export interface Recording {
  /** Ends it. Rejects where the trace has gaps. */
  stop(): Promise<readonly TraceEvent[]>;
}

/** Begins to record all pages of a browser. It makes one recording at a time. */
export async function recordTasks(browser: Browser): Promise<Recording> {
  const events: TraceEvent[] = [];
  const session = await browser.target().createCDPSession();
  session.on("Tracing.dataCollected", ({ value }) => {
    events.push(...(value as unknown as TraceEvent[]).filter(isOfInterest));
  });
  await session.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: {
      recordMode: "recordUntilFull",
      traceBufferSizeInKb: BUFFER_KB,
      includedCategories: CATEGORIES,
      excludedCategories: ["*"],
    },
  });
  return {
    async stop() {
      const hasGaps = new Promise<boolean>((resolve) =>
        session.once("Tracing.tracingComplete", (end) => resolve(end.dataLossOccurred)),
      );
      await session.send("Tracing.end");
      if (await hasGaps) throw new Error(`the trace is larger than ${BUFFER_KB} kB, or has gaps`);
      await session.detach();
      if (tasksOf(events).length === 0) throw new Error("the trace knows no task of a page");
      return events;
    },
  };
}

const isOfInterest = (event: TraceEvent): boolean => {
  const { name, ph } = event;
  if (name === POSTED_TASK) return isCollection(event); // of the others there are many
  return ph === "X" || name === "thread_name" || name === BEGIN || name === END;
};

/** The tasks of all pages' main threads. */
function tasksOf(events: readonly TraceEvent[]): readonly TraceEvent[] {
  const mains = new Set(
    events
      .filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain")
      .map(threadOf),
  );
  return events.filter((event) => event.name === "RunTask" && mains.has(threadOf(event)));
}

const threadOf = ({ pid, tid }: TraceEvent): string => `${pid} ${tid}`;
const msOf = ({ tdur, dur = 0 }: TraceEvent): number => (tdur ?? dur) / 1000;

/** Without the large rounds of the garbage collectors, which come when they like, mostly over what the test itself has left. */
const ownMsOf = (task: TraceEvent, parts: readonly TraceEvent[]): number =>
  parts.filter(isCollection).reduce((ms, collection) => ms - msOf(collection), msOf(task));

/** Of the heap of scripts, and that of documents, which is swept in tasks of its own. */
const isCollection = ({ name, args }: TraceEvent): boolean =>
  name === "MajorGC" || (args.src_file?.includes("/heap/cppgc/") ?? false);

/**
 * Tasks of the pages, not of the test, that took too long, and what they did. `slownessAt` says how many times as long as at rest
 * the processor takes for its work at a time, `most` the ms that are no fault.
 */
export function longTasks(
  events: readonly TraceEvent[],
  slownessAt: (ts: number) => number = () => 1,
  most: number = MOST_MS,
): readonly { readonly ts: number; readonly text: string }[] {
  return tasksOf(events)
    .filter((task) => msOf(task) > most)
    .map((task) => {
      const parts = events.filter((event) => isWithin(event, task));
      return { task, parts, ms: ownMsOf(task, parts), slowness: slownessAt(task.ts) };
    })
    .filter(({ ms, slowness }) => ms > most * slowness)
    .filter(({ task, parts }) => !parts.some(isOfInspector) && !isMarked(task, events))
    .map(({ task, parts, ms, slowness }) => {
      const named = parts.filter((part) => msOf(part) >= PART_MS).map(nameOf);
      const pace = slowness > 1 ? ` on a processor ${slowness.toFixed(1)} times as slow` : "";
      return { ts: task.ts, text: `${Math.round(ms)} ms${pace}: ${named.join(", ")}` };
    });
}

const isWithin = (event: TraceEvent, task: TraceEvent): boolean =>
  event !== task &&
  threadOf(event) === threadOf(task) &&
  event.ts >= task.ts &&
  event.ts <= task.ts + (task.dur ?? 0);

/** `page.evaluate` and what else the test asks of the page. */
const isOfInspector = ({ args }: TraceEvent): boolean =>
  args.chrome_mojo_event_info?.mojo_interface_tag === "blink.mojom.DevToolsSession";

/** Whether a task ran while the test had work in its page. */
function isMarked(task: TraceEvent, events: readonly TraceEvent[]): boolean {
  const marks = events.filter(
    (event) => threadOf(event) === threadOf(task) && (event.name === BEGIN || event.name === END),
  );
  const end = task.ts + (task.dur ?? 0);
  const open = marks.filter(({ name, ts }) => name === BEGIN && ts < end).length;
  const closed = marks.filter(({ name, ts }) => name === END && ts < task.ts).length;
  return open > closed;
}

function nameOf(part: TraceEvent): string {
  const { functionName, url, type } = part.args.data ?? {};
  const { mojo_interface_tag: sender } = part.args.chrome_mojo_event_info ?? {};
  const what = [sender, type, functionName, url?.split("/").at(-1)].filter(Boolean).join(" ");
  return `${part.name}${what && ` of ${what}`} ${Math.round(msOf(part))} ms`;
}
