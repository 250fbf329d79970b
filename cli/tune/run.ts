/** `rcod tune`: a line per class of problems as it comes, the table into the cache folder at the end. */
import { fasterDType } from "../../src/gpu/caps.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Candidate, TuneResult } from "../../src/graph/measure/tune.ts";
import { requestNodeGpu } from "../../src/node/gpu.ts";
import { fileTuningStore, tuningFilePath } from "../../src/node/tuning-file.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { tuneModel } from "../../src/rcod/tuning/autotune.ts";
import { withTable } from "../../src/rcod/tuning/tuning-table.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { adapterName } from "../bench/report.ts";
import { CliError, EXIT, systemReason } from "../errors.ts";
import { formatMs } from "../format.ts";
import { listenForInterrupt } from "../interrupt.ts";
import type { TuneOptions } from "./command.ts";

/** Runs the command. Exit code 0; 128 + signal when interrupted, and then nothing is stored. */
export async function runTune(options: TuneOptions): Promise<number> {
  const { terminal, json, size, budgetMs } = options;
  const interrupt = listenForInterrupt();
  let gpu: Gpu | undefined;
  try {
    const configs = await readConfigs(folderFiles(options.model), interrupt.signal);
    gpu = await requestNodeGpu({ toggles: options.dawnToggles });
    const dtype = options.precision ?? fasterDType(gpu.caps);
    if (!json) terminal.out(`${adapterName(gpu.caps)}, ${dtype}, ${size.join(" × ")}`);
    const { table, results, classes, clock } = await tuneModel(gpu, configs, dtype, {
      size,
      budgetMs,
      signal: interrupt.signal,
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
  } catch (error) {
    if (interrupt.exitCode === 0) throw error;
    throw new CliError("interrupted", interrupt.exitCode);
  } finally {
    interrupt.stop();
    gpu?.destroy();
  }
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
