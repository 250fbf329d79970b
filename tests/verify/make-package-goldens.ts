/**
 * The golden files that the package carries, for `rcod verify` without arguments: `npm run goldens` writes them to
 * `goldens/`. Together they run every kernel of the engine in at most 300 kB (tests/verify/package-goldens.gpu.test.ts).
 *
 * - Cases of tests/fixtures/goldens, which PyTorch made. Weights that equal the recipe's are left out: the engine
 *   makes them anew.
 * - Cases of the kernels that none of those runs alone, made from tests/reference.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { elementCount } from "../../src/gpu/shape.ts";
import type { GoldenCase, GoldenFile } from "../../src/verify/runner/golden-file.ts";
import { openGoldenFile } from "../../src/verify/runner/golden-file.ts";
import { recipeHalves } from "../../src/verify/runner/recipe.ts";
import type { NamedTensorData } from "../../src/weights/index.ts";
import { bytesSource, writeSafetensors } from "../../src/weights/index.ts";
import { channelAdd } from "../reference/channel-add.ts";
import { mergedStats } from "../reference/channel-stats.ts";
import { conv2d } from "../reference/conv2d.ts";
import { geglu } from "../reference/geglu.ts";
import { hiddenColors } from "../reference/hidden-colors.ts";
import { levelOf, pixelAt } from "../reference/image-tensor.ts";
import { dequantized } from "../reference/integer-weight.ts";
import type { IntegerMatrix } from "../reference/integer-weight.ts";
import { keepFlat } from "../reference/keep-flat.ts";
import { matmul } from "../reference/linear.ts";
import { padEdges } from "../reference/pad-edges.ts";
import { replaceAlpha } from "../reference/replace-alpha.ts";
import { resize } from "../reference/resample.ts";
import { hostileMatrix, integerBytes } from "../support/integer-weight.ts";
import { uniformSource } from "../support/random.ts";

/** Cases to take, by file. */
const CASES: Readonly<Record<string, readonly string[]>> = {
  blocks_clip: ["clip_tiny"],
  blocks_resnet: ["resnet_1x1map"],
  blocks_vae_mid: ["vae_mid_odd"],
  lora_ops: ["conv1x1", "conv3x3_s2"],
  ops_attention: ["self_1tok"],
  ops_conv: ["conv3x3_s1_p1_odd", "conv3x3_s2_asym_odd", "conv1x1_odd"],
  ops_image: ["pillow_bicubic_61x75_to_50x40", "adain_64x64", "wavelet_64x64"],
  ops_linear_act: ["linear_odd", "geglu_odd", "silu_extreme", "gelu_erf_range", "quick_gelu_range"],
  ops_norm: ["gn32_eps1e-6", "ln_odd", "ln_mean50"],
  ops_resize_time: ["nearest_size_3x4_to_5x8", "timesteps_32", "timestep_mlp"],
  rcod_s: ["de_net_16_32_29x31", "lora_mod_conv1x1_r16", "mem", "timestep_table"],
  tiling: ["weights_T7", "latent_17x23_T16_O6_uneven"],
  tiny_vae_b: ["32x32"],
};

/** Names and bytes of all files. */
export async function packageGoldens(): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [stem, cases] of Object.entries(CASES)) {
    files.set(`${stem}.safetensors`, await excerpt(stem, cases));
  }
  return files.set("reference.safetensors", referenceFile());
}

/** The cases of one file, without the statistics of modules, which only help to find a wrong one. */
async function excerpt(stem: string, names: readonly string[]): Promise<Uint8Array<ArrayBuffer>> {
  const path = new URL(`../fixtures/goldens/${stem}.safetensors`, import.meta.url);
  const file = await openGoldenFile(stem, bytesSource(stem, await readFile(path)));
  const stored = JSON.parse(file.safetensors.metadata.get("cases") ?? "") as Record<string, object>;
  const cases: Record<string, object> = {};
  const tensors: NamedTensorData[] = [];
  for (const name of names) {
    const golden = file.cases.find((other) => other.name === name);
    if (golden === undefined) throw new Error(`goldens: ${stem} has no case ${name}`);
    const kept = await tensorsOf(file, golden);
    const { intermediates: _intermediates, ...parameters } = stored[name] as Record<string, object>;
    const hasWeights = kept.some((tensor) => tensor.name.startsWith(`${name}/weights/`));
    const isRecipe = golden.parameters.get("weights") === "stored" && !hasWeights;
    cases[name] = isRecipe ? { ...parameters, weights: "recipe" } : parameters;
    tensors.push(...kept);
  }
  const seed = file.safetensors.metadata.get("seed_xor");
  return writeSafetensors(tensors, [
    ["cases", JSON.stringify(cases)],
    ...(seed === undefined ? [] : [["seed_xor", seed] as const]),
  ]);
}

