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
export type {} from "../web-types.ts";
export { GraphBuilder, WeightScope } from "./ir/builder.ts";
export type { Conv2dOptions, KernelOperands } from "./ir/builder-options.ts";
export { DeviceWeights } from "./weights/device-weights.ts";
export type {
  DeviceWeightsOptions,
  IntegerTensor,
  LoraUpdate,
  SourceTensor,
  StoredBytes,
  TensorSource,
} from "./weights/device-weights.ts";
export type { Graph, Node, Op, Value, Weight, WeightLayout } from "./ir/ir.ts";
export { graphWeights } from "./ir/ir.ts";
export { activationByteLength } from "./lowering/lower.ts";
export type { Step } from "./lowering/lower.ts";
export type { MemoryPlan } from "./memory-plan.ts";
export { packActivation } from "./pack-activation.ts";
export { PASSES, optimize } from "./passes/passes.ts";
export type { PassName } from "./passes/passes.ts";
export { planGraph } from "./plan.ts";
export type { AttentionOperand, GraphPlan, PlanOptions } from "./plan.ts";
export { Program } from "./program.ts";
export type { HostTensor, ProgramInput, ProgramOptions, RunOptions, StepTime } from "./program.ts";
export type { OperandBuffers } from "./execution/recorder.ts";
export { runPlan } from "./execution/run-plan.ts";
export { SlotPool } from "./slot-pool.ts";
