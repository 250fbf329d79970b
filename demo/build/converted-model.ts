/** A model folder as `rcod convert --weights` would write it, made when the page is built. */
import { convertedInMemory, planConversion } from "../../src/rcod/loading/convert.ts";
import type { QuantizationRecipe } from "../../src/rcod/loading/quantization-recipe.ts";
import { folderFiles } from "../../src/weights/sources/node-source.ts";
import type { ServedFolder } from "./served-files.ts";

/** Everything in one file a part. */
const SHARD_BYTES = 200e6;

export function convertedModel(
  from: string,
  to: string,
  quantize: QuantizationRecipe,
): ServedFolder {
  let made: Promise<ReadonlyMap<string, Uint8Array>> | undefined;
  return {
    to,
    async files() {
      const files = await (made ??= convertedFiles(from, quantize));
      return Array.from(files, ([name, bytes]) => ({
        name,
        byteLength: bytes.byteLength,
        read: () => Promise.resolve(bytes),
      }));
    },
  };
}

/** The files by their relative paths. */
export async function convertedFiles(
  from: string,
  quantize: QuantizationRecipe,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const options = { dtype: "f16", shardBytes: SHARD_BYTES, quantize } as const;
  const conversion = await planConversion(folderFiles(from), options);
  const files = await convertedInMemory(conversion);
  return new Map([...files].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
