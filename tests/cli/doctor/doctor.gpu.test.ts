import { describe, expect, it } from "vitest";
import { NVIDIA_TOGGLES, featureAdvice } from "../../../cli/advice.ts";
import { runDoctor } from "../../../cli/doctor/run.ts";
import type { Caps } from "../../../src/gpu/caps.ts";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import { requestNodeGpu } from "../../../src/node/gpu.ts";
import { MATRIX_CAPS } from "../../support/matrix-caps.ts";
import { recordingTerminal } from "../support/terminal.ts";

async function doctor(openGpu: () => Promise<Gpu>, json = false) {
  const terminal = recordingTerminal();
  const exitCode = await runDoctor({ json, dawnToggles: [] }, terminal, async () => null, openGpu);
  return { exitCode, text: terminal.stdout.join("\n"), stderr: terminal.stderr };
}

describe("runDoctor", () => {
  it("computes a known answer on the adapter, and explains features and limits", async () => {
    const { exitCode, text, stderr } = await doctor(() => requestNodeGpu());
    expect(exitCode, text).toBe(0);
    expect(text).toMatch(/^ {2}f32 +pass +largest relative error \d\.\de-\d+/m);
    expect(text).toMatch(/^ {2}f16 +pass/m);
    expect(text).toMatch(
      /^ {2}largest tensor +\S+ [GM]iB +full-size VAE without tiles up to \d+ × \d+ output pixels/m,
    );
    expect(text).toMatch(/^Verdict: works/m);
    expect(stderr).toEqual([]);
  });

  it("prints one object under --json", async () => {
    const report = JSON.parse((await doctor(() => requestNodeGpu(), true)).text) as object;
    expect(report).toMatchObject({
      ok: true,
      runtime: expect.stringMatching(/^Node \d+/),
      adapter: { vendor: expect.any(String), isSoftware: expect.any(Boolean) },
      limits: { maxBufferSize: expect.any(Number) },
      checks: [
        { dtype: "f32", pass: true },
        { dtype: "f16", pass: true },
      ],
    });
  });

  it("tells which matrix units a probe has found, or why there are none", async () => {
    const withCaps = async (changed: Partial<Caps>) => {
      const gpu = await requestNodeGpu();
      const caps = { ...gpu.caps, isSoftware: false, ...changed };
      const found = Object.create(gpu, { caps: { value: caps } }) as Gpu;
      return (await doctor(async () => found)).text;
    };
    const { matrixUnits } = MATRIX_CAPS;
    expect(await withCaps({ matrixUnits, matrixRefusal: null })).toMatch(
      /^ {2}subgroup matrix +16×16×16 +matrix units multiply f16 and add in f32, in subgroups of 32, pinned; spelling "quads"$/m,
    );
    expect(await withCaps({ matrixUnits: null, matrixRefusal: "their probe fails" })).toMatch(
      /^ {2}subgroup matrix +no +ordinary arithmetic instead of matrix units: their probe fails$/m,
    );
  });

  it("says how slow a software adapter is, and how to get a faster one", async () => {
    const named = async (description: string) => {
      const gpu = await requestNodeGpu();
      const caps = { ...gpu.caps, vendor: "", architecture: "", device: "", description };
      const renamed = Object.create(gpu, { caps: { value: { ...caps, isSoftware: true } } }) as Gpu;
      return (await doctor(async () => renamed)).text;
    };
    const slow = await named("SwiftShader Device (Subzero)");
    expect(slow).toMatch(/^Verdict: works, on the CPU: correct, yet about 1000 times slower/m);
    expect(slow).toMatch(
      /^ {2}- Without a GPU: rcod adapter install fetches .* more than twice as fast$/m,
    );
    const fast = await named("llvmpipe: Mesa 26.1.6 (LLVM 19.1.7)");
    expect(fast).toMatch(/^Verdict: works, on the CPU: correct, yet some hundred times slower/m);
    expect(fast).not.toContain("adapter install");
  });

  it("says so when the adapter computes wrong", async () => {
    const gpu = await requestNodeGpu();
    // Results that never arrive: the copies into the readback buffer are dropped.
    const createCommandEncoder = gpu.device.createCommandEncoder.bind(gpu.device);
    gpu.device.createCommandEncoder = (descriptor) => {
      const encoder = createCommandEncoder(descriptor);
      encoder.copyBufferToBuffer = () => {};
      return encoder;
    };
    const { exitCode, text } = await doctor(async () => gpu);
    expect(exitCode).toBe(1);
    expect(text).toMatch(/^ {2}f32 +FAIL/m);
    expect(text).toMatch(/^Verdict: this adapter computes WRONG results/m);
  });

  it("explains a missing adapter and ends with 1", async () => {
    const { exitCode, text } = await doctor(() => Promise.reject(new Error("device: nobody home")));
    expect(exitCode).toBe(1);
    expect(text).toMatch(
      /^Verdict: no adapter: rcod cannot compute here\n {2}device: nobody home\n {2}- /m,
    );
  });
});

it("points to the toggles that NVIDIA needs under Dawn and Vulkan", () => {
  const nvidia = { ...BASELINE_CAPS, vendor: "nvidia" };
  const hints =
    process.platform === "linux"
      ? [expect.stringContaining(`--dawn-toggles ${NVIDIA_TOGGLES}`)]
      : [];
  expect(featureAdvice(nvidia, "Dawn (npm webgpu)")).toEqual(hints);
  expect(featureAdvice(nvidia, "wgpu (Deno)")).toEqual([]);
  expect(featureAdvice(BASELINE_CAPS, "Dawn (npm webgpu)")).toEqual([]);
});
