/** Every variant of linear, with weights packed on the GPU, against the definition. */
import { beforeAll, describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import { linear } from "../../../src/kernels/contraction/linear.ts";
import { useGpu } from "../../support/gpu.ts";
import type { LinearRow, PreparedLinear } from "./linear-rows.ts";
import { LINEAR_TABLE, checkLinear, prepareLinear } from "./linear-rows.ts";

const setup = useGpu();

describe.each(LINEAR_TABLE.map((row) => [row.name, row] as const))("%s", (_, row) => {
  let prepared: PreparedLinear;
  beforeAll(async () => {
    prepared = await prepareLinear(setup.gpu, row);
  });

  // linear.test.ts holds what is refused, tests/matrix-units what needs matrix units.
  const variants = linear.variants.filter(
    (variant) => linear.refusal?.(row.problem, BASELINE_CAPS, variant) === null,
  );
  it.each(variants)("%s", async (variant) => {
    await checkLinear(setup.gpu, row, prepared, variant);
  });
});

it("runs the selected variant by default", () => {
  const { problem } = LINEAR_TABLE[0] as LinearRow;
  expect(linear.plan(problem, setup.caps).variant).toBe(linear.select(problem, setup.caps));
});
