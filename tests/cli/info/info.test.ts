/** `rcod info` on the full-size configs (no weights) and on the bundled model. */
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { runInfo } from "../../../cli/info/run.ts";
import { BUNDLED_MODEL } from "../../../cli/package-root.ts";
import type { ModuleInfo, PlanInfo } from "../../../src/bench/model-plan.ts";
import { adaptedModel } from "../../rcod/adapted-model.ts";
import { recordingTerminal, useFolder } from "../support/terminal.ts";

const FULL_SIZE = join(import.meta.dirname, "../../../bench/configs/sd21-clip-l");
const MIB = 2 ** 20;

interface InfoJson {
  readonly modules: readonly ModuleInfo[];
  readonly plans: readonly PlanInfo[];
  readonly weights:
    | readonly {
        readonly part: string;
        readonly tensors: number;
        readonly problem: string | null;
      }[]
    | null;
}

async function info(
  model: string,
  size: readonly [number, number] = [512, 512],
  precision: "f32" | "f16" | null = "f16",
) {
  const terminal = recordingTerminal();
  const exitCode = await runInfo(
    { model, size, ...(precision && { precision }), json: true, dawnToggles: [] },
    terminal,
  );
  return { exitCode, json: JSON.parse(terminal.stdout.join("\n")) as InfoJson };
}

describe("the full-size model", async () => {
  const { exitCode, json } = await info(FULL_SIZE, [512, 512], null);
  const parameters = Object.fromEntries(
    json.modules.map(({ name, parameters: count }) => [name, count]),
  );
  const [f32, f16] = json.plans as [PlanInfo, PlanInfo];

  it("has the parameters of SD 2.1 and CLIP ViT-L/14", () => {
    expect(exitCode).toBe(0);
    expect(json.weights).toBeNull();
    expect(parameters["UNet"]).toBe(865_910_724);
    expect(parameters["VAE encoder"]).toBe(34_163_664);
    expect(parameters["VAE decoder"]).toBe(49_490_199);
    expect((parameters["VAE encoder"] ?? 0) + (parameters["VAE decoder"] ?? 0)).toBe(83_653_863);
    expect(parameters["CLIP vision"]).toBe(303_179_776 - 2_048); // without post_layernorm, which is not used
    expect(parameters["token projection"]).toBe(1_049_600);
    expect(json.modules.reduce((sum, { tensors }) => sum + tensors, 0)).toBe(
      686 + 248 + (391 - 2) + 2,
    );
  });

  it("stores every weight with next to no padding, once but for up-samplers and the VAE's attention", () => {
    // Folded with the doubling a 3×3 kernel has 16 taps; the UNet keeps the 9 for sides that are odd.
    const unetPairs = 2 * 1280 ** 2 + 640 ** 2;
    const vaePairs = 2 * 512 ** 2 + 256 ** 2;
    // Q, K and V of the encoder's and the decoder's attention as one product, and apart for the largest images.
    const vaeProjections = 2 * 3 * 512 ** 2;
    const total =
      vaeProjections +
      Object.values(parameters).reduce((sum, count) => sum + count, 0) +
      16 * unetPairs +
      (16 - 9) * vaePairs;
    for (const [plan, bytes] of [
      [f16, 2],
      [f32, 4],
    ] as const) {
      expect(plan.weightBytes).toBe(
        json.modules.reduce((sum, { deviceBytes }) => sum + deviceBytes[plan.dtype], 0),
      );
      expect(plan.weightBytes / (total * bytes)).toBeGreaterThanOrEqual(1);
      expect(plan.weightBytes / (total * bytes)).toBeLessThan(1.002);
    }
  });

  it("takes at most 400 MiB of activations for 512² in f16, and fits the baseline's bindings", () => {
    expect(f16.poolBytes).toBeLessThanOrEqual(400 * MIB);
    expect(f16.poolBytes).toBeGreaterThanOrEqual(
      Math.max(...f16.stages.map(({ peakLiveBytes }) => peakLiveBytes)),
    );
    expect(f16.largestBinding.bytes).toBe(128 * MIB);
    expect(f16.fits).toBe(true);
    expect(f32.largestBinding.bytes).toBe(256 * MIB);
    expect(f32.fits).toBe(false);
  });

  it("makes the pool as large as the largest slot of each index", () => {
    const slots = Math.max(...f16.stages.map(({ slotBytes }) => slotBytes.length));
    expect(f16.poolSlotBytes).toEqual(
      Array.from({ length: slots }, (_, i) =>
        Math.max(...f16.stages.map(({ slotBytes }) => slotBytes[i] ?? 0)),
      ),
    );
    for (const { slotBytes, activationBytes, peakLiveBytes } of f16.stages) {
      expect(slotBytes.reduce((sum, bytes) => sum + bytes, 0)).toBe(activationBytes);
      expect(activationBytes).toBeGreaterThanOrEqual(peakLiveBytes);
    }
  });

  it("does the arithmetic that the specification counts", () => {
    // GMAC of convolutions, linears and attention; norms and additions come on top. Of the convolutions after
    // a doubling, 9 multiplications an output are left as 4.
    const doubled = (pixels: number, channels: number): number =>
      ((9 - 4) * pixels * channels ** 2) / 1e9;
    const expected = {
      tokens: 81.3,
      encode: 558.3,
      unet: 410.9 - doubled(16 ** 2 + 32 ** 2, 1280) - doubled(64 ** 2, 640),
      decode: 1257.3 - doubled(128 ** 2 + 256 ** 2, 512) - doubled(512 ** 2, 256),
    };
    for (const { name, flops } of f16.stages) {
      const gflop = 2 * expected[name as keyof typeof expected];
      expect(flops / 1e9 / gflop, name).toBeGreaterThan(0.999);
      expect(flops / 1e9 / gflop, name).toBeLessThan(1.005);
    }
    expect(f16.pipelines).toBeLessThan(80);
  });
});

