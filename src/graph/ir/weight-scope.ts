/** Names of parameters, verbatim as in a checkpoint. */
import type { IntegerStorage } from "../../kernels/quantized/storage.ts";
import type { Weight, WeightLayout } from "./ir.ts";

/** A module path in a checkpoint. `at("norm1")` narrows it; names stay verbatim. */
export class WeightScope {
  /** Names separated by dots; empty at the top. */
  readonly path: string;
  readonly #storageOf: (matrix: string) => IntegerStorage | undefined;

  /** `storageOf` tells of a matrix by its name whether it is integers. Default: none is. */
  constructor(
    path = "",
    storageOf: (matrix: string) => IntegerStorage | undefined = () => undefined,
  ) {
    this.path = path;
    this.#storageOf = storageOf;
  }

  /** The module `<path>.<name>`. */
  at(name: string): WeightScope {
    return new WeightScope(this.path === "" ? name : `${this.path}.${name}`, this.#storageOf);
  }

  /** The parameter `<path>.<name>`. */
  weight(name: string, shape: readonly number[], layout: WeightLayout): Weight {
    const { path } = this.at(name);
    const storage = layout === "matrix" ? this.#storageOf(path) : undefined;
    return { name: path, shape, layout, ...(storage && { storage }) };
  }
}
