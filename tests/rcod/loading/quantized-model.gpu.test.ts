/** A model of integers: converted, loaded, run; what is refused, and by what words. */
import { beforeAll, describe, expect, it } from "vitest";
import { convertedInMemory, planConversion } from "../../../src/rcod/loading/convert.ts";
import { openModel } from "../../../src/rcod/loading/open-model.ts";
import type { QuantizationRecipe } from "../../../src/rcod/loading/quantization-recipe.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import type { NamedTensorData } from "../../../src/weights/index.ts";
import {
  WeightsError,
  bytesSource,
  memoryFiles,
  openSafetensors,
  writeSafetensors,
} from "../../../src/weights/index.ts";
import { dequantized } from "../../reference/integer-weight.ts";
import { useGpu } from "../../support/gpu.ts";
import { CHECKPOINT, adaptedModel } from "../adapted-model.ts";
import { rcodSFiles } from "../rcod-s-sample.ts";
import { largestDifference, minimalFiles, testImage } from "../support.ts";

const setup = useGpu();
type Folder = Map<string, Uint8Array>;

async function converted(files: Folder, quantize?: QuantizationRecipe): Promise<Folder> {
  const options = { dtype: "f32", shardBytes: 1e9, quantize } as const;
  return convertedInMemory(await planConversion(memoryFiles(files), options));
}

async function tensorsOf(bytes: Uint8Array): Promise<NamedTensorData[]> {
  const file = await openSafetensors(bytesSource("file", bytes));
  const all: NamedTensorData[] = [];
  for (const [name, { dtype, shape, byteLength }] of file.tensors) {
    const data = (await file.readRange(name, 0, byteLength)).slice();
    all.push({ name, dtype, shape, data });
  }
  return all;
}

/** A folder with other tensors or another config in one of its parts. */
async function changed(
  folder: Folder,
  part: string,
  change: {
    readonly tensors?: (all: NamedTensorData[]) => NamedTensorData[];
    readonly config?: (json: Record<string, unknown>) => unknown;
  },
): Promise<Folder> {
  const copy = new Map(folder);
  for (const [path, bytes] of folder) {
    if (!path.startsWith(`${part}/`)) continue;
    if (path.endsWith(".safetensors") && change.tensors) {
      copy.set(path, writeSafetensors(change.tensors(await tensorsOf(bytes))));
    }
    if (path.endsWith("config.json") && change.config) {
      const json = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
      copy.set(path, new TextEncoder().encode(JSON.stringify(change.config(json))));
    }
  }
  return copy;
}

/** The values of a matrix of integers, decoded by the reference. */
function asFloats(
  tensor: NamedTensorData,
  scales: NamedTensorData,
  inChannels: number,
): NamedTensorData {
  const [outChannels = 1, stored = 1, ...kernel] = tensor.shape;
  const taps = kernel.reduce((product, size) => product * size, 1);
  const bytes = new Int8Array(tensor.data.slice().buffer);
  const integers = new Int8Array(outChannels * inChannels * taps);
  for (let o = 0; o < outChannels; o++) {
    for (let i = 0; i < inChannels; i++) {
      for (let tap = 0; tap < taps; tap++) {
        const channel = tensor.dtype === "I8" ? i : i >> 1;
        const byte = bytes[(o * stored + channel) * taps + tap] as number;
        const nibble = ((byte >> (4 * (i & 1))) & 15) - 8;
        integers[(o * inChannels + i) * taps + tap] = tensor.dtype === "I8" ? byte : nibble;
      }
    }
  }
  const bits = new Uint16Array(scales.data.slice().buffer);
  const block = (scales.shape[1] ?? 1) > Math.ceil(inChannels / 64) ? 32 : 64;
  const values = dequantized({ outChannels, inChannels, taps, block, integers, scales: bits });
  return {
    name: tensor.name,
    dtype: "F32",
    shape: [outChannels, inChannels, ...kernel],
    data: new Uint8Array(Float32Array.from(values).buffer),
  };
}

