/** Statistics from the epilogue of the variant "tiled"; tests/matrix-units has those of "matrix". */
import { it } from "vitest";
import { useGpu } from "../support/gpu.ts";
import { STATISTICS_CASES, checkStatistics, statisticsTitle } from "./statistics-rows.ts";

const setup = useGpu();

it.each(STATISTICS_CASES.map((testCase) => [statisticsTitle(testCase), testCase] as const))(
  "%s",
  async (_, testCase) => {
    await checkStatistics(setup.gpu, testCase, "tiled");
  },
);
