/** The options of `npm run bench:compilers`. */
import { parseArgs } from "node:util";
import type { DType } from "../../src/gpu/dtype.ts";
import type { VariantChoice } from "../../src/kernels/variant-choice.ts";
import { unknownVariant } from "../../src/kernels/variant-choice.ts";
import type { Card } from "./cards.ts";
import { CARDS, DEFAULT_CARDS } from "./cards.ts";

const MODEL = "bench/configs/sd21-clip-l";

export const USAGE = `npm run bench:compilers [-- options]

What the compilers of real GPUs make of a model's kernels, on a machine without these GPUs: registers, spills, occupancy,
instructions of the hot loops, and a lower bound of their time. Cards with matrix units are shown without and with them.

  --card <ids>         cards, with commas between: ${CARDS.map(({ id }) => id).join(", ")}; or all
                       (default: ${DEFAULT_CARDS.join(",")})
  --model <dir>        a model's configurations (default: ${MODEL})
  --size <w[xh]>       pixels of the image (default: 512x512)
  --filter <text>      only shaders whose label contains this
  --precision <p>      f16 or f32; repeatable (default: f16)
  --variant <k=v>      forces a kernel's variant, e.g. conv2d=tiled; repeatable
  --asm <dir>          writes the machine code of each shader into this folder
  --json               prints one JSON object; everything else goes to stderr
  --svg <file>         draws where the time of each kernel goes
  --check              compares with bench/results/compilers.json: exit code 1 where a kernel became worse
  --accept             compiles for all cards and rewrites that table, docs/compilers.md and its pictures
  --docs               only rewrites the page and pictures, from the tables
Exit code 77: the drivers cannot be had here, nothing was compiled.
`;

export interface Options {
  readonly cards: readonly Card[];
  readonly model: string;
  readonly size: readonly [width: number, height: number];
  readonly filter: string;
  readonly precisions: readonly DType[];
  readonly variants: VariantChoice;
  readonly asm: string | null;
  readonly json: boolean;
  readonly svg: string | null;
  readonly does: "print" | "check" | "accept" | "docs" | "help";
}

/** What an option says, and what is wrong with it. */
export class OptionError extends Error {}

const KNOWN = {
  card: { type: "string" },
  model: { type: "string" },
  size: { type: "string" },
  filter: { type: "string" },
  precision: { type: "string", multiple: true },
  variant: { type: "string", multiple: true },
  asm: { type: "string" },
  json: { type: "boolean", default: false },
  svg: { type: "string" },
  check: { type: "boolean", default: false },
  accept: { type: "boolean", default: false },
  docs: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

/** Throws `OptionError`. */
export function parseOptions(argv: readonly string[]): Options {
  const { card, model, size, filter, precision, variant, asm, json, svg, ...flags } =
    valuesOf(argv);
  const asked = (["help", "check", "accept", "docs"] as const).filter((name) => flags[name]);
  const [does = "print"] = asked;
  if (asked.length > 1 && does !== "help")
    throw new OptionError(`--${asked.join(" and --")} exclude each other. Give one`);
  // The table is of one model, of the kernels' own choices.
  const fixed = { model, size, precision, variant, ...(does !== "check" && { card, filter, svg }) };
  const extra = Object.entries(fixed).find(([, value]) => value !== undefined);
  if (extra && (does === "check" || does === "accept" || does === "docs"))
    throw new OptionError(
      `--${does} compares with or writes a table that is made without --${extra[0]}. Leave it out`,
    );
  return {
    cards: cardsOf(card ?? (does === "accept" ? "all" : DEFAULT_CARDS.join(","))),
    model: model ?? MODEL,
    size: sizeOf(size ?? "512x512"),
    filter: filter ?? "",
    precisions: [...new Set((precision ?? ["f16"]).map(precisionOf))],
    variants: Object.fromEntries((variant ?? []).map(variantOf)),
    asm: asm ?? null,
    json,
    svg: svg ?? null,
    does,
  };
}

function valuesOf(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: KNOWN }).values;
  } catch (error) {
    throw new OptionError(error instanceof Error ? error.message : String(error));
  }
}

function cardsOf(text: string): readonly Card[] {
  if (text === "all") return CARDS;
  return [...new Set(text.split(","))].map((id) => {
    const card = CARDS.find((one) => one.id === id);
    if (card) return card;
    const known = CARDS.map((one) => one.id).join(", ");
    throw new OptionError(`--card must name cards of ${known}, or be all, got "${id}"`);
  });
}

function sizeOf(text: string): readonly [number, number] {
  const [, width, height = width] = /^([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?$/.exec(text) ?? [];
  if (width !== undefined) return [Number(width), Number(height)];
  throw new OptionError(`--size must be pixels such as 512 or 640x480, got "${text}"`);
}

function precisionOf(text: string): DType {
  if (text === "f16" || text === "f32") return text;
  throw new OptionError(`--precision must be f16 or f32, got "${text}"`);
}

function variantOf(text: string): readonly [kernel: string, variant: string] {
  const [, kernel = "", variant = ""] = /^([^=]+)=([^=]+)$/.exec(text) ?? [];
  if (kernel === "")
    throw new OptionError(`--variant must be kernel=name, e.g. conv2d=tiled, got "${text}"`);
  const unknown = unknownVariant(kernel, variant);
  if (unknown !== null) throw new OptionError(`--variant: ${unknown}`);
  return [kernel, variant];
}
