/**
 * The VAE over maps that do not fit the device at once.
 *
 * Default: exact. The parts at latent resolution (mid block with its attention) run on the whole map; only
 * the convolutional rest is tiled, with statistics over every pixel exactly once and a margin as wide as
 * the rest's reach, so the result equals the untiled network up to rounding. `reference` reproduces the
 * released VAE hook (rcod: 32 image pixels or 11 latent pixels of margin, attention within a tile,
 * statistics averaged over padded tiles): visibly different from the untiled network, for parity only.
 */
import type { Gpu } from "../../gpu/device.ts";
import { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Graph, Value } from "../../graph/ir/ir.ts";
import { planGraph } from "../../graph/plan.ts";
import { Program } from "../../graph/program.ts";
import type { DeviceWeights } from "../../graph/weights/device-weights.ts";
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
import { runTiledGraph } from "./tiled-graph.ts";
import { vaeTiles } from "./tiling.ts";
import { exactTiles, vaeReach } from "./vae-tiles.ts";

export interface TiledVaeOptions {
  /** Core side of a tile in pixels of the input: image pixels to encode, latent pixels to decode. */
  readonly tileSize: number;
  /** The released behaviour instead of the exact one. */
  readonly reference: boolean;
  /** Margin in input pixels for `reference`; the release has 32 to encode and 11 to decode. */
  readonly pad?: number;
  /** Device bytes for waiting tiles; the rest waits on the host. Default: 512 MiB. */
  readonly spillBudgetBytes?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (fraction: number) => void;
}

export interface TiledVaeResult {
  /** [height, width, channels]: moments, or an image that is not clamped. */
  readonly data: Float32Array<ArrayBuffer>;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

type Part = (g: GraphBuilder, root: WeightScope, x: Value, config: VaeConfig) => Value;

export class TiledVae {
  readonly #gpu: Gpu;
  readonly #weights: DeviceWeights;
  readonly #config: VaeConfig;
  readonly #kind: "encode" | "decode";

  constructor(gpu: Gpu, weights: DeviceWeights, config: VaeConfig, kind: "encode" | "decode") {
    this.#gpu = gpu;
    this.#weights = weights;
    this.#config = config;
    this.#kind = kind;
  }

  /** Runs over `input` [height, width, channels]: an image in −1 … 1, or latents divided by the scaling factor. */
  async run(
    input: Float32Array,
    height: number,
    width: number,
    options: TiledVaeOptions,
  ): Promise<TiledVaeResult> {
    const map = hostMapFromFloats(input, height, width, this.#weights.dtype);
    const out = options.reference
      ? await this.#reference(map, options)
      : await this.#exact(map, options);
    return {
      data: hostMapToFloats(out),
      height: out.height,
      width: out.width,
      channels: out.channels,
    };
  }

  async #exact(input: HostMap, options: TiledVaeOptions): Promise<HostMap> {
    const { onProgress } = options;
    if (this.#kind === "encode") {
      const features = await this.#tiled(input, vaeEncoderHead, options, (fraction) =>
        onProgress?.(0.9 * fraction),
      );
      return this.#whole(features, vaeEncoderTail, options.signal);
    }
    const features = await this.#whole(input, vaeDecoderHead, options.signal);
    return this.#tiled(features, vaeDecoderTail, options, (fraction) =>
      onProgress?.(0.1 + 0.9 * fraction),
    );
  }

  async #tiled(
    input: HostMap,
    part: Part,
    { tileSize, signal, spillBudgetBytes }: TiledVaeOptions,
    onProgress: (fraction: number) => void,
  ): Promise<HostMap> {
    const factor = vaeFactor(this.#config);
    const scale = this.#kind === "encode" ? 1 / factor : factor;
    const multiple = this.#kind === "encode" ? factor : 1;
    const margin = Math.ceil(vaeReach(this.#config, this.#kind) / multiple) * multiple;
    return runTiledGraph(this.#gpu, this.#weights, input, {
      build: (height, width) => this.#graph(part, height, width, input.channels),
      tiles: exactTiles(input, tileSize, margin, multiple, scale),
      scale,
      outHeight: Math.floor(input.height * scale),
      outWidth: Math.floor(input.width * scale),
      combine: "exact",
      onProgress,
      ...(signal && { signal }),
      ...(spillBudgetBytes !== undefined && { spillBudgetBytes }),
    });
  }

  async #reference(input: HostMap, options: TiledVaeOptions): Promise<HostMap> {
    const { tileSize, signal, onProgress, spillBudgetBytes } = options;
    const factor = vaeFactor(this.#config);
    const scale = this.#kind === "encode" ? 1 / factor : factor;
    const pad = options.pad ?? (this.#kind === "encode" ? 32 : 11);
    const tiles = vaeTiles(input.width, input.height, tileSize, pad, { kind: this.#kind, factor });
    return runTiledGraph(this.#gpu, this.#weights, input, {
      build: (height, width) =>
        this.#graph(
          this.#kind === "encode" ? vaeEncoder : vaeDecoder,
          height,
          width,
          input.channels,
        ),
      tiles: tiles.map((tile) => ({ ...tile, counted: tile.input })),
      scale,
      outHeight: Math.floor(input.height * scale),
      outWidth: Math.floor(input.width * scale),
      combine: "reference",
      ...(signal && { signal }),
      ...(spillBudgetBytes !== undefined && { spillBudgetBytes }),
      ...(onProgress && { onProgress }),
    });
  }

  /** A part on the whole map, at latent resolution. */
  async #whole(input: HostMap, part: Part, signal?: AbortSignal): Promise<HostMap> {
    const plan = planGraph(
      this.#graph(part, input.height, input.width, input.channels),
      this.#gpu.caps,
    );
    await this.#weights.load(plan.weights, signal ? { signal } : {});
    const program = await Program.create(this.#gpu, plan, this.#weights);
    try {
      await program.run({ x: input.bytes }, signal ? { signal } : {});
      const { shape, data } = await program.read("y");
      const [, height = 1, width = 1] = shape;
      return hostMapFromFloats(data, height, width, input.dtype);
    } finally {
      program.dispose();
    }
  }

  #graph(part: Part, height: number, width: number, channels: number): Graph {
    const g = new GraphBuilder(this.#weights.dtype);
    g.output(
      "y",
      part(g, new WeightScope(), g.input("x", [1, height, width, channels]), this.#config),
    );
    return g.build();
  }
}
