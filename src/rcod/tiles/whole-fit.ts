/** Whether a picture fits the device as a whole. */
import type { Caps } from "../../gpu/caps.ts";
import type { DType } from "../../gpu/dtype.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import { chooseVaeTile } from "./vae-tile-choice.ts";

const LARGEST = 2048 * 2048;

export function fitsWhole(
  { vae }: ModelConfigs,
  caps: Caps,
  dtype: DType,
  height: number,
  width: number,
): boolean {
  if (height * width > LARGEST) return false;
  return (["encode", "decode"] as const).every(
    (kind) => chooseVaeTile(vae, caps, dtype, kind, height, width, {}) === null,
  );
}
