/** What `rcod verify` prints: a line per output as it comes and the sum at the end, or one JSON object. */
import type { Caps } from "../../src/gpu/caps.ts";
import type { DType } from "../../src/gpu/dtype.ts";
import type { VariantChoice } from "../../src/kernels/variant-choice.ts";
import type { OutputResult } from "../../src/verify/runner/compare.ts";
import type { VariantUse } from "../../src/verify/runner/session.ts";
import { addVariantUse } from "../../src/verify/runner/session.ts";
import type { CaseResult, VerifyProgress } from "../../src/verify/verify.ts";
import { EXIT, oneLine } from "../errors.ts";
import { adapterName, formatMs } from "../format.ts";
import type { Terminal } from "../terminal.ts";
import type { VerifyOptions } from "./command.ts";

/** A case that takes longer than this is reported on stderr. */
const PROGRESS_AFTER_MS = 3000;
/** Time between two lines of progress. */
const PROGRESS_EVERY_MS = 5000;

/** One row of `--json`. */
interface JsonRow {
  readonly file: string;
  readonly case: string;
  readonly output: string;
  readonly maxAbs: number;
  readonly relRms: number;
  readonly limit: number;
  readonly pass: boolean;
  /** Only where both precisions run. */
  readonly precision?: DType;
  /** Only where variants are forced. */
  readonly variants?: VariantChoice;
}

/** Stands for the outputs of a case that threw. */
const NO_OUTPUT: OutputResult = {
  output: "",
  maxAbs: NaN,
  relRms: NaN,
  limit: { on: "maxAbs", value: 0 },
  pass: false,
};

/** Collects results and prints them. A verdict leaves out what passes and ends in a sentence. */
export class VerifyReport {
  readonly #options: VerifyOptions;
  readonly #isVerdict: boolean;
  readonly #caps: Caps;
  readonly #terminal: Terminal;
  readonly #rows: JsonRow[] = [];
  readonly #skipped = new Set<string>();
  #cases = 0;
  /** The forced variants of the current round, and how often each ran or was refused. */
  #round: { readonly variants: VariantChoice; use: VariantUse } | null = null;
  readonly #refused = new Map<string, number>();
  readonly #startMs = performance.now();
  #slow = { key: "", startMs: 0, toldMs: 0 };

  constructor(options: VerifyOptions, isVerdict: boolean, caps: Caps, terminal: Terminal) {
    this.#options = options;
    this.#isVerdict = isVerdict;
    this.#caps = caps;
    this.#terminal = terminal;
    this.#text(`adapter: ${adapterName(caps)}`);
    if (isVerdict) return;
    this.#text(row("file", "case", "output", "prec", "max abs", "rel rms", "limit", "pass"));
  }

  startRound(variants: VariantChoice | null): void {
    this.#round = variants && { variants, use: { asRequested: {}, refused: {} } };
    if (variants === null) return;
    const pairs = Object.entries(variants).map(([kernel, variant]) => `${kernel}=${variant}`);
    this.#text(`variants: ${pairs.join(", ")}`);
  }

  /** Prints how many steps ran as forced, and how many did not and why. */
  finishRound(): void {
    if (this.#round === null) return;
    const { asRequested, refused } = this.#round.use;
    for (const [name, steps] of Object.entries(asRequested))
      this.#text(`  ${steps} steps as ${name}`);
    for (const [reason, steps] of Object.entries(refused)) {
      this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + steps);
      this.#text(`  ${steps} steps not as ${reason}`);
    }
  }

