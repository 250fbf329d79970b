/** The norm that conv2d and linear apply while loading: its operand, and what they then see. */
import type { InputNorm } from "../../src/kernels/contraction/loads.ts";
import { activation as activate } from "../reference/activation.ts";
import { packRows } from "./gpu.ts";
import { uniformArray } from "./random.ts";

export interface TestNorm {
  /** Operand `norm`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** x [.., channels] normalised, in doubles. */
  readonly apply: (x: Float64Array) => Float64Array;
}

/** Scales around 1 of both signs and shifts in ±1, or null for "none". */
export function testNorm(norm: InputNorm, channels: number): TestNorm | null {
  if (norm === "none") return null;
  const scale = uniformArray(channels, 21, 1.5).map(Math.fround);
  const shift = uniformArray(channels, 22, 1).map(Math.fround);
  const activation = norm === "affine-silu" ? "silu" : "none";
  return {
    bytes: packRows(Float64Array.from([...scale, ...shift]), channels, "f32"),
    apply: (x) =>
      x.map((value, i) => {
        const channel = i % channels;
        return activate(
          activation,
          (scale[channel] as number) * value + (shift[channel] as number),
        );
      }),
  };
}
