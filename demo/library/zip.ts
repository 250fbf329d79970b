/** All results as one archive. Loaded when asked for. */
import { downloadZip } from "client-zip";
import type { App } from "../app.ts";
import type { SaveOptions } from "../protocol.ts";
import { createUniqueNames, resultFileName } from "./names.ts";

export interface Archive {
  readonly blob: Blob;
  readonly name: string;
  /** Results in it. */
  readonly count: number;
  /** What could not be encoded any more, by the names that they would have had. */
  readonly missing: readonly string[];
}

type Format = Pick<SaveOptions, "type" | "quality">;

/** Encodes one result after the other into the archive: no two are in memory together. */
export async function zipResults(
  app: App,
  format: Format,
  onProgress: (done: number, count: number) => void,
): Promise<Archive> {
  const results = app.store
    .get()
    .pictures.flatMap(({ name, results: own }) => own.map(({ info }) => ({ name, info })));
  const unique = createUniqueNames();
  const missing: string[] = [];
  async function* files(): AsyncGenerator<{ name: string; input: Blob; lastModified: Date }> {
    for (const [i, { name, info }] of results.entries()) {
      onProgress(i, results.length);
      const input = await encode(app, info.id, format);
      const type = (input?.type as SaveOptions["type"] | undefined) ?? format.type;
      const file = unique(resultFileName(name, info.settings, type));
      if (input) yield { name: file, input, lastModified: new Date() };
      else missing.push(file);
    }
  }
  const blob = await downloadZip(files()).blob();
  const count = results.length - missing.length;
  return { blob, name: "rcod-results.zip", count, missing };
}

/** As PNG where the format has no picture so large; null where the result is gone. */
async function encode(app: App, result: number, format: Format): Promise<Blob | null> {
  const asChosen = await app.call("save", { result, ...format }).catch(() => null);
  return asChosen ?? app.call("save", { result, type: "image/png" }).catch(() => null);
}
