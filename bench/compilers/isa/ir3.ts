/** Qualcomm's code as IR3 prints it: `lN:` labels, flags in parentheses before an instruction, `(rptN)` among them. */
import type { Block, Instruction } from "./program.ts";
import { instruction } from "./program.ts";

export function parseIr3(text: string): readonly Block[] {
  const labels = new Map<string, number>();
  const blocks: { instructions: Instruction[]; targets: string[] }[] = [
    { instructions: [], targets: [] },
  ];
  const begin = (): void => void blocks.push({ instructions: [], targets: [] });
  for (const line of text.split("\n")) {
    const label = /^(l\d+):/.exec(line)?.[1];
    if (label !== undefined) {
      begin();
      labels.set(label, blocks.length - 1);
      continue;
    }
    const flags = /^(?:\([a-z]+\d*\) ?)*/.exec(line)?.[0] ?? "";
    if (!/^[a-z]/.test(line.slice(flags.length))) continue;
    const code = line.slice(flags.length);
    const block = blocks.at(-1) as { instructions: Instruction[]; targets: string[] };
    const times = Number(/\(rpt(\d)\)/.exec(flags)?.[1] ?? 0) + 1;
    const nops = Number(/\(nop(\d)\)/.exec(flags)?.[1] ?? 0);
    if (nops > 0) block.instructions.push(instruction("nop", "wait", { times: nops }));
    block.instructions.push(instructionOf(code, times));
    const target = /#(l\d+)/.exec(code)?.[1];
    if (target === undefined) continue;
    block.targets.push(target);
    begin();
  }
  return blocks.map(({ instructions, targets }, i) => {
    const falls = !/^(jump|end|ret)/.test(instructions.at(-1)?.name ?? "");
    const jumps = targets.map((target) => labels.get(target) as number);
    return { instructions, successors: falls && i + 1 < blocks.length ? [...jumps, i + 1] : jumps };
  });
}

function instructionOf(code: string, times: number): Instruction {
  const name = code.split(/\s/)[0] as string;
  if (name.startsWith("mad.f")) return instruction(name, "multiplyAdd", { times });
  if (/^(ldl|stl)(w)?\./.test(name)) {
    const components = Number(/, (\d+)$/.exec(code.trim())?.[1] ?? 1);
    const bits = Number(/\.[uf](\d+)/.exec(name)?.[1] ?? 32);
    return instruction(name, "shared", {
      times,
      sharedBytes: (components * bits) / 8,
      isStore: name.startsWith("st"),
    });
  }
  if (/^(ldp|stp)\./.test(name)) return instruction(name, "global", { times, isSpill: true });
  if (/^(ldib|stib|isam|ldg|stg|resinfo|sam|getinfo)/.test(name))
    return instruction(name, "global", { times, isStore: name.startsWith("st") });
  if (name.startsWith("bar")) return instruction(name, "barrier", { times });
  if (/^(nop|fence)/.test(name)) return instruction(name, "wait", { times });
  if (
    /^(br|jump|brao|braa|ret|end|predt|prede|predf|shps|shpe|getone|kill|call|stc|ldc|mova)/.test(
      name,
    )
  ) {
    return instruction(name, "scalar", { times });
  }
  // r48 and above are shared by the whole subgroup.
  const target = /^\S+\s+(?:\(\w+\))*h?r(\d+)\./.exec(code)?.[1];
  if (target !== undefined && Number(target) >= 48 && Number(target) < 56)
    return instruction(name, "scalar", { times });
  const isSpecial = /^(rcp|rsq|exp2|log2|sqrt|sin|cos|hexp2|hrsq)/.test(name);
  return instruction(name, "vector", { times, lanes: isSpecial ? "special" : "float" });
}
