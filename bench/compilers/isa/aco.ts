/** AMD's code as ACO prints it: `BBn:` labels, one instruction a line, encodings behind `;`. */
import type { Block, Instruction } from "./program.ts";
import { instruction } from "./program.ts";

/** The instructions of VOPD, in the encodings that it has. */
const PAIRED =
  /^v_(fmac|fmaak|fmamk|mul|add|sub|subrev|max|min)_f32(_e32)?$|^v_(mov|cndmask|and)_b32(_e32)?$|^v_add_nc_u32(_e32)?$|^v_lshlrev_b32(_e32)?$/;
/** A quarter of the rate, and nothing else goes on. */
const SLOW = /^v_mul_(lo|hi)_[iu]32|^v_mad_[iu]64/;
/** A quarter of the rate, on lanes beside the others. */
const SPECIAL = /^v_(exp|log|rcp|rsq|sqrt|sin|cos)_/;
/** Nothing runs behind these. */
const ENDS = /^s_(branch|endpgm|setpc)/;
const WAIT = /^s_(waitcnt|wait_|delay_alu|nop|clause|set_inst|inst_prefetch|sleep|code_end)/;

export function parseAco(text: string): readonly Block[] {
  const labels = new Map<string, number>();
  const blocks: { instructions: Instruction[]; targets: string[] }[] = [];
  for (const line of text.split("\n")) {
    const label = /^(BB\d+):/.exec(line)?.[1];
    if (label !== undefined) {
      labels.set(label, blocks.length);
      blocks.push({ instructions: [], targets: [] });
      continue;
    }
    const block = blocks.at(-1);
    const [code] = line.trim().split(/\s*;/);
    if (block === undefined || !code || !/^(v|s|ds|buffer|global|scratch|flat)_/.test(code))
      continue;
    // Padding may follow.
    if (ENDS.test(block.instructions.at(-1)?.name ?? "")) continue;
    const target = /\b(BB\d+)$/.exec(code)?.[1];
    if (target !== undefined) block.targets.push(target);
    block.instructions.push(instructionOf(code));
  }
  return blocks.map(({ instructions, targets }, i) => {
    const falls = !ENDS.test(instructions.at(-1)?.name ?? "");
    const jumps = targets.map((target) => labels.get(target) as number);
    return { instructions, successors: falls && i + 1 < blocks.length ? [...jumps, i + 1] : jumps };
  });
}

function instructionOf(code: string): Instruction {
  const name = code.split(/\s/)[0] as string;
  const shape = /^v_wmma_f32_(\d+)x(\d+)x(\d+)/.exec(name);
  if (shape)
    return instruction(name, "matrix", {
      matrixMultiplyAdds: Number(shape[1]) * Number(shape[2]) * Number(shape[3]),
    });
  // Two instructions in one: v_dual_fmac_f32 … :: v_dual_mov_b32 …
  const halves = name.startsWith("v_dual") ? code.split("::") : [code];
  const multiplyAdds = halves.filter((half) => /v_(dual_)?(pk_)?fma/.test(half)).length;
  const isPaired = PAIRED.test(name);
  if (multiplyAdds > 0) return instruction(name, "multiplyAdd", { multiplyAdds, isPaired });
  if (name.startsWith("v_"))
    return instruction(name, "vector", {
      cost: SLOW.test(name) ? 4 : 1,
      lanes: SPECIAL.test(name) ? "special" : "float",
      isPaired,
    });
  if (name.startsWith("ds_"))
    return instruction(name, "shared", {
      sharedBytes: sharedBytes(name),
      isStore: /store|write/.test(name),
    });
  if (name.startsWith("scratch_")) return instruction(name, "global", { isSpill: true });
  if (/^(buffer|global|flat)_/.test(name))
    return instruction(name, "global", { isStore: /store/.test(name) });
  if (name.startsWith("s_barrier")) return instruction(name, "barrier");
  return instruction(name, WAIT.test(name) ? "wait" : "scalar");
}

function sharedBytes(name: string): number {
  const bits = Number(/_[bui](\d+)/.exec(name)?.[1] ?? 32);
  return (bits / 8) * (/2addr|read2|write2/.test(name) ? 2 : 1);
}
