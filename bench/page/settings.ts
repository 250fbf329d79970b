/** Settings of the bench page: the driver writes them into the address, the page reads them there. */
import { defined } from "../../cli/defined.ts";

export interface PageSettings {
  readonly suite: "kernels" | "model" | "compare";
  readonly filter?: string;
  readonly precision?: "f32" | "f16";
  /** `tiny` is for `compare`: that everything runs. */
  readonly scale?: "full" | "small" | "tiny";
  readonly minMs?: number;
  readonly samples?: number;
}

/** What the page reports: lines and notes as they come, then one result or error. */
export type PageMessage =
  | { readonly kind: "line"; readonly text: string }
  | { readonly kind: "note"; readonly text: string }
  | {
      readonly kind: "result";
      readonly passed: boolean;
      readonly record: Readonly<Record<string, unknown>>;
      /** A roofline plot, where the suite has one. */
      readonly svg?: string;
    }
  | { readonly kind: "error"; readonly text: string };

/** Settings from the query part, or null without a suite. Throws for unknown values. */
export function fromQuery(query: string): PageSettings | null {
  const given = new URLSearchParams(query);
  const oneOf = <T extends string>(key: string, known: readonly T[]): T | undefined => {
    const value = given.get(key);
    const found = known.find((name) => name === value);
    if (value !== null && found === undefined) {
      throw new Error(`bench page: ${key} must be one of ${known.join(", ")}, got "${value}"`);
    }
    return found;
  };
  const number = (key: string): number | undefined => {
    const value = given.get(key);
    if (value === null) return undefined;
    if (!(Number(value) > 0)) {
      throw new Error(`bench page: ${key} must be a number above 0, got "${value}"`);
    }
    return Number(value);
  };
  const suite = oneOf("suite", ["kernels", "model", "compare"]);
  if (suite === undefined) return null;
  return {
    suite,
    ...defined({
      filter: given.get("filter") ?? undefined,
      precision: oneOf("precision", ["f32", "f16"]),
      scale: oneOf("scale", ["full", "small", "tiny"]),
      minMs: number("minMs"),
      samples: number("samples"),
    }),
  };
}
