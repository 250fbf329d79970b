/** NVIDIA's code as NAK prints it: `block n Lm [predecessors] -> { … } -> [successors]`. */
import type { Block, Instruction, Lanes } from "./program.ts";
import { instruction } from "./program.ts";

export function parseNak(text: string): readonly Block[] {
  const blocks: { instructions: Instruction[]; successors: number[] }[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("block")) {
      blocks.push({ instructions: [], successors: [] });
      continue;
    }
    const block = blocks.at(-1);
    if (block === undefined) continue;
    const successors = /^\} -> \[(.*)\]/.exec(line)?.[1];
    if (successors !== undefined) {
      block.successors = successors === "" ? [] : successors.split(",").map(Number);
      continue;
    }
    const [code] = line.split("//");
    if (code?.trim()) block.instructions.push(instructionOf(code.trim()));
  }
  return blocks;
}

function instructionOf(code: string): Instruction {
  const [, left = "", right = code] = /^(.*?)\s+= (.*)$/.exec(code) ?? [];
  const name = right.replace(/^@!?u?p\w+\s+/, "").split(/\s/)[0] as string;
  const shape = /^hmma\.m?(\d+)n?(8)k?(\d+)/.exec(name);
  if (shape)
    return instruction(name, "matrix", {
      matrixMultiplyAdds: Number(shape[1]) * Number(shape[2]) * Number(shape[3]),
    });
  if (/^(ffma|hfma2)/.test(name)) return instruction(name, "multiplyAdd");
  if (/^(ld|st|atom)\.shared|^ldsm/.test(name)) {
    return instruction(name, "shared", {
      sharedBytes: sharedBytes(name),
      isStore: name.startsWith("st"),
    });
  }
  if (/^(ld|st)\.local/.test(name)) return instruction(name, "global", { isSpill: true });
  if (/^(ld|st|atom|red|suld|sust|tex|ccctl)/.test(name) && !name.startsWith("ldc")) {
    return instruction(name, "global", { isStore: name.startsWith("st") });
  }
  if (name.startsWith("bar.")) return instruction(name, "barrier");
  if (/^nop|^membar/.test(name)) return instruction(name, "wait");
  if (/^(bra|brx|bssy|bsync|exit|ldc|warpsync|bmov|bclear|break|vote|s2r|s2ur)/.test(name)) {
    return instruction(name, "scalar");
  }
  // What writes uniform registers runs beside the lanes, but takes a turn of the scheduler all the same.
  if (/^u[rp]\d/.test(left.replace(/^@!?u?p\w+\s+/, ""))) return instruction(name, "scalar");
  return instruction(name, "vector", { lanes: lanesOf(name) });
}

/** Only what is known to run elsewhere than multiply-adds: the rest may be counted as too fast, never as too slow. */
function lanesOf(name: string): Lanes {
  if (name.startsWith("mufu")) return "special";
  return /^(iadd3|lop3|shf|isetp|imnmx|lea|prmt|sel|plop3|fmnmx|fsetp|fsel)/.test(name)
    ? "integer"
    : "float";
}

function sharedBytes(name: string): number {
  if (name.startsWith("ldsm")) return 4 * Number(/\.x(\d)/.exec(name)?.[1] ?? 1);
  return Number(/\.[bui](\d+)/.exec(name)?.[1] ?? 32) / 8;
}
