/** The golden files that the package carries: small, up to date, right on this adapter, and every kernel is run. */
import { readFileSync, readdirSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import * as exported from "../../src/kernels/index.ts";
import type { Kernel } from "../../src/kernels/kernel.ts";
import { verifyFiles } from "../../src/verify/verify.ts";
import { useGpu } from "../support/gpu.ts";
import { collect, describeFailures, goldenSource } from "./golden-fixtures.ts";
import { packageGoldens } from "./make-package-goldens.ts";
import { beyondMeasured } from "./measured.ts";

const folder = new URL("../../goldens/", import.meta.url);
const files = await packageGoldens();

const isKernel = (value: unknown): value is Kernel<never> =>
  typeof value === "object" && value !== null && "plan" in value && "cost" in value;
const KERNELS = Object.values(exported as object).filter(isKernel);

test("are what make-package-goldens.ts writes, in 300 kB (npm run goldens)", () => {
  expect(readdirSync(folder).toSorted()).toEqual([...files.keys()].toSorted());
  let total = 0;
  for (const [name, bytes] of files) {
    total += bytes.byteLength;
    expect(Buffer.compare(readFileSync(new URL(name, folder)), bytes), name).toBe(0);
  }
  expect(total).toBeLessThanOrEqual(300_000);
});

describe.each(["f32", "f16"] as const)("in %s", (precision) => {
  const support = useGpu();
  test("every case passes, and every kernel is run", async () => {
    const plans = KERNELS.map((kernel) => vi.spyOn(kernel, "plan"));
    const sources = [...files].map(([name, bytes]) => goldenSource(name, bytes));
    const results = await collect(verifyFiles(support.gpu, sources, { precision }));
    const idle = KERNELS.filter((_, i) => plans[i]?.mock.calls.length === 0);
    expect({ failures: describeFailures(results), idle: idle.map(({ name }) => name) }).toEqual({
      failures: [],
      idle: [],
    });
    expect(KERNELS.length).toBeGreaterThan(20);
    if (support.caps.isSoftware) expect(beyondMeasured(results, precision)).toEqual([]);
  }, 600_000);
});
