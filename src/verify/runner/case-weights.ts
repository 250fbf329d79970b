/**
 * Where the weights of a case come from: tensors of its file, of the file of the base model beside it, or the
 * recipe. Names are those of the graph, which are the checkpoint's.
 */
import type { Weight } from "../../graph/ir/ir.ts";
import type {
  IntegerTensor,
  LoraUpdate,
  SourceTensor,
  StoredBytes,
  TensorSource,
} from "../../graph/weights/device-weights.ts";
import type { SourceDType } from "../../kernels/contraction/pack-weight.ts";
import type { SafetensorsFile } from "../../weights/safetensors.ts";
import { GoldenError } from "./golden-file.ts";
import type { GoldenCase } from "./golden-file.ts";
import { recipeTensor } from "./recipe.ts";

/** The low-rank update of a case. */
export interface LoraParameters {
  readonly scaling: number;
  /** Rank of factors that are made by the recipe; stored ones say it themselves. */
  readonly rank?: number;
  /**
   * Names of the factors of a weight, and the number of its modulation matrix where it has one; null where it
   * has no factors.
   */
  factors(
    weight: string,
  ): { readonly a: string; readonly b: string; readonly block?: number } | null;
}

export interface CaseWeightsOptions {
  /** The file whose `weights/…` are the base model's. */
  readonly base?: SafetensorsFile | null;
  readonly lora?: LoraParameters;
}

/** A `TensorSource` that knows shapes only from the graph; `expect` comes before `tensor`. */
export class CaseWeights implements TensorSource {
  readonly #case: GoldenCase;
  readonly #prefix: string;
  readonly #options: CaseWeightsOptions;
  readonly #shapes = new Map<string, readonly number[]>();

  /** `recipePrefix` stands before a weight's name in the recipe, unless the case has a `recipe_prefix`. */
  constructor(golden: GoldenCase, recipePrefix: string, options: CaseWeightsOptions) {
    this.#case = golden;
    this.#prefix = golden.parameters.text("recipe_prefix", recipePrefix);
    this.#options = options;
  }

  /** Takes note of what a graph needs; checks shapes where tensors are stored. */
  expect(weights: readonly Weight[]): void {
    const { lora } = this.#options;
    for (const { name, shape, storage } of weights) {
      this.#shapes.set(name, shape);
      if (storage !== undefined) continue; // their bytes are counted when they are loaded
      const factors = lora?.factors(name);
      if (factors && lora?.rank !== undefined) {
        this.#shapes.set(factors.a, [lora.rank, ...shape.slice(1)]);
        this.#shapes.set(factors.b, [shape[0] as number, lora.rank]);
      }
      const stored = this.#stored(name);
      if (stored !== null && !sameMatrix(stored.shape, shape)) {
        throw new GoldenError(
          `verify: weight "${name}" must be [${shape.join(", ")}], got [${stored.shape.join(", ")}] (${this.#where})`,
        );
      }
    }
  }

  tensor(name: string): SourceTensor {
    const stored = this.#stored(name);
    if (stored !== null) return stored;
    const shape = this.#shapes.get(name);
    const mode = this.#case.parameters.get("weights");
    if (shape === undefined || mode === "stored" || mode === "none") {
      throw new GoldenError(`verify: weight "${name}" is missing (${this.#where})`);
    }
    return recipeTensor(`${this.#prefix}${name}`, shape, this.#case.file.variant);
  }

  integers(name: string): IntegerTensor {
    const { safetensors: file } = this.#case.file;
    const stored = (tensor: string): StoredBytes => {
      const full = `${this.#case.name}/weights/${tensor}`;
      const info = file.tensors.get(full);
      if (info === undefined) {
        throw new GoldenError(`verify: weight "${tensor}" is missing (${this.#where})`);
      }
      return {
        byteLength: info.byteLength,
        read: (start, length, signal) => file.readRange(full, start, length, signal),
      };
    };
    return { values: stored(name), scales: stored(`${name}.scales`) };
  }

  lora(name: string): LoraUpdate | null {
    const { lora } = this.#options;
    const factors = lora?.factors(name) ?? null;
    if (!lora || factors === null) return null;
    const { a: nameOfA, b: nameOfB, ...block } = factors;
    const a = this.tensor(nameOfA);
    const b = this.tensor(nameOfB);
    return { rank: a.shape[0] as number, scaling: lora.scaling, a, b, ...block };
  }

  get #where(): string {
    return `${this.#case.file.name} ${this.#case.name}`;
  }

  #stored(name: string): SourceTensor | null {
    const { safetensors } = this.#case.file;
    const { base } = this.#options;
    return (
      storedTensor(safetensors, `${this.#case.name}/weights/${name}`) ??
      storedTensor(safetensors, `weights/${name}`) ??
      storedTensor(safetensors, name) ??
      (base ? storedTensor(base, `weights/${name}`) : null)
    );
  }
}

/** A tensor of a file, read range by range; null where the file has none of that name. */
export function storedTensor(file: SafetensorsFile, name: string): SourceTensor | null {
  const info = file.tensors.get(name);
  if (info === undefined) return null;
  const { dtype, shape, byteLength } = info;
  if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") {
    throw new GoldenError(
      `verify: weights must be F32, F16 or BF16, "${name}" is ${dtype} (${file.name})`,
    );
  }
  return {
    dtype: dtype satisfies SourceDType,
    shape,
    byteLength,
    read: (start, length, signal) => file.readRange(name, start, length, signal),
  };
}

/** Equal shapes, where a linear layer may be stored as a 1×1 convolution or the other way round. */
function sameMatrix(a: readonly number[], b: readonly number[]): boolean {
  const length = Math.max(a.length, b.length);
  return Array.from({ length }, (_, i) => (a[i] ?? 1) === (b[i] ?? 1)).every(Boolean);
}
