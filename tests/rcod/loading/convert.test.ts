/** A model in pieces as one folder: merged, complete, and nothing but what is read. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { halfBitsToFloat } from "../../../src/gpu/dtype.ts";
import type { SourceTensor } from "../../../src/graph/weights/device-weights.ts";
import type { ConvertOptions } from "../../../src/rcod/loading/convert.ts";
import { planConversion } from "../../../src/rcod/loading/convert.ts";
import { PIECE_ELEMENTS, mergedPieces } from "../../../src/rcod/loading/merge.ts";
import { modelFiles } from "../../../src/rcod/loading/model-source.ts";
import { openModel } from "../../../src/rcod/loading/open-model.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { modelParts } from "../../../src/rcod/networks/stage-graphs.ts";
import { recipeHalves, recipeTensor } from "../../../src/verify/runner/recipe.ts";
import type { FileSet } from "../../../src/weights/index.ts";
import {
  WeightsError,
  elementByteLength,
  memoryFiles,
  openWeightFile,
  openWeightFolder,
  toFloat32,
} from "../../../src/weights/index.ts";
import { diskFile, folderFiles } from "../../../src/weights/sources/node-source.ts";
import {
  SAMPLE_CHECKPOINTS,
  SAMPLE_CLIP,
  SAMPLE_MERGED,
  sampleMerged,
  sampleSdFiles,
} from "../../support/samples.ts";
import { adaptedModel } from "../adapted-model.ts";
import { rcodSFiles } from "../rcod-s-sample.ts";
import { minimalFiles } from "../support.ts";

const OPTIONS: ConvertOptions = { dtype: "f32", shardBytes: 1e9 };

/** The converted folder in memory. */
async function converted(
  files: FileSet,
  options: Partial<ConvertOptions> = {},
): Promise<Map<string, Uint8Array>> {
  const conversion = await planConversion(files, { ...OPTIONS, ...options });
  const written = new Map<string, Uint8Array>();
  for (const file of conversion.files) {
    const pieces: number[] = [];
    for await (const piece of file.bytes()) for (const byte of piece) pieces.push(byte);
    expect(pieces.length, file.path).toBe(file.byteLength);
    written.set(file.path, Uint8Array.from(pieces));
  }
  await conversion.close();
  return written;
}

/** Every parameter of a folder as it lies there, by part and name. */
async function parametersOf(files: ReadonlyMap<string, Uint8Array>) {
  const set = memoryFiles(files);
  const configs = await readConfigs(set);
  const { parameters, ...model } = await openModel(set, configs);
  const all = new Map<string, { readonly dtype: string; readonly values: Float32Array }>();
  for (const part of modelParts(configs)) {
    for (const { name } of parameters[part]) {
      const tensor = model.sources.get(part)?.tensor(name) as SourceTensor;
      const bytes = await tensor.read(0, tensor.byteLength);
      const values = toFloat32({ name, dtype: tensor.dtype }, bytes);
      all.set(`${part} ${name}`, { dtype: tensor.dtype, values });
    }
  }
  await model.close();
  return all;
}

function largestDifference(a: Float32Array, b: Float32Array | undefined): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b?.[i] ?? NaN))), 0);
}

