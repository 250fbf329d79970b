/** `rcod info`: a model's modules and plans from its configs, and whether its weights, where present, fit them. */
import { stat } from "node:fs/promises";
import type { ModuleInfo, PlanInfo } from "../bench/model-plan.ts";
import { describeModules, describePlan } from "../bench/model-plan.ts";
import type { Caps } from "../gpu/caps.ts";
import { BASELINE_CAPS } from "../gpu/caps.ts";
import type { ModelConfigs } from "../rcod/model-configs.ts";
import type { ModelPart } from "../rcod/model-parts.ts";
import { readConfigs } from "../rcod/model-configs.ts";
import { modelParameters, modelParts } from "../rcod/model-parts.ts";
import { checkPart, checkpointUpdates, openPart } from "../rcod/open-model.ts";
import { openCheckpoint } from "../rcod/rcod-checkpoint.ts";
import type { FileSet, WeightStem, WeightStore } from "../weights/index.ts";
import { WeightsError, hasWeights } from "../weights/index.ts";
import { EXIT } from "./errors.ts";
import { formatBytes, formatTable } from "./format.ts";
import { runFileInfo } from "./info-file.ts";
import type { InfoOptions } from "./info.ts";
import { checkModelPaths, isWhole, modelFilesAt, modelPaths } from "./model-paths.ts";

/** The weight files of one part, or the checkpoint. */
interface WeightsInfo {
  readonly part: ModelPart | "checkpoint";
  readonly tensors: number;
  readonly bytes: number;
  /** What is missing, misshapen or left over; null when all is right. */
  readonly problem: string | null;
}

/** Runs the command. Exit code 0; 2 where the weights do not fit the configs, or a file is refused. */
export async function runInfo(options: InfoOptions): Promise<number> {
  const { terminal, model } = options;
  if (isWhole(options) && (await stat(model).catch(() => null))?.isFile() === true) {
    return runFileInfo(model, options);
  }
  await checkModelPaths(options);
  const files = await modelFilesAt(options);
  const configs = await readConfigs(files);
  const caps = options.adapter ? await adapterCaps(options.adapter.dawnToggles) : BASELINE_CAPS;
  const [width, height] = options.outputSize;
  const modules = describeModules(configs);
  const plans = options.precisions.map((dtype) =>
    describePlan(configs, width, height, dtype, caps),
  );
  const weights = await describeWeights(files, configs);
  if (options.json) {
    const { limits, description } = caps;
    terminal.out(
      JSON.stringify({
        ...modelPaths(options),
        outputSize: options.outputSize,
        configs,
        modules,
        plannedFor: { description, ...limits },
        plans,
        weights,
      }),
    );
  } else {
    terminal.out(render(files.name, modules, plans, caps, weights));
  }
  return weights?.some(({ problem }) => problem !== null) ? EXIT.usage : EXIT.ok;
}

async function adapterCaps(toggles: readonly string[]): Promise<Caps> {
  const { requestNodeGpu } = await import("../node/gpu.ts");
  const gpu = await requestNodeGpu({ toggles });
  const { caps } = gpu;
  gpu.destroy();
  return caps;
}

const FOLDERS: readonly (readonly [folder: string, stem: WeightStem])[] = [
  ["image_encoder", "model"],
  ["image_proj", "model"],
  ["vae", "diffusion_pytorch_model"],
  ["unet", "diffusion_pytorch_model"],
];

/**
 * Checks every name and shape of the weights. Null for a folder that holds none at all. Throws `WeightsError`
 * when the checkpoint does not open: without it the parts are incomplete.
 */
async function describeWeights(
  files: FileSet,
  configs: ModelConfigs,
): Promise<readonly WeightsInfo[] | null> {
  const present = await Promise.all(FOLDERS.map(([name, stem]) => hasWeights(files, name, stem)));
  if (!present.includes(true)) return null;
  const parameters = modelParameters(configs);
  const { rcod } = configs;
  const checkpoint =
    rcod.checkpoint === null ? null : await openCheckpoint(files, rcod.checkpoint, undefined, rcod);
  const infos: WeightsInfo[] = [];
  for (const part of modelParts(configs)) {
    const open = (): Promise<WeightStore> => openPart(files, part, checkpoint);
    const check = (store: WeightStore): void => checkPart(store, part, parameters[part]);
    infos.push(await describeStore(part, open, check));
  }
  if (checkpoint) {
    const check = (): unknown => checkpointUpdates(checkpoint, parameters, configs);
    infos.push(await describeStore("checkpoint", async () => checkpoint.store, check));
  }
  return infos;
}

