/** A model in pieces reads as one folder, wherever the pieces lie. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { readConfigs } from "../../src/rcod/model-configs.ts";
import type { FileSource, FolderSource } from "../../src/rcod/model-source.ts";
import { modelFiles } from "../../src/rcod/model-source.ts";
import { openCheckpoint } from "../../src/rcod/rcod-checkpoint.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { WeightsError, memoryFiles, readText } from "../../src/weights/index.ts";
import { diskFile, folderFiles } from "../../src/weights/node-source.ts";
import {
  SAMPLE_CHECKPOINTS,
  SAMPLE_CLIP,
  SAMPLE_RCOD_CONFIG,
  SAMPLE_SD,
  sampleSdFiles,
} from "../support/samples.ts";
import { archiveOf, int, list, named, text } from "../weights/torch-samples.ts";

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
    expect(asked.length).toBe(3);
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
    return openCheckpoint(files, "checkpoint.pkl");
  };

  it("no checkpoint, or none of torch.save", async () => {
    expect(await failure(open(BASE, diskFile("/nowhere/rcod_o.pkl")))).toBe(
      "weights: the checkpoint must exist, got no file (/nowhere/rcod_o.pkl). Check its name or address",
    );
    expect(await failure(open(BASE, new File(["<html>"], "rcod_o.pkl")))).toMatch(
      /must begin with the bytes .*"rcod_o\.pkl"\)\. Is it another kind of file/,
    );
  });

  it("RCOD_S's checkpoint", async () => {
    const bytes = archiveOf(
      named({ rank_unet: int(32), unet_lora_target_modules: list(text("to_k")) }),
      {},
    );
    const blob = new File([bytes], "rcod_s.pkl");
    expect(await failure(open(BASE, blob))).toBe(
      "weights: the checkpoint must be RCOD_O's, got RCOD_S's: it has \"unet_lora_target_modules\" " +
        "(rcod_s.pkl). Use rcod_o.pkl, or a model folder whose rcod_config.json names the instance RCOD_S",
    );
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
