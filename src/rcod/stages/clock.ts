/** A call's times and progress. */
import type { RunOptions } from "../../graph/program.ts";
import type { Inspector } from "../inspect/inspector.ts";
import { NETWORK_STAGES } from "../inspect/stage-modules.ts";
import type { EnterOptions } from "../loading/part-loader.ts";
import type { Progress, RunStage } from "../settings/options.ts";

/** Times the stages of one call and turns their progress into one figure that never falls. */
export class StageClock {
  readonly #shares: ReadonlyMap<RunStage, number>;
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
  readonly #ended = new Set<RunStage>();
  #stage: RunStage | undefined;
  #startedAt = 0;
  #before = 0;
  #fraction = 0;

  /** `shares` of the stages add up to 1. */
  constructor(
    shares: ReadonlyMap<RunStage, number>,
    report?: (progress: Progress) => void,
    inspector?: Inspector,
  ) {
    this.#shares = shares;
    this.#report = report;
    this.#inspector = inspector;
  }

  /** Ends the stage under way and begins the next. */
  start(stage: RunStage): void {
    this.#end();
    this.#stage = stage;
    this.#startedAt = performance.now();
    this.progress(0);
  }

  /** Fraction of the present stage that is done. */
  progress(stageFraction: number): void {
    if (this.#stage === undefined) return;
    const share = this.#share(this.#stage);
    this.#fraction = Math.min(1, Math.max(this.#fraction, this.#before + share * stageFraction));
    this.#report?.({ stage: this.#stage, stageFraction, fraction: this.#fraction });
  }

  /** Options for loading weights within a stage: reported as stage "load", which adds nothing to the fraction. */
  enterOptions(signal: AbortSignal | undefined): EnterOptions {
    return {
      onProgress: (bytesLoaded, bytesTotal) =>
        this.#report?.({
          stage: "load",
          stageFraction: bytesTotal > 0 ? bytesLoaded / bytesTotal : 1,
          fraction: this.#fraction,
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
    this.#before = 1; // rounding of the shares aside
    this.progress(1);
    this.#end();
    return { ...this.#timings };
  }

  #end(): void {
    if (this.#stage === undefined) return;
    this.#timings[this.#stage] += performance.now() - this.#startedAt;
    this.#before += this.#share(this.#stage);
    this.#ended.add(this.#stage);
    this.#stage = undefined;
  }

  /** A stage that starts again has spent its share. */
  #share(stage: RunStage): number {
    return this.#ended.has(stage) ? 0 : (this.#shares.get(stage) ?? 0);
  }
}
