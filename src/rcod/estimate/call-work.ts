/** The work of a call, stage by stage: what progress is counted in, and what times are learned of. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { Geometry } from "../images/geometry.ts";
import { vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { RunStage, UpscaleOptions } from "../settings/options.ts";
import { unetTiles } from "../tiles/tiling.ts";
import { chooseVaeTile } from "../tiles/vae-tile-choice.ts";
import type { VaeKind } from "../tiles/vae-tiles.ts";
import { exactVaeTiles } from "../tiles/vae-tiles.ts";
import type { NetworkWork } from "./network-work.ts";
import { measureNetworkWork, workAt } from "./network-work.ts";

/** Work of resizes and of the colour fix, per pixel of the enlarged picture: some bytes are read and written. */
const PER_PIXEL = 200;

/** A stage of a call. */
export interface StageWork {
  /** Of one run, in floating-point operations and their like. */
  readonly work: number;
  /** How often it runs: once, or once a region. */
  readonly runs: number;
}

/** In the order of the stages. */
export type CallWork = ReadonlyMap<RunStage, StageWork>;

/** What of a call decides how much work it is. */
export interface CallShape {
  /** Of a region, or of the whole picture. */
  readonly geometry: Pick<Geometry, "workWidth" | "workHeight">;
  /** Regions of that size. Default 1. */
  readonly regions?: number;
  /** Regions that are encoded once more, to look at them. Default 0. */
  readonly samples?: number;
  /** Runs of the UNet on each tile, on average: more than 1 for several timesteps. Default 1. */
  readonly unetRuns?: number;
  /** Results that are decoded. Default 1. */
  readonly results?: number;
  readonly options: Pick<UpscaleOptions, "tile" | "reference">;
}

/** The work of a model's calls on a device. */
export class WorkOfCalls {
  readonly #configs: ModelConfigs;
  readonly #caps: Caps;
  readonly #dtype: DType;
  #networks: NetworkWork | undefined;

  constructor(configs: ModelConfigs, caps: Caps, dtype: DType) {
    this.#configs = configs;
    this.#caps = caps;
    this.#dtype = dtype;
  }

  of({
    geometry,
    regions = 1,
    samples = 0,
    unetRuns = 1,
    results = 1,
    options,
  }: CallShape): CallWork {
    this.#networks ??= measureNetworkWork(this.#configs, this.#caps, this.#dtype);
    const networks = this.#networks;
    const { workWidth, workHeight } = geometry;
    const pixels = workWidth * workHeight;
    const factor = vaeFactor(this.#configs.vae);
    const [width, height] = [workWidth / factor, workHeight / factor];
    const isReference = options.reference === true;
    const tiles = unetTiles(width, height, this.#configs, isReference);
    const unet = tiles
      ? tiles.xStarts.length *
        tiles.yStarts.length *
        workAt(networks.unet, tiles.tileWidth * tiles.tileHeight * factor ** 2)
      : workAt(networks.unet, pixels);
    const looks = [networks.estimator, networks.modulation].map((each) => workAt(each, pixels));
    const encode = looks.reduce((sum, look) => sum + look, this.#vae("encode", geometry, options));
    const decode = this.#vae("decode", geometry, options);
    return new Map<RunStage, StageWork>([
      ["preprocess", { work: PER_PIXEL * pixels, runs: regions + samples }],
      ["tokens", { work: workAt(networks.tokens, pixels), runs: 1 }],
      ["encode", { work: encode, runs: regions + samples }],
      ["unet", { work: unet * unetRuns, runs: regions }],
      ["decode", { work: decode, runs: regions * results }],
      ["color", { work: PER_PIXEL * pixels, runs: regions * results }],
    ]);
  }

  /** The VAE whole, or in tiles with margins around a middle that sees the whole map. */
  #vae(
    kind: VaeKind,
    { workWidth, workHeight }: CallShape["geometry"],
    options: CallShape["options"],
  ): number {
    const { vae } = this.#configs;
    const network = this.#networks?.[kind];
    const whole = [kind, workHeight, workWidth, options] as const;
    const side = chooseVaeTile(vae, this.#caps, this.#dtype, ...whole);
    const pixels = workWidth * workHeight;
    if (side === null || network === undefined) return workAt(network, pixels);
    const scale = kind === "encode" ? 1 : vaeFactor(vae);
    const map = { width: workWidth / scale, height: workHeight / scale };
    const tiles = exactVaeTiles(vae, kind, map, side);
    const area = tiles.reduce(
      (sum, { input: { x0, x1, y0, y1 } }) => sum + (x1 - x0) * (y1 - y0) * scale ** 2,
      0,
    );
    const { fixed, perPixel, perPair } = network;
    return tiles.length * fixed + perPixel * area + perPair * pixels ** 2;
  }
}

/** A rectangle of a mask; pixels that it only touches belong to it. */
interface MaskPart {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Runs of the UNet on each part of a map, on average, where two timesteps share it: a part runs at those that have a share in it.
 * `data` is the share of the second in 0 … `whole`.
 */
export function runsOfMask(
  data: ArrayLike<number>,
  rowLength: number,
  whole: number,
  parts: readonly MaskPart[],
): number {
  const runsOf = ({ x, y, width, height }: MaskPart): number => {
    let [first, second] = [false, false];
    for (let row = Math.floor(y); row < y + height; row++) {
      for (let column = Math.floor(x); column < x + width; column++) {
        const share = data[row * rowLength + column] ?? 0;
        first ||= share < whole;
        second ||= share > 0;
        if (first && second) return 2;
      }
    }
    return 1;
  };
  return parts.reduce((sum, part) => sum + runsOf(part), 0) / parts.length;
}
