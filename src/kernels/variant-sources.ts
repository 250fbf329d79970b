/** The WGSL of the variants that are chosen by measurement, on one problem of each kernel. */
import type { Caps } from "../gpu/caps.ts";
import type { DType } from "../gpu/dtype.ts";
import { attention } from "./attention/attention.ts";
import { conv2d } from "./contraction/conv2d.ts";
import { PLAIN_EPILOGUE } from "./contraction/epilogue.ts";
import { linear } from "./contraction/linear.ts";
import type { Kernel } from "./kernel.ts";

/** Texts in a fixed order: equal kernels give equal texts. */
export function variantSources(caps: Caps, dtype: DType): readonly string[] {
  // Large enough for every variant that wants many rows or a long sum.
  const [side, channels] = [16, 1024];
  const tokens = { queryTokens: side * side, keyTokens: side * side, numHeads: 16, headDim: 64 };
  const strides = { queryStride: channels, keyStride: channels, valueStride: channels };
  return [
    ...sourcesOf(caps, conv2d, {
      dtype,
      batch: 1,
      inHeight: side,
      inWidth: side,
      inChannels: [channels],
      outChannels: channels,
      kernelSize: [3, 3],
      stride: 1,
      padding: [1, 1, 1, 1],
      upsample: false,
      shortcutChannels: [],
      inputNorm: "none",
      mergedNorm: null,
      epilogue: PLAIN_EPILOGUE,
    }),
    ...sourcesOf(caps, linear, {
      dtype,
      rows: side * side,
      inChannels: [channels],
      outChannels: channels,
      rowsPerImage: side * side,
      inputNorm: "none",
      mergedNorm: null,
      layerNorm: null,
      epilogue: PLAIN_EPILOGUE,
    }),
    ...sourcesOf(caps, attention, {
      dtype,
      batch: 1,
      scale: 0.125,
      ...tokens,
      ...strides,
      outputStride: channels,
      queryOffset: 0,
      keyOffset: 0,
      valueOffset: 0,
    }),
  ];
}

function sourcesOf<P, V extends string>(caps: Caps, kernel: Kernel<P, V>, problem: P): string[] {
  return kernel.variants.flatMap((variant) => [
    variant,
    ...((kernel.refusal?.(problem, caps, variant) ?? null) === null
      ? kernel.plan(problem, caps, variant).dispatches.map(({ code }) => code)
      : []),
  ]);
}
