/** `npm run bench:compilers`: options, output, exit code. */
import { writeFile } from "node:fs/promises";
import { messageOf } from "../../src/gpu/errors.ts";
import { readConfigs } from "../../src/rcod/loading/read-configs.ts";
import { stageGraphs } from "../../src/rcod/networks/stage-graphs.ts";
import { vaeFactor } from "../../src/rcod/settings/config.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import { chartSvg } from "./chart.ts";
import { compare } from "./check.ts";
import { GOLDEN, readRecord, writeDocs } from "./docs.ts";
import { NoDrivers, fetchDrivers } from "./drivers.ts";
import type { Options } from "./options.ts";
import { OptionError, USAGE, parseOptions } from "./options.ts";
import { CAVEAT, boundSentence, runText } from "./print.ts";
import type { CompilersRecord } from "./record.ts";
import { recordText } from "./record.ts";
import { runAll } from "./run.ts";

const NO_DRIVERS = 77;

/** Returns the exit code: 0, 1 where a kernel became worse or something fails, 2 for bad usage, 77 without drivers. */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(argv);
    if (options.does === "help") {
      process.stdout.write(USAGE);
      return 0;
    }
    if (options.does === "docs") {
      await writeDocs();
      return 0;
    }
    await checkModel(options);
    const folder = await fetchDrivers(note);
    const record = await runAll(folder, options, note);
    if (options.svg !== null) await writeFile(options.svg, chartSvg(record));
    if (options.does === "accept") {
      await writeFile(GOLDEN, recordText(record));
      await writeDocs();
    }
    if (options.json) process.stdout.write(recordText(record));
    if (options.does === "check") return await check(record, options);
    // A filter may leave nothing of a run: patch convolutions of one on matrix units.
    const runs = Object.values(record.runs).filter(
      ({ kernels }) => Object.keys(kernels).length > 0,
    );
    if (runs.length === 0)
      throw new OptionError(
        `--filter must be part of a shader's label, e.g. conv2d/patch, got "${options.filter}"`,
      );
    const show = options.does === "accept" ? boundSentence : runText;
    const text = [...runs.map(show), CAVEAT].join("\n");
    (options.json ? process.stderr : process.stdout).write(text);
    return 0;
  } catch (error) {
    if (error instanceof OptionError) {
      process.stderr.write(`${error.message}\n\n${USAGE}`);
      return 2;
    }
    if (error instanceof NoDrivers) {
      process.stderr.write(
        `\n*** NOT COMPILED: kernels for GPUs that are not here (bench:compilers): ${error.message}\n\n`,
      );
      return NO_DRIVERS;
    }
    process.stderr.write(`bench:compilers: ${messageOf(error)}\n`);
    return 1;
  }
}

const note = (text: string): void => void process.stderr.write(`${text}\n`);

/** Plans nothing yet, but finds what is wrong with a model or a size before anything is fetched. */
async function checkModel({ model, size: [width, height], precisions }: Options): Promise<void> {
  try {
    const configs = await readConfigs(folderFiles(model));
    const factor = vaeFactor(configs.vae);
    if (width % factor !== 0 || height % factor !== 0)
      throw new OptionError(`sides must be multiples of ${factor}, by which the VAE divides them`);
    for (const dtype of precisions) stageGraphs(configs, height, width, dtype);
  } catch (error) {
    throw new OptionError(`--model ${model} --size ${width}x${height}: ${messageOf(error)}`);
  }
}

async function check(record: CompilersRecord, { filter }: Options): Promise<number> {
  const golden = await readRecord(GOLDEN);
  if (golden.mesa !== record.mesa)
    note(
      `the table was made with Mesa ${golden.mesa}, this is ${record.mesa}: differences may be Mesa's`,
    );
  const { worse, notes } = compare(golden, record, filter);
  for (const line of notes) process.stdout.write(`note   ${line}\n`);
  for (const line of worse) process.stdout.write(`WORSE  ${line}\n`);
  const runs = Object.keys(record.runs).join(", ");
  process.stdout.write(
    worse.length === 0
      ? `compilers: no kernel is worse than on ${golden.date} (${runs})\n`
      : `compilers: ${worse.length} worse than on ${golden.date} (${runs}). Where it is worth it, npm run bench:compilers -- --accept\n`,
  );
  return worse.length === 0 ? 0 : 1;
}
