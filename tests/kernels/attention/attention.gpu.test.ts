import { describe, it } from "vitest";
import { attention } from "../../../src/kernels/attention/attention.ts";
import { useGpu } from "../../support/gpu.ts";
import { ATTENTION_CASES, attentionTitle, checkAttention } from "./attention-rows.ts";

const setup = useGpu();

// tests/matrix-units has "matrix".
const VARIANTS = attention.variants
  .filter((variant) => variant !== "matrix")
  .flatMap((variant) => (["f32", "f16"] as const).map((dtype) => [variant, dtype] as const));

describe.each(VARIANTS)("attention %s %s", (variant, dtype) => {
  const cases = ATTENTION_CASES.filter(({ only }) => !only || only.includes(variant));
  it.each(cases.map((testCase) => [attentionTitle(testCase), testCase] as const))(
    "%s",
    async (_, testCase) => {
      await checkAttention(setup.gpu, testCase, dtype, variant);
    },
  );
});
