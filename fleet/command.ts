/** `rcod fleet`: options of its commands only; their work, and the packages that it needs, load when one runs. */
import { Option } from "commander";
import type { CommandDefinition, RegisterCommand } from "../cli/command.ts";
import { defineCommand, parseInteger, parseNumber } from "../cli/command.ts";
import { addPieceOptions, modelOption } from "../cli/model-paths.ts";
import type { ControlOptions, FailedOptions, StatusOptions } from "./control/run.ts";
import { addJobOptions } from "./job.ts";
import { RETRY_SECONDS } from "./queue/job-store.ts";
import { addQueueOptions } from "./queue/with-store.ts";
import type { SubmitOptions } from "./submit/run.ts";
import type { WorkerOptions } from "./worker/run.ts";

const submitCommand = defineCommand<SubmitOptions>((fleet) => {
  const command = addQueueOptions(
    fleet
      .command("submit")
      .summary("put pictures into the queue")
      .description(
        "Makes a job of each picture: files, folders, globs, lists of them (@FILE or FILE.txt, an address a line), " +
          "s3://bucket/prefix. Workers read the same addresses. Submitting twice changes nothing: what is queued or " +
          "done is left alone.",
      )
      .argument("<input...>", "files, folders, globs in quotes, lists, s3://bucket/prefix")
      .requiredOption("--to <address>", "folder or s3://bucket/prefix for results"),
  )
    .option("--watch", "follow the jobs to their end")
    .option("--recursive", "search folders below folders, and make the same ones below --to")
    .option("--force", "make results anew that are there")
    .option("--by-time", "know files by size and time instead of content (quicker to submit)")
    .option(
      "--retry-delay <seconds>",
      "before the second try of a job that failed; twice that before the third",
      parseNumber(0, 86_400),
      RETRY_SECONDS,
    )
    .addOption(modelOption());
  return addJobOptions(addPieceOptions(command))
    .option("--json", "print one JSON object with counts")
    .option("--quiet", "no progress, no notes and no summary, only errors");
});

const workCommand = defineCommand<WorkerOptions>((fleet) =>
  addPieceOptions(
    addQueueOptions(
      fleet
        .command("work")
        .summary("take jobs from the queue and upscale")
        .description(
          "Takes jobs until it is told to stop (SIGTERM, Ctrl-C). The model stays loaded. Start one for each GPU.",
        ),
    )
      .option(
        "--gpu <n>",
        "the GPU to use where there are several, counted from 0",
        parseInteger(0),
      )
      .option(
        "--concurrency <n>",
        "how many pictures are read, computed and written side by side; more helps where they are small",
        parseInteger(1, 64),
        1,
      )
      .option(
        "--idle-exit [seconds]",
        "end where no job came for so long (default: 10)",
        parseNumber(0, 86_400),
      )
      .option(
        "--lock <seconds>",
        "a worker that is not heard of for so long loses its job",
        parseNumber(1, 86_400),
        300,
      )
      .option(
        "--grace <seconds>",
        "what a job gets to finish after the signal to stop, before it is given back",
        parseNumber(0, 86_400),
        25,
      )
      .option(
        "--max-input-megapixels <n>",
        "refuse pictures with more",
        parseNumber(1e-6, 1e6),
        250,
      )
      .option("--max-input-megabytes <n>", "refuse files with more", parseNumber(1e-6, 2000), 500)
      .addOption(
        new Option(
          "--allow <address...>",
          "refuse jobs that read or write anywhere but below these folders and prefixes",
        ),
      )
      .addOption(modelOption()),
  )
    .option("--autotune", "measure kernel variants first, where that was not done yet (rcod tune)")
    .option("--no-autotune", "kernels' own choice of variants, whatever was measured")
    .option("--low-memory", "keep only the weights of the stage that runs on the GPU")
    .option("--json", "print one JSON object at the end")
    .option("--quiet", "nothing but errors"),
);

const statusCommand = defineCommand<StatusOptions>((fleet) =>
  addQueueOptions(fleet.command("status").summary("jobs by state, speed of each worker, time left"))
    .option("--prometheus", "in the text format of Prometheus")
    .option("--json", "as one JSON object"),
);

const failedCommand = defineCommand<FailedOptions>((fleet) =>
  addQueueOptions(fleet.command("failed").summary("jobs that were given up, and why"))
    .option("--retry", "try all of them again")
    .option("--limit <n>", "list so many at most", parseInteger(1))
    .option("--json", "as one JSON object"),
);

const order = (name: string, summary: string): CommandDefinition<ControlOptions> =>
  defineCommand<ControlOptions>((fleet) =>
    addQueueOptions(fleet.command(name).summary(summary)).option("--json", "as one JSON object"),
  );

const COMMANDS: readonly RegisterCommand[] = [
  submitCommand(async () => (await import("./submit/run.ts")).runSubmit),
  workCommand(async () => (await import("./worker/run.ts")).runWork),
  statusCommand(async () => (await import("./control/run.ts")).runStatus),
  failedCommand(async () => (await import("./control/run.ts")).runFailed),
  order(
    "pause",
    "no new jobs for workers",
  )(async () => (await import("./control/run.ts")).runPause),
  order("resume", "end a pause")(async () => (await import("./control/run.ts")).runResume),
  order(
    "drain",
    "take back all jobs that nobody has begun",
  )(async () => (await import("./control/run.ts")).runDrain),
];

/** Adds `rcod fleet` and its commands. */
export const fleetCommand: RegisterCommand = (program, context) => {
  const fleet = program
    .command("fleet")
    .summary("batches over several GPUs and machines, by a queue on Redis")
    .description(
      "Batches over several GPUs and machines. Jobs wait in a queue of BullMQ on Redis or Valkey; pictures stay in " +
        "folders or buckets. Needs the packages bullmq and ioredis, for buckets @aws-sdk/client-s3.",
    );
  for (const register of COMMANDS) register(fleet, context);
};
