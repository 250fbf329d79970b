/** Which card this is, what it does at most, and which compiled code stands for its own. */
import type { Peaks } from "../../compilers/cards.ts";
import { CARDS, OTHER_CARDS } from "../../compilers/cards.ts";
import type { CompilersRecord } from "../../compilers/record.ts";
import { runId } from "../../compilers/record.ts";
import type { CompiledRun } from "./bounds.ts";
import type { Options } from "./options.ts";

/** The card and where its peaks are from. */
export interface KnownPeaks {
  readonly name: string;
  readonly source: "vendor" | "command line" | "measured";
  readonly peaks: Peaks;
  /** `id` of the card whose compiled code is taken. */
  readonly code?: string;
}

/** What the kernel suite measured. */
export interface MeasuredRoofline {
  readonly copyGbps: number;
  readonly fmaGflops: number;
  readonly matrixGflops?: number;
}

/** Names of products, without what stands for the generation: "RTX 3090" of "RTX 3090 (Ampere)". */
const product = (name: string): string => name.replace(/ \(.*| SXM.*/g, "");

/** By option, else by one of the `names` that driver and system give the adapter, else as measured; null where nothing is. */
export function peaksOf(
  { card, peaks }: Pick<Options, "card" | "peaks">,
  names: string,
  roofline?: MeasuredRoofline,
): KnownPeaks | null {
  if (peaks) return { name: "given", source: "command line", peaks };
  const all = [...CARDS.map((one) => ({ ...one, like: one.id })), ...OTHER_CARDS];
  const isNamed = (name: string): boolean =>
    new RegExp(`\\b${product(name)}(?! *(Ti|XTX?|SUPER|Laptop|PCIe|NVL))\\b`, "i").test(names);
  const known = all.find(({ id, name }) => (card ? id === card : isNamed(name)));
  if (known) return { name: known.name, source: "vendor", peaks: known.peaks, code: known.like };
  if (!roofline) return null;
  const { copyGbps, fmaGflops, matrixGflops = 0 } = roofline;
  const measured: Peaks = {
    cores: 1,
    gigahertz: 1,
    lanes: fmaGflops / 2,
    matrixMultiplyAdds: matrixGflops / 2,
    gigabytesPerSecond: copyGbps,
    issues: Infinity,
    sharedBytes: Infinity,
  };
  return { name: names, source: "measured", peaks: measured };
}

/** The compiled code that stands for this card's, in f16; undefined where there is none. */
export function compiledFor(
  { code }: KnownPeaks,
  { runs }: Pick<CompilersRecord, "runs">,
  onMatrixUnits: boolean,
): CompiledRun | undefined {
  const card = CARDS.find(({ id }) => id === code);
  const run = card && runs[runId(card.id, "f16", onMatrixUnits)];
  return run && { peaks: card.peaks, kernels: run.kernels };
}
