/** Golden files on a device of its own: a wrong kernel must not take the visitor's picture with it. */
import { requestGpu } from "rcod-webgpu";
import type { VerifySource } from "rcod-webgpu/verify";
import { verifyFiles } from "rcod-webgpu/verify";
import type { ByteSource } from "rcod-webgpu/weights";
import { blobSource, bytesSource } from "rcod-webgpu/weights";
import type { GoldenSource, VerifyArgs, VerifyOutcome } from "../tabs/verify/outcome.ts";
import { sender } from "../update-port.ts";
import { adapterName } from "./adapter-name.ts";

export async function verify(
  { sources, beside, precisions, updates }: VerifyArgs,
  signal: AbortSignal,
): Promise<VerifyOutcome> {
  const tell = sender(updates);
  const gpu = await requestGpu();
  const results: VerifyOutcome["results"][number][] = [];
  const files = sources.map((source) => verifySource(source, signal));
  try {
    const adapter = adapterName(gpu);
    tell({ kind: "start", adapter });
    for (const precision of precisions) {
      const running = verifyFiles(gpu, files, {
        precision,
        full: true,
        signal,
        findFile: async (name) => {
          const found = beside.find((source) => source.name === name);
          return found ? open(found, signal) : null;
        },
        onProgress: ({ file, case: name }) =>
          tell({ kind: "progress", precision, file, case: name }),
      });
      for await (const result of running) {
        results.push({ precision, result });
        tell({ kind: "case", precision, result });
      }
    }
    return { adapter, date: new Date().toISOString(), results };
  } finally {
    updates.close();
    gpu.destroy();
  }
}

function verifySource(source: GoldenSource, signal: AbortSignal): VerifySource {
  return { name: source.name, source: () => open(source, signal) };
}

/** Files of the page are fetched whole: the largest has 1.7 MB. */
async function open(source: GoldenSource, signal: AbortSignal): Promise<ByteSource> {
  const { name } = source;
  if ("blob" in source) return blobSource(name, source.blob);
  const response = await fetch(source.url, { signal });
  if (!response.ok)
    throw new Error(`verify: ${name} could not be fetched, HTTP ${response.status}`);
  return bytesSource(name, new Uint8Array(await response.arrayBuffer()));
}