  readonly progress = ({ file, case: name, stage, fraction }: VerifyProgress): void => {
    const now = performance.now();
    const key = `${file} ${name}`;
    if (key !== this.#slow.key) this.#slow = { key, startMs: now, toldMs: now };
    const { startMs, toldMs } = this.#slow;
    if (now - startMs < PROGRESS_AFTER_MS || now - toldMs < PROGRESS_EVERY_MS) return;
    this.#slow.toldMs = now;
    const what = stage === "load" ? "loading weights" : "running";
    this.#terminal.note(`${key}: ${what}, ${Math.round(100 * fraction)} %`);
  };

  add(result: CaseResult, precision: DType): void {
    const { file, case: name, status, durationMs, note } = result;
    if (status === "skipped") {
      this.#skipped.add(file);
      this.#text(`${file}: skipped (${note ?? ""}; --full includes it)`);
      return;
    }
    this.#cases++;
    if (this.#round && result.variants) {
      this.#round.use = addVariantUse(this.#round.use, result.variants);
    }
    const stem = file.replace(/\.safetensors$/, "");
    for (const output of result.outputs.length > 0 ? result.outputs : [NO_OUTPUT]) {
      const { limit, pass, ...rest } = output;
      this.#rows.push({
        file,
        case: name,
        ...rest,
        limit: limit.value,
        pass,
        ...(this.#options.precision === undefined && { precision }),
        ...(this.#round && { variants: this.#round.variants }),
      });
      if (!(this.#isVerdict && pass)) this.#text(outputLine(stem, name, precision, output));
    }
    if (note !== undefined) {
      const line = `  ${stem} ${name}: ${oneLine(note)}`;
      if (this.#options.json) this.#terminal.note(line);
      else this.#text(line);
    }
    if (!this.#isVerdict && durationMs > PROGRESS_AFTER_MS) {
      this.#text(`  ${stem} ${name}: ${formatMs(durationMs)}`);
    }
  }

  /** Prints the sum and returns the exit code. */
  finish(): number {
    const failed = this.#rows.filter(({ pass }) => !pass).length;
    const skipped = [...this.#skipped];
    if (this.#options.json) {
      const result = { cases: this.#rows, failed, skipped, adapter: adapterName(this.#caps) };
      const refused = this.#round && { refused: Object.fromEntries(this.#refused) };
      this.#terminal.out(JSON.stringify({ ...result, ...refused }));
    }
    if (this.#cases === 0 && skipped.length === 0) {
      const filter = JSON.stringify(this.#options.filter ?? "");
      this.#terminal.note(`rcod: no case contains ${filter}; nothing was run`);
      return EXIT.usage;
    }
    this.#text(this.#isVerdict ? this.#verdict(failed) : this.#sum(failed, skipped.length));
    return failed > 0 ? EXIT.failed : EXIT.ok;
  }

  #sum(failed: number, skipped: number): string {
    const counts = [
      `${this.#rows.length} outputs of ${this.#cases} cases`,
      `${failed} failed`,
      ...(skipped > 0 ? [`${skipped} files skipped`] : []),
    ];
    return `${counts.join(", ")} in ${formatMs(performance.now() - this.#startMs)}`;
  }

  #verdict(failed: number): string {
    const who = this.#caps.isSoftware ? "The software adapter" : "This GPU";
    const { precision = "f32 and f16" } = this.#options;
    return failed === 0
      ? `${who} computes right: all ${this.#sum(0, 0)}, ${precision}`
      : `${who} computes WRONG: ${this.#sum(failed, 0)}, ${precision}. Update the graphics driver and run rcod verify again`;
  }

  /** A line on stdout; none under `--json`, where that is one object. */
  #text(line: string): void {
    if (!this.#options.json) this.#terminal.out(line);
  }
}

const COLUMNS = [22, 32, 20, 4, 9, 9, 12, 4] as const;

function row(...cells: readonly string[]): string {
  return cells
    .map((cell, i) => cell.padEnd(COLUMNS[i] ?? 0))
    .join("  ")
    .trimEnd();
}

function outputLine(stem: string, name: string, precision: DType, result: OutputResult): string {
  if (result === NO_OUTPUT) return row(stem, name, "", precision, "", "", "", "FAIL");
  const { output, maxAbs, relRms, limit, pass } = result;
  const most = limit.on === "relRms" ? `rms ${short(limit.value)}` : `abs ${limit.value}`;
  const errors = [short(maxAbs), short(relRms)];
  return row(stem, name, output, precision, ...errors, most, pass ? "ok" : "FAIL");
}

function short(value: number): string {
  return value === 0 ? "0" : value.toExponential(2);
}
