/**
 * The command line `rcod`. Exit codes: 0 done, 1 failed, 2 bad usage or input, 128 + signal when
 * interrupted. Results go to stdout, everything else to stderr.
 */
import { existsSync } from "node:fs";
import { Command, CommanderError, Option } from "commander";
import { fleetCommand } from "../fleet/command.ts";
import { VERSION } from "../src/version.ts";
import { adapterCommand } from "./adapter/command.ts";
import { benchCommand } from "./bench/command.ts";
import type { CommandContext, RegisterCommand } from "./command.ts";
import { parseList } from "./command.ts";
import { convertCommand } from "./convert/command.ts";
import { doctorCommand } from "./doctor/command.ts";
import { CliError, EXIT, describeError, oneLine, systemReason } from "./errors.ts";
import { groupCommand } from "./group/command.ts";
import { infoCommand } from "./info/command.ts";
import type { Terminal } from "./terminal.ts";
import { processTerminal, reportError } from "./terminal.ts";
import { tuneCommand } from "./tune/command.ts";
import { upscaleCommand } from "./upscale/command.ts";
import { verifyCommand } from "./verify/command.ts";

const COMMANDS: readonly RegisterCommand[] = [
  upscaleCommand(async () => (await import("./upscale/run.ts")).runUpscale),
  verifyCommand(async () => (await import("./verify/run.ts")).runVerify),
  convertCommand(async () => (await import("./convert/run.ts")).runConvert),
  infoCommand(async () => (await import("./info/run.ts")).runInfo),
  benchCommand(async () => (await import("./bench/run.ts")).runBench),
  tuneCommand(async () => (await import("./tune/run.ts")).runTune),
  groupCommand(async () => (await import("./group/run.ts")).runGroup),
  doctorCommand(async () => (await import("./doctor/run.ts")).runDoctor),
  adapterCommand(async () => (await import("./adapter/run.ts")).runAdapter),
  fleetCommand,
];

/** Runs one command line (`argv` without the program's name) and returns its exit code. Never throws. */
export async function main(
  argv: readonly string[],
  terminal: Terminal = processTerminal,
): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program = createProgram({ terminal, finish: (code) => (exitCode = code) });
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.ok; // --help and --version have printed what they have
      if (error.code === "commander.help") return EXIT.usage; // no command: the help is on stderr
    }
    const told = error instanceof CommanderError ? usageMessage(program, error, argv) : error;
    if (argv.includes("--json"))
      terminal.out(JSON.stringify({ error: describeError(told).message }));
    return reportError(terminal, told);
  }
}

function createProgram(context: CommandContext): Command {
  const { terminal } = context;
  const program = new Command("rcod")
    .description("One-step diffusion super-resolution (RCOD) on WebGPU.")
    .version(VERSION, "-V, --version")
    .addOption(
      new Option(
        "--dawn-toggles <a,b>",
        "switches for Dawn, the WebGPU of Node, -a to turn one off (see rcod doctor)",
      )
        .argParser(parseList)
        .default([], "none"),
    )
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.note(text.trimEnd()),
      outputError: () => {}, // told by `main`, in one line
    })
    .exitOverride();
  for (const register of COMMANDS) register(program, context);
  return program;
}

/** commander's message as ours: without "error:", on one line, with the way to the help. */
function usageMessage(program: Command, error: CommanderError, argv: readonly string[]): CliError {
  const help = `rcod ${[...namedCommands(program, argv), "--help"].join(" ")}`;
  const text = oneLine(error.message.replace(/^error: /, ""));
  const file = /^unknown option '(-[^']*)'/.exec(text)?.[1];
  if (file !== undefined && existsSync(file)) {
    return new CliError(`${text}. The file of that name is written ./${file}`, EXIT.usage);
  }
  return new CliError(`${text}${/[.?)]$/.test(text) ? "" : "."} See ${help}`, EXIT.usage);
}

/** The command that the words begin with, and one of its own where it has such. */
function namedCommands(program: Command, argv: readonly string[]): readonly string[] {
  const names: string[] = [];
  let parent = program;
  for (const word of argv.filter((each) => !each.startsWith("-"))) {
    const command = parent.commands.find((known) => known.name() === word);
    if (command === undefined) break;
    names.push(word);
    parent = command;
  }
  return names;
}

/** Runs `main` on the process's own arguments and ends the process with its exit code. */
export async function runProcess(): Promise<never> {
  let exitCode: number | null = null;
  // A reader that goes away (`rcod … | head`) ends the command as a signal would, without a word.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exitCode ?? EXIT.noReader);
    const reason = `cannot write to standard output: ${systemReason(error)}`;
    process.exit(reportError(processTerminal, new CliError(reason)));
  });
  process.stderr.on("error", () => {}); // there is nobody left to tell
  process.on("uncaughtException", (error) => process.exit(reportError(processTerminal, error)));
  exitCode = await main(process.argv.slice(2));
  // Dawn's threads keep the process alive, so it is ended; what was printed goes out first.
  await new Promise<void>((resolve) => void process.stdout.write("", () => resolve()));
  process.exit(exitCode);
}

// Deno runs this file itself; Node goes through bin/rcod.js.
if ((import.meta as { readonly main?: boolean }).main === true) await runProcess();
