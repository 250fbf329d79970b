/** A call's times and progress. */
import type { RunOptions } from "../../graph/program.ts";
import type { Forecast } from "../estimate/forecast.ts";
import type { Inspector } from "../inspect/inspector.ts";
import { NETWORK_STAGES } from "../inspect/stage-modules.ts";
import type { EnterOptions } from "../loading/part-loader.ts";
import type { PixelRectangle, Progress, RunStage } from "../settings/options.ts";

/** Times the stages of one call and tells how far it is. */
export class StageClock {
  /** What of the result is being made, where that is not all of it: told with the progress. */
  region: PixelRectangle | undefined;
  readonly #forecast: Forecast;
  readonly #report: ((progress: Progress) => void) | undefined;
  readonly #inspector: Inspector | undefined;
  readonly #timings: Record<RunStage, number> = {
    preprocess: 0,
    tokens: 0,
    encode: 0,
    unet: 0,
    decode: 0,
    color: 0,
  };
  #stage: RunStage | undefined;
  #startedAt = 0;

  /** `forecast` hears of nobody else. */
  constructor(forecast: Forecast, report?: (progress: Progress) => void, inspector?: Inspector) {
    this.#forecast = forecast;
    this.#report = report;
    this.#inspector = inspector;
  }

  /** Names stages that need not run. */
  skip(stages: readonly RunStage[]): void {
    this.#forecast.skip(stages);
    for (const stage of stages) this.start(stage);
  }

  /** Ends the stage under way and begins the next. */
  start(stage: RunStage): void {
    this.#start(stage, true);
  }

  /** The same for work unlike what the stage was foreseen for: it counts in the times alone. */
  startApart(stage: RunStage): void {
    this.#start(stage, false);
  }

  /** Ends the stage under way, where others have their turn before the next. */
  pause(): void {
    if (this.#stage === undefined) return;
    this.#timings[this.#stage] += performance.now() - this.#startedAt;
    this.#forecast.end();
    this.#stage = undefined;
  }

  /** Fraction of the present stage that is done. */
  progress(stageFraction: number): void {
    if (this.#stage === undefined) return;
    this.#forecast.report(stageFraction);
    this.#tell({ stage: this.#stage, stageFraction });
  }

  /** Options for loading weights within a stage: reported as stage "load", which adds nothing to the fraction. */
  enterOptions(signal: AbortSignal | undefined): EnterOptions {
    return {
      onProgress: (bytesLoaded, bytesTotal) =>
        this.#tell({
          stage: "load",
          stageFraction: bytesTotal > 0 ? bytesLoaded / bytesTotal : 1,
          bytesLoaded,
          bytesTotal,
        }),
      signal,
    };
  }

  /** Options for a program that is the fraction `length` of the stage, from the fraction `start` on. */
  runOptions(signal: AbortSignal | undefined, start = 0, length = 1): RunOptions {
    const stage = NETWORK_STAGES.find((network) => network === this.#stage);
    return {
      onProgress: (fraction) => this.progress(start + length * fraction),
      ...(stage && this.#inspector?.onTimes(stage)),
      signal,
    };
  }

  /** Ends the last stage; wall milliseconds of each. */
  finish(): Readonly<Record<RunStage, number>> {
    this.#report?.({ stage: this.#stage ?? "color", stageFraction: 1, fraction: 1, leftMs: 0 });
    this.pause();
    return { ...this.#timings };
  }

  #start(stage: RunStage, isForeseen: boolean): void {
    this.pause();
    this.#stage = stage;
    this.#startedAt = performance.now();
    this.#forecast.begin(stage, isForeseen);
    this.progress(0);
  }

  #tell(progress: Omit<Progress, "fraction" | "leftMs">): void {
    if (this.#report === undefined) return;
    const { fraction, leftMs } = this.#forecast;
    const { region } = this;
    this.#report({
      ...progress,
      fraction,
      ...(leftMs !== undefined && { leftMs }),
      ...(region && { region }),
    });
  }
}
