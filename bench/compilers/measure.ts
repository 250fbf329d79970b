/** What a compiled shader comes to on a card: registers, the kinds of instructions in its loops, and a lower bound of its time. */
import type { Bound, Compiled, Limit } from "./bound.ts";
import { TIMED_KINDS, boundOf } from "./bound.ts";
import type { Card } from "./cards.ts";
import type { Block, Instruction, InstructionSet, Kind } from "./isa/program.ts";
import { KINDS } from "./isa/program.ts";
import type { CompiledShader, Use } from "./planned-shaders.ts";
import { parseCode, parseReport } from "./report.ts";
import { sharedBytesOf } from "./shared-bytes.ts";
import type { WeighedLoop } from "./weigh.ts";
import { matchLoops, sumOver, weightsOf } from "./weigh.ts";
import { constantOf, sourceLoops } from "./wgsl-loops.ts";

/** Instructions by kind, those of which there are any. */
export type Counts = Readonly<Partial<Record<Kind, number>>>;

/** What one turn of a loop does. */
export interface Turn {
  /** An invocation's instructions, which are a subgroup's. */
  readonly counts: Counts;
  /** How many accesses to workgroup memory are of which width in bits. */
  readonly sharedWidths: Readonly<Record<string, number>>;
}

export interface KernelFigures {
  readonly label: string;
  /** For one image. */
  readonly dispatches: number;
  readonly flops: number;
  readonly registers: number;
  /** Registers that were written to memory, or on Qualcomm's cards instructions that did. */
  readonly spills: number;
  /** Registers that were read back from memory. Null where the driver does not count them. */
  readonly fills: number | null;
  /** Registers that were kept in other registers. */
  readonly registerSpills: number;
  /** In the card's `occupancyUnit`. */
  readonly occupancy: number;
  /** Workgroup memory: what the driver reserves where it tells, else what the shader declares. */
  readonly sharedBytes: number;
  readonly subgroupSize: number;
  /** In all of the code, each once. */
  readonly instructions: number;
  /** Arithmetic in all of the code, each once. Null where the driver does not count it. */
  readonly arithmetic: number | null;
  /** The innermost loop that does most of the work; null where the driver shows no code, or there is no loop. */
  readonly hot: Turn | null;
  /** The outermost loop around it: a whole K step, inner loops with all of their turns. */
  readonly step: Turn | null;
  /** Whether each loop of the code was found in the source. Else some are counted as if they turned once. */
  readonly isKnown: boolean;
  /**
   * Multiply-adds that the code does for each that the work needs. Above 1: padding, or arithmetic beside the sums. Below:
   * products and sums that were not fused. Null without code or work.
   */
  readonly multiplyAddsPerNeeded: number | null;
  /** Of all dispatches: see `Bound`. */
  readonly times: Bound["times"];
  /** Of all dispatches: for each the longest of its times. */
  readonly leastMs: number;
  /** What that is for most of the time. */
  readonly limit: Limit;
}

/** Statistics that every driver has under another name. */
interface Names {
  readonly registers: string;
  readonly spills: string;
  readonly fills?: string;
  readonly registerSpills?: string;
  readonly occupancy: string;
  readonly shared?: string;
  readonly instructions: string;
  readonly arithmetic?: string;
}

const NAMES: Readonly<Record<InstructionSet, Names>> = {
  aco: {
    registers: "VGPRs",
    spills: "Spilled VGPRs",
    occupancy: "Subgroups per SIMD",
    shared: "LDS size",
    instructions: "Instructions",
    arithmetic: "VALU",
  },
  nak: {
    registers: "Number of GPRs",
    spills: "Spills to memory",
    fills: "Fills from memory",
    registerSpills: "Spills to reg",
    occupancy: "Max warps/SM",
    instructions: "Instruction count",
  },
  ir3: {
    registers: "Registers used",
    spills: "STP Count",
    fills: "LDP Count",
    occupancy: "Max Waves Per Core",
    instructions: "Instruction Count",
  },
  agx: {
    registers: "GPRs",
    spills: "Spills",
    fills: "Fills",
    occupancy: "Threads",
    instructions: "Instructions",
    arithmetic: "ALU",
  },
};

/** Throws where the report lacks what the driver of this card writes. */
export function measure(card: Pick<Card, "isa" | "peaks">, shader: CompiledShader): KernelFigures {
  const report = parseReport(shader.report);
  const names = NAMES[card.isa];
  const statistic = (name: string): number => {
    const value = report.statistics[name];
    if (value !== undefined) return value;
    const known = Object.keys(report.statistics).join(", ");
    throw new Error(`${shader.label}: the driver gives no statistic "${name}", but ${known}`);
  };
  const optional = (name: string | undefined): number | null =>
    name === undefined ? null : statistic(name);
  const { uses } = shader;
  const flops = uses.reduce((total, use) => total + use.flops * use.count, 0);
  const compiled: Compiled = {
    blocks: parseCode(card.isa, report),
    subgroupSize: statistic("Subgroup Size"),
    invocations: invocationsOf(shader),
  };
  return {
    label: shader.label,
    dispatches: uses.reduce((count, use) => count + use.count, 0),
    flops,
    registers: statistic(names.registers),
    spills: statistic(names.spills),
    fills: optional(names.fills),
    registerSpills: optional(names.registerSpills) ?? 0,
    occupancy: statistic(names.occupancy),
    sharedBytes: optional(names.shared) ?? sharedBytesOf(shader.code),
    subgroupSize: compiled.subgroupSize,
    instructions: statistic(names.instructions),
    arithmetic: optional(names.arithmetic),
    ...workOf(card, shader, compiled, flops),
  };
}

