/** Tuning a minimal model, and what a loaded model says it runs in. */
import { expect, it } from "vitest";
import { readConfigs } from "../../../src/rcod/loading/read-configs.ts";
import { loadModel } from "../../../src/rcod/model.ts";
import { tuneModel } from "../../../src/rcod/tuning/autotune.ts";
import { findTable, withTable } from "../../../src/rcod/tuning/tuning-table.ts";
import { memoryFiles } from "../../../src/weights/index.ts";
import { useGpu } from "../../support/gpu.ts";
import { minimalFiles } from "../support.ts";

const setup = useGpu();

it("measures the first class of a model within a budget, and makes a table that holds here", async () => {
  const configs = await readConfigs(memoryFiles(await minimalFiles()));
  const before = setup.gpu.memory.use().currentBytes;
  const tuned = await tuneModel(setup.gpu, configs, "f32", { size: [16, 16], budgetMs: 20 });
  expect(tuned.results.length).toBe(1);
  expect(tuned.classes).toBeGreaterThan(10);
  const [result] = tuned.results;
  expect(result?.candidates.map(({ variant }) => variant)).toContain(result?.defaultVariant);
  for (const { rejected } of result?.candidates ?? [])
    expect(rejected ?? "too slow").toBe("too slow");
  const differs = result?.chosen !== result?.defaultVariant;
  expect(tuned.table.variants).toEqual(differs ? { [result?.key ?? ""]: result?.chosen } : {});
  expect(findTable(withTable(null, tuned.table), setup.caps, "f32")).toEqual(tuned.table);
  expect(setup.gpu.memory.use().currentBytes).toBe(before);
});

it("a loaded model says which variants it was given", async () => {
  const variants = { conv2d: "naive" };
  const model = await loadModel(memoryFiles(await minimalFiles()), {
    gpu: setup.gpu,
    variants,
    autotune: false,
  });
  expect(model.caps.variants).toEqual(variants);
  expect(setup.caps.variants).toBeUndefined();
  model.dispose();
  const wrong = loadModel(memoryFiles(await minimalFiles()), {
    gpu: setup.gpu,
    variants: { conv2d: "fast" },
  });
  await expect(wrong).rejects.toThrow('variants: conv2d has no variant "fast"');
});
