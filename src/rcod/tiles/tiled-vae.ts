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
import { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Graph } from "../../graph/ir/ir.ts";
import { planGraph } from "../../graph/plan.ts";
import type { HostTensor, RunProgram } from "../../graph/program.ts";
import { Program } from "../../graph/program.ts";
import type { DeviceWeights } from "../../graph/weights/device-weights.ts";
import type { VaeNetwork } from "../networks/vae.ts";
import {
  vaeDecoder,
  vaeDecoderHead,
  vaeDecoderTail,
  vaeEncoder,
  vaeEncoderHead,
  vaeEncoderTail,
} from "../networks/vae.ts";
import type { VaeConfig } from "../settings/config.ts";
import { vaeFactor } from "../settings/config.ts";
import type { HostMap } from "./host-map.ts";
import { hostMapFromFloats, hostMapToFloats } from "./host-map.ts";
import type { TiledGraphOptions } from "./tiled-graph.ts";
import { runTiledGraph } from "./tiled-graph.ts";
import type { VaeKind } from "./vae-tiles.ts";
import { exactVaeTiles, referenceTiles } from "./vae-tiles.ts";

/** Margins of the released hook, in input pixels. */
export const REFERENCE_PAD = { encode: 32, decode: 11 } as const;

/** What runs, and where. */
export interface VaePass {
  readonly gpu: Gpu;
  /** Loads what it lacks. */
  readonly weights: DeviceWeights;
  readonly config: VaeConfig;
  readonly kind: VaeKind;
  /** Runs its programs. Default: `Program.run`. */
  readonly run?: RunProgram;
  /** Counts what cannot be stored as it is; see `PlanOptions.countsFaults`. */
  readonly faults?: GPUBufferBinding;
}

export interface TiledVaeOptions extends Pick<
  TiledGraphOptions,
  "spillBudgetBytes" | "signal" | "onProgress"
> {
  /** Core side of a tile in pixels of the input: image pixels to encode, latent pixels to decode. */
  readonly tileSize: number;
  /** The released behaviour instead of the exact one. */
  readonly reference: boolean;
  /** Margin in input pixels for `reference`. Default: the released one. */
  readonly pad?: number;
}

/**
 * Runs over `input` [height, width, channels]: an image in −1 … 1, or latents divided by the scaling factor.
 * Gives [1, outHeight, outWidth, channels]: moments, or an image that is not clamped.
 */
export async function runTiledVae(
  pass: VaePass,
  input: Float32Array,
  height: number,
  width: number,
  options: TiledVaeOptions,
): Promise<HostTensor> {
  const map = hostMapFromFloats(input, height, width, pass.weights.dtype);
  const out = options.reference
    ? await referencePass(pass, map, options)
    : await exactPass(pass, map, options);
  return { shape: [1, out.height, out.width, out.channels], data: hostMapToFloats(out) };
}

async function exactPass(
  pass: VaePass,
  input: HostMap,
  options: TiledVaeOptions,
): Promise<HostMap> {
  const { signal, onProgress } = options;
  const tiled = (map: HostMap, network: VaeNetwork, before: number): Promise<HostMap> =>
    tiledPass(pass, map, network, {
      ...options,
      tiles: exactVaeTiles(pass.config, pass.kind, map, options.tileSize),
      combine: "exact",
      onProgress: (fraction) => onProgress?.(before + 0.9 * fraction),
    });
  if (pass.kind === "encode") {
    return wholePass(pass, await tiled(input, vaeEncoderHead, 0), vaeEncoderTail, signal);
  }
  return tiled(await wholePass(pass, input, vaeDecoderHead, signal), vaeDecoderTail, 0.1);
}

function referencePass(pass: VaePass, input: HostMap, options: TiledVaeOptions): Promise<HostMap> {
  const { kind, config } = pass;
  const { tileSize, pad = REFERENCE_PAD[kind] } = options;
  return tiledPass(pass, input, kind === "encode" ? vaeEncoder : vaeDecoder, {
    ...options,
    tiles: referenceTiles(input, tileSize, pad, { kind, factor: vaeFactor(config) }),
    combine: "reference",
  });
}

function tiledPass(
  { gpu, weights, config, kind, ...counting }: VaePass,
  input: HostMap,
  network: VaeNetwork,
  options: Omit<TiledGraphOptions, "build" | "scale" | "outHeight" | "outWidth">,
): Promise<HostMap> {
  const scale = vaeFactor(config) ** (kind === "encode" ? -1 : 1);
  return runTiledGraph(gpu, weights, input, {
    ...options,
    ...counting,
    build: (height, width) => graphOf(weights, config, network, { ...input, height, width }),
    scale,
    outHeight: Math.floor(input.height * scale),
    outWidth: Math.floor(input.width * scale),
  });
}

/** A half of the network on the whole map, at latent resolution. */
async function wholePass(
  { gpu, weights, config, run, faults }: VaePass,
  input: HostMap,
  network: VaeNetwork,
  signal: AbortSignal | undefined,
): Promise<HostMap> {
  const graph = graphOf(weights, config, network, input);
  const plan = planGraph(graph, gpu.caps, { countsFaults: faults !== undefined });
  await weights.load(plan.weights, { signal });
  const program = await Program.create(gpu, plan, weights, faults && { faults });
  try {
    const inputs = { x: input.bytes };
    await (run ? run(program, inputs, { signal }) : program.run(inputs, { signal }));
    const { shape, data } = await program.read("y");
    const [, height = 1, width = 1] = shape;
    return hostMapFromFloats(data, height, width, input.dtype);
  } finally {
    program.dispose();
  }
}

/** The graph of a network, "x" to "y", for an input of this size. */
function graphOf(
  { dtype }: DeviceWeights,
  config: VaeConfig,
  network: VaeNetwork,
  { height, width, channels }: Pick<HostMap, "height" | "width" | "channels">,
): Graph {
  const g = new GraphBuilder(dtype);
  const x = g.input("x", [1, height, width, channels]);
  g.output("y", network(g, new WeightScope(), x, config));
  return g.build();
}
