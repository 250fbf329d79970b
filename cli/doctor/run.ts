/** `rcod doctor`: what WebGPU offers here, what that means for upscaling, and whether it computes right. */
import type { Caps } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { DType } from "../../src/gpu/dtype.ts";
import { roundToDtype } from "../../src/gpu/dtype.ts";
import { uploadBytes } from "../../src/gpu/transfer.ts";
import { runPlan } from "../../src/graph/execution/run-plan.ts";
import { activationByteLength } from "../../src/graph/lowering/lower.ts";
import { packActivation } from "../../src/graph/pack-activation.ts";
import { readActivation } from "../../src/graph/read-activation.ts";
import { elementwise } from "../../src/kernels/pointwise/elementwise.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { fasterAdapter, slownessOf } from "../../src/node/software-adapter.ts";
import { VERSION } from "../../src/version.ts";
import { driverAdvice, featureAdvice } from "../advice.ts";
import { EXIT, describeError } from "../errors.ts";
import { adapterName, formatBytes, formatMs, formatTable } from "../format.ts";
import { launch } from "../launch.ts";
import { RUNTIME } from "../package-root.ts";
import type { Terminal } from "../terminal.ts";
import type { DoctorOptions } from "./command.ts";

/** A capability or limit with its meaning. */
interface Finding {
  readonly name: string;
  readonly value: string;
  readonly meaning: string;
}

interface CheckResult {
  readonly dtype: DType;
  readonly pass: boolean;
  readonly maxError: number;
  /** Compiling included. */
  readonly durationMs: number;
  readonly error?: string;
}

/** Everything that `--json` prints. */
interface Report {
  readonly version: string;
  readonly runtime: string;
  readonly webgpu: string;
  readonly adapter: Omit<Caps, "limits"> | null;
  readonly limits: Caps["limits"] | null;
  readonly features: readonly Finding[];
  readonly limitMeanings: readonly Finding[];
  readonly checks: readonly CheckResult[];
  readonly ok: boolean;
  readonly verdict: string;
  readonly advice: readonly string[];
  readonly error?: string;
}

/**
 * Runs the command and returns its exit code: 0, or 1 where there is no adapter or it computes wrong. Tests put
 * their own `launchProcess` and `openGpu`.
 */
export async function runDoctor(
  options: DoctorOptions,
  terminal: Terminal,
  launchProcess: typeof launch = launch,
  openGpu: (toggles: readonly string[]) => Promise<Gpu> = (toggles) => requestNodeGpu({ toggles }),
): Promise<number> {
  let gpu: Gpu | undefined;
  let report: Report;
  try {
    const exitCode = await launchProcess();
    if (exitCode !== null) return exitCode;
    gpu = await openGpu(options.dawnToggles);
    report = await examine(gpu);
  } catch (error) {
    report = noAdapter(describeError(error).message);
  } finally {
    gpu?.destroy();
  }
  if (options.json) terminal.out(JSON.stringify(report));
  else terminal.out(render(report));
  return report.ok ? EXIT.ok : EXIT.failed;
}

async function examine(gpu: Gpu): Promise<Report> {
  const { caps } = gpu;
  const { limits, ...adapter } = caps;
  const checks = [await computeCheck(gpu, "f32"), await computeCheck(gpu, "f16")];
  const ok = checks.every(({ pass }) => pass);
  const webgpu = implementationName();
  return {
    ...environment(webgpu),
    adapter,
    limits,
    features: describeFeatures(caps),
    limitMeanings: describeLimits(caps),
    checks,
    ok,
    verdict: verdictOf(caps, ok),
    advice: [
      ...(ok
        ? []
        : ["Update the graphics driver, then run rcod verify to see which kernels are wrong"]),
      ...(caps.isSoftware ? softwareAdvice(caps) : []),
      ...featureAdvice(caps, webgpu),
    ],
  };
}

/** Towards a GPU, and where there is none towards the faster software adapter. */
function softwareAdvice(caps: Caps): readonly string[] {
  const faster = fasterAdapter(adapterName(caps));
  return [...(faster === null ? [] : [`Without a GPU: ${faster}`]), ...driverAdvice()];
}

