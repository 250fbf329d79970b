/** Our side of the comparison: the graph as the pipeline would run it, one submit per run. */
import type { Gpu } from "../../src/gpu/device.ts";
import { submittedWorkDone } from "../../src/gpu/transfer.ts";
import { GraphBuilder } from "../../src/graph/ir/builder.ts";
import { packActivation } from "../../src/graph/pack-activation.ts";
import { planGraph } from "../../src/graph/plan.ts";
import { Program } from "../../src/graph/program.ts";
import type { SourceTensor } from "../../src/graph/weights/device-weights.ts";
import { DeviceWeights } from "../../src/graph/weights/device-weights.ts";
import type { CompareCase, HostArray } from "./cases.ts";
import type { Engine } from "./engine.ts";

export async function openRcod(gpu: Gpu, compared: CompareCase): Promise<Engine> {
  const g = new GraphBuilder("f32");
  compared.build(g);
  const plan = planGraph(g.build(), gpu.caps);
  const weights = new DeviceWeights(
    gpu,
    {
      tensor: (name) => sourceTensor(compared.weights[name], name),
      lora: () => null,
    },
    { dtype: "f32" },
  );
  let program: Program | undefined;
  try {
    await weights.load(plan.weights);
    program = await Program.create(gpu, plan, weights);
    program.setInputs(
      Object.fromEntries(
        Object.entries(compared.inputs).map(([name, { shape, values }]) => [
          name,
          packActivation(values, shape.at(-1) ?? 1, "f32"),
        ]),
      ),
    );
  } catch (error) {
    program?.dispose();
    weights.dispose();
    throw error;
  }
  const made = program;
  return {
    run() {
      const encoder = gpu.device.createCommandEncoder({ label: "compare" });
      const pass = encoder.beginComputePass({ label: "compare" });
      made.record(pass);
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
    },
    settle: () => submittedWorkDone(gpu),
    read: async () => (await made.read("y")).data,
    dispose() {
      made.dispose();
      weights.dispose();
    },
  };
}

function sourceTensor(array: HostArray | undefined, name: string): SourceTensor {
  if (array === undefined) throw new Error(`internal: the case has no weight "${name}"`);
  const { shape, values } = array;
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return {
    dtype: "F32",
    shape,
    byteLength: bytes.byteLength,
    read: async (start, length) => bytes.slice(start, start + length),
  };
}
