/** GroupNorms over a map in tiles: the statistics of all tiles become one scale and shift, on the device. */
import type { Gpu } from "../../gpu/device.ts";
import { quadCount } from "../../gpu/shape.ts";
import { submit } from "../../gpu/submit.ts";
import { readBytes, uploadBytes } from "../../gpu/transfer.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { channelsOf } from "../../graph/ir/ir.ts";
import { statsPlan } from "../../graph/lowering/lower-statistics.ts";
import type { Program } from "../../graph/program.ts";
import type { DeviceWeights } from "../../graph/weights/device-weights.ts";
import type { Statistics } from "../../kernels/norm/channel-stats.ts";
import { channelStatsByteLength } from "../../kernels/norm/channel-stats.ts";
import {
  groupNormAffine,
  groupNormAffineByteLength,
} from "../../kernels/norm/group-norm-affine.ts";
import { mergeStats } from "../../kernels/norm/merge-stats.ts";
import type { Cut } from "./segments.ts";
import { boxPixels, countedBox } from "./segments.ts";
import type { Tile } from "./vae-tiles.ts";

/** Where statistics of single channels lie that fill a buffer. */
const PLACE = { channelsPerEntry: 1, first: 0 } as const;

export class TiledNorm {
  readonly #gpu: Gpu;
  readonly #weights: DeviceWeights;
  readonly #tiles: readonly Tile[];
  readonly #combine: "exact" | "reference";
  /** A partial for each tile. */
  readonly #stats: GPUBuffer;
  readonly #affine: GPUBuffer;

  /** For norms of at most `channels`. `combine` as in `TiledGraphOptions`. */
  constructor(
    gpu: Gpu,
    weights: DeviceWeights,
    tiles: readonly Tile[],
    combine: "exact" | "reference",
    channels: number,
  ) {
    this.#gpu = gpu;
    this.#weights = weights;
    this.#tiles = tiles;
    this.#combine = combine;
    const create = (label: string, byteLength: number): GPUBuffer =>
      gpu.memory.create(label, byteLength, "activations");
    this.#stats = create("tile statistics", channelStatsByteLength(1, tiles.length, channels));
    try {
      this.#affine = create("tile norm", groupNormAffineByteLength(1, channels));
    } catch (error) {
      gpu.memory.release(this.#stats);
      throw error;
    }
  }

  /** Runs the segment of a tile's program before `cut`, and keeps the statistics of the tile's counted pixels. */
  async measure(
    program: Program,
    cut: Cut,
    index: number,
    run: () => Promise<void>,
  ): Promise<void> {
    const { caps } = this.#gpu;
    const region = countedBox(this.#tiles[index] as Tile, cut.scale);
    const { plan, ...counts } = statsPlan(cut.map.shape, program.plan.graph.dtype, caps, region);
    const params = plan.dispatches.map((dispatch) => dispatch.params);
    program.setParams(cut.statsStep, params);
    await run();
    const channels = channelsOf(cut.map);
    const first = index * quadCount(channels) * 8;
    const { partials, pixels } = counts;
    const merge = mergeStats.plan({ channels, partials, pixels, tiles: null, first }, caps);
    const operands = { partials: program.binding(cut.stats), stats: this.#stats };
    await runPlan(this.#gpu, merge, operands);
  }

  /** Makes scale and shift of the statistics of all tiles. `cut` is that of the first tile. */
  async finish(cut: Cut): Promise<void> {
    const { op } = cut.norm;
    const channels = channelsOf(cut.map);
    const counts =
      this.#combine === "exact" ? this.#exactCounts(cut) : await this.#averaged(cut, channels);
    const plan = groupNormAffine.plan(
      {
        batch: 1,
        sources: [{ channels, ...counts }],
        numGroups: op.numGroups,
        eps: op.eps,
        isStacked: op.stacked !== null,
      },
      this.#gpu.caps,
    );
    const [gamma, beta] = [op.stacked ?? op.gamma, op.stacked ?? op.beta].map((weight) =>
      this.#weights.buffer(weight),
    ) as [GPUBuffer, GPUBuffer];
    await runPlan(this.#gpu, plan, { stats0: this.#stats, gamma, beta, affine: this.#affine });
  }

  /** Gives scale and shift to the program of a tile, which is behind `cut`. */
  apply(program: Program, cut: Cut): void {
    const { buffer, size } = program.binding(cut.norm.output);
    submit(this.#gpu, "tile norm", (encoder) => {
      encoder.copyBufferToBuffer(this.#affine, 0, buffer, 0, size);
    });
  }

  dispose(): void {
    for (const buffer of [this.#stats, this.#affine]) this.#gpu.memory.release(buffer);
  }

  /** Exact tiles partition the map as a grid, row by row. */
  #exactCounts({ scale }: Cut): Statistics {
    const [first, last] = [this.#tiles[0], this.#tiles.at(-1)] as [Tile, Tile];
    const core = countedBox(first, scale);
    const map = [Math.round(last.counted.y1 * scale), Math.round(last.counted.x1 * scale)] as const;
    const tiles = { map, tile: [core.y1 - core.y0, core.x1 - core.x0] } as const;
    return { ...PLACE, partials: this.#tiles.length, pixels: map[0] * map[1], tiles };
  }

  /**
   * Puts one partial in the place of all: the tiles' means and variances averaged by pixel count, which leaves out the variance
   * between tiles, as released. On the host, where it takes a few lines.
   */
  async #averaged({ scale, norm }: Cut, channels: number): Promise<Statistics> {
    const byteLength = channelStatsByteLength(1, this.#tiles.length, channels);
    const bytes = await readBytes(this.#gpu, this.#stats, 0, byteLength);
    const pixels = this.#tiles.map((tile) => boxPixels(countedBox(tile, scale)));
    const entries = new Float32Array(bytes.buffer);
    const partial = averagePartials(entries, pixels, channels, norm.op.numGroups);
    uploadBytes(this.#gpu, this.#stats, 0, new Uint8Array(partial.buffer));
    const total = pixels.reduce((sum, count) => sum + count, 0);
    return { ...PLACE, partials: 1, pixels: total, tiles: null };
  }
}

/**
 * One partial for groups whose mean and variance are those of the tiles, averaged with their `pixels` as weights. `entries` are
 * the tiles' partials.
 */
export function averagePartials(
  entries: Float32Array,
  pixels: readonly number[],
  channels: number,
  numGroups: number,
): Float32Array<ArrayBuffer> {
  const row = quadCount(channels) * 8;
  const groupChannels = channels / numGroups;
  const total = pixels.reduce((sum, count) => sum + count, 0);
  const out = new Float32Array(row);
  for (let from = 0; from < channels; from += groupChannels) {
    const places = Array.from({ length: groupChannels }, (_, i) => {
      const channel = from + i;
      return Math.floor(channel / 4) * 8 + (channel % 4);
    });
    const average = (valueOf: (place: number) => number): number =>
      places.reduce((sum, place) => sum + valueOf(place), 0) / groupChannels;
    let [mean, variance] = [0, 0];
    pixels.forEach((count, tile) => {
      const at = (place: number): number => entries[tile * row + place] as number;
      const tileMean = average(at);
      mean += (count / total) * tileMean;
      variance +=
        (count / total) * average((place) => at(place + 4) / count + (at(place) - tileMean) ** 2);
    });
    for (const place of places) {
      out[place] = mean;
      out[place + 4] = variance * total;
    }
  }
  return out;
}
