/** Writes the list of all built files into the service worker, which keeps them for offline use. */
import { createHash } from "node:crypto";
import type { Plugin } from "vite";

/** Stands in `sw.ts` for the list. */
const PLACEHOLDER = "__PRECACHE__";
/** 6.8 MB that few visitors open. */
const NOT_KEPT = "goldens/";

export function precache(): Plugin {
  return {
    name: "rcod-precache",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const worker = bundle["sw.js"];
        if (worker?.type !== "chunk") return;
        const hash = createHash("sha256");
        const files: string[] = [];
        const outputs = Object.entries(bundle).toSorted(([a], [b]) => (a < b ? -1 : 1));
        for (const [name, output] of outputs) {
          if (name === "sw.js" || name.startsWith(NOT_KEPT)) continue;
          files.push(name === "index.html" ? "./" : name);
          hash.update(name).update(output.type === "chunk" ? output.code : output.source);
        }
        const manifest = JSON.stringify({ version: hash.digest("hex").slice(0, 12), files });
        if (!worker.code.includes(PLACEHOLDER)) this.error(`sw.ts has no ${PLACEHOLDER}`);
        // Whatever quotes the minifier chose around it.
        worker.code = worker.code.replace(
          new RegExp(`(["'\`])${PLACEHOLDER}\\1`),
          () => `JSON.stringify(${manifest})`,
        );
      },
    },
  };
}