/** All tensors of a case; no weights where all of them are the recipe's. Factors of a LoRA tell its rank: they stay. */
async function tensorsOf(
  { safetensors, variant }: GoldenFile,
  { name: caseName, parameters }: GoldenCase,
): Promise<readonly NamedTensorData[]> {
  const prefix = parameters.text("recipe_prefix", `${caseName}/`);
  const own: NamedTensorData[] = [];
  let needsWeights = parameters.has("r");
  for (const [name, { dtype, shape }] of safetensors.tensors) {
    if (!name.startsWith(`${caseName}/`)) continue;
    const data = await safetensors.read(name);
    own.push({ name, dtype, shape, data });
    const [, weight] = name.split(`${caseName}/weights/`);
    if (weight === undefined) continue;
    const halves = recipeHalves(`${prefix}${weight}`, shape, variant, 0, elementCount(shape));
    needsWeights ||= Buffer.compare(new Uint8Array(halves.buffer), data) !== 0;
  }
  return own.filter(({ name }) => needsWeights || !name.startsWith(`${caseName}/weights/`));
}

/** Cases made from the naive CPU versions. */
function referenceFile(): Uint8Array<ArrayBuffer> {
  const cases: Record<string, object> = {};
  const tensors: NamedTensorData[] = [];
  const add = (
    op: string,
    parameters: object,
    own: readonly NamedTensorData[],
    name = op,
  ): void => {
    cases[name] = { op, weights: "none", ...parameters };
    tensors.push(...own.map((tensor) => ({ ...tensor, name: `${name}/${tensor.name}` })));
  };
  const next = uniformSource(12);
  /** −2 … 2 in steps of 1/64, which halves store exactly. */
  const values = (count: number): Float64Array =>
    Float64Array.from({ length: count }, () => Math.floor(next() * 256) / 64 - 2);
  const levels = (count: number): Uint8Array<ArrayBuffer> =>
    Uint8Array.from({ length: count }, () => Math.floor(next() * 256));
  const [width, height] = [7, 5];
  const pixels = width * height;

  const pairs = values(4 * 12);
  add("geglu", {}, [
    f32Tensor("inputs/x", [4, 12], pairs),
    f32Tensor("outputs/y", [4, 6], geglu(pairs, 4, 6)),
  ]);

  const map = values(pixels * 6);
  const vector = values(6);
  add("channel_add", {}, [
    mapTensor("inputs/x", [6, height, width], map),
    f32Tensor("inputs/v", [1, 6], vector),
    mapTensor("outputs/y", [6, height, width], channelAdd(map, vector, 1, 6)),
  ]);

  const [x0, y0] = [2, 1];
  const [cutWidth, cutHeight] = [3, 4];
  const rectangle = <T>(pick: (x: number, y: number) => readonly T[]): T[] =>
    Array.from({ length: cutWidth * cutHeight }, (_, i) =>
      pick(x0 + (i % cutWidth), y0 + Math.floor(i / cutWidth)),
    ).flat();
  const cut = rectangle((x, y) => [...map.subarray((y * width + x) * 6, (y * width + x) * 6 + 6)]);
  add("crop", { x0, y0 }, [
    mapTensor("inputs/x", [6, height, width], map),
    mapTensor("outputs/y", [6, cutHeight, cutWidth], cut),
  ]);

  const counts = [4, 3, 3]; // of 10 pixels
  const entries = { mean: values(3 * 4), m2: values(3 * 4).map((value) => value + 2) };
  const merged = mergedStats(entries, counts, 4);
  const rows = counts.flatMap((_, s) =>
    [entries.mean, entries.m2].flatMap((of) => [...of.subarray(4 * s, 4 * s + 4)]),
  );
  add("merge_stats", { pixels: 10 }, [
    f32Tensor("inputs/partials", [3, 8], rows),
    f32Tensor("outputs/stats", [8], [...merged.mean, ...merged.m2]),
  ]);

  const image = levels(pixels * 4);
  const colors = rectangle((x, y) => pixelAt(image, width, height, x, y));
  add("image_to_tensor", { x0, y0 }, [
    u8Tensor("inputs/image", [height, width, 4], image),
    mapTensor(
      "outputs/y",
      [3, cutHeight, cutWidth],
      colors.map((p) => p / 127.5 - 1),
    ),
  ]);

  const decoded = values(pixels * 3);
  add("tensor_to_image", { max_level_difference: 1 }, [
    mapTensor("inputs/x", [3, height, width], decoded),
    u8Tensor(
      "outputs/image",
      [height, width, 3],
      decoded.map((x) => Math.floor(levelOf(x))),
    ),
  ]);

  const alpha = levels(pixels * 4);
  add("replace_alpha", {}, [
    u8Tensor("inputs/image", [height, width, 4], image),
    u8Tensor("inputs/alpha", [height, width, 4], alpha),
    u8Tensor("outputs/image", [height, width, 4], replaceAlpha(image, alpha)),
  ]);

  const cutOut = image.map((value, i) => (i % 4 === 3 && i % 5 > 0 ? 0 : value));
  add("hidden_colors", {}, [
    u8Tensor("inputs/image", [height, width, 4], cutOut),
    u8Tensor(
      "outputs/image",
      [height, width, 4],
      hiddenColors(cutOut, width, height).map(Math.round),
    ),
  ]);

  const place = [3, 2] as const;
  const whole = [width + 5, height + 2] as const;
  add("pad_edges", { x0: place[0], y0: place[1] }, [
    u8Tensor("inputs/image", [height, width, 4], image),
    u8Tensor(
      "outputs/image",
      [whole[1], whole[0], 4],
      padEdges(image, [width, height], place, whole),
    ),
  ]);

  const plain = Uint8Array.from({ length: pixels * 4 }, (_, i) =>
    Math.floor(i / 4) % width === 0 ? 9 : 200 + (i % 4),
  );
  const twice = levels(pixels * 16);
  add("keep_flat", {}, [
    u8Tensor("inputs/source", [height, width, 4], plain),
    u8Tensor("inputs/image", [2 * height, 2 * width, 4], twice),
    u8Tensor(
      "outputs/image",
      [2 * height, 2 * width, 4],
      keepFlat(plain, [width, height], 2, twice),
    ),
  ]);

  const source = values(pixels * 3);
  const resized = resize(source, [width, height, 3], [4, 9], "triangle", "double");
  add("antialiased_bilinear", {}, [
    mapTensor("inputs/x", [3, height, width], source),
    mapTensor("outputs/y", [3, 9, 4], resized),
  ]);

  // A block of 32 input channels and the beginning of another.
  const matrix = hostileMatrix({ outChannels: 5, inChannels: 37, taps: 1 }, "int8", 0.25, 4);
  const tokens = values(3 * 37);
  add(
    "linear",
    { storage: "int8" },
    [
      f32Tensor("inputs/x", [1, 3, 37], tokens),
      ...integerTensors(matrix, "int8", [5, 37]),
      f32Tensor("outputs/y", [1, 3, 5], matmul(tokens, dequantized(matrix), 37).y),
    ],
    "linear_int8",
  );

  const kernel = hostileMatrix({ outChannels: 3, inChannels: 33, taps: 9 }, "int4", 0.25, 5);
  const seen = values(2 * 3 * 33);
  const convolution = {
    batch: 1,
    inHeight: 2,
    inWidth: 3,
    inChannels: 33,
    kernelSize: [3, 3],
    stride: 1,
    padding: [1, 1, 1, 1],
  } as const;
  add(
    "conv2d",
    { storage: "int4", kernel: 3, stride: 1, pad_left_right_top_bottom: [1, 1, 1, 1] },
    [
      mapTensor("inputs/x", [33, 2, 3], seen),
      ...integerTensors(kernel, "int4", [3, 33, 3, 3]),
      mapTensor("outputs/y", [3, 2, 3], conv2d(seen, dequantized(kernel), convolution).y),
    ],
    "conv3x3_int4",
  );
  return writeSafetensors(tensors, [["cases", JSON.stringify(cases)]]);
}

