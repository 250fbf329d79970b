/** Whether the value of a pickle is plain data of bounded size. */
import { WeightsError } from "../errors.ts";
import { isKind, kindOf } from "./torch-value.ts";
import type { Item, TorchValue } from "./torch-value.ts";

/** Values and characters of the result per byte of its pickle; above 1 where texts are shared. */
const MAX_EXPANSION = 4;

/** Deepest nesting of the result. Checkpoints have about three levels. */
const MAX_DEPTH = 64;

/**
 * Checks that what a pickle of `byteLength` bytes leaves is a tree of data, in which it puts texts in the places of
 * harmless objects. Values and characters are counted wherever they stand, shared ones too: a walk over the value
 * takes as long as that count.
 * @throws WeightsError for cycles, and for values that are too deep or too many
 */
export function checkTree(root: Item, byteLength: number, where: string): TorchValue {
  let left = MAX_EXPANSION * byteLength;
  const check = (item: Item, depth: number): Item => {
    left -= typeof item === "string" ? 1 + item.length : 1;
    if (depth > MAX_DEPTH || left < 0) {
      throw new WeightsError(
        `weights: a pickle's value must be a tree of up to ${MAX_DEPTH} levels, got one that is ` +
          `deeper, or repeats or contains itself (${where}). Do not use this file`,
      );
    }
    if (isKind(item, "list") || isKind(item, "tuple")) {
      for (const [i, inner] of item.items.entries()) item.items[i] = check(inner, depth + 1);
    } else if (isKind(item, "dict")) {
      for (const [key, inner] of item.entries) {
        left -= typeof key === "string" ? 1 + key.length : 1;
        item.entries.set(key, check(inner, depth + 1));
      }
    } else if (isKind(item, "opaque") && item.isNamespace === true && isKind(item.state, "dict")) {
      return check(item.state, depth + 1);
    } else if (typeof item === "object" && item !== null && item.kind !== "tensor") {
      return kindOf(item);
    }
    return item;
  };
  return check(root, 0) as TorchValue;
}
