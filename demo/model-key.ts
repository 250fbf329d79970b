/** What tells results of different models apart. */
import type { ModelChoice } from "./protocol.ts";

export function modelKey(choice: ModelChoice, precision: "f32" | "f16"): string {
  return `${identity(choice)} ${precision}`;
}

function identity(choice: ModelChoice): string {
  if (choice.kind === "url") return choice.url;
  return choice.kind === "embedded" ? `rcod-tiny ${choice.weights}` : choice.name;
}

export function modelName(choice: ModelChoice): string {
  switch (choice.kind) {
    case "embedded":
      return choice.weights === "int8" ? "rcod-tiny" : `rcod-tiny ${choice.weights}`;
    case "folder":
    case "directory":
      return choice.name;
    case "url":
      return choice.url.replace(/\/+$/, "").split("/").at(-1) ?? choice.url;
    default:
      return choice satisfies never;
  }
}
