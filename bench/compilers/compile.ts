/**
 * Plans a model for the device that answers, and compiles each of its shaders once. Runs in a process of its own, whose
 * device is a stub (`drivers.ts`); the layer there writes down what the compiler says.
 */
import { readFile, readdir, writeFile } from "node:fs/promises";
import { withCaps } from "../../src/gpu/device.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { describeDispatches } from "./planned-shaders.ts";
import type { CompileJob, CompileResult, CompiledShader } from "./planned-shaders.ts";

/** `main(["job.json", "result.json"])`: a `CompileJob`, and where to write the `CompileResult`. */
export async function main([jobFile, resultFile]: readonly [string, string]): Promise<number> {
  const job = JSON.parse(await readFile(jobFile, "utf8")) as CompileJob;
  const output = process.env["RCOD_COMPILER_OUTPUT"] as string;
  const toggles = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];
  // The stub of Apple calls itself "software", and no stub computes what a probe of matrix units wants to see.
  const real = await requestNodeGpu({ toggles });
  const { pipelines, caps } = withCaps(real, {
    isSoftware: false,
    ...(job.matrixUnits && { matrixUnits: job.matrixUnits, matrixRefusal: null }),
    ...(job.variants && { variants: job.variants }),
  });
  const planned = await describeDispatches(job, caps);
  const shaders: CompiledShader[] = [];
  for (const shader of planned.filter(({ label }) => label.includes(job.filter ?? ""))) {
    const before = (await readdir(output)).length;
    // One after another: the layer counts pipelines.
    await pipelines.get(shader.label, shader.code, shader.bindings);
    if ((await readdir(output)).length === before) {
      throw new Error(`${shader.label} does not compile: the layer saw no pipeline`);
    }
    shaders.push({ ...shader, report: await readFile(`${output}/${before}`, "utf8") });
  }
  const flops = planned
    .flatMap(({ uses }) => uses)
    .reduce((sum, use) => sum + use.flops * use.count, 0);
  const result: CompileResult = { driver: caps.description, flops, shaders };
  await writeFile(resultFile, JSON.stringify(result));
  return 0;
}
