/** Shapes of benchmark cases as plain data, independent of dtype and device, and how they are made smaller. */

export type CaseShape =
  | {
      /**
       * 3×3 convolution of a square map with bias, and a residual where stride is 1 and neither of `upsample`
       * and `shortcut` is there.
       */
      readonly kind: "conv2d";
      readonly size: number;
      readonly from: number;
      readonly to: number;
      readonly stride: 1 | 2;
      /** `[top, bottom, left, right]` */
      readonly padding: readonly [number, number, number, number];
      /** Of the map doubled by nearest neighbour; `size` is that of the stored map. */
      readonly upsample?: true;
      /** Input channels by source of a 1×1 convolution that is added. */
      readonly shortcut?: readonly number[];
    }
  | {
      readonly kind: "linear";
      readonly rows: number;
      /** Input channels by source. */
      readonly from: readonly number[];
      /** Stored columns; GEGLU has twice as many weight rows. */
      readonly to: number;
      readonly epilogue: "bias" | "residual" | "quick_gelu" | "geglu";
    }
  | {
      readonly kind: "attention";
      readonly queryTokens: number;
      readonly keyTokens: number;
      readonly numHeads: number;
      readonly headDim: number;
      /**
       * Windows of stacked rows: "qkv" has all three side by side, `kvChannels` are those of the keys and values
       * of several layers, of which the last is taken. Absent: three tensors.
       */
      readonly stacked?: "qkv" | { readonly kvChannels: number };
    }
  | {
      readonly kind: "group-norm-silu";
      readonly size: number;
      readonly channels: number;
      readonly numGroups: number;
      readonly eps: number;
    }
  | { readonly kind: "layer-norm"; readonly rows: number; readonly channels: number }
  /** RCOD_S: the merge of a square linear layer's modulated LoRA; channels and rank are multiples of 4. */
  | { readonly kind: "lora-merge"; readonly channels: number; readonly rank: number }
  | { readonly kind: "add"; readonly rows: number; readonly channels: number }
  | { readonly kind: "upsample"; readonly size: number; readonly channels: number };

/** Sides and counts below which a scaled case no longer says anything about its kernel. */
const MIN_SIZE = 8;
const MIN_ROWS = 64;
const MIN_CHANNELS = 64;

/**
 * The same case with about half the work: first fewer pixels or tokens, then fewer channels or heads. Null
 * where it is as small as is sensible.
 */
export function shrink(shape: CaseShape): CaseShape | null {
  if ("size" in shape && shape.size > MIN_SIZE) {
    return { ...shape, size: half(shape.size, MIN_SIZE) };
  }
  if ("rows" in shape && shape.rows > MIN_ROWS) {
    return { ...shape, rows: half(shape.rows, MIN_ROWS) };
  }
  switch (shape.kind) {
    case "conv2d": {
      const { from, to, shortcut } = shape;
      if (Math.max(from, to, ...(shortcut ?? [])) <= MIN_CHANNELS) return null;
      const halved = { ...shape, from: halfChannels(from), to: halfChannels(to) };
      return shortcut ? { ...halved, shortcut: shortcut.map(halfChannels) } : halved;
    }
    case "linear": {
      const { from, to } = shape;
      if (Math.max(...from, to) <= MIN_CHANNELS) return null;
      return { ...shape, from: from.map(halfChannels), to: halfChannels(to) };
    }
    case "attention": {
      const { queryTokens, keyTokens, numHeads } = shape;
      if (Math.max(queryTokens, keyTokens) > MIN_ROWS) {
        const [queries, keys] = [half(queryTokens, MIN_ROWS), half(keyTokens, MIN_ROWS)];
        return { ...shape, queryTokens: queries, keyTokens: keys };
      }
      return numHeads > 1 ? { ...shape, numHeads: half(numHeads, 1) } : null;
    }
    case "lora-merge": {
      const { channels } = shape;
      return channels > MIN_CHANNELS ? { ...shape, channels: halfChannels(channels) } : null;
    }
    default:
      return null;
  }
}

/** Half, but not less than `least`; what is not above `least` stays as it is. */
function half(count: number, least: number): number {
  return count <= least ? count : Math.max(least, Math.ceil(count / 2));
}

/** In multiples of 32, the number of groups. */
function halfChannels(channels: number): number {
  return channels <= MIN_CHANNELS ? channels : 32 * Math.ceil(half(channels, MIN_CHANNELS) / 32);
}