describe("a converted folder", () => {
  it("holds the merged weights, each once, and no checkpoint", async () => {
    const { files, merged } = await adaptedModel(undefined, { mem: [8] });
    const folder = await converted(memoryFiles(files));
    expect([...folder.keys()].toSorted()).toEqual([
      "image_encoder/config.json",
      "image_encoder/model.safetensors",
      "image_proj/model.safetensors",
      "mem/config.json",
      "mem/model.safetensors",
      "rcod_config.json",
      "unet/config.json",
      "unet/diffusion_pytorch_model.safetensors",
      "vae/config.json",
      "vae/diffusion_pytorch_model.safetensors",
    ]);
    const got = await parametersOf(folder);
    const expected = await parametersOf(merged); // merged in doubles
    expect([...got.keys()]).toEqual([...expected.keys()]);
    for (const [name, { values, dtype }] of expected) {
      const own = got.get(name);
      expect(own?.dtype, name).toBe("F32");
      expect(largestDifference(values, own?.values), name).toBeLessThanOrEqual(
        dtype === "F16" ? 0 : 1e-6,
      );
    }
  });

  it("has the configurations of the pieces", async () => {
    const { files } = await adaptedModel(undefined, { mem: [8], upscale: 2, minSize: 12 });
    const config = JSON.stringify({
      ...(JSON.parse(new TextDecoder().decode(files.get("rcod_config.json"))) as object),
      alpha: 0.5,
      timesteps: { fidelity: 1, neutral: 2, realism: 3 },
      realism_timesteps: [10, 700, 800],
      thresholds: [0.25, 0.75],
      color_fix: "wavelet",
      latent_tile: 40,
      latent_overlap: 8,
    });
    files.set("rcod_config.json", new TextEncoder().encode(config));
    const before = await readConfigs(memoryFiles(files));
    const folder = await converted(memoryFiles(files));
    const after = await readConfigs(memoryFiles(folder));
    expect(after).toEqual({ ...before, rcod: { ...before.rcod, checkpoint: null, loraAlpha: 8 } });
    const text = new TextDecoder().decode(folder.get("rcod_config.json"));
    expect(JSON.parse(text)).toMatchObject({ instance: "RCOD_O", color_fix: "wavelet" });
  });

  it("rounds matrices once in fp16, and keeps vectors and tables in fp32", async () => {
    const { files } = await adaptedModel();
    const exact = await parametersOf(await converted(memoryFiles(files)));
    const half = await parametersOf(await converted(memoryFiles(files), { dtype: "f16" }));
    const dtypes = new Set<string>();
    for (const [name, { values }] of exact) {
      const own = half.get(name);
      dtypes.add(`${own?.dtype} ${/norm|bias|class_embedding|position/.test(name)}`);
      const limit = (value: number): number =>
        own?.dtype === "F16" ? Math.max(Math.abs(value) * 2 ** -11, 2 ** -25) : 0;
      const off = values.findIndex(
        (value, i) => !(Math.abs(value - (own?.values[i] ?? NaN)) <= limit(value)),
      );
      expect(off, name).toBe(-1);
    }
    expect([...dtypes].toSorted()).toEqual(["F16 false", "F32 true"]);
  });

  it("is cut into shards that other programs find", async () => {
    const files = memoryFiles(await minimalFiles());
    const whole = await parametersOf(await converted(files));
    const folder = await converted(files, { shardBytes: 20_000 });
    const names = [...folder.keys()].filter((path) => path.startsWith("unet/")).toSorted();
    const count = names.length - 2; // config and index
    expect(count).toBeGreaterThan(3);
    expect(names[1]).toBe(
      `unet/diffusion_pytorch_model-00001-of-${String(count).padStart(5, "0")}.safetensors`,
    );
    expect(names.at(-1)).toBe("unet/diffusion_pytorch_model.safetensors.index.json");
    const set = memoryFiles(folder);
    const store = await openWeightFolder(set, "unet", "diffusion_pytorch_model");
    const bytes = new Map<string, number[]>();
    for (const name of store.names()) {
      const { file, byteLength } = store.info(name);
      bytes.set(file, [...(bytes.get(file) ?? []), byteLength]);
    }
    for (const sizes of bytes.values()) {
      const sum = sizes.reduce((total, size) => total + size, 0);
      expect(sum <= 20_000 || sizes.length === 1).toBe(true);
    }
    expect(await parametersOf(folder)).toEqual(whole);
  });

  it("has PyTorch's merged weights of the sample", async () => {
    const pieces = modelFiles({
      model: sampleSdFiles(),
      clip: folderFiles(SAMPLE_CLIP),
      checkpoint: diskFile(SAMPLE_CHECKPOINTS[1] as string),
    });
    const configs = await readConfigs(pieces);
    const { sources, parameters, close } = await openModel(pieces, configs);
    for (const path of SAMPLE_MERGED) {
      const part = path.startsWith("vae/") ? "vae" : "unet";
      const weight = parameters[part].find(({ name }) => name === path.slice(part.length + 1));
      const source = sources.get(part);
      if (weight === undefined || source === undefined) throw new Error(path);
      for await (const values of mergedPieces(source, weight)) {
        expect(largestDifference(await sampleMerged(path), values), path).toBeLessThan(1e-6);
      }
    }
    await close();
  });
});

