/** `npm run bench:page` and `npm run bench:compare`: options, output, exit code. */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { runInBrowser } from "./browser.ts";
import { findChromium, serveRepository } from "./chromium.ts";
import type { PageMessage } from "./page/settings.ts";
import { fromQuery } from "./page/settings.ts";

const USAGE = `npm run bench:page -- [options]      suites kernels and model in a browser page
npm run bench:compare -- [options]   the same operations in onnxruntime-web, in the same page

  --suite <name>     kernels, model or compare
  --filter <text>    only cases whose name contains this
  --precision <p>    f32 or f16 (kernels, model)
  --scale <s>        full or small (kernels), tiny (compare: only to see that everything runs)
  --min-ms <n>       repeat what takes less
  --samples <n>      passes or images to time
  --json             print one JSON object; everything else goes to stderr
  --svg <file>       write the roofline plot (kernels, compare)
  --serve            only serve the page, for a browser of your own
RCOD_CHROMIUM=<path> runs that browser on its GPU instead of the bundled one on SwiftShader.
`;

const OPTIONS = {
  suite: { type: "string", default: "kernels" },
  filter: { type: "string" },
  precision: { type: "string" },
  scale: { type: "string" },
  "min-ms": { type: "string" },
  samples: { type: "string" },
  json: { type: "boolean", default: false },
  svg: { type: "string" },
  serve: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

/** Returns the exit code: 0, 1 when something of ours computes wrong or fails, 2 for bad usage. */
export async function main(argv: readonly string[]): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({ args: [...argv], options: OPTIONS }));
  } catch (error) {
    return usage(error);
  }
  const { suite, filter, precision, scale, samples, json, svg, serve, help } = values;
  if (help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (serve) return serveUntilInterrupted();
  const query = new URLSearchParams();
  const given = { suite, filter, precision, scale, samples, minMs: values["min-ms"] };
  for (const [key, value] of Object.entries(given)) if (value !== undefined) query.set(key, value);
  try {
    fromQuery(query.toString());
  } catch (error) {
    return usage(error);
  }
  const browser = await findChromium();
  if (browser === null) {
    process.stderr.write(
      "bench: no Chromium here. Set RCOD_CHROMIUM to the path of a Chrome or Chromium\n",
    );
    return 1;
  }
  const show = (message: PageMessage): void => {
    if (message.kind === "line")
      (json ? process.stderr : process.stdout).write(`${message.text}\n`);
    if (message.kind === "note") process.stderr.write(`${message.text}\n`);
  };
  try {
    const result = await runInBrowser(browser, query.toString(), show);
    if (json) process.stdout.write(`${JSON.stringify(result.record)}\n`);
    if (svg !== undefined && result.svg !== undefined) await writeFile(svg, result.svg);
    return result.passed ? 0 : 1;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

function usage(problem: unknown): number {
  process.stderr.write(
    `${problem instanceof Error ? problem.message : String(problem)}\n\n${USAGE}`,
  );
  return 2;
}

async function serveUntilInterrupted(): Promise<number> {
  const { address, close } = await serveRepository();
  process.stderr.write(`${address}bench/page/index.html (Ctrl-C ends it)\n`);
  await new Promise((resolve) => process.once("SIGINT", resolve));
  await close();
  return 0;
}
