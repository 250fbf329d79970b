/** The runner must be able to fail: wrong values, wrong weights, unknown kinds, broken files. */
import { describe, expect, test } from "vitest";
import { withVariants } from "../../src/gpu/device.ts";
import { verifyFiles } from "../../src/verify/verify.ts";
import { bytesSource } from "../../src/weights/sources/source.ts";
import { useGpu } from "../support/gpu.ts";
import {
  collect,
  goldenBytes,
  goldenSource,
  withChangedMetadata,
  withChangedValue,
} from "./golden-fixtures.ts";

const RESIZE = "ops_resize_time.safetensors";
const F32 = { precision: "f32" } as const;

describe("verifyFiles", () => {
  const support = useGpu();
  const run = (
    name: string,
    bytes: Uint8Array,
    options: Partial<Parameters<typeof verifyFiles>[2]> = {},
  ) => collect(verifyFiles(support.gpu, [goldenSource(name, bytes)], { ...F32, ...options }));

  test.each(["f32", "f16"] as const)(
    "one wrong value in an expected output fails its case alone, %s",
    async (precision) => {
      const bytes = withChangedValue(goldenBytes(RESIZE), "nearest_size_2to3/outputs/y", 0.1);
      const results = await run(RESIZE, bytes, { precision });
      expect(
        results.filter(({ status }) => status === "fail").map((result) => result.case),
      ).toEqual(["nearest_size_2to3"]);
      expect(results.length).toBeGreaterThan(4);
    },
  );

  test("another recipe variant fails the networks made from it, and names the first wrong module", async () => {
    const name = "tiny_vae_b.safetensors";
    const bytes = withChangedMetadata(goldenBytes(name), (metadata) => {
      metadata["seed_xor"] = "0x00000001";
    });
    const [result] = await run(name, bytes);
    expect(result?.status).toBe("fail");
    expect(result?.note).toMatch(/first divergent module: encoder\.conv_in /);
  }, 600_000);

  test("an op that nobody knows fails, and the others go on", async () => {
    const bytes = withChangedMetadata(goldenBytes(RESIZE), (_metadata, cases) => {
      for (const parameters of Object.values(cases)) {
        if (parameters["op"] === "nearest") parameters["op"] = "farthest";
      }
    });
    const results = await run(RESIZE, bytes);
    const failing = results.filter(({ status }) => status === "fail");
    expect(failing.length).toBe(5);
    expect(failing[0]?.note).toBe('verify: unsupported op "farthest"');
    expect(results.some(({ status }) => status === "pass")).toBe(true);
  });

  test.each(["toString", "constructor", "__proto__"])(
    "an op named %s is unsupported",
    async (op) => {
      const bytes = withChangedMetadata(goldenBytes(RESIZE), (_metadata, cases) => {
        for (const parameters of Object.values(cases)) parameters["op"] = op;
      });
      const [result] = await run(RESIZE, bytes, { filter: "timestep_mlp" });
      expect(result?.note).toMatch(/unsupported op/);
    },
  );

  test("a missing parameter is named", async () => {
    const name = "ops_norm.safetensors";
    const bytes = withChangedMetadata(goldenBytes(name), (_metadata, cases) => {
      delete cases["ln_tiny"]?.["eps"];
    });
    const [result] = await run(name, bytes, { filter: "ln_tiny" });
    expect(result?.note).toBe(
      'verify: "eps" must be a number, got nothing (ops_norm.safetensors ln_tiny)',
    );
  });

  test("files that cannot be run are failing results", async () => {
    const sources = [
      goldenSource("empty.safetensors", new Uint8Array()),
      { name: "absent.safetensors", source: () => Promise.reject(new Error("no such file")) },
      goldenSource(
        RESIZE,
        withChangedMetadata(goldenBytes(RESIZE), (metadata) => {
          metadata["cases"] = "no JSON";
        }),
      ),
      { name: RESIZE, source: bytesSource(RESIZE, goldenBytes(RESIZE)) },
    ];
    const results = await collect(
      verifyFiles(support.gpu, sources, { ...F32, filter: "nearest_x2_a" }),
    );
    expect(results.map(({ status }) => status)).toEqual(["fail", "fail", "fail", "pass"]);
    expect(results[1]?.note).toBe("no such file");
    expect(results[2]?.note).toMatch(/"cases" is no JSON/);
  });

  test("full-size files are skipped and say so, unless asked for", async () => {
    const bytes = goldenBytes(RESIZE);
    for (const name of ["full_unet.safetensors", "e2e_64.safetensors"]) {
      expect((await run(name, bytes)).map(({ status }) => status)).toEqual(["skipped"]);
      const results = await run(name, bytes, { full: true, filter: "nearest_x2_a" });
      expect(results.map(({ status }) => status)).toEqual(["pass"]);
    }
  });

  test("a forced variant is used, and an abort ends the run", async () => {
    const name = "ops_attention.safetensors";
    const gpu = withVariants(support.gpu, { attention: "naive" });
    const options = { ...F32, filter: "self_35_h3_d40" };
    const [result] = await collect(verifyFiles(gpu, [goldenSource(name)], options));
    expect(result).toMatchObject({
      status: "pass",
      variants: { asRequested: { "attention=naive": 1 }, refused: {} },
    });
    await expect(
      run(name, goldenBytes(name), { signal: AbortSignal.abort(new Error("enough")) }),
    ).rejects.toThrow("enough");
  });
});
