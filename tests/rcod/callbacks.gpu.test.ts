/** Callbacks of the caller's that throw, and that call the model again: nothing leaks and the queue goes on. */
import { describe, expect, it } from "vitest";
import type { RcodModel } from "../../src/rcod/model.ts";
import { loadModel } from "../../src/rcod/model.ts";
import type { Progress, UpscaleOptions, UpscaleResult } from "../../src/rcod/settings/options.ts";
import { memoryFiles } from "../../src/weights/index.ts";
import { useGpu } from "../support/gpu.ts";
import { minimalFiles, testImage } from "./support.ts";

const setup = useGpu();
const STAGES = ["preprocess", "tokens", "encode", "unet", "decode", "color"] as const;

/** Throws in `onProgress` when `stage` begins. */
const throwing = (stage: string, error: Error) => (progress: Progress) => {
  if (progress.stage === stage && progress.stageFraction === 0) throw error;
};

async function withModel(use: (model: RcodModel) => Promise<void>, lowMemory = false) {
  const before = setup.gpu.memory.use().currentBytes;
  const model = await loadModel(memoryFiles(await minimalFiles()), {
    gpu: setup.gpu,
    precision: "f32",
    lowMemory,
  });
  try {
    await use(model);
  } finally {
    model.dispose();
  }
  await expect.poll(() => setup.gpu.memory.use().currentBytes).toBe(before);
}

const CALLS: readonly [string, UpscaleOptions][] = [
  ["of 8 bits", {}],
  ["of 16 bits", { depth: 16 }],
  ["with a texture beside it", { enlarged: true }],
  ["in tiles", { tile: 64 }],
];

describe("onProgress that throws", () => {
  it.each(CALLS)("ends a call %s with that very error, at any stage", async (_, options) => {
    await withModel(async (model) => {
      const image = testImage(20, 6, 4);
      const enlarge = async (more: UpscaleOptions = {}): Promise<UpscaleResult> => {
        const result = await model.upscale({ ...image }, { ...options, ...more });
        result.enlarged?.destroy();
        return result;
      };
      const expected = (await enlarge()).image.data;
      const bytes = model.memoryUse().currentBytes;
      for (const stage of STAGES) {
        const error = new Error(`thrown in ${stage}`);
        const call = enlarge({ onProgress: throwing(stage, error) });
        const queued = enlarge();
        await expect(call).rejects.toBe(error);
        expect((await queued).image.data).toEqual(expected);
        expect(model.memoryUse().currentBytes, stage).toBe(bytes);
      }
      const alone = enlarge({ onProgress: throwing("color", new Error("thrown in color")) });
      await expect(alone).rejects.toThrow("thrown in color");
      expect(model.memoryUse().currentBytes, "nothing is read back any more").toBe(bytes);
      const last = new Error("thrown at the end");
      const atEnd = ({ fraction }: Progress): void => {
        if (fraction === 1) throw last;
      };
      await expect(enlarge({ onProgress: atEnd })).rejects.toBe(last);
      expect((await enlarge()).image.data).toEqual(expected);
      expect(model.memoryUse().currentBytes).toBe(bytes);
    });
  });

  it("ends loading, and a stage that loads its weights", async () => {
    const before = setup.gpu.memory.use().currentBytes;
    const error = new Error("thrown while loading");
    const onProgress = ({ fraction }: Progress): void => {
      if (fraction > 0.5) throw error;
    };
    const load = loadModel(memoryFiles(await minimalFiles()), { gpu: setup.gpu, onProgress });
    await expect(load).rejects.toBe(error);
    expect(setup.gpu.memory.use().currentBytes).toBe(before);
    await withModel(async (model) => {
      const inStage = ({ stage }: Progress): void => {
        if (stage === "load") throw error;
      };
      const call = model.upscale(testImage(3, 2), { onProgress: inStage });
      await expect(call).rejects.toBe(error);
      await model.upscale(testImage(3, 2));
    }, true);
  });
});

describe("onProgress that calls the model", () => {
  it.each(STAGES)("at stage %s: a call waits its turn", async (stage) => {
    await withModel(async (model) => {
      const image = testImage(3, 2);
      const expected = (await model.upscale({ ...image })).image.data;
      let inner: Promise<UpscaleResult> | undefined;
      const onProgress = (progress: Progress): void => {
        if (progress.stage === stage) inner ??= model.upscale({ ...image });
      };
      expect((await model.upscale({ ...image }, { onProgress })).image.data).toEqual(expected);
      expect((await inner)?.image.data).toEqual(expected);
    });
  });

  it.each(STAGES)("at stage %s: dispose ends it, and what waits", async (stage) => {
    await withModel(async (model) => {
      const onProgress = (progress: Progress): void => {
        if (progress.stage === stage) model.dispose();
      };
      const ended = model.upscale(testImage(3, 2), { onProgress });
      const queued = model.upscale(testImage(3, 2));
      if (stage !== "color") await expect(ended).rejects.toThrow("this model was disposed");
      await ended.catch(() => undefined);
      await expect(queued).rejects.toThrow("this model was disposed");
    });
  });
});
