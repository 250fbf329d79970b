/** Tiles of the UNet and of the VAE, in the reference's arithmetic. */
import { readBytes, uploadBytes } from "../../gpu/transfer.ts";
import { runPlan } from "../../graph/execution/run-plan.ts";
import { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import { graphWeights } from "../../graph/ir/ir.ts";
import type { HostTensor } from "../../graph/program.ts";
import { readActivation } from "../../graph/read-activation.ts";
import { tileAccumulate, tileClear, tileNormalise } from "../../kernels/image/tile-blend.ts";
import { mergeStats } from "../../kernels/norm/merge-stats.ts";
import { vaeDecoder, vaeEncoder } from "../../rcod/networks/vae.ts";
import type { UNetConfig } from "../../rcod/settings/config.ts";
import { vaeFactor } from "../../rcod/settings/config.ts";
import { mapSink, mapSource } from "../../rcod/tiles/device-map.ts";
import { runTiledVae } from "../../rcod/tiles/tiled-vae.ts";
import { gaussianTileWeights, latentTiling, tileStarts } from "../../rcod/tiles/tiling.ts";
import type { OutputResult } from "../runner/compare.ts";
import { EXACT } from "../runner/compare.ts";
import type { GoldenTensor } from "../runner/golden-file.ts";
import type { CaseRun, CaseRunner } from "../runner/run-case.ts";
import { compareResults, compareValues, networkWeights, readInput } from "../runner/run-case.ts";
import { withScratch } from "../runner/scratch.ts";
import type { WeightSet } from "../runner/session.ts";
import { unetConfigOf, vaeConfigOf } from "./case-configs.ts";
import { buildUNet, runUNet, unetEmbedding } from "./model-cases.ts";

const ROOT = new WeightScope();
/** The weight map is made on the host and stays f32 in both precisions. */
const tileWeights: CaseRunner = async ({ golden, session }) => [
  await compareValues(
    golden,
    session.dtype,
    "w",
    gaussianTileWeights(golden.parameters.number("T")),
  ),
];

/** Rows [axis, tile, overlap] → number of tiles, and their starts padded with −1. */
const tileStartTable: CaseRunner = async ({ golden, session }) => {
  const rows = await golden.input("n_T_O");
  const [count = 0, width = 0] = golden.shape("outputs/starts");
  const counts = new Float32Array(count);
  const padded = new Float32Array(count * width).fill(-1);
  for (let row = 0; row < count; row++) {
    const [axis = 0, tile = 0, overlap = 0] = rows.data.subarray(3 * row, 3 * row + 3);
    const starts = tileStarts(axis, tile, overlap);
    counts[row] = starts.length;
    padded.set(starts.slice(0, width), row * width);
  }
  return [
    await compareValues(golden, session.dtype, "count", counts, EXACT),
    await compareValues(golden, session.dtype, "starts", padded, EXACT),
  ];
};

/**
 * Tiles only where the area exceeds tile². The overlap is the case's own: the product would shorten one that
 * leaves a stride below 8 latent pixels, the reference does not.
 */
const tiledUNet: CaseRunner = async (run) => {
  const { golden, session } = run;
  const { parameters } = golden;
  const config = unetConfigOf(parameters);
  const weights = networkWeights(golden, `tiled_unet ${JSON.stringify(config)}`);
  const [, , height = 1, width = 1] = golden.shape("inputs/latent");
  const tiles = { tile: parameters.number("tile"), overlap: parameters.number("overlap") };
  const tiling = latentTiling(width, height, tiles);
  const whole = await runUNet(run, weights, "eps_untiled");
  const compared: OutputResult[] = await compareResults(golden, session.dtype, whole);
  if (tiling === null) {
    const eps = whole.eps_untiled;
    return [...compared, ...(await compareResults(golden, session.dtype, { eps }))];
  }
  const requested = parameters.number("overlap");
  const overlap = requested < tiling.tile ? requested : tiling.overlap;
  const xStarts = tileStarts(width, tiling.tile, overlap);
  const yStarts = tileStarts(height, tiling.tile, overlap);
  for (const [name, starts] of Object.entries({ x_starts: xStarts, y_starts: yStarts })) {
    if (!parameters.has(name) || `${parameters.numbers(name)}` === `${starts}`) continue;
    parameters.fail(name, `must be the starts of our tiles, [${starts.join(", ")}]`);
  }
  const { eps, weightSum } = await blendTiles(run, weights, config, tiling.tile, xStarts, yStarts);
  compared.push(...(await compareResults(golden, session.dtype, { eps })));
  if (golden.has("outputs/weight_sum")) {
    compared.push(await compareValues(golden, session.dtype, "weight_sum", weightSum));
  }
  return compared;
};

/** Runs the UNet on every tile with one program and blends the results on the device. */
async function blendTiles(
  { golden, session }: CaseRun,
  weights: WeightSet,
  config: UNetConfig,
  tile: number,
  xStarts: readonly number[],
  yStarts: readonly number[],
): Promise<{ readonly eps: HostTensor; readonly weightSum: Float32Array }> {
  const { gpu, dtype } = session;
  const latent = await readInput(golden, "latent");
  const context = await readInput(golden, "context");
  const [, height = 1, width = 1, inChannels = 1] = latent.shape;
  const channels = config.outChannels;
  const shape = [1, height, width, channels];
  const map = { width, height, channels };
  return withScratch(gpu, async (scratch) => {
    const buffers = {
      acc: scratch.activation(shape, "f32"),
      coverage: scratch.bytes(width * height * 4),
      w: scratch.bytes(tile * tile * 4),
      y: scratch.activation(shape, dtype),
    };
    uploadBytes(gpu, buffers.w, 0, new Uint8Array(gaussianTileWeights(tile).buffer));
    await runPlan(gpu, tileClear.plan(map, gpu.caps), buffers);
    const embedding = unetEmbedding([golden.parameters.number("timestep")], config);
    const latentShape = [1, tile, tile, inChannels];
    await session.withProgram(
      weights,
      (g) => g.output("eps", buildUNet(g, config, latentShape, context.shape).eps),
      async ({ program, run }) => {
        for (const y0 of yStarts) {
          for (const x0 of xStarts) {
            await run({ latent: cutTile(latent, tile, x0, y0), context: context.data, embedding });
            const { buffer, size } = program.result("eps");
            const problem = { ...map, dtype, tileWidth: tile, tileHeight: tile, x0, y0 };
            const operands = { ...buffers, tile: { buffer, size } };
            await runPlan(gpu, tileAccumulate.plan(problem, gpu.caps), operands);
          }
        }
      },
    );
    await runPlan(gpu, tileNormalise.plan({ ...map, dtype }, gpu.caps), buffers);
    const data = await readActivation(gpu, buffers.y, shape, dtype);
    const sums = await readBytes(gpu, buffers.coverage, 0, width * height * 4);
    return { eps: { shape, data }, weightSum: new Float32Array(sums.buffer) };
  });
}

/** A square of a map [1, H, W, C]. */
function cutTile(
  { shape, data }: GoldenTensor,
  tile: number,
  x0: number,
  y0: number,
): Float32Array {
  const [, , width = 1, channels = 1] = shape;
  const out = new Float32Array(tile * tile * channels);
  for (let y = 0; y < tile; y++) {
    const start = ((y0 + y) * width + x0) * channels;
    out.set(data.subarray(start, start + tile * channels), y * tile * channels);
  }
  return out;
}

/** `moments` or `image` by the reference's hook, `…_untiled` by the plain network. */
const tiledVae =
  (kind: "encode" | "decode"): CaseRunner =>
  async ({ golden, session }) => {
    const { parameters } = golden;
    const config = vaeConfigOf(parameters);
    const [inputName, outputName] = kind === "encode" ? ["image", "moments"] : ["z", "image"];
    const input = await readInput(golden, inputName);
    const weights = networkWeights(golden, `tiled_vae ${JSON.stringify(config)}`);
    const network = kind === "encode" ? vaeEncoder : vaeDecoder;
    const untiled = `${outputName}_untiled`;
    const build = (g: GraphBuilder): void =>
      g.output(untiled, network(g, ROOT, g.input(inputName, input.shape), config));
    const compared: OutputResult[] = [];
    if (golden.outputs.includes(untiled)) {
      const job = { weights, build, inputs: { [inputName]: input.data } };
      compared.push(...(await compareResults(golden, session.dtype, await session.run(job))));
    }
    if (golden.outputs.includes(outputName)) {
      const [, inHeight = 1, inWidth = 1] = input.shape;
      const g = new GraphBuilder(session.dtype);
      build(g);
      const device = session.deviceWeights(weights, graphWeights(g.build()));
      const pass = { gpu: session.gpu, weights: device, config, kind };
      const factor = vaeFactor(config);
      const shape =
        kind === "encode"
          ? [1, inHeight / factor, inWidth / factor, 2 * config.latentChannels]
          : [1, inHeight * factor, inWidth * factor, config.outChannels];
      const data = await withScratch(session.gpu, async (scratch) => {
        const { gpu, dtype } = session;
        const map = (
          [, height = 1, width = 1, channels = 1]: readonly number[],
          buffer: GPUBuffer,
        ) => ({ buffer, height, width, channels, dtype });
        const from = map(input.shape, scratch.activation(input.shape, dtype, input.data));
        const to = map(shape, scratch.activation(shape, dtype));
        await runTiledVae(pass, from, mapSource(gpu, from), mapSink(gpu, to), {
          tileSize: parameters.number("tile_size"),
          pad: parameters.number("pad"),
          reference: true,
          signal: session.signal,
        });
        return readActivation(gpu, to.buffer, shape, dtype);
      });
      const result = { [outputName]: { shape, data } };
      compared.push(...(await compareResults(golden, session.dtype, result)));
    }
    return compared;
  };

/** Partials [partials, quads · 8] of a tile as one row. */
const mergedStatistics: CaseRunner = async ({ golden, session: { gpu, dtype } }) => {
  const { shape, data } = await golden.input("partials");
  const [partials = 1, row = 8] = shape;
  const pixels = golden.parameters.number("pixels");
  const problem = { channels: row / 2, partials, pixels, tiles: null, first: 0 };
  return withScratch(gpu, async (scratch) => {
    const buffers = {
      partials: scratch.activation(shape, "f32", data),
      stats: scratch.activation([row], "f32"),
    };
    await runPlan(gpu, mergeStats.plan(problem, gpu.caps), buffers);
    const stats = await readActivation(gpu, buffers.stats, [row], "f32");
    return [await compareValues(golden, dtype, "stats", stats)];
  });
};

/** By the `op` of a case. */
export const TILING_OPS: Readonly<Record<string, CaseRunner>> = {
  tile_weights: tileWeights,
  tile_starts: tileStartTable,
  merge_stats: mergedStatistics,
};

/** By the first word of a case's `model`. */
export const TILING_MODELS: Readonly<Record<string, CaseRunner>> = {
  tiled_unet: tiledUNet,
  tiled_vae_encode: tiledVae("encode"),
  tiled_vae_decode: tiledVae("decode"),
};
