/**
 * The VAE over maps that do not fit the device at once.
 *
 * The default is exact. The network's half at latent resolution (mid block with its attention) runs on the whole map.
 * Only the convolutional half is tiled: statistics count every pixel exactly once, and the margins are as wide as
 * that half's reach. So the result equals the untiled network up to rounding.
 *
 * `reference` reproduces the released VAE hook: 32 image pixels or 11 latent pixels of margin, attention within a
 * tile, statistics averaged over padded tiles. It differs visibly from the untiled network and is for parity only.
 */
import type { Gpu } from "../../gpu/device.ts";
import { planGraph } from "../../graph/plan.ts";
import type { RunProgram } from "../../graph/program.ts";
import { Program } from "../../graph/program.ts";
import type { SlotPool } from "../../graph/slot-pool.ts";
import type { DeviceWeights } from "../../graph/weights/device-weights.ts";
import { vaeGraph } from "../networks/graphs.ts";
import type { VaeNetwork } from "../networks/vae.ts";
import {
  middleChannels,
  vaeDecoder,
  vaeDecoderHead,
  vaeDecoderTail,
  vaeEncoder,
  vaeEncoderHead,
  vaeEncoderTail,
} from "../networks/vae.ts";
import type { VaeConfig } from "../settings/config.ts";
import { sampleChannels, vaeFactor } from "../settings/config.ts";
import type { TileSink, TileSource } from "./device-map.ts";
import { createMap, mapSink, mapSource } from "./device-map.ts";
import type { TiledGraphOptions } from "./tiled-graph.ts";
import { runTiledGraph } from "./tiled-graph.ts";
import type { VaeKind } from "./vae-tiles.ts";
import { REFERENCE_PAD, exactVaeTiles, referenceTiles } from "./vae-tiles.ts";

/** What runs, and where. */
export interface VaePass {
  readonly gpu: Gpu;
  /** Loads what it lacks. */
  readonly weights: DeviceWeights;
  readonly config: VaeConfig;
  readonly kind: VaeKind;
  /** Slots shared with programs that never run at the same time. Default: slots of its own. */
  readonly pool?: SlotPool;
  /** Runs its programs. Default: `Program.run`. */
  readonly run?: RunProgram;
  /** Counts what cannot be stored as it is; see `PlanOptions.countsFaults`. */
  readonly faults?: GPUBufferBinding;
}

export interface TiledVaeOptions extends Pick<TiledGraphOptions, "signal" | "onProgress"> {
  /** Core side of a tile in pixels of the input: image pixels to encode, latent pixels to decode. */
  readonly tileSize: number;
  /** The released behaviour instead of the exact one. */
  readonly reference: boolean;
  /** Margin in input pixels for `reference`. Default: the released one. */
  readonly pad?: number;
}

/** A map that a network runs over. */
interface MapSize {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/**
 * Runs over a map of `height` × `width`, which `read` gives: an image in −1 … 1, or latents divided by the scaling factor. `write`
 * gets the result: moments, or an image that is not clamped.
 */
export async function runTiledVae(
  pass: VaePass,
  { height, width }: Omit<MapSize, "channels">,
  read: TileSource,
  write: TileSink,
  options: TiledVaeOptions,
): Promise<void> {
  const { gpu, kind, config, weights } = pass;
  const isEncode = kind === "encode";
  const input = { height, width, channels: isEncode ? config.inChannels : sampleChannels(config) };
  const factor = vaeFactor(config);
  if (options.reference) {
    const { tileSize, pad = REFERENCE_PAD[kind] } = options;
    const tiles = referenceTiles(input, tileSize, pad, { kind, factor });
    const network = isEncode ? vaeEncoder : vaeDecoder;
    const combine = "reference";
    await tiledPass(pass, network, input, { ...options, tiles, read, write, combine });
    return;
  }
  const latentSize = isEncode ? { height: height / factor, width: width / factor } : input;
  const middle: MapSize = { ...latentSize, channels: middleChannels(config, kind) };
  const shape = [middle.height, middle.width, middle.channels] as const;
  const map = createMap(gpu, "middle of the VAE", shape, weights.dtype);
  const tiled = (
    network: VaeNetwork,
    size: MapSize,
    from: TileSource,
    to: TileSink,
    before: number,
  ) =>
    tiledPass(pass, network, size, {
      ...options,
      tiles: exactVaeTiles(config, kind, size, options.tileSize),
      read: from,
      write: to,
      combine: "exact",
      onProgress: (fraction) => options.onProgress?.(before + 0.9 * fraction),
    });
  try {
    if (isEncode) {
      await tiled(vaeEncoderHead, input, read, mapSink(gpu, map), 0);
      await wholePass(pass, vaeEncoderTail, middle, mapSource(gpu, map), write, options.signal);
    } else {
      await wholePass(pass, vaeDecoderHead, input, read, mapSink(gpu, map), options.signal);
      await tiled(vaeDecoderTail, middle, mapSource(gpu, map), write, 0.1);
    }
  } finally {
    gpu.memory.release(map.buffer);
  }
}

function tiledPass(
  { gpu, weights, config, kind, ...shared }: VaePass,
  network: VaeNetwork,
  { channels }: MapSize,
  options: Omit<TiledGraphOptions, "build" | "scale">,
): Promise<void> {
  return runTiledGraph(gpu, weights, {
    ...options,
    ...shared,
    build: (height, width) =>
      vaeGraph(network, config, weights.dtype, [1, height, width, channels]),
    scale: vaeFactor(config) ** (kind === "encode" ? -1 : 1),
  });
}

/** A half of the network on the whole map, at latent resolution. */
async function wholePass(
  { gpu, weights, config, pool, run, faults }: VaePass,
  network: VaeNetwork,
  { height, width, channels }: MapSize,
  read: TileSource,
  write: TileSink,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { dtype } = weights;
  const all = { x0: 0, x1: width, y0: 0, y1: height };
  const graph = vaeGraph(network, config, dtype, [1, height, width, channels]);
  const plan = planGraph(graph, gpu.caps, { countsFaults: faults !== undefined });
  await weights.load(plan.weights, { signal });
  const options = { ...(pool && { pool }), ...(faults && { faults }) };
  const program = await Program.create(gpu, plan, weights, options);
  try {
    await read(program.input("x"), all);
    await (run ? run(program, {}, { signal }) : program.run({}, { signal }));
    const { buffer, value } = program.result("y");
    const made = value.shape.at(-1) as number;
    await write({ buffer, height, width, channels: made, dtype }, 0, 0, all);
  } finally {
    program.dispose();
  }
}
