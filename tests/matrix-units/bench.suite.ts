/** The benchmark on a device with matrix units: their peak, which is checked, and the variant among the others. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { runKernelSuite } from "../../src/bench/kernel-suite.ts";
import { matrixPeak } from "../../src/bench/matrix-peak.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";
import { runKernel } from "../support/gpu.ts";
import { openMatrixGpu } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openMatrixGpu();
});
afterAll(() => gpu.destroy());

it("the loop of the peak multiplies as often as it says", async () => {
  const units = gpu.caps.matrixUnits as MatrixUnits;
  const { M, N, K } = units;
  const [workgroups, steps] = [2, 5];
  const x = Float32Array.from({ length: 16 }, (_, i) => (i % 7) / 64);
  const { plan, byteLength } = matrixPeak(units, gpu.caps, workgroups, steps);
  const { y } = await runKernel(gpu, plan, { x: new Uint8Array(x.buffer) }, { y: byteLength });
  const sums = new Float32Array((y as Uint8Array<ArrayBuffer>).buffer);
  const element = (at: number): number => {
    const quad = Math.floor(at / 4) % 4;
    return (x[4 * quad + (at % 4)] as number) + quad / 64;
  };
  sums.forEach((sum, i) => {
    const [row, column] = [Math.floor(i / N) % M, i % N];
    let product = 0;
    for (let k = 0; k < K; k++) product += element(row * K + k) * element(k * N + column);
    if (sum !== 8 * steps * product) expect(sum, `sum ${i}`).toBe(8 * steps * product); // exact
  });
});

it("times the variant beside the others, against the units' own peak", async () => {
  const shape = { kind: "linear", rows: 64, from: [64], to: 64, epilogue: "bias" } as const;
  const { settings, cases } = await runKernelSuite(gpu, {
    dtype: "f16",
    minMs: 0.1,
    samples: 1,
    variants: { linear: "matrix" },
    cases: [{ name: "layer", count: 1, shape }],
    rooflineSizes: { copyBytes: 65_536, fmaWorkgroups: 2, fmaSteps: 8 },
  });
  expect(settings.roofline.matrixGflops).toBeGreaterThan(0);
  const record = cases[0]?.variants.find(({ variant }) => variant === "matrix");
  expect(record).toMatchObject({ selected: false, check: { pass: true } });
  expect(record?.rooflinePercent).toBeGreaterThan(0);
});
