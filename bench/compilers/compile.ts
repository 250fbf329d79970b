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
  const { device, caps } = withCaps(real, {
    isSoftware: false,
    ...(job.matrixUnits && { matrixUnits: job.matrixUnits, matrixRefusal: null }),
    ...(job.variants && { variants: job.variants }),
  });
  const planned = await describeDispatches(job, caps);
  const shaders: CompiledShader[] = [];
  for (const shader of planned.filter(({ label }) => label.includes(job.filter ?? ""))) {
    const before = (await readdir(output)).length;
    device.pushErrorScope("validation");
    const bindGroupLayout = device.createBindGroupLayout({
      entries: shader.bindings.map((type, binding) => ({
        binding,
        visibility: 4,
        buffer: { type },
      })),
    });
    const layout = device.createPipelineLayout({ bindGroupLayouts: [bindGroupLayout] });
    const module = device.createShaderModule({ label: shader.label, code: shader.code });
    device.createComputePipeline({
      label: shader.label,
      layout,
      compute: { module, entryPoint: "main" },
    });
    const error = await device.popErrorScope();
    const written = (await readdir(output)).length > before;
    if (error !== null || !written) {
      throw new Error(
        `${shader.label} does not compile: ${error?.message ?? "the layer saw no pipeline"}`,
      );
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