function noAdapter(error: string): Report {
  return {
    ...environment(implementationName()),
    adapter: null,
    limits: null,
    features: [],
    limitMeanings: [],
    checks: [],
    ok: false,
    verdict: "no adapter: rcod cannot compute here",
    advice: driverAdvice(),
    error,
  };
}

function environment(webgpu: string): Pick<Report, "version" | "runtime" | "webgpu"> {
  return { version: VERSION, runtime: RUNTIME, webgpu };
}

function implementationName(): string {
  return process.versions["deno"] === undefined ? "Dawn (npm webgpu)" : "wgpu (Deno)";
}

function verdictOf(caps: Caps, ok: boolean): string {
  if (!ok) return "this adapter computes WRONG results: do not use it";
  return caps.isSoftware
    ? `works, on the CPU: correct, yet ${slownessOf(adapterName(caps))} than a GPU`
    : "works, on the GPU";
}

function describeFeatures(caps: Caps): readonly Finding[] {
  const { matrixUnits, matrixRefusal } = caps;
  return [
    feature("shader-f16", caps.hasShaderF16, {
      yes: "half precision is read and written natively",
      no: "half precision works through packed pairs: same memory, a little more arithmetic",
    }),
    feature("subgroups", caps.hasSubgroups, {
      yes: "sums across lanes without workgroup memory",
      no: "sums go through workgroup memory: a little slower",
    }),
    feature("timestamp-query", caps.hasTimestampQuery, {
      yes: "rcod bench can time every kernel on the GPU's own clock",
      no: "rcod bench times from outside, less exactly",
    }),
    {
      name: "subgroup matrix",
      value: matrixUnits === null ? "no" : `${matrixUnits.M}×${matrixUnits.N}×${matrixUnits.K}`,
      meaning:
        matrixUnits === null
          ? `ordinary arithmetic instead of matrix units: ${matrixRefusal}`
          : `matrix units multiply f16 and add in f32, in subgroups of ${matrixUnits.subgroupSize}` +
            `${matrixUnits.pinsSubgroupSize ? ", pinned" : ""}; spelling "${matrixUnits.spelling}"` +
            (caps.isSoftware ? "; on the CPU only where --variant asks for them" : ""),
    },
  ];
}

function feature(
  name: string,
  present: boolean,
  meaning: { readonly yes: string; readonly no: string },
): Finding {
  return { name, value: present ? "yes" : "no", meaning: present ? meaning.yes : meaning.no };
}

/** The widest full-resolution tensor of the SD 2.1 VAE decoder; smaller models need less. */
const WIDEST_DECODER_CHANNELS = 256;

function describeLimits(caps: Caps): readonly Finding[] {
  const { limits } = caps;
  const binding = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  const side = (bytesPerElement: number): number =>
    Math.floor(Math.sqrt(binding / (WIDEST_DECODER_CHANNELS * bytesPerElement)) / 8) * 8;
  return [
    {
      name: "largest tensor",
      value: formatBytes(binding),
      meaning:
        `full-size VAE without tiles up to ${side(2)} × ${side(2)} output pixels in f16, ` +
        `${side(4)} × ${side(4)} in f32; larger images are tiled`,
    },
    {
      name: "largest buffer",
      value: formatBytes(limits.maxBufferSize),
      meaning: "several tensors share one buffer up to this size",
    },
    {
      name: "workgroup memory",
      value: formatBytes(limits.maxComputeWorkgroupStorageSize),
      meaning: "bounds the tiles of matrix products and attention",
    },
    {
      name: "invocations a workgroup",
      value: String(limits.maxComputeInvocationsPerWorkgroup),
      meaning: "threads that work on one tile together",
    },
    {
      name: "storage buffers a stage",
      value: String(limits.maxStorageBuffersPerShaderStage),
      meaning: "operands of one kernel; 8 are enough for all of ours",
    },
  ];
}

