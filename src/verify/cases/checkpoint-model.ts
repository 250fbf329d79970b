/** A model in published files, which lie beside the golden file that names them. */
import type { DType } from "../../gpu/dtype.ts";
import type { FolderSource } from "../../rcod/loading/model-source.ts";
import { modelFiles } from "../../rcod/loading/model-source.ts";
import type { OpenModel } from "../../rcod/loading/open-model.ts";
import { openModel } from "../../rcod/loading/open-model.ts";
import { readConfigs } from "../../rcod/loading/read-configs.ts";
import type { ModelPart } from "../../rcod/networks/stage-graphs.ts";
import type { ModelConfigs } from "../../rcod/settings/model-configs.ts";
import type { FileSet, SingleFile } from "../../weights/index.ts";
import { openWeightFile, toFloat32 } from "../../weights/index.ts";
import type { WeightFile } from "../../weights/weight-file.ts";
import type { OutputResult } from "../runner/compare.ts";
import { EXACT, compareOutput } from "../runner/compare.ts";
import { GoldenError } from "../runner/golden-file.ts";
import type { CaseRun } from "../runner/run-case.ts";
import type { WeightSet } from "../runner/session.ts";

/** The model of a case, open. */
export interface CaseModel {
  readonly configs: ModelConfigs;
  readonly open: OpenModel;
  /** The weights of a part; `prepare` as in `WeightSet`. */
  readonly weights: (part: ModelPart, prepare?: WeightSet["prepare"]) => WeightSet;
}

/** Opens the model whose pieces the case names, and closes it after `use`. */
export async function withCaseModel<T>(
  { golden, session, files }: CaseRun,
  use: (model: CaseModel) => Promise<T>,
): Promise<T> {
  const { parameters } = golden;
  const folder = (key: string): FolderSource => subfolder(files, parameters.text(key));
  const file = (key: string): SingleFile => {
    const name = parameters.text(key);
    return { name, open: (signal) => files.open(name, signal) };
  };
  const source = modelFiles({
    model: folder("base"),
    clip: folder("clip"),
    checkpoint: file("checkpoint"),
    ...(parameters.has("de_net") && { deNet: file("de_net") }),
    ...(parameters.has("mem") && { mem: file("mem") }),
  });
  const configs = await readConfigs(source, session.signal);
  const open = await openModel(source, configs, { signal: session.signal });
  try {
    return await use({
      configs,
      open,
      weights(part, prepare) {
        const tensors = open.sources.get(part);
        if (tensors === undefined) throw new GoldenError(`verify: the model has no ${part}`);
        return {
          key: `${golden.file.name}/${golden.name}/${part}`,
          source: { ...tensors, expect: () => undefined }, // was checked when it was opened
          ...(prepare && { prepare }),
        };
      },
    });
  } finally {
    await open.close();
  }
}

function subfolder(files: FileSet, folder: string): FileSet {
  return { name: folder, open: (path, signal) => files.open(`${folder}/${path}`, signal) };
}

/** Opens a weight file that a case names, and closes it after `use`. */
export async function withWeightFile<T>(
  { files, golden }: Pick<CaseRun, "files" | "golden">,
  name: string,
  use: (file: WeightFile) => Promise<T>,
): Promise<T> {
  const file = await openWeightFile(files, name);
  if (file === null) {
    throw new GoldenError(`verify: file "${name}" is missing (${golden.file.name})`);
  }
  try {
    return await use(file);
  } finally {
    await file.store.close();
  }
}

/** Whether other forms of the file `parameters[key]`, listed under `variantsKey`, hold the same tensors. */
export async function compareVariants(
  run: CaseRun,
  key: string,
  variantsKey: string,
): Promise<readonly OutputResult[]> {
  const { parameters } = run.golden;
  if (!parameters.has(variantsKey)) return [];
  const expected = await withWeightFile(run, parameters.text(key), allValues);
  const results: OutputResult[] = [];
  for (const name of parameters.get(variantsKey) as readonly string[]) {
    const got = await withWeightFile(run, name, allValues);
    results.push(compareOutput(name, got, expected, EXACT));
  }
  return results;
}

/** All tensors of a file in the order of their names, as floats. */
async function allValues({ store }: WeightFile): Promise<Float32Array> {
  const tensors: Float32Array[] = [];
  for (const name of [...store.names()].toSorted())
    tensors.push(toFloat32(store.info(name), await store.read(name)));
  const values = new Float32Array(tensors.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const tensor of tensors) {
    values.set(tensor, at);
    at += tensor.length;
  }
  return values;
}

/** Levels that an 8-bit image may be off: one where truncation falls, and in f16 what the picture itself may be. */
export function levelLimit(dtype: DType, maxAbsOfHalves: number) {
  const own = dtype === "f32" ? 0 : Math.floor(4 * maxAbsOfHalves * 127.5);
  return { on: "maxAbs", value: 1 + own } as const;
}
