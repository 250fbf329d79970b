/**
 * RCOD_S's image-dependent LoRA: from the degradation scores to one square matrix per block, which stands
 * between the factors A and B of every adapted layer of that block (S3Diff).
 *
 *   e   = [sin 2π·s_0·w ; cos 2π·s_0·w ; sin 2π·s_1·w ; cos 2π·s_1·w]
 *   M_j = fuse([ReLU(de_mlp(e)) ; ReLU(block_mlp(embedding_j))]) as a rank × rank matrix, row-major
 *
 * With weights of their own for the UNet and for the VAE's encoder.
 */
import type { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";
import type { LoraPart } from "../settings/degradation-config.ts";

/** The parts' networks: a network has as many levels as widths. */
export type NetworkLevels = Readonly<
  Record<LoraPart, { readonly blockOutChannels: readonly number[] }>
>;

/** Modulation matrices of each part. */
export function blockCounts({ vae, unet }: NetworkLevels): Readonly<Record<LoraPart, number>> {
  return {
    vae: blockCount("vae", vae.blockOutChannels.length),
    unet: blockCount("unet", unet.blockOutChannels.length),
  };
}

/** What the embeddings are made of, on the host: too small for the device to gain anything. */
export interface DegradationTables {
  /** Frequencies [F] of the scores' embedding, drawn once at the start of training. */
  readonly w: Float32Array;
  /** Block embeddings [blocks, E], row-major. */
  readonly blocks: Readonly<Record<LoraPart, Float32Array>>;
}

/** Scores to their Fourier features [4·F]. On the host in doubles: GPU sines are not accurate far from 0. */
export function fourierEmbedding(
  degrees: readonly number[],
  w: ArrayLike<number>,
): Float32Array<ArrayBuffer> {
  const count = w.length;
  const out = new Float32Array(2 * degrees.length * count);
  degrees.forEach((degree, d) => {
    for (let i = 0; i < count; i++) {
      const angle = 2 * Math.PI * degree * (w[i] as number);
      out[2 * d * count + i] = Math.sin(angle);
      out[(2 * d + 1) * count + i] = Math.cos(angle);
    }
  });
  return out;
}

/** `embedding` [n] once for each of `rows` blocks: [rows, n]. */
export function repeatRows(embedding: Float32Array, rows: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(rows * embedding.length);
  for (let row = 0; row < rows; row++) out.set(embedding, row * embedding.length);
  return out;
}

/**
 * embedding [blocks, 4·F], the same in every row, and block embeddings [blocks, E] → the modulation matrices
 * [blocks, rank²]. Scope: the root of the modulation layers, named `vae_de_mlp` and so on.
 */
export function modulationMatrices(
  g: GraphBuilder,
  root: WeightScope,
  part: LoraPart,
  { embedding, blocks }: { readonly embedding: Value; readonly blocks: Value },
  rank: number,
): Value {
  const layer = (name: string, x: Value): Value => {
    const w = root.at(`${part}_${name}`).at("0");
    return g.activation(g.linear(x, w, channelsOf(x), true), "relu", w.path);
  };
  const fuse = root.at(`${part}_fuse_mlp`);
  const joined = g.concat(layer("de_mlp", embedding), layer("block_mlp", blocks), fuse.path);
  return g.linear(joined, fuse, rank * rank, true);
}

/** Number of modulation matrices: levels down (and, in the UNet, up), mid block, everything else. */
export function blockCount(part: LoraPart, levels: number): number {
  return part === "vae" ? levels + 2 : 2 * levels + 2;
}

/**
 * The modulation matrix of a module, by its path in the checkpoint: `down_blocks.i` → i, `mid_block` → levels,
 * the UNet's `up_blocks.i` → levels + 1 + i, everything else (conv_in, conv_out) → the last one.
 */
export function blockOfModule(part: LoraPart, module: string, levels: number): number {
  const path = part === "vae" ? module.replace(/^encoder\./, "") : module;
  const [, kind, index] = /^(down_blocks|up_blocks)\.(\d+)\./.exec(path) ?? [];
  if (kind === "down_blocks") return Number(index);
  if (path.startsWith("mid_block.")) return levels;
  if (kind === "up_blocks" && part === "unet") return levels + 1 + Number(index);
  return blockCount(part, levels) - 1;
}
