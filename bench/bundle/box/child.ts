/** Programs run to their end or to the end of their time, whatever they do. */
import { spawn } from "node:child_process";

/** A program and how to start it. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Beside the environment that is there. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** It ran for longer than it may. */
  readonly timedOut: boolean;
  readonly seconds: number;
  readonly stdout: string;
  /** Its end. */
  readonly stderr: string;
}

/** As much of stderr as tells what went wrong. */
const STDERR_LENGTH = 4000;
/** Some leave children behind that hold the pipes open. */
const CLOSING_MS = 2000;

/** Never rejects. The program and all that it has started end after `seconds`. */
export function runToEnd({ file, args, env }: Command, cwd: string, seconds: number) {
  return new Promise<Ended>((resolve) => {
    const startedAt = performance.now();
    let [stdout, stderr, timedOut] = ["", "", false];
    const end = (exitCode: number | null, signal: string | null): void => {
      clearTimeout(timer);
      const took = (performance.now() - startedAt) / 1000;
      resolve({ exitCode, signal, timedOut, seconds: took, stdout, stderr });
    };
    const child = spawn(file, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // a group of its own, so that its children end with it
    });
    const timer = setTimeout(() => {
      timedOut = true;
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, seconds * 1000);
    child.stdout.setEncoding("utf8").on("data", (part: string) => (stdout += part));
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      stderr = (stderr + part).slice(-STDERR_LENGTH);
      process.stderr.write(part);
    });
    child.once("error", (error) => {
      stderr += error.message;
      end(null, null);
    });
    child.once("exit", (code, signal) => {
      setTimeout(() => end(code, signal), CLOSING_MS).unref();
    });
    child.once("close", end);
  });
}
