import { describe, expect, it } from "vitest";
import { loadWeights } from "../../../src/rcod/loading/load.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import { modelWeights } from "../../../src/rcod/networks/stage-graphs.ts";
import { ConfigError } from "../../../src/rcod/settings/config.ts";
import { WeightsError, memoryFiles } from "../../../src/weights/index.ts";
import type { NamedTensorData } from "../../../src/weights/index.ts";
import { deviceByteLength } from "../../graph/support.ts";
import { useGpu } from "../../support/gpu.ts";
import { minimalFiles } from "../support.ts";

const setup = useGpu();
const UNET = "unet/diffusion_pytorch_model.safetensors";
const text = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(json));

/** Loads, expects a failure that leaves nothing on the device, gives its error. */
async function failure(files: ReadonlyMap<string, Uint8Array>): Promise<Error> {
  const before = setup.gpu.memory.use().currentBytes;
  setup.gpu.memory.resetPeak();
  const error = await loadModel(memoryFiles(files, "folder x"), {
    gpu: setup.gpu,
    precision: "f32",
  }).then(
    () => expect.unreachable("loaded"),
    (reason: unknown) => reason,
  );
  expect(setup.gpu.memory.use().currentBytes).toBe(before);
  expect(setup.gpu.memory.use().peakBytes, "a buffer was made before the check").toBe(before);
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

describe("what is wrong with a folder is said before any buffer is made", () => {
  it("empty", async () => {
    const error = await failure(new Map());
    expect(error).toBeInstanceOf(WeightsError);
    expect(error.message).toContain(
      "weights: no model in folder x: unet/config.json, vae/config.json, image_encoder/config.json are missing. A model folder holds unet/",
    );
  });

  it("a part is missing", async () => {
    const files = await minimalFiles();
    files.delete("vae/config.json");
    expect((await failure(files)).message).toContain(
      "weights: no model in folder x: vae/config.json is missing.",
    );
    const noWeights = await minimalFiles();
    noWeights.delete("image_proj/model.safetensors");
    expect((await failure(noWeights)).message).toContain(
      "weights: the token projection must come from a checkpoint or from image_proj/, got neither (folder x). Give the checkpoint",
    );
  });

  it("the folder of another model", async () => {
    const files = await minimalFiles();
    files.set(
      "unet/config.json",
      text({ block_out_channels: [8, 16], _class_name: "Transformer2DModel" }),
    );
    const error = await failure(files);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(
      'config: unet/config.json: "_class_name" is only supported as "UNet2DConditionModel", got',
    );
  });

  it("latents that do not fit", async () => {
    const files = await minimalFiles();
    files.set(
      "vae/config.json",
      text({ block_out_channels: [8, 8], norm_num_groups: 4, latent_channels: 8 }),
    );
    expect((await failure(files)).message).toBe(
      "config: the UNet must take and give the VAE's 8 latent channels, got 4 and 4",
    );
  });

  it("a metric estimation module for other latents, or without weights", async () => {
    const files = await minimalFiles({ mem: [8] });
    files.set("mem/config.json", text({ in_channels: 12, block_out_channels: [8] }));
    const error = await failure(files);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toBe("config: mem/ must take the VAE's 4 latent channels, got 12");
    const other = await minimalFiles({ mem: [8] }, (part, list) =>
      part === "mem" ? list.filter(({ name }) => name !== "head.bias") : list,
    );
    expect((await failure(other)).message).toContain("1 tensor missing. missing: head.bias");
    other.delete("mem/model.safetensors");
    expect((await failure(other)).message).toContain('no weights in "mem"');
  });

  it("broken JSON", async () => {
    const files = await minimalFiles();
    files.set("unet/config.json", new TextEncoder().encode('{"block_out_channels": [8, 16]'));
    const error = await failure(files);
    expect(error).toBeInstanceOf(WeightsError);
    expect(error.message).toContain("unet/config.json");
  });

  it("a truncated file", async () => {
    const files = await minimalFiles();
    const whole = files.get(UNET) as Uint8Array;
    for (const length of [0, 5, 100, whole.length - 1]) {
      files.set(UNET, whole.slice(0, length));
      const error = await failure(files);
      expect(error, `${length} bytes`).toBeInstanceOf(WeightsError);
      expect(error.message).toContain("unet/diffusion_pytorch_model.safetensors");
    }
  });

  it("missing and left-over tensors of several parts, in one message", async () => {
    const extra = (name: string): NamedTensorData => ({
      name,
      dtype: "F32",
      shape: [1],
      data: new Uint8Array(4),
    });
    const files = await minimalFiles({}, (part, list) => {
      if (part === "unet")
        return [...list.filter(({ name }) => name !== "conv_in.bias"), extra("conv_in.biases")];
      if (part === "vae") return list.filter(({ name }) => !name.startsWith("quant_conv"));
      if (part === "image_encoder")
        return [
          ...list,
          extra("text_model.final_layer_norm.weight"),
          extra("logit_scale"),
          extra("odd"),
        ];
      return list;
    });
    const { message } = await failure(files);
    expect(message).toContain(
      "1 tensor missing, 1 unused. missing: conv_in.bias; unused: conv_in.biases",
    );
    expect(message).toContain("2 tensors missing");
    expect(message).toContain("quant_conv.weight");
    expect(message).not.toContain("unused: odd"); // that alone is no error
    expect(message).not.toContain("logit_scale");
  });

  it("a wrong shape", async () => {
    const files = await minimalFiles({}, (part, list) =>
      list.map((tensor) =>
        part === "unet" && tensor.name === "conv_out.bias"
          ? { ...tensor, shape: [2], data: new Uint8Array(4) }
          : tensor,
      ),
    );
    expect((await failure(files)).message).toContain("conv_out.bias (got [2], expected [4])");
  });
});

describe("loading", () => {
  it("uses old attention names, ignores CLIP's text part, and stores weights exactly once", async () => {
    const rename = (name: string): string =>
      name
        .replace(
          /(mid_block\.attentions\.0)\.to_(q|k|v)\./,
          (_all, head: string, which: "q" | "k" | "v") =>
            `${head}.${{ q: "query", k: "key", v: "value" }[which]}.`,
        )
        .replace(/(mid_block\.attentions\.0)\.to_out\.0\./, "$1.proj_attn.");
    let renamed = 0;
    const files = memoryFiles(
      await minimalFiles({ mem: [8] }, (part, list) =>
        part === "vae"
          ? list.map((tensor) => {
              const name = rename(tensor.name);
              if (name !== tensor.name) renamed++;
              return { ...tensor, name };
            })
          : list,
      ),
    );
    expect(renamed).toBe(16);
    const configs = await readConfigs(files);
    const before = setup.gpu.memory.use();
    const seen: number[] = [];
    const weights = await loadWeights(setup.gpu, files, configs, "f16", {
      onProgress: (loaded, total) => seen.push(loaded / total),
    });
    const after = setup.gpu.memory.use();
    const parameters = modelWeights(configs, "f16");
    const expected = Object.values(parameters)
      .flat()
      .reduce((sum, weight) => sum + deviceByteLength(weight, "f16"), 0);
    expect(
      (after.byPurpose["weights"]?.current ?? 0) - (before.byPurpose["weights"]?.current ?? 0),
    ).toBe(expected);
    expect(after.currentBytes - before.currentBytes).toBe(expected);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(1);
    for (const part of Object.values(weights)) part.dispose();
    expect(setup.gpu.memory.use().currentBytes).toBe(before.currentBytes);
  });

  it("abort frees what is loaded", async () => {
    const files = memoryFiles(await minimalFiles());
    const before = setup.gpu.memory.use().currentBytes;
    const controller = new AbortController();
    let calls = 0;
    const loading = loadModel(files, {
      gpu: setup.gpu,
      signal: controller.signal,
      onProgress: () => {
        if (++calls === 5) controller.abort(new Error("changed my mind"));
      },
    });
    await expect(loading).rejects.toThrow("changed my mind");
    expect(calls).toBe(5);
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
  });
});
