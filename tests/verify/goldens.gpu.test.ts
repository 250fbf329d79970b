/** Every bundled golden file, in both precisions, on whatever adapter answers. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { verifyFiles } from "../../src/verify/verify.ts";
import { useGpu } from "../support/gpu.ts";
import {
  GOLDEN_FILES,
  collect,
  describeFailures,
  goldenBytes,
  goldenSource,
} from "./golden-fixtures.ts";
import { beyondMeasured } from "./measured.ts";

interface Manifest {
  readonly files: readonly {
    readonly file: string;
    readonly sha256: string;
    readonly cases: readonly string[];
  }[];
}

const manifest = JSON.parse(
  readFileSync(new URL("../fixtures/goldens/manifest.json", import.meta.url), "utf8"),
) as Manifest;

test("the fixtures are what the manifest says", () => {
  expect(GOLDEN_FILES.toSorted()).toEqual(manifest.files.map(({ file }) => file).toSorted());
  for (const { file, sha256 } of manifest.files) {
    expect(createHash("sha256").update(goldenBytes(file)).digest("hex"), file).toBe(sha256);
  }
});

describe.each(["f32", "f16"] as const)("%s", (precision) => {
  const support = useGpu();
  test.each(manifest.files)(
    "$file",
    async ({ file, cases }) => {
      const sources = [goldenSource(file)];
      const findFile = async (name: string) => {
        const { source } = goldenSource(name);
        return typeof source === "function" ? source() : source;
      };
      const results = await collect(verifyFiles(support.gpu, sources, { precision, findFile }));
      expect(results.map((result) => result.case)).toEqual(cases);
      expect(describeFailures(results)).toEqual([]);
      // A GPU is held to the limits of `rcod verify`.
      if (support.caps.isSoftware) expect(beyondMeasured(results, precision)).toEqual([]);
      expect(results.every(({ outputs }) => outputs.length > 0)).toBe(true);
      // Weights and activations of all cases are gone.
      expect(support.gpu.memory.use().byPurpose["weights"]?.current ?? 0).toBe(0);
      expect(support.gpu.memory.use().byPurpose["activations"]?.current ?? 0).toBe(0);
    },
    600_000,
  );
});
