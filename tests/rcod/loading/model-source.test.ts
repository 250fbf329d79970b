/** A model in pieces reads as one folder, wherever the pieces lie. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import type { FileSource, FolderSource } from "../../../src/rcod/loading/model-source.ts";
import { modelFiles } from "../../../src/rcod/loading/model-source.ts";
import { openCheckpoint } from "../../../src/rcod/loading/rcod-checkpoint.ts";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { ConfigError, RCOD_O, RCOD_S } from "../../../src/rcod/settings/config.ts";
import type { FileSet } from "../../../src/weights/index.ts";
import { WeightsError, memoryFiles, readText } from "../../../src/weights/index.ts";
import { diskFile, folderFiles } from "../../../src/weights/sources/node-source.ts";
import {
  SAMPLE_CHECKPOINTS,
  SAMPLE_CLIP,
  SAMPLE_RCOD_CONFIG,
  SAMPLE_SD,
  sampleSdFiles,
} from "../../support/samples.ts";
import { archiveOf, list, named, text } from "../../weights/torch/torch-samples.ts";
import { rcodSFiles } from "../rcod-s-sample.ts";

const utf8 = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);
const folder = (name: string, files: Record<string, string>): FileSet =>
  memoryFiles(new Map(Object.entries(files).map(([path, body]) => [path, utf8(body)])), name);

const BASE = folder("sd", { "unet/config.json": "unet", "image_encoder/config.json": "its own" });
const CLIP = folder("clip", { "config.json": "clip" });

async function absent(files: FileSet, path: string): Promise<boolean> {
  return (await files.open(path)) === null;
}

describe("a model in pieces", () => {
  it("maps the paths of a model folder onto them", async () => {
    const checkpoint = new File(["weights"], "my rcod (1).pkl");
    const files = modelFiles({ model: BASE, clip: CLIP, checkpoint });
    expect(files.name).toBe("sd with image_encoder/ from clip and the checkpoint my rcod (1).pkl");
    expect(await readText(files, "unet/config.json")).toBe("unet");
    expect(await readText(files, "image_encoder/config.json")).toBe("clip");
    expect(JSON.parse(await readText(files, "rcod_config.json"))).toEqual({
      checkpoint: "checkpoint.pkl",
    });
    expect(await readText(files, "checkpoint.pkl")).toBe("weights");
    expect(await absent(files, "config.json")).toBe(true);
    expect(await absent(files, "image_encoder/model.safetensors")).toBe(true);
  });

  it("leaves what is not given to the model's folder", async () => {
    const files = modelFiles({ model: BASE });
    expect(files.name).toBe("sd");
    expect(await readText(files, "image_encoder/config.json")).toBe("its own");
    expect(await absent(files, "rcod_config.json")).toBe(true);
    expect(modelFiles(BASE)).toBe(BASE);
  });

  it("keeps the model's own rcod_config.json but for the checkpoint", async () => {
    const config = JSON.stringify({ color_fix: "wavelet", checkpoint: "other.safetensors" });
    const model = folder("own", { "rcod_config.json": config });
    const read = async (name: string, of = model): Promise<unknown> => {
      const files = modelFiles({ model: of, checkpoint: new File([], name) });
      return JSON.parse(await readText(files, "rcod_config.json"));
    };
    expect(await read("a.safetensors")).toEqual({
      color_fix: "wavelet",
      checkpoint: "checkpoint.safetensors",
    });
    expect(await read("a.ckpt", folder("odd", { "rcod_config.json": "[1]" }))).toEqual([1]);
  });

  it("has RCOD_S's files beside, and recognises it by the checkpoint", async () => {
    const whole = await rcodSFiles();
    const file = (name: string): File => new File([whole.get(name) as BlobPart], `my ${name}`);
    whole.delete("rcod_config.json");
    const pieces = {
      model: memoryFiles(whole, "turbo"),
      checkpoint: file("rcod_s.pkl"),
      deNet: file("de_net.pth"),
    };
    for (const name of ["rcod_s.pkl", "de_net.pth"]) whole.delete(name);
    const files = modelFiles({ ...pieces, mem: file("rcod_s_mem.pkl") });
    expect(files.name).toBe(
      "turbo with the checkpoint my rcod_s.pkl and the degradation estimator my de_net.pth and " +
        "the metric estimation module my rcod_s_mem.pkl",
    );
    const { rcod, degradation } = await readConfigs(files);
    expect(rcod).toMatchObject({
      instance: "RCOD_S",
      alpha: 0.6754,
      colorFix: "wavelet",
      checkpoint: "checkpoint.pkl",
      degradationEstimator: "de_net.pkl",
      memCheckpoint: "mem.pkl",
    });
    expect(degradation).toMatchObject({
      ranks: { unet: 8, vae: 4 },
      estimator: { width: 8 },
      hasMem: true,
    });
    // What is not given is looked for in the model, and may be absent there.
    whole.delete("rcod_s_mem.pkl");
    expect((await readConfigs(modelFiles(pieces))).degradation?.hasMem).toBe(false);
  });

  it("has the configurations of real files", async () => {
    const files = modelFiles({
      model: sampleSdFiles(),
      clip: folderFiles(SAMPLE_CLIP),
      checkpoint: diskFile(SAMPLE_CHECKPOINTS[0] as string),
    });
    const { rcod, clip, vae } = await readConfigs(files);
    expect(rcod).toMatchObject({
      checkpoint: "checkpoint.pkl",
      upscale: SAMPLE_RCOD_CONFIG.upscale,
      loraAlpha: 8,
      alpha: 0.7537,
    });
    expect([clip.hiddenSize, clip.imageSize, vae.scalingFactor]).toEqual([48, 56, 0.18215]);
  });
});

describe("wherever the pieces lie", () => {
  const file = new File(["F"], "f.pkl");
  const asHandle = {
    kind: "file",
    name: "f.pkl",
    getFile: async () => file,
  } as unknown as FileSystemFileHandle;
  const files: readonly [string, FileSource][] = [
    ["a File", file],
    ["a Blob", new Blob(["F"])],
    ["a file handle", asHandle],
    ["any file", { name: "f.pkl", open: () => folder("x", { f: "F" }).open("f") }],
  ];
  it.each(files)("the checkpoint: %s", async (_kind, checkpoint) => {
    const set = modelFiles({ model: BASE, checkpoint });
    expect(await readText(set, "checkpoint.pkl")).toBe("F");
    expect(await readText(set, "checkpoint.pkl")).toBe("F"); // it may be opened again
  });

  const listed = new File(["L"], "config.json");
  Object.defineProperty(listed, "webkitRelativePath", { value: "clip-l/config.json" });
  const directory = {
    name: "handle",
    getFileHandle: async () => ({ getFile: async () => new File(["L"], "config.json") }),
  } as unknown as FileSystemDirectoryHandle;
  const folders: readonly [string, FolderSource][] = [
    ["the files of a folder input", [listed]],
    ["a directory handle", directory],
    ["any folder", folder("x", { "config.json": "L" })],
  ];
  it.each(folders)("CLIP: %s", async (_kind, clip) => {
    const set = modelFiles({ model: BASE, clip });
    expect(await readText(set, "image_encoder/config.json")).toBe("L");
  });

  it("the web, for all three, queries included", async () => {
    const asked: string[] = [];
    const server = createServer(({ url = "" }, response) => {
      asked.push(url);
      response.end(url.includes("absent") ? "" : url);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const set = modelFiles({
        model: `${base}/sd`,
        clip: new URL(`${base}/clip`),
        checkpoint: `${base}/rcod.safetensors?download=true`,
      });
      expect(await readText(set, "vae/config.json")).toBe("/sd/vae/config.json");
      expect(await readText(set, "image_encoder/config.json")).toBe("/clip/config.json");
      expect(await readText(set, "checkpoint.safetensors")).toBe("/rcod.safetensors?download=true");
      expect(set.name).toContain(`the checkpoint ${base}/rcod.safetensors`);
    } finally {
      server.closeAllConnections();
      server.close();
    }
    expect(asked.length).toBe(5); // and two manifests
  });
});

describe("what is wrong is said with its place", () => {
  const failure = async (work: Promise<unknown>): Promise<string> => {
    const error: unknown = await work.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WeightsError);
    return (error as Error).message;
  };
  const open = (model: FolderSource, checkpoint: FileSource): Promise<unknown> => {
    const files = modelFiles({ model, checkpoint });
    return openCheckpoint(files, { ...RCOD_O, checkpoint: "checkpoint.pkl" });
  };

  it("no checkpoint, or none of torch.save", async () => {
    expect(await failure(open(BASE, diskFile("/nowhere/rcod_o.pkl")))).toBe(
      "weights: the checkpoint must exist, got no file (/nowhere/rcod_o.pkl). Check its name or address",
    );
    expect(await failure(open(BASE, new File(["<html>"], "rcod_o.pkl")))).toMatch(
      /got a web page \(HTML\) \("rcod_o\.pkl"\)\. Download the file itself/,
    );
  });

  const checkpointOf = (key: string): File =>
    new File([archiveOf(named({ [key]: list(text("to_k")) }), {})], "rcod.pkl");

  it("another instance's checkpoint than rcod_config.json says", async () => {
    expect(await failure(open(BASE, checkpointOf("unet_lora_target_modules")))).toBe(
      "weights: the checkpoint must be RCOD_O's, got RCOD_S's: it has \"unet_lora_target_modules\" (rcod.pkl). " +
        "Use rcod_o.pkl, or a rcod_config.json that names RCOD_S, or no instance",
    );
    const files = modelFiles({
      model: BASE,
      checkpoint: checkpointOf("unet_lora_encoder_modules"),
    });
    const config = { ...RCOD_S, checkpoint: "checkpoint.pkl" };
    expect(await failure(openCheckpoint(files, config))).toContain(
      "must be RCOD_S's, got RCOD_O's: it has \"unet_lora_encoder_modules\"",
    );
  });

  it.each([
    ["RCOD_O's", checkpointOf("unet_lora_encoder_modules")],
    ["none", undefined],
  ])("an estimator for %s checkpoint", async (got, checkpoint) => {
    const files = modelFiles({
      model: sampleSdFiles(),
      clip: folderFiles(SAMPLE_CLIP),
      deNet: new File([], "de_net.pth"),
      ...(checkpoint && { checkpoint }),
    });
    const error: unknown = await readConfigs(files).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toContain(
      `config: degradation_estimator must come with RCOD_S's checkpoint, got ${got} (`,
    );
  });

  it.each<[string, object, object | null, string]>([
    [
      "2.1 for 768 pixels",
      { sample_size: 96 },
      null,
      'a UNet for 768 pixels ("sample_size" 96), which predicts velocity',
    ],
    [
      "its scheduler",
      { sample_size: 64 },
      { prediction_type: "v_prediction" },
      '"prediction_type" "v_prediction" in scheduler/scheduler_config.json',
    ],
  ])("a UNet that predicts velocity: %s", async (_name, size, scheduler, got) => {
    const unet = JSON.parse(await readText(folderFiles(SAMPLE_SD), "unet/config.json")) as object;
    const model = (prediction: object | null): FileSet => {
      const own = folder("own", {
        "unet/config.json": JSON.stringify({ ...unet, ...size, cross_attention_dim: 1024 }),
        ...(prediction && { "scheduler/scheduler_config.json": JSON.stringify(prediction) }),
      });
      const base = folderFiles(SAMPLE_SD);
      const both: FileSet = {
        name: "v",
        open: async (path) => (await own.open(path)) ?? base.open(path),
      };
      return modelFiles({ model: both, clip: folderFiles(SAMPLE_CLIP) });
    };
    expect(await failure(readConfigs(model(scheduler)))).toBe(
      `config: the UNet must predict noise ("epsilon"), got ${got} (v with image_encoder/ from ${SAMPLE_CLIP}). ` +
        "Use Stable Diffusion 2.1-base",
    );
    await readConfigs(model({ prediction_type: "epsilon" }));
  });

  it("a CLIP folder that is none", async () => {
    const set = modelFiles({ model: folderFiles(SAMPLE_SD), clip: folder("empty", {}) });
    expect(await failure(readConfigs(set))).toBe(
      `weights: no model in ${SAMPLE_SD} with image_encoder/ from empty: image_encoder/config.json is missing. ` +
        "A model folder holds unet/, vae/ and image_encoder/, each with weights and config.json, and the weights " +
        "of image_proj/ or a checkpoint. Pieces of different origin are given one by one: model (unet/ and vae/), " +
        "clip, checkpoint",
    );
  });
});