it("reads and gives a large tensor in pieces", async () => {
  const shape = [3, 2 ** 20 + 5];
  const name = "large.weight";
  const tensor = recipeTensor(name, shape, 0);
  const reads: number[] = [];
  const source = {
    tensor: () => ({
      ...tensor,
      read: (start: number, length: number) => {
        reads.push(length);
        return tensor.read(start, length);
      },
    }),
    lora: () => null,
  };
  const count = (shape[0] as number) * (shape[1] as number);
  const expected = recipeHalves(name, shape, 0, 0, count);
  let at = 0;
  for await (const piece of mergedPieces(source, { name, shape, layout: "matrix" })) {
    expect(piece.length).toBeLessThanOrEqual(PIECE_ELEMENTS);
    for (const i of [0, 1, piece.length - 1]) {
      expect(piece[i]).toBe(halfBitsToFloat(expected[at + i] as number));
    }
    at += piece.length;
  }
  expect(at).toBe(count);
  expect(reads.length).toBe(2);
  expect(Math.max(...reads)).toBe(PIECE_ELEMENTS * elementByteLength("F16"));
});

describe("what cannot be converted is refused", () => {
  const failure = async (work: Promise<unknown>): Promise<string> => {
    const error: unknown = await work.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WeightsError);
    return (error as Error).message;
  };
  /** The minimal model with one value of a convolution replaced. */
  const withValue = (value: number): Promise<FileSet> =>
    minimalFiles({}, (part, list) =>
      list.map((tensor) => {
        if (part !== "unet" || tensor.name !== "conv_out.weight") return tensor;
        const data = new Float32Array(tensor.data.byteLength / 2);
        data[7] = value;
        return { ...tensor, dtype: "F32", data: new Uint8Array(data.buffer) };
      }),
    ).then(memoryFiles);

  it.each<[number, ConvertOptions["dtype"], string | null]>([
    [NaN, "f32", 'values must be finite, got NaN (tensor "conv_out.weight"). The file is damaged'],
    [-Infinity, "f16", "values must be finite and at most 65504 in fp16, got -Infinity"],
    [7e4, "f16", 'got 70000 (tensor "conv_out.weight"). Convert to fp32'],
    [7e4, "f32", null],
    [65504, "f16", null],
  ])("%d in %s", async (value, dtype, message) => {
    const work = withValue(value).then((files) => converted(files, { dtype }));
    if (message === null) await work;
    else expect(await failure(work)).toContain(message);
  });

  it("everything that loading refuses, before anything is written", async () => {
    const { files } = await adaptedModel(({ tensors }) => tensors.delete("state_dict_proj.bias"));
    expect(await failure(planConversion(memoryFiles(files), OPTIONS))).toContain(
      "1 tensor missing. missing: state_dict_proj.bias",
    );
  });
});

