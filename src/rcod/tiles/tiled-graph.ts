/**
 * Runs one network over the tiles of a map that is too large for the device, with GroupNorm statistics that span all
 * tiles. All tiles run to the next GroupNorm; their statistics are combined on the host; then all tiles are normalised
 * alike and run to the GroupNorm after it. Values that a tile needs later wait in device memory up to a budget, and on
 * the host beyond it.
 */
import type { Gpu } from "../../gpu/device.ts";
import type { DType } from "../../gpu/dtype.ts";
import { paddedChannels } from "../../gpu/shape.ts";
import { submit } from "../../gpu/submit.ts";
import { readBytes, uploadBytes } from "../../gpu/transfer.ts";
import type { Graph, Weight } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";
import { statsPlan } from "../../graph/lowering/lower-statistics.ts";
import type { Lifetime } from "../../graph/memory-plan.ts";
import type { GraphPlan } from "../../graph/plan.ts";
import { planGraph } from "../../graph/plan.ts";
import type { RunProgram } from "../../graph/program.ts";
import { Program } from "../../graph/program.ts";
import { SlotPool } from "../../graph/slot-pool.ts";
import type { DeviceWeights } from "../../graph/weights/device-weights.ts";
import { channelStatsByteLength } from "../../kernels/norm/channel-stats.ts";
import type { GroupMoments } from "../../kernels/norm/group-moments.ts";
import {
  affineFromMoments,
  groupMoments,
  mergeGroupMoments,
} from "../../kernels/norm/group-moments.ts";
import type { HostMap } from "./host-map.ts";
import { copyRectangle, cropHostMap, emptyHostMap } from "./host-map.ts";
import type { Tile } from "./vae-tiles.ts";

export interface TiledGraphOptions {
  /** The network for a tile of this size; input "x", output "y". */
  readonly build: (height: number, width: number) => Graph;
  readonly tiles: readonly Tile[];
  /** Output pixels per input pixel along a side; below 1 for an encoder. */
  readonly scale: number;
  readonly outHeight: number;
  readonly outWidth: number;
  /**
   * How the tiles' moments become the map's. "exact": the moments of the union. "reference": means and
   * variances averaged by pixel count, which leaves out the variance between tiles (released behaviour).
   */
  readonly combine: "exact" | "reference";
  /** Device bytes for waiting tiles; the rest waits on the host. Default: 512 MiB. */
  readonly spillBudgetBytes?: number;
  /** Runs its programs. Default: `Program.run`. */
  readonly run?: RunProgram;
  /** Counts what cannot be stored as it is; see `PlanOptions.countsFaults`. */
  readonly faults?: GPUBufferBinding;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((fraction: number) => void) | undefined;
}

/** Passes left out: every GroupNorm needs a statistics step of its own, which counts only some pixels of the tile. */
const TILED_WITHOUT = ["share-statistics", "statistics-in-epilogue"] as const;
const DEFAULT_SPILL_BUDGET = 512 * 1024 * 1024;

/** A value of a waiting tile. */
type Saved = { readonly id: number; readonly size: number } & (
  | { readonly buffer: GPUBuffer }
  | { readonly bytes: Uint8Array<ArrayBuffer> }
);

