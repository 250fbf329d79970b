/** What the layer wrote of a pipeline (`layer.c`), parsed. */
import { parseAco } from "./isa/aco.ts";
import { parseIr3 } from "./isa/ir3.ts";
import { parseNak } from "./isa/nak.ts";
import type { Block, InstructionSet } from "./isa/program.ts";

export interface CompilerReport {
  readonly statistics: Readonly<Record<string, number>>;
  /** Texts by the driver's name for them. */
  readonly representations: Readonly<Record<string, string>>;
}

/** Splits a report. Throws where it has no statistics, which means that the layer did not see the driver. */
export function parseReport(text: string): CompilerReport {
  const bytes = Buffer.from(text);
  const statistics: Record<string, number> = {};
  const representations: Record<string, string> = {};
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf("\n", at);
    const [head = "", value = ""] = bytes.toString("utf8", at, end).split("\t");
    at = end + 1;
    if (head.startsWith("S ")) {
      statistics[head.slice(2)] = Number(value);
    } else {
      representations[head.slice(2)] = bytes.toString("utf8", at, at + Number(value));
      at += Number(value);
    }
  }
  if (Object.keys(statistics).length === 0)
    throw new Error("the report of a pipeline has no statistics");
  return { statistics, representations };
}

const PARSERS: Readonly<
  Record<InstructionSet, readonly [name: string, parse: (text: string) => readonly Block[]] | null>
> = {
  aco: ["Assembly", parseAco],
  nak: ["NAK assembly", parseNak],
  ir3: ["IR3 Assembly", parseIr3],
  agx: null,
};

/** The text of the final code; null where the driver does not show it. */
export function finalCode(isa: InstructionSet, { representations }: CompilerReport): string | null {
  const parser = PARSERS[isa];
  if (parser === null) return null;
  const [name] = parser;
  const text = representations[name];
  if (text !== undefined) return text;
  throw new Error(`the driver shows no "${name}", but ${Object.keys(representations).join(", ")}`);
}

/** The final code; null where the driver does not show it. */
export function parseCode(isa: InstructionSet, report: CompilerReport): readonly Block[] | null {
  const text = finalCode(isa, report);
  return text === null ? null : (PARSERS[isa]?.[1](text) ?? null);
}