describe("RCOD_S", () => {
  /** Values as checksums: deep comparison of large arrays takes minutes. */
  const hash = (bytes: Uint8Array | Float32Array): string =>
    createHash("sha256").update(bytes).digest("hex");
  const hashed = (files: ReadonlyMap<string, Uint8Array>): Map<string, string> =>
    new Map([...files].map(([path, bytes]) => [path, hash(bytes)]));
  const valuesOf = (tensors: ReadonlyMap<string, { readonly values: Float32Array }>) =>
    new Map([...tensors].map(([name, { values }]) => [name, hash(values)]));

  /** Every tensor of a file of the folder. */
  async function tensorsOf(folder: ReadonlyMap<string, Uint8Array>, name: string) {
    const file = await openWeightFile(memoryFiles(folder), name);
    if (file === null) throw new Error(`no ${name}`);
    const tensors = new Map<string, { readonly dtype: string; readonly values: Float32Array }>();
    for (const tensor of [...file.store.names()].toSorted()) {
      const info = file.store.info(tensor);
      const values = toFloat32(info, await file.store.read(tensor));
      tensors.set(tensor, { dtype: info.dtype, values });
    }
    return { tensors, values: file.values };
  }

  it("stays unmerged: base, factors, estimator and metric module, each complete", async () => {
    const files = await rcodSFiles();
    const folder = await converted(memoryFiles(files));
    expect([...folder.keys()].toSorted()).toEqual([
      "de_net.safetensors",
      "image_encoder/config.json",
      "image_encoder/model.safetensors",
      "rcod_config.json",
      "rcod_s.safetensors",
      "rcod_s_mem.safetensors",
      "unet/config.json",
      "unet/diffusion_pytorch_model.safetensors",
      "vae/config.json",
      "vae/diffusion_pytorch_model.safetensors",
    ]);
    expect(valuesOf(await parametersOf(folder))).toEqual(valuesOf(await parametersOf(files)));
    const [before, after] = [
      await tensorsOf(files, "rcod_s.pkl"),
      await tensorsOf(folder, "rcod_s.safetensors"),
    ];
    expect(valuesOf(after.tensors)).toEqual(valuesOf(before.tensors));
    expect([...after.tensors.values()].every(({ dtype }) => dtype === "F32")).toBe(true);
    expect(after.values.get("rank_unet")).toBe("8");
    const mem = await tensorsOf(folder, "rcod_s_mem.safetensors");
    const released = await tensorsOf(files, "rcod_s_mem.pkl");
    expect(valuesOf(mem.tensors)).toEqual(valuesOf(released.tensors));
    const configs = await readConfigs(memoryFiles(files));
    expect(await readConfigs(memoryFiles(folder))).toEqual({
      ...configs,
      rcod: {
        ...configs.rcod,
        checkpoint: "rcod_s.safetensors",
        degradationEstimator: "de_net.safetensors",
        memCheckpoint: "rcod_s_mem.safetensors",
      },
    });
    expect(hashed(await converted(memoryFiles(folder)))).toEqual(hashed(folder)); // and again
  });

  it("in fp16 keeps what is computed from the image in fp32, and does without a metric module", async () => {
    const files = await rcodSFiles();
    files.delete("rcod_s_mem.pkl");
    const folder = await converted(memoryFiles(files), { dtype: "f16" });
    expect(folder.has("rcod_s_mem.safetensors")).toBe(false);
    expect((await readConfigs(memoryFiles(folder))).degradation?.hasMem).toBe(false);
    const { tensors } = await tensorsOf(folder, "rcod_s.safetensors");
    const halves = [...tensors].filter(([, { dtype }]) => dtype === "F16").map(([name]) => name);
    const isHalf = /\.lora_[AB]\.|conv_in\.weight$|^state_dict_clip_proj\.weight$/;
    expect(halves).toEqual([...tensors.keys()].filter((name) => isHalf.test(name)));
    const estimator = await tensorsOf(folder, "de_net.safetensors");
    expect(new Set([...estimator.tensors.values()].map(({ dtype }) => dtype))).toEqual(
      new Set(["F32"]),
    );
    const set = memoryFiles(folder);
    const model = await openModel(set, await readConfigs(set));
    await model.close(); // all is there, and nothing else
  });
});
