/** The queue of a command: options that name it, and a connection for as long as the command needs it. */
import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { usageError } from "../../cli/errors.ts";
import type { Terminal } from "../../cli/terminal.ts";
import { checkQueueUrl, connectQueue } from "./connection.ts";
import type { JobStore } from "./job-store.ts";
import { openJobStore } from "./job-store.ts";

/** What names a queue. */
export interface QueueOptions {
  readonly queue?: string;
  readonly name: string;
}

/** Adds the options that name a queue. */
export function addQueueOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--queue <url>",
        "Redis or Valkey, such as redis://host:6379; rediss:// with TLS",
      ).env("RCOD_QUEUE"),
    )
    .addOption(
      new Option("--name <name>", "of the queue, where a server has several")
        .argParser(parseName)
        .default("rcod"),
    );
}

function parseName(text: string): string {
  if (/^[\w.-]+$/.test(text)) return text;
  throw new InvalidArgumentError("It must consist of letters, digits, dots, - and _.");
}

/** The address of the queue. Throws `CliError` (exit code 2) where there is none. */
export function queueUrl({ queue }: QueueOptions): string {
  if (queue === undefined || queue === "") {
    throw usageError("no queue: give --queue redis://host:6379, or set RCOD_QUEUE");
  }
  checkQueueUrl(queue);
  return queue;
}

/** Connects, works, and ends the connection. */
export async function withStore<T>(
  options: QueueOptions,
  terminal: Terminal,
  work: (store: JobStore) => Promise<T>,
): Promise<T> {
  const redis = await connectQueue(queueUrl(options), (note) => terminal.note(`rcod: ${note}`));
  try {
    const store = await openJobStore(redis, options.name);
    return await work(store);
  } finally {
    redis.disconnect();
  }
}
