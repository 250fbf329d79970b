/** Writes the list of all built files into the service worker, which keeps them for offline use. */
import { createHash } from "node:crypto";
import type { Plugin } from "vite";

/** Stands in `sw.ts` for the list. */
const PLACEHOLDER = "__PRECACHE__";
/** 7.1 MB of golden files and the 7.9 MB of the model in f16, for which few visitors ask. */
const NOT_KEPT = ["goldens/", "models/rcod-tiny/"];

/** What the service worker keeps. */
export interface Precache {
  /** Names the files and their content. */
  readonly version: string;
  /** By address relative to the page: what Subresource Integrity calls the hash of a file. */
  readonly files: Readonly<Record<string, string>>;
}

export function precache(): Plugin {
  return {
    name: "rcod-precache",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const worker = bundle["sw.js"];
        if (worker?.type !== "chunk") return;
        const version = createHash("sha256");
        const files: Record<string, string> = {};
        const outputs = Object.entries(bundle).toSorted(([a], [b]) => (a < b ? -1 : 1));
        for (const [name, output] of outputs) {
          if (name === "sw.js" || NOT_KEPT.some((folder) => name.startsWith(folder))) continue;
          const content = output.type === "chunk" ? output.code : output.source;
          const hash = createHash("sha256").update(content).digest("base64");
          files[name === "index.html" ? "./" : name] = `sha256-${hash}`;
          version.update(name).update(hash);
        }
        const list: Precache = { version: version.digest("hex").slice(0, 12), files };
        if (!worker.code.includes(PLACEHOLDER)) this.error(`sw.ts has no ${PLACEHOLDER}`);
        // Whatever quotes the minifier chose around it.
        worker.code = worker.code.replace(
          new RegExp(`(["'\`])${PLACEHOLDER}\\1`),
          () => `JSON.stringify(${JSON.stringify(list)})`,
        );
      },
    },
  };
}
