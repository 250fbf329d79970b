/** What only Node (and Deno) has: Dawn through the npm package `webgpu`, files on disk, and a store of measured variants. */
export type {} from "../web-types.ts";
export { nodeGpuProvider, requestNodeGpu } from "./gpu.ts";
export { fileTuningStore, tuningFilePath } from "./tuning-file.ts";
export type { NodeGpuOptions } from "./gpu.ts";
export { diskFile, fileSource, folderFiles } from "../weights/sources/node-source.ts";
