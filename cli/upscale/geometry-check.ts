/** Whether a model takes pictures of a size, before anything of it is loaded. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { outputGeometry, paddedGeometry } from "../../src/rcod/images/geometry.ts";
import { SCALE } from "../engine.ts";
import type { ModelPaths } from "../model-paths.ts";

/** The VAE's factor; here it decides nothing but what padding adds to the largest pictures. */
const MULTIPLE = 8;

/** What a model says of sizes. */
export interface ModelSizes {
  /** Sides of what the networks make, of those of what they get. */
  readonly upscale: number;
  /** Throws `ShapeError` for a size that the model would refuse. */
  readonly check: (width: number, height: number) => void;
}

/** Reads what the folder's `rcod_config.json` says of sizes; without one only the engine's own limits count. */
export async function modelSizes({ model }: ModelPaths, isReference: boolean): Promise<ModelSizes> {
  const text = await readFile(join(model, "rcod_config.json"), "utf8").catch(() => "{}");
  const config = parsed(text);
  const upscale = isSize(config["upscale"]) ? config["upscale"] : SCALE;
  const sizes = { upscale, multiple: MULTIPLE, isCut: !isReference };
  if (config["instance"] === "RCOD_S") {
    return { upscale, check: (width, height) => void paddedGeometry(width, height, sizes) };
  }
  const minSide = isSize(config["min_size"]) ? config["min_size"] : 1;
  const options = { ...sizes, minSide, mode: isReference ? "reference" : "exact" } as const;
  return { upscale, check: (width, height) => void outputGeometry(width, height, options) };
}

const isSize = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) > 0;

/** A file that is no JSON is told by who loads the model. */
function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