/** Opens, measures, checks and closes a store. */
async function describeStore(
  part: WeightsInfo["part"],
  open: () => Promise<WeightStore>,
  check: (store: WeightStore) => unknown,
): Promise<WeightsInfo> {
  let [tensors, bytes] = [0, 0];
  let problem: string | null = null;
  let store: WeightStore | undefined;
  try {
    store = await open();
    for (const name of store.names()) {
      tensors++;
      bytes += store.info(name).byteLength;
    }
    check(store);
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    problem = error.message;
  } finally {
    await store?.close();
  }
  return { part, tensors, bytes, problem };
}

function render(
  model: string,
  modules: readonly ModuleInfo[],
  plans: readonly PlanInfo[],
  caps: Caps,
  weights: readonly WeightsInfo[] | null,
): string {
  const lines = [
    model,
    "",
    "Modules (bytes on the device: matrices in the storage precision, vectors in f32)",
    modulesTable(modules),
  ];
  for (const plan of plans) lines.push("", ...planLines(plan, caps));
  lines.push("", ...weightLines(weights));
  return lines.join("\n");
}

function modulesTable(modules: readonly ModuleInfo[]): string {
  const total = (pick: (module: ModuleInfo) => number): number =>
    modules.reduce((sum, m) => sum + pick(m), 0);
  const row = (name: string, pick: (of: (module: ModuleInfo) => number) => number): string[] => [
    `  ${name}`,
    String(pick(({ tensors }) => tensors)),
    grouped(pick(({ parameters }) => parameters)),
    formatBytes(pick(({ deviceBytes }) => deviceBytes.f16)),
    formatBytes(pick(({ deviceBytes }) => deviceBytes.f32)),
  ];
  return formatTable(
    [
      ["  module", "tensors", "parameters", "f16", "f32"],
      ...modules.map((module) => row(module.name, (of) => of(module))),
      row("total", total),
    ],
    ["left", "right", "right", "right", "right"],
  );
}

function planLines(plan: PlanInfo, caps: Caps): readonly string[] {
  const gflop = (flops: number): string => (flops / 1e9).toFixed(1);
  const binding = Math.min(caps.limits.maxStorageBufferBindingSize, caps.limits.maxBufferSize);
  const { largestBinding } = plan;
  return [
    `Plan in ${plan.dtype} for ${plan.width} × ${plan.height} output pixels, untiled`,
    formatTable(
      [
        [
          "  stage",
          "GFLOP",
          "dispatches",
          "pipelines",
          "slots",
          "activations",
          "live peak",
          "largest slots",
        ],
        ...plan.stages.map((stage) => [
          `  ${stage.name}`,
          gflop(stage.flops),
          String(stage.dispatches),
          String(stage.pipelines),
          String(stage.slotBytes.length),
          formatBytes(stage.activationBytes),
          formatBytes(stage.peakLiveBytes),
          stage.slotBytes.slice(0, 4).map(formatBytes).join(", "),
        ]),
        [
          "  together",
          gflop(plan.flops),
          String(plan.dispatches),
          String(plan.pipelines),
          String(plan.poolSlotBytes.length),
          formatBytes(plan.poolBytes),
          "",
          plan.poolSlotBytes.slice(0, 4).map(formatBytes).join(", "),
        ],
      ],
      ["left", "right", "right", "right", "right", "right", "right", "left"],
    ),
    "  (stages run one after another in one pool: slot i is as large as the largest slot i)",
    `  weights ${formatBytes(plan.weightBytes)} + activations ${formatBytes(plan.poolBytes)} = ` +
      formatBytes(plan.weightBytes + plan.poolBytes),
    `  largest binding ${formatBytes(largestBinding.bytes)} (${largestBinding.name}), ` +
      `${caps.description || "this adapter"} allows ${formatBytes(binding)}` +
      (plan.fits ? "" : ": does not fit, the VAE is tiled there"),
  ];
}

function weightLines(weights: readonly WeightsInfo[] | null): readonly string[] {
  if (weights === null) return ["Weights: none in this folder (configs are enough for a plan)"];
  return [
    "Weights",
    formatTable(
      weights.map(({ part, tensors, bytes, problem }) => [
        `  ${part}`,
        `${tensors} tensors`,
        formatBytes(bytes),
        problem === null ? "names and shapes match" : problem,
      ]),
      ["left", "right", "right", "left"],
    ),
  ];
}

/** `865,910,724` */
function grouped(count: number): string {
  return count.toLocaleString("en-US");
}
