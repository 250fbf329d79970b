/** What a compiled shader comes to on a card: registers, the kinds of instructions in its loops, and a lower bound of its time. */
import type { Card } from "./cards.ts";
import type { Block, Instruction, Kind } from "./isa/program.ts";
import { KINDS } from "./isa/program.ts";
import type { CompiledShader, Use } from "./planned-shaders.ts";
import { parseCode, parseReport } from "./report.ts";
import type { WeighedLoop } from "./weigh.ts";
import { matchLoops, sumOver, weightsOf } from "./weigh.ts";
import { sourceLoops } from "./wgsl-loops.ts";

/** Instructions by kind, for an invocation or a subgroup alike. */
export type Counts = Readonly<Record<Kind, number>>;

/** A loop's instructions in one turn. */
export interface Turn {
  readonly counts: Counts;
  /** Workgroup memory accesses by width in bits. */
  readonly sharedWidths: Readonly<Record<string, number>>;
}

/** What a dispatch needs at least, in milliseconds: each resource as if the others took no time. */
export interface Bound {
  /** Multiply-adds and other arithmetic of vector lanes, or the turns of the schedulers. */
  readonly vector: number;
  readonly matrix: number;
  readonly scalar: number;
  readonly shared: number;
  readonly global: number;
}

export interface ShaderReport {
  readonly label: string;
  readonly dispatches: number;
  readonly flops: number;
  readonly registers: number;
  /** Registers that were written to memory. */
  readonly spills: number;
  /** Registers that were kept in other registers. */
  readonly registerSpills: number;
  /** Subgroups that a core's part holds, threads on Apple. */
  readonly occupancy: number;
  readonly sharedBytes: number;
  readonly subgroupSize: number;
  /** The innermost loop that does most of the work; null where the driver shows no code, or there is no loop. */
  readonly hot: Turn | null;
  /** The outermost loop around it: a whole K step, with the turns of inner loops. */
  readonly step: Turn | null;
  /** Whether each loop of the code was found in the source. */
  readonly isKnown: boolean;
  /** Of all dispatches. */
  readonly bound: Bound;
  /** Of all dispatches: for each the longest of its bounds. */
  readonly leastMs: number;
  /** Multiply-adds that the code does for each that the work needs. Above 1: padding. Null without code. */
  readonly multiplyAddsPerNeeded: number | null;
}

/** The names of the four numbers that every driver has under another name. */
const NAMES = {
  aco: {
    registers: "VGPRs",
    spills: ["Spilled VGPRs"],
    registerSpills: [],
    occupancy: "Subgroups per SIMD",
    shared: "LDS size",
  },
  nak: {
    registers: "Number of GPRs",
    spills: ["Spills to memory"],
    registerSpills: ["Spills to reg"],
    occupancy: "Max warps/SM",
    shared: null,
  },
  ir3: {
    registers: "Registers used",
    spills: ["STP Count"],
    registerSpills: [],
    occupancy: "Max Waves Per Core",
    shared: null,
  },
  agx: {
    registers: "GPRs",
    spills: ["Spills"],
    registerSpills: [],
    occupancy: "Threads",
    shared: null,
  },
} as const;

export function measure(card: Card, shader: CompiledShader): ShaderReport {
  const report = parseReport(shader.report);
  const { statistics } = report;
  const names = NAMES[card.isa];
  const statistic = (name: string): number => {
    const value = statistics[name];
    if (value === undefined)
      throw new Error(`the driver gives no "${name}", but ${Object.keys(statistics).join(", ")}`);
    return value;
  };
  const sum = (all: readonly string[]): number =>
    all.reduce((total, name) => total + statistic(name), 0);
  const blocks = parseCode(card.isa, report);
  const subgroupSize = statistic("Subgroup Size");
  const invocations = invocationsOf(shader.code);
  const [largest] = shader.uses.toSorted((a, b) => b.flops * b.count - a.flops * a.count) as [Use];
  const matched = blocks && matchLoops(blocks, sourceLoops(shader.code, largest));
  const flops = shader.uses.reduce((total, use) => total + use.flops * use.count, 0);
  const bounds = shader.uses.map((use) =>
    boundOf(card, shader.code, blocks, use, subgroupSize, invocations),
  );
  const total = (pick: (bound: Bound) => number): number =>
    bounds.reduce((all, bound, i) => all + pick(bound) * (shader.uses[i] as Use).count, 0);
  return {
    label: shader.label,
    dispatches: shader.uses.reduce((count, use) => count + use.count, 0),
    flops,
    registers: statistic(names.registers),
    spills: sum(names.spills),
    registerSpills: sum(names.registerSpills),
    occupancy: statistic(names.occupancy),
    sharedBytes: sharedBytesOf(shader.code),
    subgroupSize,
    ...(blocks && matched ? turnsOf(blocks, matched) : { hot: null, step: null }),
    isKnown: matched === null || allKnown(matched),
    bound: {
      vector: total(({ vector }) => vector),
      matrix: total(({ matrix }) => matrix),
      scalar: total(({ scalar }) => scalar),
      shared: total(({ shared }) => shared),
      global: total(({ global }) => global),
    },
    leastMs: total((bound) => Math.max(...Object.values(bound))),
    multiplyAddsPerNeeded:
      blocks && flops > 0
        ? multiplyAdds(blocks, shader, invocations, subgroupSize) / (flops / 2)
        : null,
  };
}

const allKnown = (loops: readonly WeighedLoop[]): boolean =>
  loops.every(({ turns, inner }) => turns !== null && allKnown(inner));

