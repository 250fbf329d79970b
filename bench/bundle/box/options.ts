/** Options of the bundle. */
import { parseArgs } from "node:util";
import { CARDS, OTHER_CARDS } from "../../compilers/cards.ts";
import type { Peaks } from "../../compilers/cards.ts";

export const USAGE = `./run.sh [options]: checks, then times, the most valuable first; prints one JSON object
  --seconds <n>          time for everything (default 440); what it does not suffice for is named in the JSON
  --out <file>           write the JSON there too, after every part
  --model <m>            full (weights made on the spot), tiny; default full, on a CPU tiny
  --modes <a,b>          default; f16 (native f16 on NVIDIA under Vulkan); matrix (f16 and matrix units); default all
  --parts <a,b>          of parity, model, pytorch, kernels, tune, tuned; default all
  --verify-filter <t>    only golden cases whose name contains this
  --kernels-filter <t>   only kernel cases whose name contains this
  --samples <n>          passes and warm images to time
  --python <program>     a Python with PyTorch (default: python3)
  --card <id>            the card, where its name does not tell: ${[...CARDS, ...OTHER_CARDS].map(({ id }) => id).join(", ")}
  --peaks <k=n,…>        an unknown card: cores, gigahertz, lanes (of a core), gigabytesPerSecond, matrixMultiplyAdds
                         (of a core in a clock); default: what the kernel suite measures
  --rehearse             everything on the small model, in a minute or two; not worth keeping
Exit code: 0; 1 when something failed, 3 when only time was short, 2 for bad usage.
`;

export const MODE_NAMES = ["default", "f16", "matrix"] as const;
export type ModeName = (typeof MODE_NAMES)[number];

export const PART_NAMES = ["parity", "model", "pytorch", "kernels", "tune", "tuned"] as const;
export type PartName = (typeof PART_NAMES)[number];

export interface Options {
  readonly seconds: number;
  readonly out: string | undefined;
  readonly model: "full" | "tiny" | undefined;
  readonly modes: readonly ModeName[];
  readonly parts: readonly PartName[];
  readonly verifyFilter: string | undefined;
  readonly kernelsFilter: string | undefined;
  readonly samples: number | undefined;
  readonly python: string;
  readonly card: string | undefined;
  readonly peaks: Peaks | undefined;
  readonly isRehearsal: boolean;
}

/** What a rehearsal takes where nothing else is asked for: each part once, as small as it gets. */
const REHEARSAL = {
  seconds: "240",
  model: "tiny",
  "verify-filter": "linear",
  "kernels-filter": "layernorm 4096×320",
  samples: "1",
};

/** Null for `--help`. Throws what is wrong. */
export function parseOptions(args: readonly string[]): Options | null {
  const text = { type: "string" } as const;
  const { values: given } = parseArgs({
    args: [...args],
    options: {
      seconds: text,
      out: text,
      model: text,
      modes: text,
      parts: text,
      "verify-filter": text,
      "kernels-filter": text,
      samples: text,
      python: text,
      card: text,
      peaks: text,
      rehearse: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (given.help) return null;
  const values = given.rehearse ? { ...REHEARSAL, ...given } : given;
  const known = [...CARDS, ...OTHER_CARDS].map(({ id }) => id);
  return {
    seconds: above0("--seconds", values.seconds ?? "440"),
    out: values.out,
    model: optional(values.model, (name) => oneOf("--model", ["full", "tiny"] as const, name)),
    modes: listOf("--modes", MODE_NAMES, values.modes),
    parts: listOf("--parts", PART_NAMES, values.parts),
    verifyFilter: values["verify-filter"],
    kernelsFilter: values["kernels-filter"],
    samples: optional(values.samples, (n) => above0("--samples", n)),
    python: values.python ?? "python3",
    card: optional(values.card, (id) => oneOf("--card", known, id)),
    peaks: optional(values.peaks, parsePeaks),
    isRehearsal: given.rehearse,
  };
}

const optional = <T>(given: string | undefined, parse: (text: string) => T): T | undefined =>
  given === undefined ? undefined : parse(given);

function oneOf<T extends string>(option: string, known: readonly T[], given: string): T {
  const found = known.find((name) => name === given);
  if (found === undefined) throw new Error(`${option}: one of ${known.join(", ")}, got "${given}"`);
  return found;
}

/** In the order in which they are known. */
function listOf<T extends string>(
  option: string,
  known: readonly T[],
  given: string | undefined,
): readonly T[] {
  const asked = given?.split(",").map((name) => oneOf(option, known, name));
  return known.filter((name) => asked?.includes(name) ?? true);
}

function above0(option: string, given: string): number {
  const value = Number(given);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new Error(`${option}: a number above 0, got "${given}"`);
}

const NEEDED = ["cores", "gigahertz", "lanes", "gigabytesPerSecond"] as const;

/** Integers, issue slots and workgroup memory are taken to be no limit. */
function parsePeaks(given: string): Peaks {
  const names = [...NEEDED, "matrixMultiplyAdds"] as const;
  const values = new Map(
    given.split(",").map((pair) => {
      const [name = "", value = ""] = pair.split("=");
      return [oneOf("--peaks", names, name), above0(`--peaks ${name}`, value)] as const;
    }),
  );
  const missing = NEEDED.filter((name) => !values.has(name));
  if (missing.length > 0) throw new Error(`--peaks: ${missing.join(", ")} must be given too`);
  const value = (name: (typeof names)[number]): number => values.get(name) ?? 0;
  return {
    cores: value("cores"),
    gigahertz: value("gigahertz"),
    lanes: value("lanes"),
    gigabytesPerSecond: value("gigabytesPerSecond"),
    matrixMultiplyAdds: value("matrixMultiplyAdds"),
    issues: Infinity,
    sharedBytes: Infinity,
  };
}
