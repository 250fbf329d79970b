/** What a model needs, held against what its files have. */
import { FLOAT_DTYPES } from "./convert.ts";
import { listSome, quoted, WeightsError } from "./errors.ts";
import type { WeightStore } from "./store.ts";
import type { TensorDtype } from "./tensor-info.ts";
import { shapeText } from "./tensor-info.ts";

/** A tensor that a model needs. */
export interface ExpectedTensor {
  /** Name of the tensor. */
  readonly name: string;
  /** The shape it must have. */
  readonly shape: readonly number[];
  /** How its elements must be stored. Absent: as floats of any kind. */
  readonly dtype?: TensorDtype;
}

/** What to do about tensors that the model does not need. */
export interface CheckOptions {
  /** Report all of them, none, or those that match no pattern. */
  readonly unused: "error" | "ignore" | readonly RegExp[];
  /** Hears of unused tensors, in one sentence, where nothing else is wrong: then they are no error. */
  readonly onUnused?: (message: string) => void;
}

/**
 * Checks that a store holds what a model needs: every name, its shape, and its dtype. A matrix
 * `[O, I]` and a 1×1 convolution `[O, I, 1, 1]` are the same map and count as equal.
 * @throws WeightsError one error with the counts and the first names of everything that is wrong
 */
export function checkTensors(
  store: WeightStore,
  expected: Iterable<ExpectedTensor>,
  options: CheckOptions,
): void {
  const missing: string[] = [];
  const wrongShape: string[] = [];
  const unsupported: string[] = [];
  const needed = new Set<string>();
  for (const { name, shape, dtype } of expected) {
    needed.add(name);
    if (!store.has(name)) {
      missing.push(printable(name));
      continue;
    }
    const info = store.info(name);
    if (!isSameMap(info.shape, shape)) {
      const sizes = `got ${shapeText(info.shape)}, expected ${shapeText(shape)}`;
      wrongShape.push(`${printable(name)} (${sizes})`);
    }
    const isRight = dtype ? info.dtype === dtype : FLOAT_DTYPES.has(info.dtype);
    const rule = dtype ? `, expected ${dtype}` : "";
    if (!isRight) unsupported.push(`${printable(name)} (${info.dtype}${rule})`);
  }
  const unused: string[] = [];
  for (const name of store.names()) {
    if (!needed.has(name) && !mayBeUnused(name, options.unused)) unused.push(printable(name));
  }
  const groups = [
    { label: "missing", names: missing },
    { label: "wrong shape", names: wrongShape },
    { label: "unsupported dtype", names: unsupported },
    { label: "unused", names: unused },
  ].filter(({ names }) => names.length > 0);
  const [first, ...others] = groups;
  if (first === undefined) return;
  const noun = first.names.length === 1 ? "tensor" : "tensors";
  const counts = [
    `${first.names.length} ${noun} ${first.label}`,
    ...others.map(({ label, names }) => `${names.length} ${label}`),
  ];
  const lists = groups.map(({ label, names }) => `${label}: ${listSome(names)}`);
  const message = `weights: ${counts.join(", ")}. ${lists.join("; ")} (${store.name})`;
  if (first.names !== unused || !options.onUnused) throw new WeightsError(message);
  options.onUnused(message);
}

function mayBeUnused(name: string, unused: CheckOptions["unused"]): boolean {
  if (unused === "error") return false;
  // search(), because test() of a pattern with the g flag depends on its last use.
  return unused === "ignore" || unused.some((pattern) => name.search(pattern) >= 0);
}

function isSameMap(got: readonly number[], expected: readonly number[]): boolean {
  const a = withoutKernel(got);
  const b = withoutKernel(expected);
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

/** `[O, I, 1, 1]` as `[O, I]`; other shapes as they are. */
function withoutKernel(shape: readonly number[]): readonly number[] {
  return shape.length === 4 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : shape;
}

/** Names are printed bare where that is safe: they come out of files. */
function printable(name: string): string {
  return /^[\w.:/-]{1,120}$/.test(name) ? name : quoted(name);
}
