/** What only Node (and Deno) has: Dawn through the npm package `webgpu`, and files on disk. */
export { nodeGpuProvider, requestNodeGpu } from "./gpu.ts";
export { fileTuningStore, tuningFilePath } from "./tuning-file.ts";
export type { NodeGpuOptions } from "./gpu.ts";
export { diskFile, fileSource, folderFiles } from "../weights/node-source.ts";