/** What follows from how often blocks run, which every use has weights of its own for. */
function workOf(
  card: Pick<Card, "isa" | "peaks">,
  { code, uses }: CompiledShader,
  compiled: Compiled,
  flops: number,
): Pick<
  KernelFigures,
  "hot" | "step" | "isKnown" | "multiplyAddsPerNeeded" | "times" | "leastMs" | "limit"
> {
  const { blocks } = compiled;
  const all = uses.map((use) => {
    const loops = blocks === null ? [] : matchLoops(blocks, sourceLoops(code, use));
    const weights = blocks === null ? [] : weightsOf(blocks, loops);
    return { use, loops, weights, bound: boundOf(card, compiled, weights, use) };
  });
  const total = (value: (bound: Bound) => number): number =>
    all.reduce((sum, { use, bound }) => sum + use.count * value(bound), 0);
  const msByLimit = new Map<Limit, number>();
  for (const { use, bound } of all)
    msByLimit.set(bound.limit, (msByLimit.get(bound.limit) ?? 0) + use.count * bound.leastMs);
  const work = ({ use }: { use: Use }): number => use.flops * use.count;
  const largest = all.reduce((a, b) => (work(b) > work(a) ? b : a));
  return {
    ...(blocks === null ? { hot: null, step: null } : turnsOf(blocks, largest)),
    isKnown: all.every(({ loops }) => allKnown(loops)),
    multiplyAddsPerNeeded:
      blocks === null || flops === 0
        ? null
        : all.reduce((sum, one) => sum + multiplyAdds(compiled, one.weights, one.use), 0) /
          (flops / 2),
    times: Object.fromEntries(
      TIMED_KINDS.map((kind) => [kind, total(({ times }) => times[kind])]),
    ) as Bound["times"],
    leastMs: total(({ leastMs }) => leastMs),
    limit: [...msByLimit].reduce((a, b) => (b[1] > a[1] ? b : a))[0],
  };
}

const allKnown = (loops: readonly WeighedLoop[]): boolean =>
  loops.every(({ turns, inner }) => turns !== null && allKnown(inner));

/** Invocations of a workgroup. */
function invocationsOf({ label, code }: CompiledShader): number {
  const sizes = /@workgroup_size\(([^)]*)\)/.exec(code)?.[1] ?? "";
  return sizes.split(",").reduce((product, size) => {
    const value = constantOf(code, size);
    if (value !== null) return product * value;
    throw new Error(`${label}: the size of a workgroup is not known, got "${sizes}"`);
  }, 1);
}

/** Those of all dispatches of a use. */
function multiplyAdds(
  { blocks, invocations, subgroupSize }: Compiled,
  weights: readonly number[],
  { workgroups: [x, y, z], count }: Use,
): number {
  const ofInvocation = sumOver(
    blocks ?? [],
    weights,
    (one) => one.multiplyAdds + one.matrixMultiplyAdds / subgroupSize,
  );
  return ofInvocation * invocations * x * y * z * count;
}

/** The hot loop and the step around it. */
function turnsOf(
  blocks: readonly Block[],
  { loops, weights }: { loops: readonly WeighedLoop[]; weights: readonly number[] },
): Pick<KernelFigures, "hot" | "step"> {
  const work = ({ loop }: WeighedLoop): number =>
    sumOver(blocks, only(weights, loop.blocks), (one) => one.multiplyAdds + one.matrixMultiplyAdds);
  const most = (all: readonly WeighedLoop[]): WeighedLoop | null =>
    all.reduce<WeighedLoop | null>(
      (best, one) => (work(one) > (best === null ? 0 : work(best)) ? one : best),
      null,
    );
  const outer = most(loops);
  if (outer === null) return { hot: null, step: null };
  let hot = outer;
  // Into the loop that has most of the work, as long as one has.
  for (
    let inner = most(hot.inner);
    inner !== null && work(inner) > work(hot) / 2;
    inner = most(hot.inner)
  )
    hot = inner;
  return { hot: turnOf(blocks, weights, hot), step: turnOf(blocks, weights, outer) };
}

const only = (weights: readonly number[], blocks: ReadonlySet<number>): readonly number[] =>
  weights.map((weight, i) => (blocks.has(i) ? weight : 0));

/** What one turn of a loop does, inner loops with all of their turns. */
function turnOf(blocks: readonly Block[], weights: readonly number[], { loop }: WeighedLoop): Turn {
  const turns = weights[loop.header] as number;
  const inside = only(weights, loop.blocks).map((weight) => (turns === 0 ? 0 : weight / turns));
  const count = (is: (one: Instruction) => boolean): number =>
    sumOver(blocks, inside, (one) => Number(is(one)));
  const widths = new Set(
    blocks.flatMap(({ instructions }) => instructions.map((one) => one.sharedBytes)),
  );
  const some = (entries: readonly (readonly [string, number])[]): Record<string, number> =>
    Object.fromEntries(entries.filter(([, often]) => often > 0));
  return {
    counts: some(KINDS.map((kind) => [kind, count((one) => one.kind === kind)])),
    sharedWidths: some(
      [...widths]
        .filter((bytes) => bytes > 0)
        .map((bytes) => [String(8 * bytes), count((one) => one.sharedBytes === bytes)]),
    ),
  };
}

/** All instructions of a turn but waits and hints, which do nothing. */
export const instructionsOf = ({ counts }: Turn): number =>
  KINDS.reduce((sum, kind) => sum + (kind === "wait" ? 0 : (counts[kind] ?? 0)), 0);
