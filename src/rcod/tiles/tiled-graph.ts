/**
 * Runs one network over the tiles of a map that is too large for the device at once, with GroupNorm statistics that span all
 * tiles. All tiles run to the next GroupNorm; their statistics are merged; then all tiles are normalised alike and run to the
 * GroupNorm after it. Meanwhile a tile keeps of its maps what the rest of the network looks at (`segments.ts`).
 */
import type { Gpu } from "../../gpu/device.ts";
import { submit } from "../../gpu/submit.ts";
import type { Graph, Value } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";
import { planGraph } from "../../graph/plan.ts";
import type { RunProgram } from "../../graph/program.ts";
import { Program } from "../../graph/program.ts";
import { SlotPool } from "../../graph/slot-pool.ts";
import type { DeviceWeights } from "../../graph/weights/device-weights.ts";
import type { DeviceMap, TileSink, TileSource } from "./device-map.ts";
import { copyRectangle } from "./device-map.ts";
import type { Cut, WaitingMap } from "./segments.ts";
import { TILED_WITHOUT, cutsOf, keptBox } from "./segments.ts";
import { TiledNorm } from "./tiled-norm.ts";
import type { Box } from "./tiling.ts";
import type { Tile } from "./vae-tiles.ts";

export interface TiledGraphOptions {
  /** The network for a tile of this size; input "x", output "y". */
  readonly build: (height: number, width: number) => Graph;
  readonly tiles: readonly Tile[];
  /** Output pixels per input pixel along a side; below 1 for an encoder. */
  readonly scale: number;
  readonly read: TileSource;
  readonly write: TileSink;
  /**
   * How the tiles' moments become the map's. "exact": the moments of the union. "reference": means and
   * variances averaged by pixel count, which leaves out the variance between tiles (released behaviour).
   */
  readonly combine: "exact" | "reference";
  /** Slots shared with programs that never run at the same time. Default: slots of its own. */
  readonly pool?: SlotPool;
  /** Runs its programs. Default: `Program.run`. */
  readonly run?: RunProgram;
  /** Counts what cannot be stored as it is; see `PlanOptions.countsFaults`. */
  readonly faults?: GPUBufferBinding;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((fraction: number) => void) | undefined;
}

/** A compiled network for tiles of one size. Those of other sizes have the same cuts, but may have other steps between them. */
interface TileProgram {
  readonly program: Program;
  readonly cuts: readonly Cut[];
}

/** Runs all tiles. `weights` loads what it lacks. */
export async function runTiledGraph(
  gpu: Gpu,
  weights: DeviceWeights,
  options: TiledGraphOptions,
): Promise<void> {
  const { tiles, signal } = options;
  const run: RunProgram = options.run ?? ((program, ...call) => program.run(...call));
  const pool = options.pool ?? new SlotPool(gpu);
  const programs = new Map<string, TileProgram>();
  const waiting = new WaitingTiles(gpu);
  let norm: TiledNorm | undefined;
  try {
    // Compile all sizes before the first run: growing the pool later would drop live values.
    for (const tile of tiles) {
      const size = sizeOf(tile);
      if (programs.has(size.key)) continue;
      programs.set(size.key, await tileProgram(gpu, weights, options, pool, size));
    }
    const { cuts } = programs.get(sizeOf(tiles[0] as Tile).key) as TileProgram;
    const widest = Math.max(1, ...cuts.map(({ map }) => channelsOf(map)));
    norm = new TiledNorm(gpu, weights, tiles, options.combine, widest);
    let order = [...tiles.keys()];
    for (let segment = 0; segment <= cuts.length; segment++) {
      for (const [position, index] of order.entries()) {
        signal?.throwIfAborted();
        const tile = tiles[index] as Tile;
        const { program, cuts: own } = programs.get(sizeOf(tile).key) as TileProgram;
        const [before, cut] = [own[segment - 1], own[segment]];
        if (before === undefined) await options.read(program.input("x"), tile.input);
        else {
          await waiting.restore(program, index);
          norm.apply(program, before);
        }
        const steps = [
          before ? before.step + 1 : 0,
          cut?.step ?? program.plan.steps.length,
        ] as const;
        const runSegment = (): Promise<void> => run(program, {}, { steps, signal });
        if (cut === undefined) {
          await runSegment();
          await writeResult(program, tile, options);
        } else {
          await norm.measure(program, cut, index, runSegment);
          // The last one stays in the slots: it goes first in the next segment.
          if (position < order.length - 1) await waiting.save(program, index, tile, cut.waiting);
        }
        options.onProgress?.((segment + (position + 1) / order.length) / (cuts.length + 1));
      }
      const cut = cuts[segment];
      if (cut) await norm.finish(cut);
      order = order.toReversed();
    }
  } finally {
    waiting.dispose();
    norm?.dispose();
    for (const { program } of programs.values()) program.dispose();
    if (options.pool === undefined) pool.dispose();
  }
}

