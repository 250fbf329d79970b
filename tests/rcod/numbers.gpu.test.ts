/** Values that are no numbers, or too large for f16, never pass silently. */
import { describe, expect, it } from "vitest";
import { withCaps } from "../../src/gpu/device.ts";
import { halvesToFloats } from "../../src/gpu/dtype.ts";
import type { LoadOptions, RcodModel } from "../../src/rcod/model.ts";
import { loadModel } from "../../src/rcod/model.ts";
import { NumbersError } from "../../src/rcod/settings/numbers-error.ts";
import type { RawImage, UpscaleOptions, UpscaleResult } from "../../src/rcod/settings/options.ts";
import type { NamedTensorData } from "../../src/weights/index.ts";
import { WeightsError, memoryFiles } from "../../src/weights/index.ts";
import { useGpu } from "../support/gpu.ts";
import { readTexture } from "../support/texture.ts";
import { CHECKPOINT, adaptedModel } from "./adapted-model.ts";
import type { MinimalOptions } from "./support.ts";
import { largestDifference, minimalFiles, testImage } from "./support.ts";

const setup = useGpu();
const IMAGE = testImage(6, 5);

/** Bits of values that are no finite numbers. */
const BITS = {
  F32: { NaN: 0x7fc00000, "−NaN": 0xffc00001, Infinity: 0x7f800000 },
  F16: { NaN: 0x7e00, "−NaN": 0xfe01, "−Infinity": 0xfc00 },
  BF16: { NaN: 0x7fc0, "−NaN": 0xffc1, Infinity: 0x7f80 },
} as const;

/** The tensor in another dtype, its values times `factor`. */
function stored(
  { name, shape, data }: NamedTensorData,
  dtype: "F32" | "F16" | "BF16",
  factor = 1,
): NamedTensorData {
  if (dtype === "F16") return { name, shape, dtype, data: data.slice() };
  const values = halvesToFloats(new Uint16Array(data.slice().buffer)).map((v) => v * factor);
  if (dtype === "F32") return { name, shape, dtype, data: new Uint8Array(values.buffer) };
  const words = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);
  return { name, shape, dtype, data: new Uint8Array(words.buffer) };
}

/** Puts `bits` at element 3 of a tensor, in place. */
function spoil({ dtype, data }: Pick<NamedTensorData, "dtype" | "data">, bits: number): void {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (dtype === "F32") view.setUint32(12, bits, true);
  else view.setUint16(6, bits, true);
}

/** The minimal model, with `change` applied to one tensor. */
function filesWith(
  name: string,
  change: (tensor: NamedTensorData) => NamedTensorData,
  options?: MinimalOptions,
): Promise<Map<string, Uint8Array>> {
  let changed = 0;
  return minimalFiles(options, (_part, list) =>
    list.map((tensor) => {
      if (tensor.name !== name) return tensor;
      changed++;
      return change(tensor);
    }),
  ).then((files) => {
    expect(changed, name).toBe(1);
    return files;
  });
}

/** Loads on a device that "auto" takes for a GPU, so that it chooses f16. */
const load = (
  files: ReadonlyMap<string, Uint8Array>,
  options: LoadOptions = {},
): Promise<RcodModel> =>
  loadModel(memoryFiles(files, "model"), {
    gpu: withCaps(setup.gpu, { isSoftware: false }),
    ...options,
  });

async function rejection(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    () => expect.unreachable("must fail"),
    (reason: unknown) => reason,
  );
  return error as Error;
}

async function picture(
  files: ReadonlyMap<string, Uint8Array>,
  options: LoadOptions,
  call: UpscaleOptions = {},
): Promise<UpscaleResult> {
  const before = setup.gpu.memory.use().currentBytes;
  const model = await load(files, options);
  try {
    return await model.upscale(IMAGE, call);
  } finally {
    model.dispose();
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  }
}

