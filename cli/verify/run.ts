/** `rcod verify`: golden files from disk, a line per output as it comes, and the sum at the end. */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { withVariants } from "../../src/gpu/device.ts";
import type { VariantChoice } from "../../src/kernels/variant-choice.ts";
import type { VariantUse } from "../../src/verify/runner/session.ts";
import { addVariantUse } from "../../src/verify/runner/session.ts";
import type { CaseResult, VerifySource } from "../../src/verify/verify.ts";
import { verifyFiles } from "../../src/verify/verify.ts";
import { fileSource, folderFiles } from "../../src/weights/sources/node-source.ts";
import { EXIT, describeError } from "../errors.ts";
import { adapterName, formatMs } from "../format.ts";
import { withGpu } from "../gpu.ts";
import { interruptible } from "../interrupt.ts";
import type { Terminal } from "../terminal.ts";
import { parseVariantRounds } from "../variant-option.ts";
import type { VerifyOptions } from "./command.ts";

const DTYPES = ["f32", "f16"] as const;

/** A case is told about on stderr when it takes longer than this. */
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
  readonly precision?: "f32" | "f16";
  /** Only where variants are forced. */
  readonly variants?: VariantChoice;
}

/**
 * Runs the command. Exit code 0 when every case passes, 1 when one fails, 2 when the filter fits none. Throws
 * `CliError` when interrupted.
 */
export async function runVerify(options: VerifyOptions, terminal: Terminal): Promise<number> {
  const precisions = options.precision === undefined ? DTYPES : [options.precision];
  const rounds = options.variant ? parseVariantRounds(options.variant) : [null];
  return interruptible((signal) =>
    withGpu(options.dawnToggles, async (gpu) => {
      const report = new Report(options, terminal);
      report.start(adapterName(gpu.caps));
      const sources = await findSources(options.path);
      for (const variants of rounds) {
        const forced = variants === null ? gpu : withVariants(gpu, variants);
        report.startRound(variants);
        for (const precision of precisions) {
          for (const [folder, group] of sources) {
            const results = verifyFiles(forced, group, {
              precision,
              full: options.full ?? false,
              ...(options.filter !== undefined && { filter: options.filter }),
              signal,
              findFile: (path) => folderFiles(folder).open(path),
              onProgress: report.progress,
            });
            for await (const result of results) report.add(result, precision);
          }
        }
        report.finishRound();
      }
      return report.finish();
    }),
  );
}

/** Files by folder, in the order of the paths; of a folder every `.safetensors` directly inside. */
async function findSources(
  paths: readonly string[],
): Promise<readonly (readonly [string, VerifySource[]])[]> {
  const byFolder = new Map<string, VerifySource[]>();
  const add = (path: string, open = () => fileSource(path)): void => {
    const folder = dirname(path);
    const group = byFolder.get(folder) ?? [];
    byFolder.set(folder, group);
    group.push({ name: basename(path), source: open });
  };
  for (const path of paths) {
    const isFolder = await stat(path).then(
      (status) => status.isDirectory(),
      () => false,
    );
    if (!isFolder) {
      add(path);
      continue;
    }
    const names = (await readdir(path)).filter((name) => name.endsWith(".safetensors")).toSorted();
    for (const name of names) add(join(path, name));
    if (names.length === 0) {
      add(join(path, "*.safetensors"), () =>
        Promise.reject(new Error(`verify: no .safetensors file in ${path}`)),
      );
    }
  }
  return [...byFolder];
}

/** Collects results and prints them. */
class Report {
  readonly #terminal: Terminal;
  readonly #json: boolean;
  readonly #withPrecision: boolean;
  readonly #filter: string;
  readonly #rows: JsonRow[] = [];
  readonly #skipped = new Set<string>();
  #adapter = "";
  #cases = 0;
  /** The forced variants of the present round, and what became of them. */
  #round: { readonly variants: VariantChoice; use: VariantUse } | null = null;
  readonly #refused = new Map<string, number>();
  #startMs = performance.now();
  #caseKey = "";
  #caseStartMs = 0;
  #toldMs = 0;

  constructor({ json, precision, filter }: VerifyOptions, terminal: Terminal) {
    this.#terminal = terminal;
    this.#json = json ?? false;
    this.#withPrecision = precision === undefined;
    this.#filter = filter ?? "";
  }

  start(adapter: string): void {
    this.#adapter = adapter;
    if (this.#json) return;
    this.#terminal.out(`adapter: ${adapter}`);
    this.#terminal.out(
      row("file", "case", "output", "prec", "max abs", "rel rms", "limit", "pass"),
    );
  }

