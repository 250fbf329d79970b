/** Statistics from the epilogue of the variants "tiled", "patch" and "patch-winograd"; tests/matrix-units has those of "matrix". */
import { describe, it } from "vitest";
import { useGpu } from "../../support/gpu.ts";
import {
  PATCH_STATISTICS_CASES,
  STATISTICS_CASES,
  checkStatistics,
  statisticsTitle,
} from "./statistics-rows.ts";

const setup = useGpu();

describe.each([
  ["tiled", STATISTICS_CASES],
  ["patch", PATCH_STATISTICS_CASES],
  ["patch-winograd", PATCH_STATISTICS_CASES.filter(({ upsample }) => !upsample)],
] as const)("%s", (variant, cases) => {
  it.each(cases.map((testCase) => [statisticsTitle(testCase), testCase] as const))(
    "%s",
    async (_, testCase) => {
      await checkStatistics(setup.gpu, testCase, variant);
    },
  );
});
