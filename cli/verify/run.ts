/** `rcod verify`: golden files from disk, in every precision and variant requested. */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { withVariants } from "../../src/gpu/device.ts";
import type { VerifySource } from "../../src/verify/verify.ts";
import { verifyFiles } from "../../src/verify/verify.ts";
import { fileSource, folderFiles } from "../../src/weights/sources/node-source.ts";
import { defined } from "../defined.ts";
import { withGpu } from "../gpu.ts";
import { interruptible } from "../interrupt.ts";
import { BUNDLED_GOLDENS } from "../package-root.ts";
import type { Terminal } from "../terminal.ts";
import { parseVariantRounds } from "../variant-option.ts";
import type { VerifyOptions } from "./command.ts";
import { VerifyReport } from "./report.ts";

const DTYPES = ["f32", "f16"] as const;

/**
 * Runs the command; without paths on the golden files of the package, for a verdict in one sentence. Exit code 0
 * when every case passes, 1 when one fails, 2 when the filter fits none. Throws `CliError` when interrupted.
 */
export async function runVerify(options: VerifyOptions, terminal: Terminal): Promise<number> {
  const { path, precision, filter, full = false } = options;
  const isVerdict = path.length === 0;
  const sources = await findSources(isVerdict ? [BUNDLED_GOLDENS] : path);
  const rounds = options.variant ? parseVariantRounds(options.variant) : [null];
  return interruptible((signal) =>
    withGpu(options.dawnToggles, async (gpu) => {
      const report = new VerifyReport(options, isVerdict, gpu.caps, terminal);
      for (const variants of rounds) {
        const forced = variants === null ? gpu : withVariants(gpu, variants);
        report.startRound(variants);
        for (const dtype of precision === undefined ? DTYPES : [precision]) {
          for (const [folder, group] of sources) {
            const results = verifyFiles(forced, group, {
              precision: dtype,
              full,
              ...defined({ filter }),
              signal,
              findFile: (name) => folderFiles(folder).open(name),
              onProgress: report.progress,
            });
            for await (const result of results) report.add(result, dtype);
          }
        }
        report.finishRound();
      }
      return report.finish();
    }),
  );
}

/** Files by folder, in the order of the paths; of a folder every `.safetensors` directly inside. */
async function findSources(
  paths: readonly string[],
): Promise<readonly (readonly [string, VerifySource[]])[]> {
  const byFolder = new Map<string, VerifySource[]>();
  const add = (path: string, open = () => fileSource(path)): void => {
    const folder = dirname(path);
    const group = byFolder.get(folder) ?? [];
    byFolder.set(folder, group);
    group.push({ name: basename(path), source: open });
  };
  for (const path of paths) {
    const stats = await stat(path).catch(() => undefined);
    if (!stats?.isDirectory()) {
      add(path);
      continue;
    }
    const names = (await readdir(path)).filter((name) => name.endsWith(".safetensors")).toSorted();
    for (const name of names) add(join(path, name));
    if (names.length === 0) {
      add(join(path, "*.safetensors"), () =>
        Promise.reject(new Error(`verify: no .safetensors file in ${path}`)),
      );
    }
  }
  return [...byFolder];
}
