/** All results as one archive. Loaded when asked for. */
import { downloadZip } from "client-zip";
import type { App } from "../app.ts";
import type { SaveOptions } from "../protocol.ts";
import { resultFileName, uniqueNames } from "./names.ts";

export interface Archive {
  readonly blob: Blob;
  readonly name: string;
  readonly count: number;
}

/** Encodes one result after the other into the archive: no two are in memory together. */
export async function zipResults(
  app: App,
  { type, quality }: Pick<SaveOptions, "type" | "quality">,
  onProgress: (done: number, count: number) => void,
): Promise<Archive> {
  const results = app.store
    .get()
    .pictures.flatMap(({ name, results: own }) => own.map(({ info }) => ({ name, info })));
  const names = uniqueNames(
    results.map(({ name, info }) => resultFileName(name, info.settings, type)),
  );
  async function* files(): AsyncGenerator<{ name: string; input: Blob; lastModified: Date }> {
    for (const [i, { info }] of results.entries()) {
      onProgress(i, results.length);
      const options = quality === undefined ? { type } : { type, quality };
      const input = await app.call("save", { result: info.id, ...options });
      yield { name: names[i] as string, input, lastModified: new Date() };
    }
  }
  const blob = await downloadZip(files()).blob();
  return { blob, name: "rcod-results.zip", count: results.length };
}
