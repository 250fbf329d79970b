/** RCOD_S's files: sizes read from them, updates with the right matrices, and everything wrong in one report. */
import { describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { planGraph } from "../../../src/graph/plan.ts";
import { checkPart, openPart } from "../../../src/rcod/loading/open-model.ts";
import { openCheckpoint } from "../../../src/rcod/loading/rcod-checkpoint.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { estimatorGraph } from "../../../src/rcod/networks/degradation.ts";
import { modelParameters, modelParts } from "../../../src/rcod/networks/stage-graphs.ts";
import { parseRcodConfig, RCOD_S, ConfigError } from "../../../src/rcod/settings/config.ts";
import { predictsMetric } from "../../../src/rcod/settings/model-configs.ts";
import type { NamedTensorData } from "../../../src/weights/index.ts";
import { WeightsError, memoryFiles, writeSafetensors } from "../../../src/weights/index.ts";
import { bytesSource } from "../../../src/weights/sources/source.ts";
import { openTorch } from "../../../src/weights/torch/torch-file.ts";
import { rcodSFiles } from "../rcod-s-sample.ts";

async function open(files: ReadonlyMap<string, Uint8Array>) {
  const set = memoryFiles(files);
  const configs = await readConfigs(set);
  const { rcod } = configs;
  const checkpoint = (await openCheckpoint(set, rcod)) ?? expect.fail("none");
  return { set, configs, checkpoint, parameters: modelParameters(configs) };
}

describe("the configuration", () => {
  it("has RCOD_S's defaults", () => {
    expect(parseRcodConfig({ instance: "RCOD_S" })).toEqual(RCOD_S);
    expect(RCOD_S).toMatchObject({ alpha: 0.6754, colorFix: "wavelet", checkpoint: "rcod_s.pkl" });
    expect(() => parseRcodConfig({ degradation_estimator: "de_net.pth" })).toThrow(ConfigError);
    expect(() => parseRcodConfig({ instance: "RCOD_S", mem_checkpoint: "../x.pkl" })).toThrow(
      '"mem_checkpoint" must be the name of a .safetensors, .pkl, .pth or .bin file',
    );
  });

  it("takes sizes from the files, and the released ones without them", async () => {
    const files = await rcodSFiles();
    const { degradation } = await readConfigs(memoryFiles(files));
    expect(degradation).toEqual({
      estimator: { width: 8, outWidth: 16, hidden: 512 },
      frequencies: 64,
      blockEmbedding: 64,
      ranks: { vae: 4, unet: 8 },
      hasMem: true,
    });
    for (const name of ["rcod_s.pkl", "de_net.pth", "rcod_s_mem.pkl"]) files.delete(name);
    const bare = await readConfigs(memoryFiles(files));
    expect(bare.degradation).toMatchObject({
      estimator: { width: 64, outWidth: 128 },
      ranks: { vae: 16, unet: 32 },
    });
    expect(predictsMetric(bare)).toBe(false);
  });

  it("the released estimator takes 20 GMAC at 128²", () => {
    const config = {
      estimator: { width: 64, outWidth: 128, hidden: 512 },
      frequencies: 64,
      blockEmbedding: 64,
      ranks: { vae: 16, unet: 32 },
      hasMem: true,
    };
    const { steps } = planGraph(estimatorGraph(config, 128, 128), BASELINE_CAPS);
    const convolutions = steps.filter(({ kernel }) => kernel === "conv2d");
    const flops = convolutions.reduce((sum, { cost }) => sum + cost.flops, 0);
    expect(flops / 2e9).toBeCloseTo(20, 0);
  });
});

describe("the checkpoint", () => {
  it("gives every adapted module its factors and matrix", async () => {
    const { configs, checkpoint, parameters } = await open(await rcodSFiles());
    const updates = checkpoint.loraUpdates(parameters, configs);
    expect([updates.get("unet")?.size, updates.get("vae")?.size]).toEqual([164, 30]);
    const of = (part: "unet" | "vae", weight: string) => updates.get(part)?.get(weight);
    expect(of("unet", "conv_in.weight")).toBeUndefined();
    expect(of("vae", "quant_conv.weight")).toBeUndefined();
    expect(of("vae", "decoder.conv_in.weight")).toBeUndefined();
    expect(of("unet", "conv_out.weight")).toMatchObject({ block: 9, rank: 8, scaling: 1 });
    const attention = "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight";
    expect(of("unet", attention)).toMatchObject({ block: 6, rank: 8 });
    expect(of("vae", "encoder.conv_in.weight")).toMatchObject({ block: 5, rank: 4, scaling: 2 });
    expect(of("vae", "encoder.down_blocks.1.resnets.0.conv1.weight")).toMatchObject({ block: 1 });
  });

  it("has tables for the embeddings, and all parts are whole", async () => {
    const { set, configs, checkpoint, parameters } = await open(await rcodSFiles());
    const { w, blocks } = await checkpoint.readTables();
    expect([w.length, blocks.vae.length, blocks.unet.length]).toEqual([64, 6 * 64, 10 * 64]);
    expect(Math.max(...w.map(Math.abs))).toBeLessThanOrEqual(Math.sqrt(3));
    expect(modelParts(configs)).toEqual(["clip", "vae", "unet", "degradation"]);
    for (const part of modelParts(configs)) {
      const store = await openPart(set, part, checkpoint);
      checkPart(store, part, parameters[part]);
      await store.close();
    }
    await checkpoint.store.close();
  });

  /** The checkpoint as safetensors, with changes. */
  async function changed(
    damage: (tensors: Map<string, NamedTensorData>, metadata: Map<string, string>) => unknown,
  ): Promise<ReadonlyMap<string, Uint8Array>> {
    const files = await rcodSFiles();
    const file = await openTorch(bytesSource("rcod_s", files.get("rcod_s.pkl") as Uint8Array));
    const tensors = new Map<string, NamedTensorData>();
    for (const [name, tensor] of file.tensors) {
      const { dtype, shape, byteLength } = tensor;
      const data = await file.readRange(tensor, 0, byteLength);
      tensors.set(name, { name, dtype, shape, data });
    }
    const metadata = new Map(
      [...file.values].map(([key, value]): [string, string] => [
        key,
        typeof value === "string" ? value : JSON.stringify(value),
      ]),
    );
    damage(tensors, metadata);
    files.set("rcod_s.safetensors", writeSafetensors([...tensors.values()], metadata));
    const json = { instance: "RCOD_S", checkpoint: "rcod_s.safetensors" };
    files.set("rcod_config.json", new TextEncoder().encode(JSON.stringify(json)));
    return files;
  }

  const STEM = "state_dict_unet.mid_block.resnets.0.conv1";
  const A = `${STEM}.lora_A.default.weight`;
  const zeros = (name: string, ...shape: number[]): NamedTensorData => ({
    name,
    dtype: "F32",
    shape,
    data: new Uint8Array(4 * shape.reduce((product, size) => product * size, 1)),
  });

  it("is read from safetensors too", async () => {
    const { configs, checkpoint, parameters } = await open(await changed(() => undefined));
    expect(checkpoint.loraUpdates(parameters, configs).get("unet")?.size).toBe(164);
  });

  const defects: readonly [
    string,
    (tensors: Map<string, NamedTensorData>, metadata: Map<string, string>) => unknown,
    string,
  ][] = [
    ["a module without LoRA", (tensors) => tensors.delete(A), `missing: ${A}`],
    ["another rank", (tensors) => tensors.set(A, zeros(A, 7, 32, 3, 3)), `${A} (got [7, 32, 3, 3]`],
    [
      "LoRA of a module that is not there",
      (tensors) =>
        tensors.set("x", zeros("state_dict_unet.conv_in.lora_A.default.weight", 8, 4, 3, 3)),
      "unused: state_dict_unet.conv_in.lora_A.default.weight",
    ],
    [
      "no conv_in",
      (tensors) => tensors.delete("state_dict_unet.conv_in.bias"),
      "missing: state_dict_unet.conv_in.bias",
    ],
    [
      "a table of other blocks",
      (tensors) =>
        tensors.set("b", zeros("state_embeddings.state_dict_vae_block.weight", 5, 64)) &&
        tensors.delete("state_embeddings.state_dict_vae_block.weight"),
      "state_embeddings.state_dict_vae_block.weight (got [5, 64], expected [6, 64])",
    ],
    [
      "no target list",
      (_tensors, metadata) => metadata.delete("unet_lora_target_modules"),
      '"unet_lora_target_modules" must be a JSON list of names, got nothing',
    ],
    [
      "a rank that is none",
      (_tensors, metadata) => metadata.set("rank_vae", "0"),
      '"rank_vae" must be an integer from 1 to 1024, got 0',
    ],
  ];
  it.each(defects)("%s is refused", async (_name, damage, message) => {
    const { configs, checkpoint, parameters } = await open(await changed(damage));
    const refused = (): unknown => checkpoint.loraUpdates(parameters, configs);
    expect(refused).toThrow(WeightsError);
    expect(refused).toThrow(message);
    expect(refused).toThrow("rcod_s.safetensors");
  });

  it("modulation layers are checked with the estimator", async () => {
    const bias = "state_dict_unet_fuse_mlp.bias";
    const { set, configs, checkpoint, parameters } = await open(
      await changed((tensors) => tensors.delete(bias)),
    );
    expect(checkpoint.loraUpdates(parameters, configs).size).toBe(2);
    const store = await openPart(set, "degradation", checkpoint);
    expect(() => checkPart(store, "degradation", parameters.degradation)).toThrow(
      "missing: unet_fuse_mlp.bias",
    );
  });

  it("an absent estimator is refused", async () => {
    const files = await rcodSFiles();
    files.delete("de_net.pth");
    const { set, checkpoint } = await open(files);
    await expect(openPart(set, "degradation", checkpoint)).rejects.toThrow(
      'weights: the degradation estimator "de_net.pth" of an RCOD_S model must exist',
    );
  });
});