describe("the bundled model", () => {
  it("has weights that match its configs", async () => {
    const { exitCode, json } = await info(BUNDLED_MODEL, [130, 70]);
    expect(exitCode).toBe(0);
    expect(json.weights?.slice(0, 3).map(({ part }) => part)).toEqual(["clip", "vae", "unet"]);
    expect(json.weights?.filter(({ problem }) => problem !== null)).toEqual([]);
    expect(json.plans[0]).toMatchObject({ width: 132, height: 72 }); // multiples of the VAE's factor 4
  });

  it("prints tables", async () => {
    const terminal = recordingTerminal();
    const options = {
      model: BUNDLED_MODEL,
      size: [64, 64],
      precision: "f16",
      dawnToggles: [],
    } as const;
    expect(await runInfo(options, terminal)).toBe(0);
    const text = terminal.stdout.join("\n");
    expect(text).toMatch(/^ {2}UNet +\d+ +[\d,]+ +[\d.]+ MiB/m);
    expect(text).toMatch(/^Plan in f16 for 64 × 64 output pixels, untiled$/m);
    expect(text).toMatch(/^ {2}together +\d/m);
    expect(text).toMatch(/^ {2}largest binding .* WebGPU baseline allows 128 MiB$/m);
    expect(text).toMatch(/^ {2}unet +\d+ tensors +.* names and shapes match$/m);
  });
});

describe("a broken folder", () => {
  const folder = useFolder();

  it("is told by part, with exit code 2", async () => {
    await cp(BUNDLED_MODEL, folder.path, { recursive: true });
    await rm(folder.file("image_encoder", "model.safetensors"));
    await writeFile(folder.file("vae", "diffusion_pytorch_model.safetensors"), "not a model");
    const { exitCode, json } = await info(folder.path, [64, 64]);
    expect(exitCode).toBe(2);
    const problems = Object.fromEntries(
      (json.weights ?? []).map(({ part, problem }) => [part, problem]),
    );
    expect(problems["clip"]).toMatch(/no weights in "image_encoder"/);
    expect(problems["vae"]).toMatch(/^weights: /);
    expect(problems["unet"]).toBeNull();
  });
});

describe("a folder with a checkpoint and mem/", () => {
  const folder = useFolder();

  async function write(change?: Parameters<typeof adaptedModel>[0]) {
    const { files } = await adaptedModel(change, { mem: [8, 12] });
    for (const [path, bytes] of files) {
      await mkdir(dirname(folder.file(path)), { recursive: true });
      await writeFile(folder.file(path), bytes);
    }
  }

  it("lists them as parts, modules and a stage", async () => {
    await write();
    const { exitCode, json } = await info(folder.path, [64, 64]);
    expect(exitCode).toBe(0);
    expect(json.weights?.map(({ part, problem }) => [part, problem])).toEqual([
      ["clip", null],
      ["vae", null],
      ["unet", null],
      ["mem", null],
      ["checkpoint", null],
    ]);
    const mem = 9 * 4 * 8 + 8 + 9 * 8 * 12 + 12 + 12 + 1;
    expect(json.modules.at(-1)).toMatchObject({ name: "metric estimation", parameters: mem });
    expect(json.plans[0]?.stages.at(-1)?.name).toBe("mem");
  });

  it("tells what is wrong with the checkpoint, with exit code 2", async () => {
    await write(({ tensors }) => tensors.delete("state_dict_unet.conv_in.base_layer.bias"));
    const { exitCode, json } = await info(folder.path, [64, 64]);
    expect(exitCode).toBe(2);
    expect(json.weights?.at(-1)?.problem).toContain(
      "1 tensor missing. missing: state_dict_unet.conv_in.base_layer.bias (",
    );
    await rm(folder.file("rcod_lora.safetensors"));
    await expect(info(folder.path)).rejects.toThrow(
      `weights: the checkpoint "rcod_lora.safetensors" of rcod_config.json must exist (${folder.path})`,
    );
  });
});
