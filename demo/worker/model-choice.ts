/** The model of the visitor's choice. With it comes the engine, which nothing needs before: loaded on demand. */
import type { LoadOptions, ModelSource, RcodModel } from "rcod-webgpu";
import { loadModel } from "rcod-webgpu";
import { cachedUrlFiles } from "rcod-webgpu/cache";
import { urlFiles } from "rcod-webgpu/weights";
import floats from "virtual:files/models/rcod-tiny";
import integers from "virtual:files/models/rcod-tiny-int8";
import type { ModelChoice } from "../protocol.ts";

export const loadChosen = (choice: ModelChoice, options: LoadOptions): Promise<RcodModel> =>
  loadModel(modelSource(choice), options);

function modelSource(choice: ModelChoice): ModelSource {
  switch (choice.kind) {
    case "embedded":
      return embeddedFiles(choice.url, choice.weights === "int8" ? integers : floats);
    case "folder":
      return choice.files;
    case "directory":
      return choice.handle;
    case "url":
      // Large models stay on the visitor's disk, each tensor checked when read again.
      return cachedUrlFiles(choice.url);
    default:
      return choice satisfies never;
  }
}

/** A model beside the page, of which the files are known: absent ones are not fetched. */
function embeddedFiles(url: string, names: readonly string[]): ModelSource {
  const files = urlFiles(url);
  return {
    name: "rcod-tiny",
    open: async (path, signal) => (names.includes(path) ? files.open(path, signal) : null),
  };
}