/** The weight of a case as a file stores integers. */
function integerTensors(
  matrix: IntegerMatrix,
  storage: "int8" | "int4",
  [rows, columns, ...kernel]: readonly [number, number, ...number[]],
): readonly NamedTensorData[] {
  const { values, scales } = integerBytes(matrix, storage);
  const isInt8 = storage === "int8";
  const shape = [rows, isInt8 ? columns : Math.ceil(columns / 2), ...kernel];
  const scaleShape = [rows, Math.ceil(columns / 32), ...kernel];
  return [
    {
      name: "weights/weight",
      dtype: isInt8 ? "I8" : "U8",
      shape,
      data: values.slice(0, elementCount(shape)),
    },
    {
      name: "weights/weight.scales",
      dtype: "F16",
      shape: scaleShape,
      data: scales.slice(0, 2 * elementCount(scaleShape)),
    },
  ];
}

function f32Tensor(
  name: string,
  shape: readonly number[],
  values: ArrayLike<number>,
): NamedTensorData {
  return { name, dtype: "F32", shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}

/** Values [H, W, C] as a map [1, C, H, W]. */
function mapTensor(
  name: string,
  [channels, height, width]: readonly [number, number, number],
  values: ArrayLike<number>,
): NamedTensorData {
  const first = Float32Array.from({ length: values.length }, (_, i) => {
    const [channel, pixel] = [Math.floor(i / (height * width)), i % (height * width)];
    return values[pixel * channels + channel] as number;
  });
  return f32Tensor(name, [1, channels, height, width], first);
}

function u8Tensor(
  name: string,
  shape: readonly number[],
  values: ArrayLike<number>,
): NamedTensorData {
  return { name, dtype: "U8", shape, data: Uint8Array.from(values) };
}

export async function main(): Promise<number> {
  const folder = fileURLToPath(new URL("../../goldens/", import.meta.url));
  await mkdir(folder, { recursive: true });
  let total = 0;
  for (const [name, bytes] of await packageGoldens()) {
    await writeFile(`${folder}${name}`, bytes);
    total += bytes.byteLength;
  }
  process.stdout.write(`goldens/: ${total} bytes\n`);
  return 0;
}