/** Runs the tiles of `input`; returns the assembled output map. `weights` must hold the graph's weights. */
export async function runTiledGraph(
  gpu: Gpu,
  weights: DeviceWeights,
  input: HostMap,
  options: TiledGraphOptions,
): Promise<HostMap> {
  const { tiles, combine, signal, faults } = options;
  const run: RunProgram = options.run ?? ((program, ...call) => program.run(...call));
  const pool = new SlotPool(gpu);
  const programs = new Map<string, Program>();
  const spill = new Spill(gpu, options.spillBudgetBytes ?? DEFAULT_SPILL_BUDGET);
  try {
    const programOf = async ({ input: box }: Tile): Promise<Program> => {
      const [height, width] = [box.y1 - box.y0, box.x1 - box.x0];
      const key = `${height}x${width}`;
      let program = programs.get(key);
      if (program === undefined) {
        const plan = planGraph(options.build(height, width), gpu.caps, {
          without: TILED_WITHOUT,
          countsFaults: faults !== undefined,
        });
        await weights.load(plan.weights, { signal });
        program = await Program.create(gpu, plan, weights, { pool, ...(faults && { faults }) });
        programs.set(key, program);
      }
      return program;
    };
    // Compile all shapes before the first run: growing the pool later would drop live values.
    for (const tile of tiles) await programOf(tile);

    const first = await programOf(tiles[0] as Tile);
    const anyPlan = first.plan;
    const norms = normSteps(anyPlan).length;
    const output = emptyHostMap(
      options.outHeight,
      options.outWidth,
      channelsOf(first.result("y").value),
      input.dtype,
    );
    const saved = new Map<Tile, Saved[]>();
    let affine: Float32Array<ArrayBuffer> | undefined;
    let resident: Tile | undefined;
    let order = [...tiles];
    const segments = norms + 1;
    for (let segment = 0; segment < segments; segment++) {
      const moments: GroupMoments[] = [];
      for (const [position, tile] of order.entries()) {
        signal?.throwIfAborted();
        const program = await programOf(tile);
        const { plan } = program;
        // Tiles of another size have the same GroupNorms, but may have other steps between them.
        const cuts = normSteps(plan);
        const start = segment === 0 ? 0 : (cuts[segment - 1] as number) + 1;
        const end = cuts[segment];
        if (segment === 0) {
          program.setInputs({ x: cropHostMap(input, tile.input).bytes });
        } else {
          if (resident !== tile) spill.restore(program, saved.get(tile) ?? []);
          spill.release(saved.get(tile) ?? []);
          saved.delete(tile);
          const target = plan.steps[start - 1]?.node.output;
          if (target && affine)
            uploadBytes(gpu, program.binding(target).buffer, 0, new Uint8Array(affine.buffer));
        }
        if (end === undefined) {
          await run(program, {}, { steps: [start, plan.steps.length], signal });
          await pasteOutput(gpu, program, tile, options.scale, output);
        } else {
          const region = countedRegion(plan, end, tile, input.dtype, gpu);
          program.setParams(region.step, region.params);
          await run(program, {}, { steps: [start, end], signal });
          moments.push(await readMoments(gpu, program, end, region));
          if (order.length > 1) saved.set(tile, await spill.save(program, liveAcross(plan, end)));
        }
        resident = tile;
        options.onProgress?.((segment + (position + 1) / order.length) / segments);
      }
      if (segment < norms) {
        const { op } = normAt(anyPlan, normSteps(anyPlan)[segment] as number);
        const whole = combine === "exact" ? mergeGroupMoments(moments) : averageMoments(moments);
        affine = affineFromMoments(
          whole.mean,
          whole.variance,
          ...(await gammaAndBeta(gpu, weights, op.stacked)),
          op.numGroups,
          op.eps,
        );
      }
      order = order.toReversed(); // the tile whose values are in the slots goes first
    }
    return output;
  } finally {
    spill.dispose();
    for (const program of programs.values()) program.dispose();
    pool.dispose();
  }
}

/** Steps that turn statistics into scale and shift; the host does their work here. */
function normSteps({ steps }: GraphPlan): number[] {
  return steps.flatMap((step, index) => (step.node.op.kind === "groupNormAffine" ? [index] : []));
}

/** The GroupNorm at a step, and the statistics that it reads. */
function normAt({ steps }: GraphPlan, cut: number) {
  const { op, inputs } = steps[cut]?.node ?? {};
  const stats = inputs?.x[0];
  if (op?.kind !== "groupNormAffine" || stats === undefined)
    throw new Error("internal: a cut is no GroupNorm");
  return { op, stats };
}

/** Values made before step `cut` and needed after it. */
function liveAcross({ lifetimes }: GraphPlan, cut: number): readonly Lifetime[] {
  return lifetimes.filter(({ firstStep, lastStep }) => firstStep < cut && lastStep > cut);
}

interface CountedRegion {
  /** The statistics step before the cut. */
  readonly step: number;
  readonly params: readonly Uint8Array<ArrayBuffer>[];
  readonly partials: number;
  readonly pixels: number;
}

/** The statistics step that feeds the GroupNorm at `cut`, restricted to the tile's counted pixels. */
function countedRegion(
  plan: GraphPlan,
  cut: number,
  tile: Tile,
  dtype: DType,
  gpu: Gpu,
): CountedRegion {
  const { stats } = normAt(plan, cut);
  const step = plan.steps.findIndex(({ node }) => node.output.id === stats.id);
  const shape = plan.steps[step]?.node.inputs.x[0]?.shape;
  if (shape === undefined) throw new Error("internal: a GroupNorm without statistics");
  // Feature maps within the network are an integer factor larger or smaller than the tile.
  const factor = (shape[1] as number) / (tile.input.y1 - tile.input.y0);
  const at = (position: number, origin: number): number => Math.round((position - origin) * factor);
  const {
    plan: restricted,
    partials,
    pixels,
  } = statsPlan(shape, dtype, gpu.caps, {
    y0: at(tile.counted.y0, tile.input.y0),
    y1: at(tile.counted.y1, tile.input.y0),
    x0: at(tile.counted.x0, tile.input.x0),
    x1: at(tile.counted.x1, tile.input.x0),
  });
  return { step, params: restricted.dispatches.map(({ params }) => params), partials, pixels };
}

