/** The memory plans of a model as the page draws them. */
import type { RcodModel } from "rcod-webgpu";
import type { StageMemory } from "../../tabs/inside/record.ts";

export function stageMemory(
  _model: RcodModel,
  _width: number,
  _height: number,
): readonly StageMemory[] {
  return [];
}
