/** Values of the pickles in torch.save's files, as they are handed out and as they stand on the stack. */
import { quoted } from "../errors.ts";
import type { TensorDtype } from "../tensor-info.ts";
import type { TorchStorage, TorchTensor } from "./torch-tensor.ts";

/** What a pickle holds. Integers that a double cannot hold are bigints. */
export type TorchValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | TorchTensor
  | TorchSequence
  | TorchDict;

/** A list or a tuple. */
export interface TorchSequence {
  /** What it is. */
  readonly kind: "list" | "tuple";
  /** In order. */
  readonly items: readonly TorchValue[];
}

/** A dictionary, in the order of its keys. */
export interface TorchDict {
  /** What it is. */
  readonly kind: "dict";
  /** In the order of the file. */
  readonly entries: ReadonlyMap<string | number, TorchValue>;
}

/** What stands on the stack: values, and what only lives between opcodes. */
export type Item =
  | null
  | boolean
  | number
  | bigint
  | string
  | TorchTensor
  | TorchStorage
  | Global
  | Sequence
  | Dict;

/** A list or a tuple while it is filled. */
export interface Sequence {
  readonly kind: "list" | "tuple";
  readonly items: Item[];
}

/** A dictionary while it is filled. */
export interface Dict {
  readonly kind: "dict";
  readonly entries: Map<string | number, Item>;
}

/** The globals that may be called. */
export type Callable =
  | "torch._utils._rebuild_tensor_v2"
  | "torch._utils._rebuild_parameter"
  | "torch.Size"
  | "collections.OrderedDict";

/** A global that is allowed: a constructor, or the tag of an element type. */
export type Global =
  | { readonly kind: "callable"; readonly name: Callable }
  | { readonly kind: "dtype"; readonly name: string; readonly dtype: TensorDtype };

type Kind = Exclude<Item, null | boolean | number | bigint | string>["kind"];

/** Narrows an item to one kind. */
export function isKind<K extends Kind>(
  item: Item | undefined,
  kind: K,
): item is Extract<Item, { readonly kind: K }> | (K extends Sequence["kind"] ? Sequence : never) {
  return typeof item === "object" && item !== null && item.kind === kind;
}

/** Whether an item may be a key of a dictionary. */
export function isKey(item: Item): item is string | number {
  return typeof item === "string" || Number.isSafeInteger(item);
}

/** What an item is, for messages. */
export function kindOf(item: Item): string {
  if (item === null) return "None";
  if (typeof item === "string") return quoted(item);
  if (typeof item !== "object") return String(item).slice(0, 40);
  if (item.kind === "callable" || item.kind === "dtype") return item.name;
  if (item.kind === "tuple") return `a tuple of ${item.items.length}`;
  return `a ${item.kind}`;
}
