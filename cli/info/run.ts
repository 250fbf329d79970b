/** `rcod info`: a model's modules and plans from its configs, and whether its weights, where present, fit them. */
import { stat } from "node:fs/promises";
import type { ModuleInfo, PlanInfo } from "../../src/bench/model-plan.ts";
import { describeModules, describePlan } from "../../src/bench/model-plan.ts";
import type { Caps } from "../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { EXIT } from "../errors.ts";
import { formatBytes, formatTable } from "../format.ts";
import { withGpu } from "../gpu.ts";
import { checkModelPaths, isWhole, modelFilesAt, modelPaths } from "../model-paths.ts";
import type { Terminal } from "../terminal.ts";
import type { InfoOptions } from "./command.ts";
import { runFileInfo } from "./file.ts";
import type { ModelWeightsInfo, ResidentInfo, WeightsInfo } from "./weights.ts";
import { describeWeights } from "./weights.ts";

/** Runs the command. Exit code 0; 2 where the weights do not fit the configs, or a file is refused. */
export async function runInfo(options: InfoOptions, terminal: Terminal): Promise<number> {
  const { model, precision, adapter = false, json = false } = options;
  if (isWhole(options) && (await stat(model).catch(() => null))?.isFile() === true) {
    return runFileInfo(model, json, terminal);
  }
  await checkModelPaths(options);
  const files = await modelFilesAt(options);
  const configs = await readConfigs(files);
  const caps = adapter
    ? await withGpu(options.dawnToggles, async (gpu) => gpu.caps)
    : BASELINE_CAPS;
  const [width, height] = options.size;
  const modules = describeModules(configs);
  const plans = (precision === undefined ? (["f32", "f16"] as const) : [precision]).map((dtype) =>
    describePlan(configs, width, height, dtype, caps),
  );
  const described = await describeWeights(files, configs, options.strict);
  if (json) {
    const { limits, description } = caps;
    terminal.out(
      JSON.stringify({
        ...modelPaths(options),
        outputSize: options.size,
        configs,
        modules,
        plannedFor: { description, ...limits },
        plans,
        weights: described?.weights ?? null,
        ...(configs.degradation && { resident: described?.resident ?? null }),
      }),
    );
  } else {
    terminal.out(render(files.name, modules, plans, caps, described));
  }
  return described?.weights.some(({ problem }) => problem !== null) ? EXIT.usage : EXIT.ok;
}

function render(
  model: string,
  modules: readonly ModuleInfo[],
  plans: readonly PlanInfo[],
  caps: Caps,
  described: ModelWeightsInfo | null,
): string {
  const lines = [
    model,
    "",
    "Modules (bytes on the device: matrices in the storage precision, vectors in f32)",
    modulesTable(modules),
  ];
  for (const plan of plans) lines.push("", ...planLines(plan, caps, described?.resident ?? []));
  lines.push("", ...weightLines(described?.weights ?? null));
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

function planLines(
  plan: PlanInfo,
  caps: Caps,
  resident: readonly ResidentInfo[],
): readonly string[] {
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
    ...memoryLines(plan, resident),
    `  largest binding ${formatBytes(largestBinding.bytes)} (${largestBinding.name}), ` +
      `${caps.description || "this adapter"} allows ${formatBytes(binding)}` +
      (plan.fits ? "" : ": does not fit, the VAE is tiled there"),
  ];
}

/** What is on the device: everything, or in low memory the stage that needs most. */
function memoryLines(
  { weightBytes, stageWeightBytes, poolBytes }: PlanInfo,
  resident: readonly ResidentInfo[],
): readonly string[] {
  const keptBy = (part: string): number =>
    resident
      .filter((info) => info.part === part)
      .reduce((sum, { baseBytes, factorBytes }) => sum + baseBytes + factorBytes, 0);
  const kept = keptBy("vae") + keptBy("unet");
  const stages = Object.entries({
    ...stageWeightBytes,
    encode: stageWeightBytes.encode + keptBy("vae"),
    unet: stageWeightBytes.unet + keptBy("unet"),
  });
  const [stage, bytes] = stages.reduce((most, next) => (next[1] > most[1] ? next : most));
  return [
    `  weights ${formatBytes(weightBytes)} + ` +
      (kept > 0 ? `kept to merge ${formatBytes(kept)} + ` : "") +
      `activations ${formatBytes(poolBytes)} = ${formatBytes(weightBytes + kept + poolBytes)}`,
    `  with --low-memory at most ${formatBytes(bytes)} of weights at a time (${stage})`,
    ...resident.map(
      ({ part, matrices, baseBytes, factorBytes }) =>
        `  kept to merge for each image: ${part}, ${matrices} matrices: base weights ${formatBytes(baseBytes)}, ` +
        `LoRA factors ${formatBytes(factorBytes)}`,
    ),
  ];
}

function weightLines(weights: readonly WeightsInfo[] | null): readonly string[] {
  if (weights === null) return ["Weights: none in this folder (configs are enough for a plan)"];
  const notes = weights.flatMap(({ part, notes: own = [] }) => own.map((n) => `  ${part}: ${n}`));
  return [
    "Weights",
    formatTable(
      weights.map(({ part, tensors, bytes, bitsPerValue, problem }) => [
        `  ${part}`,
        `${tensors} tensors`,
        formatBytes(bytes),
        bitsPerValue === null ? "" : `${bitsPerValue.toFixed(1)} bits a value`,
        problem === null ? "names and shapes match" : problem,
      ]),
      ["left", "right", "right", "right", "left"],
    ),
    ...notes,
  ];
}

/** `865,910,724` */
function grouped(count: number): string {
  return count.toLocaleString("en-US");
}
