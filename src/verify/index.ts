/**
 * Golden files: stored results of PyTorch, compared with what this GPU computes.
 *
 * ```ts
 * const source = { name: "ops_conv.safetensors", source: blobSource("ops_conv.safetensors", file) };
 * for await (const result of verifyFiles(await requestGpu(), [source], { precision: "f32" })) show(result);
 * ```
 */
export type {} from "../web-types.ts";
export type { Limit, OutputResult } from "./runner/compare.ts";
export { isFullSizeFile, verifyFiles } from "./verify.ts";
export type { CaseResult, VerifyOptions, VerifyProgress, VerifySource } from "./verify.ts";
