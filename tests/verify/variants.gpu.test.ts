/** Golden cases with every variant of every kernel forced in turn: a selection; `rcod verify --variant all` runs all. */
import { describe, expect, test } from "vitest";
import { withVariants } from "../../src/gpu/device.ts";
import { KERNEL_VARIANTS, variantRounds } from "../../src/kernels/variant-choice.ts";
import { verifyFiles } from "../../src/verify/verify.ts";
import { useGpu } from "../support/gpu.ts";
import { collect, describeFailures, goldenSource } from "./golden-fixtures.ts";
import { beyondMeasured } from "./measured.ts";

/** Few distinct pipelines: they are what costs time here. */
const SELECTION = [
  ["ops_conv", "conv3x3_s1_p1_a"],
  ["lora_ops", "conv3x3_s2"],
  ["ops_linear_act", "linear_a"],
  ["ops_linear_act", "geglu_odd"],
  ["ops_attention", "self_35_h3_d40"],
  ["ops_norm", "ln_odd"],
] as const;

describe("golden cases in forced variants", () => {
  const support = useGpu();
  const asRequested = new Set<string>();

  test.each(variantRounds().map((round) => [JSON.stringify(round), round] as const))(
    "%s",
    async (_, round) => {
      const gpu = withVariants(support.gpu, round);
      for (const [file, name] of SELECTION) {
        const sources = [goldenSource(`${file}.safetensors`)];
        const options = { precision: "f32", filter: `/${name}` } as const;
        const results = await collect(verifyFiles(gpu, sources, options));
        expect(results.map((result) => result.case)).toEqual([name]);
        expect(describeFailures(results)).toEqual([]);
        if (support.caps.isSoftware) expect(beyondMeasured(results, "f32")).toEqual([]);
        for (const pair of Object.keys(results[0]?.variants?.asRequested ?? {}))
          asRequested.add(pair);
      }
    },
  );

  test("none was refused everywhere, and what was refused is told", async () => {
    // concat-channels' two are for different problems: tests/kernels/concat-channels.gpu.test.ts runs both. Matrix units are
    // on no device here: tests/matrix-units runs the golden files on them.
    const all = Object.entries(KERNEL_VARIANTS).flatMap(([kernel, variants]) =>
      kernel === "concat-channels"
        ? []
        : variants
            .filter((variant) => !variant.startsWith("matrix"))
            .map((variant) => `${kernel}=${variant}`),
    );
    expect([...asRequested].toSorted()).toEqual(all.toSorted());
    const gpu = withVariants(support.gpu, { linear: "matrix" });
    const options = { precision: "f32", filter: "geglu_odd" } as const;
    const source = goldenSource("ops_linear_act.safetensors");
    const [result] = await collect(verifyFiles(gpu, [source], options));
    expect(result?.variants).toEqual({
      asRequested: {},
      refused: { "linear=matrix: matrix units take f16 storage, got f32": 1 },
    });
  });
});
