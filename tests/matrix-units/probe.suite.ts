/** What a device with matrix units finds out about them, and what it does about those that are wrong. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { adoptDevice, withMatrixUnits } from "../../src/gpu/device.ts";
import { matrixFailure, probeMatrixUnits, probeWgsl } from "../../src/gpu/matrix-probe.ts";
import type { MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";
import { NEWER_SPELLINGS } from "../../src/gpu/subgroup-matrix.ts";
import { openMatrixGpu } from "./support.ts";

const SPELLINGS = [...NEWER_SPELLINGS, "flag"] as const;

let gpu: Gpu;
let units: MatrixUnits;
beforeAll(async () => {
  gpu = await openMatrixGpu();
  units = gpu.caps.matrixUnits as MatrixUnits;
});
afterAll(() => gpu.destroy());

describe("the probe", () => {
  it("finds the shape that adds in f32", () => {
    const shapes = gpu.caps.subgroupMatrixConfigs.filter(
      ({ componentType, resultComponentType }) =>
        componentType === "f16" && resultComponentType === "f32",
    );
    expect(shapes).toContainEqual(expect.objectContaining({ M: units.M, N: units.N, K: units.K }));
    expect(gpu.caps.matrixRefusal).toBeNull();
  });

  it.each(SPELLINGS)("is right in the spelling %s", async (spelling) => {
    expect(await matrixFailure(gpu.device, { ...units, spelling })).toBeNull();
  });

  it("is asked for on a device that is shared", async () => {
    const adopted = adoptDevice(gpu.device);
    expect([adopted.caps.matrixUnits, adopted.caps.matrixRefusal]).toEqual([null, "not probed"]);
    const probed = await withMatrixUnits(adopted);
    // A device's own info may list no shapes.
    const { subgroupMatrixConfigs } = probed.caps;
    expect(probed.caps).toEqual({ ...gpu.caps, subgroupMatrixConfigs, memoryBudget: undefined });
    expect(probed.pipelines.size).toBe(0);
    probed.destroy();
  });

  it("refuses a shape that the device lacks, and the device lives on", async () => {
    const wide = { ...gpu.caps.subgroupMatrixConfigs[0], M: 16, N: 16, K: 16 };
    const offered = { ...wide, componentType: "f16", resultComponentType: "f32" };
    const caps = { ...gpu.caps, subgroupMatrixConfigs: [offered] };
    const { units: found, refusal } = await probeMatrixUnits(gpu.device, caps);
    expect(found).toBeNull();
    expect(refusal).toMatch(/^their probe fails: 16×16×16 in subgroups of .*Subgroup matrix usage/);
    expect(await matrixFailure(gpu.device, units)).toBeNull();
    gpu.throwIfFailed();
  });

  it("refuses wrong numbers", async () => {
    const wrongNumbers = (wgsl: string) => wgsl.replace("% 59u", "% 58u");
    const device = new Proxy(gpu.device, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        return (...args: unknown[]) => {
          const [descriptor] = args as [{ code?: string }];
          const changed =
            name === "createShaderModule" && descriptor.code !== undefined
              ? [{ ...descriptor, code: wrongNumbers(descriptor.code) }]
              : args;
          return (member as (...given: unknown[]) => unknown).apply(target, changed);
        };
      },
    });
    const { units: found, refusal } = await probeMatrixUnits(device, gpu.caps);
    expect(found).toBeNull();
    expect(refusal).toMatch(/^their probe fails: .* gives \d+, not \d+$/);
  });
});

it.each(SPELLINGS)("Tint accepts 16×16×16 in subgroups of 32 as %s", async (spelling) => {
  const large = { M: 16, N: 16, K: 16, subgroupSize: 32, pinsSubgroupSize: true, spelling };
  gpu.device.pushErrorScope("validation");
  const module = gpu.device.createShaderModule({ code: probeWgsl(large) });
  const { messages } = await module.getCompilationInfo();
  expect((await gpu.device.popErrorScope())?.message).toBeUndefined();
  expect(messages.filter(({ type }) => type === "error")).toEqual([]);
});
