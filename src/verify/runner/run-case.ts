/** What every kind of case needs: its weights, its inputs in the engine's order, its outputs compared. */
import type { DType } from "../../gpu/dtype.ts";
import type { GraphBuilder } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import type { HostTensor } from "../../graph/program.ts";
import type { FileSet } from "../../weights/sources/files.ts";
import { channelsLastShape, toChannelsFirst, toChannelsLast } from "./axis-order.ts";
import type { CaseWeightsOptions } from "./case-weights.ts";
import { CaseWeights } from "./case-weights.ts";
import type { Limit, OutputResult } from "./compare.ts";
import { compareOutput, floatLimit } from "./compare.ts";
import type { GoldenCase, GoldenTensor } from "./golden-file.ts";
import type { Session, WeightSet } from "./session.ts";

export interface CaseRun {
  /** The folder of the golden file, and all that are run with it. */
  readonly files: FileSet;
  readonly golden: GoldenCase;
  readonly session: Session;
}

/** Runs a case. Outputs that the file does not store are not compared. */
export type CaseRunner = (run: CaseRun) => Promise<readonly OutputResult[]>;

/** `inputs/<name>`; maps come with channels last. */
export async function readInput(golden: GoldenCase, name: string): Promise<GoldenTensor> {
  const { shape, data } = await golden.input(name);
  return { shape: channelsLastShape(shape), data: toChannelsLast(data, shape) };
}

/**
 * Runs one graph on the inputs named in `names` and compares its outputs. `build` gets the inputs in that order and
 * declares the outputs.
 */
export async function runGraph(
  { golden, session }: CaseRun,
  weights: WeightSet,
  names: readonly string[],
  build: (g: GraphBuilder, ...inputs: Value[]) => void,
): Promise<OutputResult[]> {
  const inputs = await Promise.all(names.map((name) => readInput(golden, name)));
  const results = await session.run({
    weights,
    build: (g) => build(g, ...inputs.map(({ shape }, i) => g.input(names[i] as string, shape))),
    inputs: Object.fromEntries(inputs.map(({ data }, i) => [names[i] as string, data])),
  });
  return compareResults(golden, session.dtype, results);
}

/** Weights of one case alone (ops, blocks), in the recipe `<recipePrefix><key>`. */
export function caseWeights(
  golden: GoldenCase,
  options: CaseWeightsOptions = {},
  recipePrefix = `${golden.name}/`,
): WeightSet {
  return {
    key: `${golden.file.name}/${golden.name}`,
    source: new CaseWeights(golden, recipePrefix, options),
  };
}

/** Weights of a network: shared by the cases of a file that have the same `identity`. */
export function networkWeights(
  golden: GoldenCase,
  identity: string,
  options: CaseWeightsOptions = {},
): WeightSet {
  // Tensors stored for this case alone are its own.
  const own = [...golden.file.safetensors.tensors.keys()].some((name) =>
    name.startsWith(`${golden.name}/weights/`),
  );
  return {
    key: `${golden.file.name}/${own ? golden.name : ""}/${identity}`,
    source: new CaseWeights(golden, "", options),
  };
}

/** What B·A of a LoRA is multiplied by: `scaling`, or alpha / rank. */
export function loraScaling({ parameters }: GoldenCase): number {
  return parameters.number("scaling", parameters.number("alpha", 8) / parameters.number("r"));
}

/**
 * Compares results (channels last) with the stored outputs of the same names; the others are left out.
 * `relatives` names, for outputs without stored errors of their own, those whose limits they share.
 */
export async function compareResults(
  golden: GoldenCase,
  dtype: DType,
  results: Readonly<Record<string, HostTensor>>,
  relatives: Readonly<Record<string, readonly string[]>> = {},
): Promise<OutputResult[]> {
  const compared: OutputResult[] = [];
  for (const [name, { shape, data }] of Object.entries(results)) {
    if (!golden.outputs.includes(name)) continue;
    const judges = golden.metrics[name] === undefined ? (relatives[name] ?? []) : [];
    const limit = [name, ...judges]
      .map((judge) => floatLimit(golden.metrics[judge], dtype))
      .reduce((a, b) => (b.value > a.value ? b : a));
    const values = toChannelsFirst(data, shape);
    compared.push(await compareValues(golden, dtype, name, values, limit));
  }
  return compared;
}

/** Compares values in the file's axis order. */
export async function compareValues(
  golden: GoldenCase,
  dtype: DType,
  name: string,
  values: ArrayLike<number>,
  limit: Limit = floatLimit(golden.metrics[name], dtype),
): Promise<OutputResult> {
  const expected = await golden.output(name);
  return compareOutput(name, values, expected.data, limit);
}
