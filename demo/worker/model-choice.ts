/** What the page chose, in the library's words, and what the library found, in the page's. */
import type { Gpu, ModelSource } from "rcod-webgpu";
import { cachedUrlFiles } from "rcod-webgpu/cache";
import { urlFiles } from "rcod-webgpu/weights";
import embedded from "virtual:files/models/rcod-tiny";
import type { DeviceInfo, ModelChoice } from "../protocol.ts";

export function modelSource(choice: ModelChoice): ModelSource {
  switch (choice.kind) {
    case "embedded":
      return embeddedFiles(choice.url);
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

/** The model beside the page, of which the files are known: absent ones are not fetched. */
function embeddedFiles(url: string): ModelSource {
  const files = urlFiles(url);
  return {
    name: "rcod-tiny",
    open: async (path, signal) => (embedded.includes(path) ? files.open(path, signal) : null),
  };
}

export function describeDevice({ caps }: Gpu): DeviceInfo {
  const names = [caps.description, caps.device, `${caps.vendor} ${caps.architecture}`];
  return {
    name: names.map((name) => name.trim()).find((name) => name !== "") ?? "WebGPU adapter",
    isSoftware: caps.isSoftware,
    hasShaderF16: caps.hasShaderF16,
    maxBindingBytes: caps.limits.maxStorageBufferBindingSize,
  };
}
