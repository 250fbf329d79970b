/**
 * `node bench/run.mjs quantization/compilers [--card navi31,…]`: what compilers of real GPUs make of the full model's kernels with
 * weights of integers, beside the same kernels with halves in the table of `npm run bench:compilers`, as one Markdown table. Exit
 * code 1 where an integer kernel spills more. Instructions are of the loop around all products of a K step.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { QUANTIZED_PARTS, quantizationOf } from "../../src/rcod/loading/quantization-recipe.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { modelParameters } from "../../src/rcod/networks/stage-graphs.ts";
import { quantizationJson } from "../../src/rcod/settings/quantization.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { GOLDEN, readRecord } from "../compilers/docs.ts";
import { fetchDrivers } from "../compilers/drivers.ts";
import { instructionsOf } from "../compilers/measure.ts";
import { parseOptions } from "../compilers/options.ts";
import type { CompilersRecord, KernelRecord } from "../compilers/record.ts";
import { runAll } from "../compilers/run.ts";

const MODEL = fileURLToPath(new URL("../configs/sd21-clip-l", import.meta.url));
const RECIPES = ["int8", "int4"] as const;
const FOLDERS = { unet: "unet", vae: "vae", clip: "image_encoder" } as const;
/** Of a model's arithmetic; kernels with less are only looked at for spills. */
const LEAST_SHARE = 0.02;

const note = (text: string): void => void process.stderr.write(`${text}\n`);

/** A copy of the model's configurations that says its matrices are integers. */
async function writeConfigs(out: string, recipe: (typeof RECIPES)[number]): Promise<void> {
  await cp(MODEL, out, { recursive: true });
  const parameters = modelParameters(await readConfigs(folderFiles(MODEL)));
  for (const part of QUANTIZED_PARTS) {
    const path = join(out, FOLDERS[part], "config.json");
    const config = JSON.parse(await readFile(path, "utf8")) as object;
    const quantization = quantizationJson(quantizationOf(part, recipe, parameters[part]));
    await writeFile(path, JSON.stringify({ ...config, ...quantization }));
  }
}

const products = ({ step, hot }: KernelRecord): number => {
  const counts = (step ?? hot)?.counts ?? {};
  return (counts.matrix ?? 0) > 0 ? (counts.matrix ?? 0) : Math.max(1, counts.multiplyAdd ?? 0);
};

/** Instructions of a K step for each product; null where the driver shows no code. */
function perProduct(kernel: KernelRecord): number | null {
  const turn = kernel.step ?? kernel.hot;
  return turn && instructionsOf(turn) / products(kernel);
}

const spills = ({ spills: toMemory, registerSpills }: KernelRecord): number =>
  toMemory + registerSpills;

export async function main(argv: readonly string[]): Promise<number> {
  const base = parseOptions(argv);
  const drivers = await fetchDrivers(note);
  const folder = await mkdtemp(join(tmpdir(), "rcod-integers-"));
  const records = new Map<string, CompilersRecord>([["float", await readRecord(GOLDEN)]]);
  try {
    for (const recipe of RECIPES) {
      const model = join(folder, recipe);
      await writeConfigs(model, recipe);
      records.set(recipe, await runAll(drivers, { ...base, model }, note));
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const { text, worse } = tableOf(records);
  process.stdout.write(text);
  for (const line of worse) note(line);
  return worse.length > 0 ? 1 : 0;
}

function tableOf(records: ReadonlyMap<string, CompilersRecord>) {
  const rows: string[] = [];
  const worse: string[] = [];
  for (const [id, run] of Object.entries(records.get("float")?.runs ?? {})) {
    for (const [name, float] of Object.entries(run.kernels)) {
      const integers = RECIPES.map((recipe) => {
        const kernels = records.get(recipe)?.runs[id]?.kernels ?? {};
        return Object.entries(kernels).find(
          ([other]) => other !== name && other.replace(` ${recipe}`, "") === name,
        )?.[1];
      });
      integers.forEach((kernel, i) => {
        if (kernel && spills(kernel) > spills(float)) {
          worse.push(
            `${id}: ${name} ${RECIPES[i]} spills ${spills(kernel)}, as floats ${spills(float)}`,
          );
        }
      });
      if (float.flops < LEAST_SHARE * run.flops || integers.includes(undefined)) continue;
      const all = [float, ...(integers as KernelRecord[])];
      const row = [
        name,
        all.map(({ registers }) => registers).join(", "),
        all.map(({ occupancy }) => occupancy).join(", "),
        all.map(spills).join(", "),
        growth(all.map(perProduct), 2),
        // An integer weight is not folded with an upsampling, so some kernels have more to do.
        growth(
          all.map(({ leastMs, flops }) => (1e12 * leastMs) / flops),
          0,
        ),
      ];
      rows.push(
        `| ${[run.card + (run.hasMatrixUnits ? ", matrix units" : ""), ...row].join(" | ")} |`,
      );
    }
  }
  const head =
    "card | kernel | registers | occupancy | spills | instructions a product | at least, ms a TFLOP";
  const text = `| ${head} |\n|${"---|".repeat(7)}\n${rows.join("\n")}\n`;
  return { text, worse };
}

/** "1.39, +4 %, +6 %"; empty where the driver shows no code. */
function growth(all: readonly (number | null)[], digits: number): string {
  const [float, ...integers] = all;
  if (float === null || float === undefined) return "";
  const shares = integers.map((one) => {
    const percent = Math.round(100 * ((one ?? 0) / float - 1));
    return `${percent < 0 ? "" : "+"}${percent} %`;
  });
  return [float.toFixed(digits), ...shares].join(", ");
}