/** The constant `INVOCATIONS`, a number, or whatever `@workgroup_size` names. */
function invocationsOf(code: string): number {
  const size = /@workgroup_size\((\w+)\)/.exec(code)?.[1] ?? "";
  return Number(size) || Number(new RegExp(`const ${size}: u32 = (\\d+)u`).exec(code)?.[1] ?? NaN);
}

/** Bytes of the arrays in workgroup memory. */
function sharedBytesOf(code: string): number {
  const constants = new Map(
    [...code.matchAll(/const (\w+): u32 = (\d+)u;/g)].map(([, name, value]) => [
      name,
      Number(value),
    ]),
  );
  const sizes: Readonly<Record<string, number>> = {
    f32: 4,
    u32: 4,
    f16: 2,
    "vec2<f32>": 8,
    "vec4<f32>": 16,
    "vec4<f16>": 8,
    "vec2<u32>": 8,
    "vec4<u32>": 16,
    Quad: 16,
  };
  let bytes = 0;
  for (const [, type = "", count = ""] of code.matchAll(
    /var<workgroup> \w+: array<([\w<>]+), ([^;]+)>;/g,
  )) {
    const product = count
      .split("*")
      .reduce((all, factor) => all * sumOfTerms(factor, constants), 1);
    bytes += (sizes[type] ?? NaN) * product;
  }
  return bytes;
}

const sumOfTerms = (text: string, constants: ReadonlyMap<string | undefined, number>): number =>
  text
    .replaceAll(/[()]/g, "")
    .split("+")
    .reduce((sum, term) => {
      const name = term.trim().replace(/u$/, "");
      return sum + (constants.get(term.trim()) ?? Number(name));
    }, 0);

function multiplyAdds(
  blocks: readonly Block[],
  shader: CompiledShader,
  invocations: number,
  subgroupSize: number,
): number {
  return shader.uses.reduce((total, use) => {
    const weights = weightsOf(blocks, matchLoops(blocks, sourceLoops(shader.code, use)));
    const lanes = sumOver(blocks, weights, (one) => one.multiplyAdds) * invocations;
    const matrices =
      sumOver(blocks, weights, (one) => one.matrixMultiplyAdds) * (invocations / subgroupSize);
    const [x, y, z] = use.workgroups;
    return total + (lanes + matrices) * x * y * z * use.count;
  }, 0);
}

/** What each resource of the card needs for one dispatch, in milliseconds. */
function boundOf(
  { isa, peaks }: Card,
  code: string,
  blocks: readonly Block[] | null,
  use: Use,
  subgroupSize: number,
  invocations: number,
): Bound {
  const { cores, gigahertz, lanes, issues, sharedBytes, matrixMultiplyAdds, gigabytesPerSecond } =
    peaks;
  const [x, y, z] = use.workgroups;
  const groups = x * y * z;
  // The last round of workgroups leaves cores idle.
  const busyCores = groups / Math.ceil(groups / cores);
  const perMs = gigahertz * 1e6;
  const global = use.bytes / (gigabytesPerSecond * 1e6);
  if (blocks === null) {
    // Nothing but the work itself is known.
    return {
      vector: use.flops / 2 / (lanes * busyCores * perMs),
      matrix: 0,
      scalar: 0,
      shared: 0,
      global,
    };
  }
  const weights = weightsOf(blocks, matchLoops(blocks, sourceLoops(code, use)));
  const subgroups = groups * Math.ceil(invocations / subgroupSize);
  const ms = (value: (one: Instruction) => number, perClock: number): number =>
    (sumOver(blocks, weights, value) * subgroups) / (perClock * busyCores * perMs);
  const arithmetic = (one: Instruction): boolean =>
    one.kind === "multiplyAdd" || one.kind === "vector";
  const pairs = peaks.pairs === true;
  const vectorMs = ms(
    (one) =>
      arithmetic(one)
        ? one.cost * subgroupSize * (pairs && !(one.isPaired && subgroupSize === 64) ? 2 : 1)
        : 0,
    lanes,
  );
  // NVIDIA's schedulers issue one instruction of any kind in a clock.
  const issueMs = isa === "nak" ? ms((one) => (one.kind === "wait" ? 0 : 1), issues) : 0;
  return {
    vector: Math.max(vectorMs, issueMs),
    matrix: matrixMultiplyAdds === 0 ? 0 : ms((one) => one.matrixMultiplyAdds, matrixMultiplyAdds),
    scalar: isa === "nak" ? 0 : ms((one) => (one.kind === "scalar" ? 1 : 0), issues),
    shared: ms((one) => one.sharedBytes * subgroupSize, sharedBytes),
    global,
  };
}

/** The hot loop and the step around it. */
function turnsOf(
  blocks: readonly Block[],
  loops: readonly WeighedLoop[],
): Pick<ShaderReport, "hot" | "step"> {
  const weights = weightsOf(blocks, loops);
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
    sumOver(blocks, inside, (one) => (is(one) ? 1 : 0));
  const widths = [
    ...new Set(blocks.flatMap(({ instructions }) => instructions.map((one) => one.sharedBytes))),
  ];
  return {
    counts: Object.fromEntries(
      KINDS.map((kind) => [kind, count((one) => one.kind === kind)]),
    ) as Counts,
    sharedWidths: Object.fromEntries(
      widths
        .filter((bytes) => bytes > 0)
        .map((bytes) => [String(8 * bytes), count((one) => one.sharedBytes === bytes)] as const)
        .filter(([, often]) => often > 0),
    ),
  };
}