describe("weights that are no finite numbers are refused by name", () => {
  const conv = "down_blocks.0.resnets.0.conv1.weight";
  const cases = [
    ["a convolution", conv, "F16", "NaN"],
    ["a convolution", conv, "BF16", "−NaN"],
    ["a convolution", conv, "F32", "Infinity"],
    ["a folded up-sampler", "decoder.up_blocks.0.upsamplers.0.conv.weight", "F16", "−NaN"],
    [
      "a linear layer",
      "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight",
      "F16",
      "NaN",
    ],
    ["GEGLU", "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight", "F32", "−NaN"],
    ["a norm", "decoder.conv_norm_out.weight", "F16", "−Infinity"],
    ["a bias", "encoder.conv_in.bias", "BF16", "NaN"],
    ["CLIP", "vision_model.encoder.layers.0.mlp.fc1.weight", "F16", "NaN"],
    ["CLIP's table", "vision_model.embeddings.position_embedding.weight", "F32", "NaN"],
    ["the token projection", "weight", "F16", "NaN"],
  ] as const;
  it.each(cases)("%s, %s in %s: %s", async (_kind, name, dtype, kind) => {
    const files = await filesWith(name, (tensor) => {
      const copy = stored(tensor, dtype);
      spoil(copy, (BITS[dtype] as Record<string, number>)[kind] as number);
      return copy;
    });
    const before = setup.gpu.memory.use().currentBytes;
    for (const precision of ["f32", "f16"] as const) {
      const error = await rejection(load(files, { precision }));
      expect(error).toBeInstanceOf(WeightsError);
      const full = name === "weight" ? "image_proj.weight" : name;
      expect(error.message).toMatch(/^weights: values must be finite numbers, got NaN or infinity/);
      expect(error.message).toContain(`${full} (1 of `);
      expect(setup.gpu.memory.use().currentBytes).toBe(before);
    }
  });

  it.each(["A", "B"])("a LoRA's factor %s, and one that overflows", async (factor) => {
    let spoiled = "";
    const { files } = await adaptedModel(({ tensors }) => {
      for (const [name, tensor] of tensors) {
        if (spoiled || !/state_dict_unet.*to_q/.test(name) || !name.includes(`lora_${factor}`))
          continue;
        spoiled = name;
        spoil(tensor, BITS.F32["−NaN"]);
      }
    });
    const error = await rejection(load(files, { precision: "f32" }));
    expect(error).toBeInstanceOf(WeightsError);
    expect(error.message).toContain(`LoRA ${factor} of `);
    expect(error.message).toContain("to_q.weight (1 of ");
    const { files: huge } = await adaptedModel(({ tensors }) => {
      const module = spoiled.replace(/lora_.*/, "");
      for (const [name, { data }] of tensors)
        if (name.startsWith(module)) new Float32Array(data.buffer).fill(1e30);
    });
    const overflow = await rejection(load(huge, { precision: "f32" }));
    expect(overflow.message).toContain("to_q.weight (too large once its LoRA is merged)");
    expect(files.has(CHECKPOINT)).toBe(true);
  });

  it("in low memory, when their stage begins; and again in the next call", async () => {
    const files = await filesWith(conv, (tensor) => {
      spoil(tensor, BITS.F16.NaN);
      return tensor;
    });
    const model = await load(files, { precision: "f32", lowMemory: true });
    for (let call = 0; call < 2; call++) {
      const error = await rejection(model.upscale(IMAGE));
      expect(error).toBeInstanceOf(WeightsError);
      expect(error.message).toContain(`in unet: ${conv} (1 of `);
    }
    model.dispose();
  });
});

/** Modules whose output a norm brings back, so that f32 has the right picture and f16 has not. */
const OVERFLOWS = [
  ["unet", "down_blocks.0.resnets.0.conv1.weight"],
  ["decode", "decoder.mid_block.resnets.0.conv1.weight"],
  ["encode", "encoder.down_blocks.0.resnets.0.conv1.weight"],
] as const;
/** How far the stages that stay in f16 may move a picture of 8 bits; clamped values move it by tens. */
const F16_LEVELS = 5;
/** Weights stay below 65,504. */
const FACTOR = 2 ** 16;
const large = (name: string, options?: MinimalOptions): Promise<Map<string, Uint8Array>> =>
  filesWith(name, (tensor) => stored(tensor, "F32", FACTOR), options);

