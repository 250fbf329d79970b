/** A compiled shader as its driver prints it: blocks of instructions, each of a kind, and the loops that they form. */

/** Whose code it is: AMD (ACO), NVIDIA (NAK), Qualcomm (IR3). Apple's driver prints no code. */
export type InstructionSet = "aco" | "nak" | "ir3" | "agx";

/** Which lanes do an instruction: those of floating point, those of integers and comparisons, the few of exp and 1/x. */
export type Lanes = "float" | "integer" | "special";

/** What an instruction keeps busy. */
export type Kind =
  /** f32 multiply-adds of vector lanes. */
  | "multiplyAdd"
  /** Products of matrix units. */
  | "matrix"
  /** All other arithmetic and moves of vector lanes. */
  | "vector"
  /** Reads and writes of workgroup memory. */
  | "shared"
  /** Reads and writes of buffers. */
  | "global"
  /** Arithmetic that a subgroup does once, and branches. */
  | "scalar"
  | "barrier"
  /** Waits and hints: they do nothing. */
  | "wait";

export const KINDS: readonly Kind[] = [
  "multiplyAdd",
  "matrix",
  "vector",
  "shared",
  "global",
  "scalar",
  "barrier",
  "wait",
];

export interface Instruction {
  /** As the driver writes it, without operands. */
  readonly name: string;
  readonly kind: Kind;
  /** How often it is done: a repeat count, else 1. */
  readonly times: number;
  /** Multiply-adds of a lane; 0 where it does none. */
  readonly multiplyAdds: number;
  /** Multiply-adds of a subgroup's matrix units. */
  readonly matrixMultiplyAdds: number;
  /** Whether AMD's compute units since RDNA3 issue two of them at once, for 64 lanes in one clock. */
  readonly isPaired: boolean;
  /** How many turns of the lanes it takes, where an ordinary instruction takes 1. */
  readonly cost: number;
  /** Of a vector instruction. */
  readonly lanes: Lanes;
  /** Bytes of workgroup memory that a lane moves. */
  readonly sharedBytes: number;
  /** Whether it writes memory. */
  readonly isStore: boolean;
  /** Spills and fills go to memory that nobody wrote down. */
  readonly isSpill: boolean;
}

export interface Block {
  readonly instructions: readonly Instruction[];
  /** Indices of the blocks that may follow. */
  readonly successors: readonly number[];
}

/** A loop: the block that all its turns begin with, and all blocks of a turn. */
export interface Loop {
  readonly header: number;
  readonly blocks: ReadonlySet<number>;
  /** In the order of their headers. */
  readonly inner: readonly Loop[];
}

export const instruction = (
  name: string,
  kind: Kind,
  more: Partial<Omit<Instruction, "name" | "kind">> = {},
): Instruction => ({
  name,
  kind,
  times: 1,
  multiplyAdds: kind === "multiplyAdd" ? 1 : 0,
  matrixMultiplyAdds: 0,
  isPaired: false,
  cost: 1,
  lanes: "float",
  sharedBytes: 0,
  isStore: false,
  isSpill: false,
  ...more,
});

/** The outermost loops of a program: natural loops, those with one header as one. */
export function loopsOf(blocks: readonly Block[]): readonly Loop[] {
  // A jump ends a block, and nothing may lead to the one behind it.
  const reached = new Set([0]);
  for (const block of reached) blocks[block]?.successors.forEach((to) => reached.add(to));
  const predecessors = blocks.map((): number[] => []);
  for (const from of reached)
    blocks[from]?.successors.forEach((to) => predecessors[to]?.push(from));
  const dominators = dominatorsOf(blocks.length, predecessors);
  const bodies = new Map<number, Set<number>>();
  blocks.forEach(({ successors }, latch) => {
    for (const header of successors) {
      if (!dominators[latch]?.has(header)) continue;
      const body = bodies.get(header) ?? new Set([header]);
      bodies.set(header, body);
      const open = [latch];
      for (let block = open.pop(); block !== undefined; block = open.pop()) {
        if (body.has(block)) continue;
        body.add(block);
        open.push(...(predecessors[block] ?? []));
      }
    }
  });
  const nest = (loops: readonly (readonly [number, Set<number>])[]): readonly Loop[] =>
    loops
      .filter(([header]) => !loops.some(([other, body]) => other !== header && body.has(header)))
      .map(([header, body]) => ({
        header,
        blocks: body,
        inner: nest(loops.filter(([other]) => other !== header && body.has(other))),
      }));
  return nest([...bodies].toSorted(([a], [b]) => a - b));
}

/** For each block the blocks through which every way to it leads. */
function dominatorsOf(
  count: number,
  predecessors: readonly (readonly number[])[],
): readonly Set<number>[] {
  const all = Array.from({ length: count }, (_, i) => i);
  const dominators = all.map((i) => new Set(i === 0 ? [0] : all));
  for (let changed = true; changed;) {
    changed = false;
    for (const block of all.slice(1)) {
      const [first, ...rest] = (predecessors[block] ?? []).map((p) => dominators[p] as Set<number>);
      const common = new Set([...(first ?? [])].filter((d) => rest.every((set) => set.has(d)))).add(
        block,
      );
      if (common.size === dominators[block]?.size) continue;
      dominators[block] = common;
      changed = true;
    }
  }
  return dominators;
}