/** Elements of the compute check, as rows of one quad. */
const CHECK_SHAPE = [1024, 4] as const;
const CHECK_COUNT = CHECK_SHAPE[0] * CHECK_SHAPE[1];

/** Relative to the largest value, 8: f32 arithmetic with `exp`, and one rounding to half. */
const CHECK_LIMIT: Readonly<Record<DType, number>> = { f32: 1e-5, f16: 1e-3 };

/** y = silu(1.5·a − 0.5·b) on the GPU against double precision. */
async function computeCheck(gpu: Gpu, dtype: DType): Promise<CheckResult> {
  const startedAt = performance.now();
  try {
    const maxError = await computeError(gpu, dtype);
    const durationMs = performance.now() - startedAt;
    return { dtype, pass: maxError <= CHECK_LIMIT[dtype], maxError, durationMs };
  } catch (error) {
    const durationMs = performance.now() - startedAt;
    const { message } = describeError(error);
    return { dtype, pass: false, maxError: Infinity, durationMs, error: message };
  }
}

/** Largest error of the check, relative to the largest value; infinite where a result is NaN. */
async function computeError(gpu: Gpu, dtype: DType): Promise<number> {
  const ramp = (from: number, to: number): readonly number[] =>
    Array.from({ length: CHECK_COUNT }, (_, i) =>
      roundToDtype(from + ((to - from) * i) / (CHECK_COUNT - 1), dtype),
    );
  const [a, b] = [ramp(-6, 5), ramp(1, -1)];
  const byteLength = activationByteLength(CHECK_SHAPE, dtype);
  const create = (name: string): GPUBuffer =>
    gpu.memory.create(`doctor ${name}`, byteLength, "activations");
  const operands = { a: create("a"), b: create("b"), y: create("y") };
  try {
    uploadBytes(gpu, operands.a, 0, packActivation(a, CHECK_SHAPE[1], dtype));
    uploadBytes(gpu, operands.b, 0, packActivation(b, CHECK_SHAPE[1], dtype));
    const plan = elementwise.plan(
      { dtype, quads: CHECK_SHAPE[0], hasB: true, scaleA: 1.5, scaleB: -0.5, activation: "silu" },
      gpu.caps,
    );
    await runPlan(gpu, plan, operands);
    const result = await readActivation(gpu, operands.y, CHECK_SHAPE, dtype);
    return result.reduce((most, y, i) => {
      const x = 1.5 * (a[i] as number) - 0.5 * (b[i] as number);
      const error = Math.abs(y - x / (1 + Math.exp(-x))) / 8;
      return Number.isNaN(error) ? Infinity : Math.max(most, error);
    }, 0);
  } finally {
    for (const buffer of Object.values(operands)) gpu.memory.release(buffer);
  }
}

function render(report: Report): string {
  const lines = [
    formatTable([
      ["rcod", report.version],
      ["runtime", report.runtime],
      ["WebGPU", report.webgpu],
      ...(report.adapter === null
        ? [["adapter", "none"]]
        : [
            ["adapter", adapterName(report.adapter)],
            ["kind", report.adapter.isSoftware ? "software (runs on the CPU)" : "hardware"],
          ]),
    ]),
  ];
  const section = (title: string, findings: readonly Finding[]): void => {
    if (findings.length === 0) return;
    lines.push(
      "",
      title,
      formatTable(findings.map(({ name, value, meaning }) => [`  ${name}`, value, meaning])),
    );
  };
  section("Features", report.features);
  section("Limits", report.limitMeanings);
  section(
    "Compute check",
    report.checks.map(({ dtype, pass, maxError, durationMs, error }) => ({
      name: dtype,
      value: pass ? "pass" : "FAIL",
      meaning:
        error ??
        `largest relative error ${maxError.toExponential(1)}, ${formatMs(durationMs)} with compiling`,
    })),
  );
  lines.push("", `Verdict: ${report.verdict}`);
  if (report.error !== undefined) lines.push(`  ${report.error}`);
  for (const advice of report.advice) lines.push(`  - ${advice}`);
  return lines.join("\n");
}
