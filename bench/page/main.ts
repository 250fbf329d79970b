/** The bench page: runs the suite that its address names, shows the results and reports them to a driver. */
import { requestGpu } from "../../src/gpu/device.ts";
import type { PageMessage } from "./settings.ts";
import { fromQuery } from "./settings.ts";
import { runSuite } from "./suites.ts";

declare global {
  /** Exposed by the driver; absent in a browser that a person has opened. */
  var rcodBenchReport: ((message: PageMessage) => void) | undefined;
}

function report(message: PageMessage): void {
  globalThis.rcodBenchReport?.(message);
  const shown = document.querySelector("#report");
  const plot = document.querySelector("#plot");
  switch (message.kind) {
    case "line":
    case "note":
    case "error":
      shown?.append(`${message.text}\n`);
      return;
    case "result":
      shown?.append(`\n${JSON.stringify(message.record)}\n`);
      if (plot && message.svg !== undefined) plot.innerHTML = message.svg;
      return;
    default:
      message satisfies never;
  }
}

try {
  const settings = fromQuery(location.search);
  if (settings !== null) {
    const gpu = await requestGpu();
    try {
      report(await runSuite(gpu, settings, report));
    } finally {
      gpu.destroy();
    }
  }
} catch (error) {
  report({ kind: "error", text: error instanceof Error ? error.message : String(error) });
}
