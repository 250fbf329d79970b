/** What methods of `GraphBuilder` take beside values and scopes. */
import type { Value, Weight } from "./ir.ts";

/** Options of a convolution. */
export interface Conv2dOptions {
  /** Channels of the output. */
  readonly outChannels: number;
  /** Side of the square window in pixels. */
  readonly kernelSize: number;
  /** Pixels between the windows of neighbouring outputs. */
  readonly stride: number;
  /** One number for all sides, or `[top, bottom, left, right]`. */
  readonly padding: number | readonly [number, number, number, number];
  /** Whether there is a parameter `bias`. */
  readonly bias: boolean;
}

/** What a kernel's operands are in a graph, by the kernel's names for them. */
export interface KernelOperands {
  /** Values that it reads. */
  readonly inputs: Readonly<Record<string, Value>>;
  /** Parameters that it reads, in a layout that it understands. */
  readonly weights?: Readonly<Record<string, Weight>>;
  /** The one that it writes. */
  readonly output: string;
}