/** The same model with floats that are worth what the integers are. `float` has the shapes. */
async function dequantizedFolder(quantized: Folder, float: Folder): Promise<Folder> {
  let folder = quantized;
  for (const part of ["unet", "vae", "image_encoder"]) {
    const path = [...float.keys()].find(
      (name) => name.startsWith(`${part}/`) && name.endsWith("s"),
    );
    const shapes = new Map(
      (await tensorsOf(float.get(path ?? "") as Uint8Array)).map(({ name, shape }) => [
        name,
        shape,
      ]),
    );
    folder = await changed(folder, part, {
      config: (json) => ({ ...json, quantization: null }),
      tensors: (all) => {
        const scales = new Map(all.map((tensor) => [tensor.name, tensor]));
        return all
          .filter(({ name }) => !name.endsWith(".scales"))
          .map((tensor) => {
            const own = scales.get(`${tensor.name}.scales`);
            return own ? asFloats(tensor, own, shapes.get(tensor.name)?.[1] ?? 1) : tensor;
          });
      },
    });
  }
  return folder;
}

let files: Folder;
let int8: Folder;
beforeAll(async () => {
  files = await minimalFiles({ mem: [8] });
  int8 = await converted(files, "int8");
});

describe("a model of integers", () => {
  it.each(["int8", "int4", "mixed"] as const)(
    "%s runs as its values do as floats",
    async (recipe) => {
      const quantized = await converted(files, recipe);
      const floats = await dequantizedFolder(quantized, await converted(files));
      const image = testImage(6, 5);
      const results = [];
      for (const folder of [quantized, floats]) {
        const model = await loadModel(memoryFiles(folder), { gpu: setup.gpu, precision: "f32" });
        results.push((await model.upscale(image)).image);
        model.dispose();
      }
      const [got, expected] = results;
      // One level for what is folded with an upsampling as floats only.
      expect(largestDifference(got as never, expected as never)).toBeLessThanOrEqual(1);
    },
  );

  it("keeps the pixel path in floats", async () => {
    const wide = await converted(await minimalFiles({ pixelChannels: 2 }), "int8");
    const config = JSON.parse(new TextDecoder().decode(wide.get("vae/config.json"))) as {
      readonly quantization: { readonly float: readonly string[] };
    };
    expect(config.quantization.float).toContain("pixel_conv.weight");
  });

  it("has the integers that its recipe says, and tells which", async () => {
    const mixed = await converted(files, "mixed");
    const configOf = (part: string): Record<string, unknown> =>
      JSON.parse(new TextDecoder().decode(mixed.get(`${part}/config.json`))) as never;
    expect(configOf("unet")["quantization"]).toEqual({
      scheme: "int4",
      block: 32,
      float: [
        "time_embedding.linear_1.weight",
        "time_embedding.linear_2.weight",
        "conv_in.weight",
        "conv_out.weight",
      ],
    });
    expect(configOf("vae")["quantization"]).toMatchObject({ scheme: "int8", block: 32 });
    const dtypes = async (path: string): Promise<Record<string, string>> =>
      Object.fromEntries(
        (await tensorsOf(mixed.get(path) as Uint8Array)).map(({ name, dtype }) => [name, dtype]),
      );
    expect(await dtypes("unet/diffusion_pytorch_model.safetensors")).toMatchObject({
      "conv_in.weight": "F32",
      "conv_norm_out.weight": "F32",
      "down_blocks.0.resnets.0.conv1.weight": "U8",
      "down_blocks.0.resnets.0.conv1.weight.scales": "F16",
      "down_blocks.0.resnets.0.conv1.bias": "F32",
    });
    expect(await dtypes("vae/diffusion_pytorch_model.safetensors")).toMatchObject({
      "encoder.conv_in.weight": "F32",
      "encoder.down_blocks.0.resnets.0.conv1.weight": "I8",
      "quant_conv.weight": "F32",
    });
    expect(await dtypes("image_proj/model.safetensors")).toEqual({ weight: "F32", bias: "F32" });
  });

  it("loads stage by stage in low memory, and gives the same picture", async () => {
    const image = testImage(6, 5);
    const pictures = [];
    for (const lowMemory of [false, true]) {
      const model = await loadModel(memoryFiles(int8), {
        gpu: setup.gpu,
        precision: "f32",
        lowMemory,
      });
      pictures.push((await model.upscale(image)).image.data);
      model.dispose();
    }
    expect(pictures[1]).toEqual(pictures[0]);
  });
});

