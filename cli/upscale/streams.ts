/** Standard input and output as the image `-`. */
import { CliError, usageError } from "../errors.ts";
import { formatBytes } from "../format.ts";
import { MAX_FILE_BYTES } from "../image/source.ts";

/** Where the image `-` comes from and goes to. */
export interface Streams {
  read(signal: AbortSignal): Promise<Buffer>;
  write(bytes: Uint8Array): Promise<void>;
}

/** Those of the process. Both refuse a terminal. */
export const processStreams: Streams = {
  async read(signal) {
    const { stdin } = process;
    if (stdin.isTTY)
      throw usageError("standard input is a terminal. Feed it: rcod upscale - < FILE");
    const stop = () => void stdin.destroy(new Error("interrupted"));
    signal.addEventListener("abort", stop);
    const parts: Buffer[] = [];
    let size = 0;
    try {
      for await (const part of stdin as AsyncIterable<Buffer>) {
        parts.push(part);
        size += part.length;
        if (size > MAX_FILE_BYTES) {
          throw usageError(`more than the ${formatBytes(MAX_FILE_BYTES)} that are read came in`);
        }
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
    if (size === 0) throw usageError("standard input is empty");
    return Buffer.concat(parts);
  },
  async write(bytes) {
    const { stdout } = process;
    await new Promise<void>((done, fail) => {
      stdout.write(bytes, (error) => {
        if (error) fail(new CliError(`cannot write to standard output: ${error.message}`));
        else done();
      });
    });
  },
};

/** Throws where results would go to a terminal. */
export function checkStandardOutput(): void {
  if (process.stdout.isTTY) {
    throw usageError("standard output is a terminal. Redirect it (> FILE) or give -o FILE");
  }
}
