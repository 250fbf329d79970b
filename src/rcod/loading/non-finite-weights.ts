/** Names the weights that are no finite numbers. They are read once more for it, so it loads on demand. */
import { UPLOAD_CHUNK_BYTES } from "../../gpu/transfer.ts";
import type { SourceTensor, TensorSource } from "../../graph/weights/device-weights.ts";
import { countNonFinite } from "../../graph/weights/weight-check.ts";
import { WeightsError, elementByteLength } from "../../weights/index.ts";
import type { ModelPart } from "../networks/stage-graphs.ts";

/** Tensors that a message names. */
const MOST_NAMED = 8;

/** What to throw where packing met NaN or infinity in `names` of a part. */
export async function nonFiniteWeights(
  part: ModelPart,
  source: TensorSource,
  names: readonly string[],
  signal?: AbortSignal,
): Promise<WeightsError> {
  const found: string[] = [];
  for (const name of names.slice(0, MOST_NAMED)) {
    const before = found.length;
    const lora = source.lora(name);
    for (const [label, tensor] of [
      [name, source.tensor(name)],
      ...(lora ? ([[`LoRA A of ${name}`, lora.a]] as const) : []),
      ...(lora ? ([[`LoRA B of ${name}`, lora.b]] as const) : []),
    ] as const) {
      const count = await countIn(tensor, signal);
      if (count === 0) continue;
      const total = tensor.byteLength / elementByteLength(tensor.dtype);
      found.push(`${label} (${count} of ${total} values)`);
    }
    if (found.length === before) found.push(`${name} (too large once its LoRA is merged)`);
  }
  if (names.length > MOST_NAMED) found.push(`${names.length - MOST_NAMED} more`);
  return new WeightsError(
    `weights: values must be finite numbers, got NaN or infinity in ${part}: ${found.join(", ")}. ` +
      "The file is damaged, or its training has failed: take another one",
  );
}

async function countIn(tensor: SourceTensor, signal?: AbortSignal): Promise<number> {
  let count = 0;
  for (let start = 0; start < tensor.byteLength; start += UPLOAD_CHUNK_BYTES) {
    const length = Math.min(UPLOAD_CHUNK_BYTES, tensor.byteLength - start);
    count += countNonFinite(tensor.dtype, await tensor.read(start, length, signal));
  }
  return count;
}
