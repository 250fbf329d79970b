/** Every variant of conv2d, with weights packed on the GPU, against the definition. */
import { beforeAll, describe, expect, it } from "vitest";
import { BASELINE_CAPS } from "../../../src/gpu/caps.ts";
import type { Conv2dVariant } from "../../../src/kernels/contraction/conv2d.ts";
import { conv2d } from "../../../src/kernels/contraction/conv2d.ts";
import { useGpu } from "../../support/gpu.ts";
import type { Conv2dRow, PreparedConv2d } from "./conv2d-rows.ts";
import { CONV2D_TABLE, checkConv2d, prepareConv2d } from "./conv2d-rows.ts";

const setup = useGpu();

/**
 * What does not refuse the problem. In f16, which differs by how quads are read alone, the variants that compile
 * longest run on two sizes of map only.
 */
function variantsOf({ problem }: Conv2dRow): readonly Conv2dVariant[] {
  const isBrief = problem.dtype === "f16" && ![3, 9].includes(problem.inHeight);
  return conv2d.variants.filter(
    (variant) =>
      conv2d.refusal?.(problem, BASELINE_CAPS, variant) === null &&
      !(isBrief && (variant.startsWith("patch") || variant === "tiled-split")),
  );
}

describe.each(CONV2D_TABLE.map((row) => [row.name, row] as const))("%s", (_, row) => {
  let prepared: PreparedConv2d;
  beforeAll(async () => {
    prepared = await prepareConv2d(setup.gpu, row);
  });

  it.each(variantsOf(row))("%s", async (variant) => {
    await checkConv2d(setup.gpu, row, prepared, variant);
  });
});

it("runs every variant on every kind of problem that it does not refuse", () => {
  const rowsOf = (variant: Conv2dVariant) =>
    CONV2D_TABLE.filter((row) => variantsOf(row).includes(variant));
  expect(rowsOf("tiled")).toEqual(CONV2D_TABLE);
  const unpatched = CONV2D_TABLE.filter((row) => !rowsOf("patch").includes(row));
  expect(unpatched.every((row) => row.stride > 1 || row.problem.dtype === "f16")).toBe(true);
  const kinds = (dtype: string, variant: Conv2dVariant = "tiled-split") =>
    rowsOf(variant)
      .filter(({ problem }) => problem.dtype === dtype)
      .map(({ upsample, shortcut }) => `${upsample} ${shortcut.length}`);
  const winograd = new Set(["false 0", "false 1", "false 2"]);
  expect(new Set(kinds("f32", "patch-winograd"))).toEqual(winograd);
  expect(new Set(kinds("f32"))).toEqual(new Set(["false 0", "true 0", "false 1", "false 2"]));
  expect(new Set(kinds("f16"))).toEqual(new Set(["false 0", "true 0", "false 2"]));
});

it("runs the selected variant by default", () => {
  const { problem } = CONV2D_TABLE[0] as Conv2dRow;
  expect(conv2d.plan(problem, setup.caps).variant).toBe(conv2d.select(problem, setup.caps));
});
