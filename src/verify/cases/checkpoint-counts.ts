/**
 * How many tensors and modules checkpoints have: a case without arithmetic. Its parameters hold the counts, under the
 * names of the cases that name the files.
 */
import type { WeightFile } from "../../weights/weight-file.ts";
import type { OutputResult } from "../runner/compare.ts";
import { EXACT, compareOutput } from "../runner/compare.ts";
import type { CaseRunner } from "../runner/run-case.ts";
import { withWeightFile } from "./checkpoint-model.ts";

export const checkpointCounts: CaseRunner = async (run) => {
  const { golden } = run;
  const compared: OutputResult[] = [];
  const compare = (name: string, got: number, expected: unknown): void =>
    void compared.push(compareOutput(name, [got], [Number(expected)], EXACT));
  for (const { name, parameters } of golden.file.cases) {
    const counts = golden.parameters.get(name);
    if (typeof counts !== "object" || counts === null || !parameters.has("checkpoint")) continue;
    await withWeightFile(run, parameters.text("checkpoint"), async (file) => {
      for (const [key, expected] of Object.entries(counts))
        compare(`${name} ${key}`, countOf(key, file), expected);
    });
    if (!parameters.has("de_net")) continue;
    await withWeightFile(run, parameters.text("de_net"), async ({ store }) =>
      compare("de_net", [...store.names()].length, golden.parameters.get("de_net")),
    );
  }
  return compared;
};

/** `<part>_targets`: modules with LoRA; `vae_modules_without_duplicates`; a list's length; or tensors of a dictionary. */
function countOf(key: string, { store, values }: WeightFile): number {
  const names = [...store.names()];
  const [, part] = /^(unet|vae)_targets$/.exec(key) ?? [];
  if (part !== undefined) {
    const prefix = `state_dict_${part}.`;
    return names.filter((name) => name.startsWith(prefix) && name.includes(".lora_A.")).length;
  }
  const isSet = key === "vae_modules_without_duplicates";
  const modules = values.get(isSet ? "vae_lora_encoder_modules" : key);
  if (Array.isArray(modules)) return isSet ? new Set(modules).size : modules.length;
  return names.filter((name) => name.startsWith(`${key}.`)).length;
}