  startRound(variants: VariantChoice | null): void {
    this.#round = variants && { variants, use: { asAsked: {}, refused: {} } };
    if (this.#json || variants === null) return;
    const pairs = Object.entries(variants).map(([kernel, variant]) => `${kernel}=${variant}`);
    this.#terminal.out(`variants: ${pairs.join(", ")}`);
  }

  /** Tells how often a variant ran that is not the forced one, and why. */
  finishRound(): void {
    if (this.#round === null) return;
    const { asAsked, refused } = this.#round.use;
    for (const [reason, steps] of Object.entries(refused))
      this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + steps);
    if (this.#json) return;
    for (const [name, steps] of Object.entries(asAsked))
      this.#terminal.out(`  ${steps} steps as ${name}`);
    for (const [reason, steps] of Object.entries(refused))
      this.#terminal.out(`  ${steps} steps not as ${reason}`);
  }

  readonly progress = ({ file, case: name, stage, fraction }: VerifyProgressLike): void => {
    const now = performance.now();
    const key = `${file} ${name}`;
    if (key !== this.#caseKey) {
      this.#caseKey = key;
      this.#caseStartMs = now;
      this.#toldMs = now;
    }
    if (now - this.#caseStartMs < PROGRESS_AFTER_MS || now - this.#toldMs < PROGRESS_EVERY_MS)
      return;
    this.#toldMs = now;
    const what = stage === "load" ? "loading weights" : "running";
    this.#terminal.note(`${key}: ${what}, ${Math.round(100 * fraction)} %`);
  };

  add(result: CaseResult, precision: "f32" | "f16"): void {
    const { file, case: name, status, outputs, durationMs, note } = result;
    if (status === "skipped") {
      this.#skipped.add(file);
      if (!this.#json) this.#terminal.out(`${file}: skipped (${note ?? ""}; --full includes it)`);
      return;
    }
    this.#cases++;
    if (this.#round && result.variants)
      this.#round.use = addVariantUse(this.#round.use, result.variants);
    const labels = {
      ...(this.#withPrecision && { precision }),
      ...(this.#round && { variants: this.#round.variants }),
    };
    const stem = file.replace(/\.safetensors$/, "");
    for (const { output, maxAbs, relRms, limit, pass } of outputs) {
      this.#rows.push({
        file,
        case: name,
        output,
        maxAbs,
        relRms,
        limit: limit.value,
        pass,
        ...labels,
      });
      if (this.#json) continue;
      const limitText = limit.on === "relRms" ? `rms ${short(limit.value)}` : `abs ${limit.value}`;
      this.#terminal.out(
        row(
          stem,
          name,
          output,
          precision,
          short(maxAbs),
          short(relRms),
          limitText,
          pass ? "ok" : "FAIL",
        ),
      );
    }
    if (outputs.length === 0) {
      const nothing = { output: "", maxAbs: NaN, relRms: NaN, limit: 0, pass: false };
      this.#rows.push({ file, case: name, ...nothing, ...labels });
      if (!this.#json) this.#terminal.out(row(stem, name, "", precision, "", "", "", "FAIL"));
    }
    if (note !== undefined) {
      const text = `  ${stem} ${name}: ${describeError(new Error(note)).message}`;
      if (this.#json) this.#terminal.note(text);
      else this.#terminal.out(text);
    }
    if (!this.#json && durationMs > PROGRESS_AFTER_MS) {
      this.#terminal.out(`  ${stem} ${name}: ${formatMs(durationMs)}`);
    }
  }

  /** Prints the sum and returns the exit code. */
  finish(): number {
    const failed = this.#rows.filter(({ pass }) => !pass).length;
    const skipped = [...this.#skipped];
    const isEmpty = this.#cases === 0 && skipped.length === 0;
    if (this.#json) {
      this.#terminal.out(
        JSON.stringify({
          cases: this.#rows,
          failed,
          skipped,
          adapter: this.#adapter,
          ...(this.#round && { refused: Object.fromEntries(this.#refused) }),
        }),
      );
    } else {
      const parts = [
        `${this.#rows.length} outputs of ${this.#cases} cases`,
        `${failed} failed`,
        ...(skipped.length > 0 ? [`${skipped.length} files skipped`] : []),
      ];
      this.#terminal.out(`${parts.join(", ")} in ${formatMs(performance.now() - this.#startMs)}`);
    }
    if (isEmpty) {
      this.#terminal.note(
        `rcod: no case contains ${JSON.stringify(this.#filter)}; nothing was run`,
      );
      return EXIT.usage;
    }
    return failed > 0 ? EXIT.failed : EXIT.ok;
  }
}

type VerifyProgressLike = Parameters<
  NonNullable<Parameters<typeof verifyFiles>[2]["onProgress"]>
>[0];

const COLUMNS = [22, 32, 20, 4, 9, 9, 12, 4] as const;

function row(...cells: readonly string[]): string {
  return cells
    .map((cell, i) => cell.padEnd(COLUMNS[i] ?? 0))
    .join("  ")
    .trimEnd();
}

function short(value: number): string {
  return value === 0 ? "0" : value.toExponential(2);
}