describe("is refused before anything is loaded", () => {
  const CONV = "down_blocks.0.resnets.0.conv1.weight";
  const refused = async (folder: Folder, message: RegExp): Promise<void> => {
    const set = memoryFiles(folder);
    const opened = readConfigs(set).then((configs) => openModel(set, configs));
    await expect(opened).rejects.toThrow(message);
    await expect(opened).rejects.toBeInstanceOf(WeightsError);
  };
  const unet = (change: Parameters<typeof changed>[2]): Promise<Folder> =>
    changed(int8, "unet", change);

  it("a matrix without scales", async () => {
    const tensors = (all: NamedTensorData[]) => all.filter(({ name }) => name !== `${CONV}.scales`);
    await refused(await unet({ tensors }), /1 tensor missing.*conv1\.weight\.scales/);
  });

  it("scales of another shape", async () => {
    const tensors = (all: NamedTensorData[]) =>
      all.map((tensor) =>
        tensor.name === `${CONV}.scales`
          ? { ...tensor, shape: [...tensor.shape].toReversed() }
          : tensor,
      );
    await refused(await unet({ tensors }), /1 tensor wrong shape.*conv1\.weight\.scales/);
  });

  it("floats where the config says integers, and integers where it says floats", async () => {
    const floats = (
      await tensorsOf(
        (await converted(files)).get("unet/diffusion_pytorch_model.safetensors") as Uint8Array,
      )
    ).find(({ name }) => name === CONV) as NamedTensorData;
    const tensors = (all: NamedTensorData[]) =>
      all.map((tensor) => (tensor.name === CONV ? floats : tensor));
    await refused(await unet({ tensors }), /unsupported dtype.*\(F32, expected I8\)/);
    await refused(await unet({ config: (json) => ({ ...json, quantization: null }) }), /\(I8\)/);
  });

  it.each([
    [{ scheme: "int3", block: 32 }, /"scheme" must be int8 or int4, got "int3"/],
    [{ scheme: "int8", block: 48 }, /"block" must be 32 or 64, got 48/],
    [
      { scheme: "int8", block: 64 },
      /wrong shape: .*\.scales \(got \[16, 2\], expected \[16, 1\]\)/,
    ],
    [{ scheme: "int8" }, /"block" must be 32 or 64/],
    [{ block: 32 }, /"scheme" must be int8 or int4/],
    [{ scheme: "int8", block: 32, float: [1] }, /"float" must be a list of names of tensors/],
    ["int8", /unet\/config\.json quantization must be a JSON object/],
  ])("the quantization %j", async (quantization, message) => {
    await refused(await unet({ config: (json) => ({ ...json, quantization }) }), message);
  });

  it("names of floats that no matrix has", async () => {
    const config = (json: Record<string, unknown>) => ({
      ...json,
      quantization: { scheme: "int8", block: 32, float: ["conv_im.weight"] },
    });
    await refused(
      await unet({ config }),
      /floats of unet's quantization must be its matrices, got "conv_im\.weight"/,
    );
  });

  it("a checkpoint whose LoRA would have to be merged", async () => {
    const adapted = await adaptedModel();
    const base = await converted(files, "int8");
    base.set(CHECKPOINT, adapted.files.get(CHECKPOINT) as Uint8Array);
    base.set("rcod_config.json", adapted.files.get("rcod_config.json") as Uint8Array);
    await refused(
      base,
      /LoRA must be merged before weights become int8.*Convert the base in floats/,
    );
  });
});

it("names scales that are no finite numbers", async () => {
  const damaged = await changed(int8, "unet", {
    tensors: (all) =>
      all.map((tensor) =>
        tensor.name.endsWith("conv_in.weight") || !tensor.name.endsWith("conv1.weight.scales")
          ? tensor
          : { ...tensor, data: tensor.data.map((byte, i) => (i === 1 ? 0x7e : byte)) },
      ),
  });
  await expect(
    loadModel(memoryFiles(damaged), { gpu: setup.gpu, precision: "f32" }),
  ).rejects.toThrow(/NaN or infinity in unet: .*conv1\.weight\.scales \(1 of/);
});

describe("convert refuses", () => {
  it("a model that is integers already", async () => {
    await expect(converted(int8)).rejects.toThrow(/the source must be floats, got int8/);
    await expect(converted(int8, "int4")).rejects.toThrow(/the source must be floats, got int8/);
  });

  it("integers for RCOD_S, whose weights are merged for each image", async () => {
    const sample = await rcodSFiles();
    await expect(converted(sample, "int8")).rejects.toThrow(/the same for all images.*RCOD_S/);
  });
});
