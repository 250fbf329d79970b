/** Progress on stderr: a bar on a terminal, a line per stage in a log, or nothing. */
import type { Progress, Stage } from "../src/rcod/settings/options.ts";
import { formatBytes, formatMs } from "./format.ts";
import { shownText } from "./shown-text.ts";
import type { Terminal } from "./terminal.ts";

const STAGE_LABEL: Readonly<Record<Stage, string>> = {
  load: "loading model",
  preprocess: "preparing",
  tokens: "image tokens",
  encode: "encoding",
  unet: "denoising",
  decode: "decoding",
  color: "colour fix",
};

/** Shown until the engine reports its first stage. */
const NO_STAGE_LABEL = "starting";

const LABEL_WIDTH = Math.max(...Object.values(STAGE_LABEL).map((label) => label.length));
const BAR_WIDTH = 24;

/** Of a stage that comes again, with every region, a log is told after so much more of the whole. */
const REPEAT_FRACTION = 0.05;

/** Below these the time left to load would be a guess. */
const ESTIMATE_MIN_FRACTION = 0.03;
const ESTIMATE_MIN_MS = 500;

/** Shows one operation after the other. `stop` is idempotent and leaves the terminal as it was. */
export interface ProgressDisplay {
  /** Begins an operation; `subject` says on what, e.g. the file's name, `label` what is done, if no stage of the engine. */
  start(subject: string, label?: string): void;
  update(progress: Progress): void;
  stop(): void;
}

/** A display that fits the terminal's progress stream; `quiet` shows nothing. */
export async function createProgress(terminal: Terminal, quiet: boolean): Promise<ProgressDisplay> {
  if (quiet) return { start() {}, update() {}, stop() {} };
  return terminal.progressStream.isTTY ? barDisplay(terminal) : lineDisplay(terminal);
}

/** Milliseconds left after `elapsedMs` at `fraction`, assuming an even pace; undefined while unknown. */
export function estimateLeftMs(elapsedMs: number, fraction: number): number | undefined {
  if (fraction < ESTIMATE_MIN_FRACTION || elapsedMs < ESTIMATE_MIN_MS) return undefined;
  return (elapsedMs * (1 - fraction)) / fraction;
}

/** What the engine says; it does not while a model loads or is converted. */
const leftMsOf = ({ leftMs, stage, fraction }: Progress, elapsedMs: number): number | undefined =>
  leftMs ?? (stage === "load" ? estimateLeftMs(elapsedMs, clamp(fraction)) : undefined);

async function barDisplay(terminal: Terminal): Promise<ProgressDisplay> {
  const { default: cliProgress } = await import("cli-progress");
  let subject = "";
  let ownLabel: string | undefined;
  let startedAt = 0;
  let latest: Progress | undefined;
  let left: { readonly ms: number; readonly at: number } | undefined;
  let bar: InstanceType<typeof cliProgress.SingleBar> | undefined;

  const render = (): string => {
    const fraction = clamp(latest?.fraction ?? 0);
    const filled = Math.round(fraction * BAR_WIDTH);
    const cells = "█".repeat(filled) + "░".repeat(BAR_WIDTH - filled);
    const stageLabel = latest ? STAGE_LABEL[latest.stage] : NO_STAGE_LABEL;
    const label = (ownLabel ?? stageLabel).padEnd(LABEL_WIDTH);
    const percent = `${Math.floor(fraction * 100)}`.padStart(3);
    // The clock runs on between two reports of the engine.
    const time =
      left === undefined
        ? ""
        : `  ${formatLeft(Math.max(0, left.ms - (performance.now() - left.at)))} left`;
    return `${subject}  ${label} ${cells} ${percent} %${loaded(latest)}${time}`;
  };

  // The bar hides the cursor; an exit in the middle has to bring it back.
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
    process.off("exit", stop);
  };

  return {
    start(next, label) {
      stop();
      process.on("exit", stop);
      subject = shownText(next);
      ownLabel = label;
      startedAt = performance.now();
      latest = undefined;
      left = undefined;
      bar = new cliProgress.SingleBar({
        stream: terminal.progressStream,
        format: render,
        clearOnComplete: true,
        hideCursor: true,
        gracefulExit: false, // signals are ours
        fps: 8,
      });
      bar.start(1000, 0);
    },
    update(progress) {
      latest = progress;
      const ms = leftMsOf(progress, performance.now() - startedAt);
      if (ms !== undefined) left = { ms, at: performance.now() };
      bar?.update(Math.floor(clamp(progress.fraction) * 1000));
    },
    stop,
  };
}

function lineDisplay(terminal: Terminal): ProgressDisplay {
  let subject = "";
  let ownLabel: string | undefined;
  let startedAt = 0;
  let stage: Stage | undefined;
  let told = new Set<Stage>();
  let toldFraction = 0;
  return {
    start(next, label) {
      subject = shownText(next);
      ownLabel = label;
      startedAt = performance.now();
      stage = undefined;
      told = new Set();
    },
    update(progress) {
      if (progress.stage === stage) return;
      stage = progress.stage;
      const fraction = clamp(progress.fraction);
      if (told.has(stage) && fraction < toldFraction + REPEAT_FRACTION) return;
      told.add(stage);
      toldFraction = fraction;
      const left = leftMsOf(progress, performance.now() - startedAt);
      const time = left === undefined ? "" : `, about ${formatLeft(left)} left`;
      const label = ownLabel ?? STAGE_LABEL[stage];
      terminal.note(`${subject}: ${label} (${Math.floor(fraction * 100)} %${time})`);
    },
    stop() {},
  };
}

function loaded(progress: Progress | undefined): string {
  if (progress?.bytesLoaded === undefined) return "";
  const total = progress.bytesTotal === undefined ? "" : ` of ${formatBytes(progress.bytesTotal)}`;
  return `  ${formatBytes(progress.bytesLoaded)}${total}`;
}

/** Whole seconds: tenths would flicker. */
function formatLeft(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds} s` : formatMs(seconds * 1000);
}

function clamp(fraction: number): number {
  return Math.min(1, Math.max(0, fraction));
}