function sizeOf({ input: { x0, x1, y0, y1 } }: Tile) {
  const [height, width] = [y1 - y0, x1 - x0];
  return { height, width, key: `${height}x${width}` };
}

async function tileProgram(
  gpu: Gpu,
  weights: DeviceWeights,
  { build, faults, signal }: TiledGraphOptions,
  pool: SlotPool,
  { height, width }: { readonly height: number; readonly width: number },
): Promise<TileProgram> {
  const plan = planGraph(build(height, width), gpu.caps, {
    without: TILED_WITHOUT,
    countsFaults: faults !== undefined,
  });
  await weights.load(plan.weights, { signal });
  const program = await Program.create(gpu, plan, weights, { pool, ...(faults && { faults }) });
  return { program, cuts: cutsOf(plan) };
}

function writeResult(
  program: Program,
  { input, output }: Tile,
  { scale, write }: TiledGraphOptions,
): Promise<void> {
  const result = mapOf(program, program.result("y").value);
  const [x, y] = [
    output.x0 - Math.floor(input.x0 * scale),
    output.y0 - Math.floor(input.y0 * scale),
  ];
  return write(result, x, y, output);
}

/** A map of a program, where it is alive. */
function mapOf(program: Program, value: Value): DeviceMap {
  const [, height = 1, width = 1, channels = 1] = value.shape;
  const { buffer } = program.binding(value);
  return { buffer, height, width, channels, dtype: program.plan.graph.dtype };
}

/** A map of a waiting tile: which of the program's it is, and the rectangle of it that is kept. */
interface KeptMap {
  readonly map: WaitingMap;
  readonly box: Box;
  readonly part: DeviceMap;
}

/** What tiles keep while they wait for the others, by their index. */
class WaitingTiles {
  readonly #gpu: Gpu;
  readonly #kept = new Map<number, KeptMap[]>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  async save(
    program: Program,
    index: number,
    tile: Tile,
    maps: readonly WaitingMap[],
  ): Promise<void> {
    const kept: KeptMap[] = [];
    this.#kept.set(index, kept);
    for (const map of maps) {
      const whole = mapOf(program, map);
      const box = keptBox(tile, map);
      const [height, width] = [box.y1 - box.y0, box.x1 - box.x0];
      const byteLength = height * width * map.pixelBytes;
      const buffer = this.#gpu.memory.create("waiting tile", byteLength, "activations");
      const part = { ...whole, buffer, height, width };
      kept.push({ map, box, part });
      const all = { x0: 0, x1: width, y0: 0, y1: height };
      await copyRectangle(this.#gpu, whole, box.x0, box.y0, part, all);
    }
  }

  /** Puts back what was saved of a tile, zeros around it. Does nothing for one that has not left the slots. */
  async restore(program: Program, index: number): Promise<void> {
    for (const { map, box, part } of this.#kept.get(index) ?? []) {
      const whole = mapOf(program, map);
      const { size } = program.binding(map);
      // Nobody looks at the rest, but shaders count what they meet there that is no number.
      submit(this.#gpu, "waiting tile", (encoder) => encoder.clearBuffer(whole.buffer, 0, size));
      await copyRectangle(this.#gpu, part, 0, 0, whole, box);
    }
    this.#release(index);
  }

  dispose(): void {
    for (const index of this.#kept.keys()) this.#release(index);
  }

  #release(index: number): void {
    for (const { part } of this.#kept.get(index) ?? []) this.#gpu.memory.release(part.buffer);
    this.#kept.delete(index);
  }
}
