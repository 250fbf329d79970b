/**
 * Graphs of our kernels: build, plan without a GPU, run.
 *
 * ```ts
 * const g = new GraphBuilder("f32");
 * const x = g.input("x", [1, 64, 64, 32]);
 * g.output("y", g.conv2d(x, new WeightScope("conv"), { outChannels: 32, kernelSize: 3, stride: 1, padding: 1, bias: true }));
 * const plan = planGraph(g.build(), gpu.caps);
 * const weights = new DeviceWeights(gpu, source, { dtype: "f32" });
 * await weights.load(plan.weights);
 * const program = await Program.create(gpu, plan, weights);
 * await program.run({ x: packActivation(values, 32, "f32") });
 * const { shape, data } = await program.read("y");
 * ```
 */
export { GraphBuilder, WeightScope } from "./builder.ts";
export type { Conv2dOptions } from "./builder.ts";
export { DeviceWeights } from "./device-weights.ts";
export type {
  DeviceWeightsOptions,
  LoraUpdate,
  SourceTensor,
  TensorSource,
} from "./device-weights.ts";
export type { Graph, Node, Op, Value, Weight, WeightLayout } from "./ir.ts";
export { graphWeights } from "./ir.ts";
export { activationByteLength } from "./lower.ts";
export type { Step, VariantChoice } from "./lower.ts";
export type { MemoryPlan } from "./memory-plan.ts";
export { packActivation } from "./pack-activation.ts";
export { PASSES, optimize } from "./passes.ts";
export type { PassName } from "./passes.ts";
export { planGraph } from "./plan.ts";
export type { AttentionOperand, GraphPlan, PlanOptions } from "./plan.ts";
export { Program } from "./program.ts";
export type { HostTensor, ProgramInput, RunOptions, StepTime } from "./program.ts";
export { runPlan } from "./run-plan.ts";
export { SlotPool } from "./slot-pool.ts";
