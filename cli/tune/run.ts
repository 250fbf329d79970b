/** `rcod tune`: a line per class of problems as it comes, the table into the cache folder at the end. */
import { dirname } from "node:path";
import { fasterDType } from "../../src/gpu/caps.ts";
import type { Candidate, TuneResult } from "../../src/graph/measure/tune.ts";
import { fileTuningStore, tuningFilePath } from "../../src/node/tuning-file.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { tuneModel } from "../../src/rcod/tuning/autotune.ts";
import { withTable } from "../../src/rcod/tuning/tuning-table.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { writableError } from "../atomic-write.ts";
import { CliError, EXIT, systemReason } from "../errors.ts";
import { adapterName, formatMs } from "../format.ts";
import { withGpu } from "../gpu.ts";
import { interruptible } from "../interrupt.ts";
import type { Terminal } from "../terminal.ts";
import type { TuneOptions } from "./command.ts";

/** Runs the command. Exit code 0. Throws `CliError` when interrupted, and then nothing is stored. */
export async function runTune(options: TuneOptions, terminal: Terminal): Promise<number> {
  const { json = false, size, budget } = options;
  const error = await writableError(dirname(tuningFilePath()));
  if (error !== undefined) throw error; // better now than after minutes
  return interruptible(async (signal) => {
    const configs = await readConfigs(folderFiles(options.model), signal);
    return withGpu(options.dawnToggles, async (gpu) => {
      const dtype = options.precision ?? fasterDType(gpu.caps);
      if (!json) terminal.out(`${adapterName(gpu.caps)}, ${dtype}, ${size.join(" × ")}`);
      const { table, results, classes, clock } = await tuneModel(gpu, configs, dtype, {
        size,
        budgetMs: 1000 * budget,
        signal,
        onResult: (result, done, total) => {
          const line = `${done}/${total} ${resultLine(result)}`;
          if (json) terminal.note(line);
          else terminal.out(line);
        },
      });
      await store(table);
      if (json) terminal.out(JSON.stringify({ table, results, classes, clock }));
      else {
        terminal.out(
          `${results.length} of ${classes} classes measured (${clock}), another variant for ` +
            `${Object.keys(table.variants).length}; stored in ${tuningFilePath()}`,
        );
      }
      return EXIT.ok;
    });
  });
}

async function store(table: Parameters<typeof withTable>[1]): Promise<void> {
  const file = fileTuningStore();
  try {
    await file.write(withTable(await file.read(), table));
  } catch (error) {
    throw new CliError(`the table cannot be stored in ${tuningFilePath()}: ${systemReason(error)}`);
  }
}

function resultLine({ key, steps, defaultVariant, chosen, candidates }: TuneResult): string {
  const times = candidates.map((candidate) => describe(candidate)).join(", ");
  return `${key} ×${steps}: ${chosen}${chosen === defaultVariant ? "" : ` (not ${defaultVariant})`}; ${times}`;
}

function describe({ variant, medianMs, rejected }: Candidate): string {
  const time = Number.isFinite(medianMs) ? ` ${formatMs(medianMs)}` : "";
  return `${variant}${time}${rejected === undefined ? "" : ` (${rejected})`}`;
}
