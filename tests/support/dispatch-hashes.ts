/**
 * One line for each graph that the models plan, with a hash of its dispatches: shaders (their tokens), operands, params, workgroups,
 * scratch, slots. Equal output before and after is the proof that a change of the sources changes no dispatch.
 *
 *   node bench/run.mjs ../tests/support/dispatch-hashes >before.txt
 *
 * Two models, two sizes, both precisions, devices that differ in what they can do, every variant forced in turn; and
 * every kernel on its typical problem. Without a GPU.
 */
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Caps } from "../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../src/gpu/caps.ts";
import { planGraph } from "../../src/graph/plan.ts";
import type { KernelPlan } from "../../src/kernels/index.ts";
import type { VariantChoice } from "../../src/kernels/variant-choice.ts";
import { KERNEL_VARIANTS } from "../../src/kernels/variant-choice.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { stageGraphs } from "../../src/rcod/networks/stage-graphs.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { MATRIX_CAPS } from "./matrix-caps.ts";
import { GPU_CAPS, MATRIX_8_CAPS, TYPICAL_PROBLEMS } from "./typical-problems.ts";

const MODELS: readonly (readonly [
  folder: string,
  sizes: readonly (readonly [number, number])[],
])[] = [
  [
    "models/rcod-tiny",
    [
      [512, 512],
      [456, 520],
    ],
  ],
  [
    "bench/configs/sd21-clip-l",
    [
      [512, 512],
      [456, 1032],
    ],
  ],
];

const DEVICES: Readonly<Record<string, Caps>> = {
  software: { ...BASELINE_CAPS, isSoftware: true },
  baseline: BASELINE_CAPS,
  gpu: GPU_CAPS,
  large: {
    ...GPU_CAPS,
    limits: {
      ...GPU_CAPS.limits,
      maxBufferSize: 2 ** 32,
      maxStorageBufferBindingSize: 2 ** 31,
      maxComputeWorkgroupStorageSize: 32_768,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupSizeX: 1024,
    },
  },
  matrix: MATRIX_CAPS,
  "matrix-8": MATRIX_8_CAPS,
};

const hash = (text: string | Uint8Array): string =>
  createHash("sha256").update(text).digest("hex").slice(0, 16);

/** A shader without comments and spaces that the compiler does not see. */
const tokensOf = (code: string): string =>
  code
    .replaceAll(/\/\/.*$/gm, "")
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ ?([^\w ]) ?/g, "$1");

const known = new Map<string, string>();
/** The hash of a shader's tokens. */
function codeHash(code: string): string {
  const found = known.get(code) ?? hash(tokensOf(code));
  known.set(code, found);
  return found;
}

function planLines(plan: KernelPlan): readonly string[] {
  return plan.dispatches.map(({ label, code, operands, params, workgroups }) => {
    const data = JSON.stringify([operands, Array.from(params), workgroups, plan.scratch]);
    return `${label} code ${codeHash(code)} data ${hash(data)}`;
  });
}

/** A forced variant at a time, so that a variant more or less changes the lines of no other. */
const FORCED: readonly VariantChoice[] = Object.entries(KERNEL_VARIANTS).flatMap(
  ([kernel, variants]) => variants.map((variant) => ({ [kernel]: variant })),
);

/** `--each` writes a line for each dispatch; `--codes FOLDER` also writes each shader to `<hash>.wgsl`. */
export async function main(args: readonly string[]): Promise<number> {
  const codes = new Map<string, string>();
  const each = args.includes("--each");
  let dispatches = 0;
  const write = (at: string, lines: readonly string[]): void => {
    dispatches += lines.length;
    if (each) for (const line of lines) process.stdout.write(`${at} ${line}\n`);
    else process.stdout.write(`${at} ${lines.length} ${hash(lines.join("\n"))}\n`);
  };
  const linesOf = (plan: KernelPlan): readonly string[] => {
    for (const { code } of plan.dispatches) codes.set(codeHash(code), code);
    return planLines(plan);
  };
  const root = fileURLToPath(new URL("../../", import.meta.url));
  for (const [folder, sizes] of MODELS) {
    const configs = await readConfigs(folderFiles(`${root}${folder}`));
    for (const [device, caps] of Object.entries(DEVICES)) {
      for (const dtype of ["f32", "f16"] as const) {
        for (const variants of [undefined, ...FORCED]) {
          for (const [height, width] of sizes) {
            const graphs = stageGraphs(configs, height, width, dtype);
            for (const [stage, graph] of Object.entries(graphs)) {
              const plan = planGraph(graph, variants ? { ...caps, variants } : caps);
              const forced =
                Object.entries(variants ?? {})
                  .join()
                  .replace(",", "=") || "-";
              const { slotByteLengths, slotOf } = plan.memory;
              write(`${folder} ${device} ${dtype} ${forced} ${height}x${width} ${stage}`, [
                ...plan.steps.flatMap((step) => {
                  const operands = hash(JSON.stringify(step.operands));
                  return linesOf(step.plan).map(
                    (line) => `${step.node.path} ${line} operands ${operands}`,
                  );
                }),
                `memory ${hash(JSON.stringify([slotByteLengths, ...slotOf]))}`,
              ]);
            }
          }
        }
      }
    }
  }
  for (const [device, caps] of Object.entries(DEVICES)) {
    for (const dtype of ["f32", "f16"] as const) {
      for (const typical of TYPICAL_PROBLEMS) {
        const { name } = typical;
        if (name.includes("matrix") && (!device.startsWith("matrix") || dtype === "f32")) continue;
        write(`kernel ${device} ${dtype} ${name}`, linesOf(typical.plan(dtype, caps)));
      }
    }
  }
  process.stderr.write(`${dispatches} dispatches, ${codes.size} shaders\n`);
  const at = args.indexOf("--codes");
  if (at >= 0) {
    const folder = args[at + 1] ?? "codes";
    await mkdir(folder, { recursive: true });
    for (const [name, code] of codes) await writeFile(`${folder}/${name}.wgsl`, code);
  }
  return 0;
}
