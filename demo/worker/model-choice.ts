/** What the page chose, in the library's words, and what the library found, in the page's. */
import type { Gpu, ModelSource } from "rcod-webgpu";
import type { DeviceInfo, ModelChoice } from "../protocol.ts";
import { scope } from "./scope.ts";

/** The embedded model lies beside the page; built workers lie one folder below it. */
const EMBEDDED = "models/rcod-tiny";

export function modelSource(choice: ModelChoice): ModelSource {
  switch (choice.kind) {
    case "embedded":
      return new URL(`${import.meta.env.DEV ? "/" : "../"}${EMBEDDED}`, scope.location.href);
    case "folder":
      return choice.files;
    case "directory":
      return choice.handle;
    case "url":
      return choice.url;
    default:
      return choice satisfies never;
  }
}

export function modelName(choice: ModelChoice): string {
  switch (choice.kind) {
    case "embedded":
      return "rcod-tiny";
    case "folder":
    case "directory":
      return choice.name;
    case "url":
      return choice.url.replace(/\/+$/, "").split("/").at(-1) ?? choice.url;
    default:
      return choice satisfies never;
  }
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
