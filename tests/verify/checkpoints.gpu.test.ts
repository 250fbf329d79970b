/** The golden file of models in checkpoint files: every step of both instances, against PyTorch. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { expect, test } from "vitest";
import type { CaseResult } from "../../src/verify/verify.ts";
import { verifyFiles } from "../../src/verify/verify.ts";
import type { FileSet } from "../../src/weights/index.ts";
import { memoryFiles } from "../../src/weights/index.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { rcodSFiles } from "../rcod/rcod-s-sample.ts";
import { useGpu } from "../support/gpu.ts";
import { SAMPLE_EXPECTED } from "../support/samples.ts";
import {
  collect,
  describeFailures,
  goldenSource,
  withChangedMetadata,
  withChangedValue,
} from "./golden-fixtures.ts";

const support = useGpu();

type Json = Record<string, unknown>;

/** The golden file; of the forms of a checkpoint that it names only those that the fixtures have. */
function golden(
  change: (cases: Record<string, Json>) => void = () => undefined,
): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(readFileSync(SAMPLE_EXPECTED));
  return Uint8Array.from(
    withChangedMetadata(bytes, (_metadata, cases) => {
      Object.assign(cases["rcod_o"] as Json, {
        checkpoint: "rcod_o_torch2.pkl",
        checkpoint_variants: ["rcod_o_legacy.pkl", "rcod_o_strided.pkl"],
      });
      (cases["rcod_s"] as Json)["de_net_variants"] = [];
      change(cases);
    }),
  );
}

/** sd-tiny, turbo-tiny, clip-tiny and the checkpoints, in one folder. */
async function folder(): Promise<FileSet> {
  const made = new Map<string, Uint8Array>();
  for (const [path, bytes] of await rcodSFiles()) {
    if (/^(unet|vae)\//.test(path)) made.set(`turbo-tiny/${path}`, bytes);
    else if (path === "rcod_s.pkl") made.set(path, bytes);
  }
  const sets = [
    memoryFiles(made),
    folderFiles(new URL("../fixtures/samples", import.meta.url).pathname),
    folderFiles(new URL("../fixtures/torch", import.meta.url).pathname),
  ];
  return {
    name: "checkpoints",
    async open(path) {
      for (const set of sets) {
        const source = await set.open(path);
        if (source !== null) return source;
      }
      return null;
    },
  };
}

async function verify(bytes: Uint8Array, filter = ""): Promise<CaseResult[]> {
  const files = await folder();
  return collect(
    verifyFiles(support.gpu, [goldenSource(basename(SAMPLE_EXPECTED), bytes)], {
      precision: "f32",
      filter,
      findFile: (path) => files.open(path),
    }),
  );
}

test("from the files to the picture, and nothing stays on the device", async () => {
  const results = await verify(golden());
  expect(describeFailures(results)).toEqual([]);
  // llvmpipe measures a 24th of these limits or less; three times that is the rule of measured.ts.
  const share = support.caps.isSoftware ? 1 / 8 : 1;
  for (const { output, relRms, limit } of results.flatMap(({ outputs }) => outputs))
    if (limit.on === "relRms") expect(relRms, output).toBeLessThanOrEqual(share * limit.value);
  const outputs = Object.fromEntries(
    results.map((result) => [result.case, result.outputs.map(({ output }) => output)]),
  );
  expect(Object.keys(outputs)).toEqual(["rcod_o", "rcod_s", "counts"]);
  expect(outputs["rcod_o"]).toEqual(
    expect.arrayContaining([
      "tokens",
      "latent",
      "eps_t499",
      "image_t249",
      "image_u8_t749",
      "merged/vae/quant_conv.weight",
      "rcod_o_legacy.pkl",
      "rcod_o_strided.pkl",
    ]),
  );
  expect(outputs["rcod_s"]).toEqual(
    expect.arrayContaining([
      "degrees",
      "m_l",
      "m_unet",
      "adaptive_timestep",
      "clip_pixel_values",
      "latent",
      "image_t749",
      "rcod_s_mem_big_endian.pkl",
    ]),
  );
  expect(outputs["counts"]).toHaveLength(13);
  const { weights, activations, images } = support.gpu.memory.use().byPurpose;
  for (const use of [weights, activations, images]) expect(use?.current ?? 0).toBe(0);
}, 600_000);

test("a count, a file or a value that is not so fails, in words", async () => {
  const counts = golden((cases) => {
    (cases["counts"] as { rcod_s: Json }).rcod_s["unet_targets"] = 165;
  });
  const [counted] = await verify(counts, "counts");
  expect(counted?.outputs.filter(({ pass }) => !pass).map(({ output }) => output)).toEqual([
    "rcod_s unet_targets",
  ]);
  const absent = golden((cases) => {
    (cases["rcod_s"] as Json)["mem_variants"] = ["none.pkl"];
    (cases["rcod_o"] as Json)["base"] = "nowhere";
  });
  const [base, mem] = await verify(absent, "rcod_");
  expect(base?.note).toContain("no model in nowhere with image_encoder/ from clip-tiny");
  expect(mem?.note).toBe('verify: file "none.pkl" is missing (expected.safetensors)');
  const name = "rcod_s/outputs/m_vae";
  const [changed] = await verify(withChangedValue(golden(), name, 1), "rcod_s");
  expect(changed?.outputs.filter(({ pass }) => !pass).map(({ output }) => output)).toEqual([
    "m_vae",
  ]);
}, 600_000);