async function readMoments(
  gpu: Gpu,
  program: Program,
  cut: number,
  region: CountedRegion,
): Promise<GroupMoments> {
  const { op, stats } = normAt(program.plan, cut);
  const channels = channelsOf(stats);
  const byteLength = channelStatsByteLength(1, region.partials, channels);
  const partials = new Float32Array(
    (await readBytes(gpu, program.binding(stats).buffer, 0, byteLength)).buffer,
  );
  return groupMoments([partials], {
    batch: 1,
    sources: [
      {
        channels,
        partials: region.partials,
        pixels: region.pixels,
        tiles: null,
        channelsPerEntry: 1,
        first: 0,
      },
    ],
    numGroups: op.numGroups,
    eps: op.eps,
    isStacked: true,
  });
}

/** Means and variances averaged with the tiles' value counts as weights. */
function averageMoments(tiles: readonly GroupMoments[]): GroupMoments {
  const sums = (valueOf: (tile: GroupMoments, group: number) => number): Float64Array =>
    Float64Array.from(tiles[0]?.count ?? [], (_, group) =>
      tiles.reduce((sum, tile) => sum + valueOf(tile, group), 0),
    );
  const count = sums((tile, group) => tile.count[group] as number);
  const average = (field: "mean" | "variance"): Float64Array =>
    sums(
      (tile, g) => ((tile.count[g] as number) / (count[g] as number)) * (tile[field][g] as number),
    );
  return { mean: average("mean"), variance: average("variance"), count };
}

async function gammaAndBeta(
  gpu: Gpu,
  weights: DeviceWeights,
  stacked: Weight | null,
): Promise<[gamma: Float32Array, beta: Float32Array]> {
  if (stacked === null) throw new Error("internal: a GroupNorm without its vectors");
  const channels = (stacked.shape[0] as number) / 2;
  const padded = paddedChannels(channels);
  const bytes = await readBytes(gpu, weights.buffer(stacked), 0, 8 * padded);
  const [gamma, beta] = [0, 4 * padded].map((at) => new Float32Array(bytes.buffer, at, channels));
  return [gamma as Float32Array, beta as Float32Array];
}

async function pasteOutput(
  gpu: Gpu,
  program: Program,
  tile: Tile,
  scale: number,
  output: HostMap,
): Promise<void> {
  const { buffer, size, value } = program.result("y");
  const [, height = 1, width = 1] = value.shape;
  const bytes = await readBytes(gpu, buffer, 0, size);
  copyRectangle(
    { ...output, height, width, bytes },
    tile.output.x0 - Math.floor(tile.input.x0 * scale),
    tile.output.y0 - Math.floor(tile.input.y0 * scale),
    output,
    tile.output,
  );
}

/** Values of tiles that wait for the others, on the device up to a budget and then on the host. */
class Spill {
  readonly #gpu: Gpu;
  readonly #budget: number;
  readonly #live = new Set<GPUBuffer>();
  #bytes = 0;

  constructor(gpu: Gpu, budget: number) {
    this.#gpu = gpu;
    this.#budget = budget;
  }

  async save(program: Program, values: readonly Lifetime[]): Promise<Saved[]> {
    const saved: Saved[] = [];
    for (const { id } of values) {
      const { buffer, size } = program.binding({ id });
      if (this.#bytes + size > this.#budget) {
        saved.push({ id, size, bytes: await readBytes(this.#gpu, buffer, 0, size) });
        continue;
      }
      const copy = this.#gpu.memory.create("waiting tile", size, "activations");
      this.#live.add(copy);
      this.#bytes += size;
      this.#copy(buffer, copy, size);
      saved.push({ id, size, buffer: copy });
    }
    return saved;
  }

  restore(program: Program, saved: readonly Saved[]): void {
    for (const value of saved) {
      const { buffer } = program.binding(value);
      if ("buffer" in value) this.#copy(value.buffer, buffer, value.size);
      else uploadBytes(this.#gpu, buffer, 0, value.bytes);
    }
  }

  release(saved: readonly Saved[]): void {
    for (const value of saved) {
      if (!("buffer" in value)) continue;
      this.#live.delete(value.buffer);
      this.#bytes -= value.size;
      this.#gpu.memory.release(value.buffer);
    }
  }

  dispose(): void {
    for (const buffer of this.#live) this.#gpu.memory.release(buffer);
    this.#live.clear();
  }

  #copy(from: GPUBuffer, to: GPUBuffer, size: number): void {
    submit(this.#gpu, "waiting tile", (encoder) => {
      encoder.copyBufferToBuffer(from, 0, to, 0, size);
    });
  }
}
