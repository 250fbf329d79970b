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
  | Opaque
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

/** A harmless value of which a text is kept. */
export interface Opaque {
  readonly kind: "opaque";
  /** What it is. */
  readonly text: string;
  /** Bytes as the characters of the same numbers; no copy, for one text may be taken many times. */
  readonly bytes?: string;
  /** What BUILD set: its attributes. */
  state?: Item;
  /** Whether its attributes are its value. */
  readonly isNamespace?: boolean;
}

/** What bounds a call. */
export interface CallLimits {
  /** Most bytes of a tensor. */
  readonly maxByteLength: number;
  /** Names the file in messages. */
  readonly where: string;
  /** Counts what a call makes beside one object. */
  readonly spend: (count: number) => void;
}

/**
 * What a constructor gives, or null for arguments that torch.save does not write for it.
 * Throws `WeightsError` for a tensor outside its storage.
 */
export type Call = (args: readonly Item[], limits: CallLimits, dtype?: TensorDtype) => Item;

/** A global that is allowed: a constructor, or the tag of an element type. */
export type Global =
  | { readonly kind: "callable"; readonly name: string; readonly call: Call }
  | { readonly kind: "dtype"; readonly name: string; readonly dtype: TensorDtype };

type Kind = Exclude<Item, null | boolean | number | bigint | string>["kind"];

/** Narrows an item to one kind. */
export function isKind<K extends Kind>(
  item: Item | undefined,
  kind: K,
): item is Extract<Item, { readonly kind: K }> | (K extends Sequence["kind"] ? Sequence : never) {
  return typeof item === "object" && item !== null && item.kind === kind;
}

/** An item as the key of a dictionary; null for what Python cannot hash. Keys beside texts and integers become texts. */
export function keyText(item: Item): string | number | null {
  if (typeof item === "string") return item;
  if (typeof item === "number" && Number.isSafeInteger(item)) return item;
  if (isKind(item, "list") || isKind(item, "dict")) return null;
  if (!isKind(item, "tuple")) return kindOf(item);
  return item.items.length <= MAX_KEY_ITEMS ? `(${item.items.map(kindOf).join(", ")})` : null;
}

/** Most items of a tuple that is a key. */
const MAX_KEY_ITEMS = 8;

/** What an item is, for messages. */
export function kindOf(item: Item): string {
  if (item === null) return "None";
  if (typeof item === "string") return quoted(item);
  if (typeof item !== "object") return String(item).slice(0, 40);
  if (item.kind === "callable" || item.kind === "dtype") return item.name;
  if (item.kind === "opaque") return item.text;
  if (item.kind === "tuple") return `a tuple of ${item.items.length}`;
  return `a ${item.kind}`;
}
