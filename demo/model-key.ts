/** What tells results of different models apart. */
import type { ModelChoice } from "./protocol.ts";

export function modelKey(choice: ModelChoice, precision: "f32" | "f16"): string {
  return `${choice.kind === "url" ? choice.url : modelName(choice)} ${precision}`;
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