describe("activations beyond f16", () => {
  it.each(OVERFLOWS)('of "%s": auto repeats it in f32, f16 counts them', async (stage, name) => {
    const files = await large(name);
    const expected = await picture(files, { precision: "f32" });
    expect(expected.notes).toBeUndefined();
    const part = stage === "unet" ? "unet" : "vae";
    for (const lowMemory of [false, true]) {
      const auto = await picture(files, { lowMemory });
      expect(largestDifference(auto.image, expected.image)).toBeLessThanOrEqual(F16_LEVELS);
      expect(auto.notes).toEqual([
        expect.stringMatching(
          new RegExp(`^${stage}: f16 cannot hold \\d+ values.*; ${part} runs in f32$`),
        ),
      ]);
      expect(auto.saturated).toBeUndefined();
    }
    const f16 = await picture(files, { precision: "f16" });
    expect(f16.saturated?.[stage]).toBeGreaterThan(0);
    expect(f16.notes?.[0]).toMatch(/they are clamped. Load with \{ precision: "f32" \}/);
  });

  it("the next calls run in f32 at once, also with the encoding of the last image", async () => {
    const model = await load(await large(OVERFLOWS[0][1]));
    const first = await model.upscale(IMAGE);
    const second = await model.upscale(IMAGE);
    expect(second.image.data).toEqual(first.image.data);
    expect(second.reused).toContain("encode");
    expect(second.notes).toEqual(first.notes);
    expect(first.notes).toHaveLength(1);
    model.dispose();
  });

  it("in tiles, as a texture, in 16 bits", async () => {
    const files = await large(OVERFLOWS[1][1]);
    const image = testImage(17, 8);
    const run = async (options: LoadOptions, call: UpscaleOptions): Promise<RawImage> => {
      const model = await load(files, options);
      const result = await model.upscale(image, call);
      if (!options.precision) expect(result.notes?.[0]).toMatch(/^decode: .*vae runs in f32/);
      model.dispose();
      return result.image;
    };
    for (const call of [{ tile: 64 }, { depth: 16 }] as const) {
      const expected = await run({ precision: "f32" }, call);
      const got = await run({}, call);
      const limit = F16_LEVELS * ("depth" in call ? 257 : 1);
      expect(largestDifference(got, expected)).toBeLessThanOrEqual(limit);
    }
    const model = await load(files);
    const { texture, notes } = await model.upscale(image, { output: "texture" });
    expect(notes).toHaveLength(1);
    const { image: expected } = await model.upscale(image);
    const pixels = await readTexture(setup.gpu, texture);
    expect(pixels.filter((_, i) => i % 4 < 3)).toEqual(expected.data);
    texture.destroy();
    model.dispose();
  });

  it("files that are gone are told, with what to do, in every call", async () => {
    const files = await large(OVERFLOWS[0][1]);
    const model = await load(files);
    files.delete("unet/diffusion_pytorch_model.safetensors");
    for (let call = 0; call < 2; call++) {
      const error = await rejection(model.upscale(IMAGE));
      expect(error).toBeInstanceOf(WeightsError);
      expect(error.message).toMatch(/cannot be read again for f32.*precision: "f32"/);
    }
    model.dispose();
  });
});

it("weights beyond f16 are stored in f32, or clamped and told", async () => {
  const name = OVERFLOWS[0][1];
  const files = await filesWith(name, (tensor) => stored(tensor, "F32", 2 ** 20));
  for (const lowMemory of [false, true]) {
    const { notes } = await picture(files, { lowMemory });
    expect(notes).toEqual([expect.stringContaining(`of ${name}; it runs in f32`)]);
  }
  const { notes } = await picture(files, { precision: "f16" });
  expect(notes?.[0]).toContain(`of ${name}; they are clamped`);
});

it('"force_upcast" puts the VAE into f32 where f16 was our choice', async () => {
  const files = await minimalFiles();
  const path = "vae/config.json";
  const config = JSON.parse(new TextDecoder().decode(files.get(path))) as object;
  files.set(path, new TextEncoder().encode(JSON.stringify({ ...config, force_upcast: true })));
  const auto = await picture(files, {});
  expect(auto.notes).toEqual([expect.stringContaining('vae: its config.json has "force_upcast"')]);
  expect((await picture(files, { precision: "f16" })).notes).toBeUndefined();
  expect((await picture(files, { precision: "f32" })).notes).toBeUndefined();
});

/** The tensor with weights just below the largest float, so that sums are infinite. */
function largest(tensor: NamedTensorData): NamedTensorData {
  const { data } = stored(tensor, "F32");
  const most = new Float32Array(data.buffer).reduce((top, v) => Math.max(top, Math.abs(v)), 0);
  return stored(tensor, "F32", 3e38 / most);
}

describe("NaN and infinity are an error that names the module", () => {
  it.each([
    ["unet", "down_blocks.1.resnets.0.conv1"],
    ["encode", "encoder.mid_block.resnets.0.conv2"],
    ["decode", "decoder.up_blocks.1.resnets.0.conv1"],
  ])('stage "%s", module "%s"', async (stage, module) => {
    const files = await filesWith(`${module}.weight`, largest);
    for (const options of [
      { precision: "f32" },
      {},
      { precision: "f32", lowMemory: true },
    ] as const) {
      const model = await load(files, options);
      for (let call = 0; call < 2; call++) {
        const error = await rejection(model.upscale(IMAGE));
        expect(error).toBeInstanceOf(NumbersError);
        expect(error.message).toContain(`stage "${stage}", module "${module}`);
      }
      model.dispose();
    }
  });
});
