/**
 * Weights: bytes, wherever they lie, to named typed tensors. No GPU and no knowledge of any model.
 *
 * A `FileSet` opens files, a `WeightStore` reads tensors from them:
 *
 * ```ts
 * const files = urlFiles("https://host/sd-turbo");
 * const store = await openWeightFolder(files, "unet", "diffusion_pytorch_model");
 * checkTensors(store, [{ name: "conv_in.bias", shape: [320] }], { unused: "ignore" });
 * const info = store.info("conv_in.bias");
 * const bias = toFloat32(info, await store.read("conv_in.bias")); // Float32Array(320)
 * await store.close();
 * ```
 *
 * All failures are `WeightsError`; an aborted call throws the reason of its signal. Files on disk
 * are in `node-source.ts`, which is not part of this index because it needs Node.
 */
export type {} from "../web-types.ts";
export { checkTensors } from "./check.ts";
export type { CheckOptions, ExpectedTensor } from "./check.ts";
export { FLOAT_DTYPES, toFloat32 } from "./convert.ts";
export { WeightsError } from "./errors.ts";
export {
  directoryHandleFiles,
  fileListFiles,
  memoryFiles,
  readJson,
  readText,
  urlFiles,
  urlMapFiles,
} from "./sources/files.ts";
export type { FileSet } from "./sources/files.ts";
export type { HttpOptions } from "./sources/http-client.ts";
export { httpSource } from "./sources/http-source.ts";
export { readAheadFiles } from "./sources/read-ahead.ts";
export { openSafetensors } from "./safetensors.ts";
export type { SafetensorsFile } from "./safetensors.ts";
export { layoutSafetensors, writeSafetensors } from "./safetensors-write.ts";
export type { NamedTensorData, SafetensorsLayout, TensorPlace } from "./safetensors-write.ts";
export { blobFile, fileHandleFile, urlFile } from "./sources/single-file.ts";
export type { SingleFile } from "./sources/single-file.ts";
export { blobSource, bytesSource } from "./sources/source.ts";
export type { ByteSource } from "./sources/source.ts";
export { memoryStore, mergeStores, renamedStore, safetensorsStore, torchStore } from "./store.ts";
export type { StoredTensorInfo, WeightStore } from "./store.ts";
export { parseStrictJson } from "./strict-json.ts";
export type { JsonObject, JsonValue } from "./strict-json.ts";
export { elementByteLength } from "./tensor-info.ts";
export type { TensorData, TensorDtype, TensorInfo } from "./tensor-info.ts";
export { openTorch } from "./torch/torch-file.ts";
export type { TorchFile } from "./torch/torch-file.ts";
export type { TorchStorage, TorchTensor } from "./torch/torch-tensor.ts";
export type { TorchDict, TorchSequence, TorchValue } from "./torch/torch-value.ts";
export { openWeightFile } from "./weight-file.ts";
export type { WeightFile } from "./weight-file.ts";
export { hasWeights, openWeightFolder, openWeightIndex } from "./weight-folder.ts";
export type { WeightFolderOptions, WeightStem } from "./weight-folder.ts";
